"""A plug-in whose judge asks a scripted model, for replies that no honest model can be relied on to give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from unireward_plugins.hookspecs import JudgeCard, hookimpl
from unireward_plugins.judges import ModelJudge
from unireward_plugins.plugins import find_rubric
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Query, Reply


def first_wins(query: Query) -> str:
    """A model that always prefers the first."""
    return "Image 1 is better" if len(query.media) > 1 else "Final Score: 4"


@dataclass
class Script:
    """What the scripted model says, and what it was asked."""

    reply: Callable[[Query], str | Reply] = first_wins
    queries: list[Query] = field(default_factory=list)

    def reset(self) -> None:
        """Forget both."""
        self.reply = first_wins
        self.queries.clear()


script = Script()


def build() -> ModelJudge:
    """The judge of the card below."""

    def answer(query: Query) -> str | Reply:
        script.queries.append(query)
        return script.reply(query)

    rubrics = [find_rubric("image_gen.point_score.short"), find_rubric("image_gen.pair_rank.qwen")]
    table = {(rubric.task, rubric.arity): rubric for rubric in rubrics}
    return ModelJudge("scripted", ScriptedBackend(answer), table)


@hookimpl
def unireward_judges() -> list[JudgeCard]:
    """The scripted judge."""
    judges = (("image_generation", 1), ("image_generation", 2))
    return [JudgeCard("scripted", "tests.cli.scripted:build", judges, "says what a test writes")]
