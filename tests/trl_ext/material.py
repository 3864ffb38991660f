"""Rows, and judges whose verdicts are known, for the tests of the TRL rewards."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from unireward_plugins.judges import ModelJudge
from unireward_plugins.rubrics import BUILTIN
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Query


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (56, 56), colour)


def question(text: str = "Which colour is it?") -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def scripted_judge(
    reply: Callable[[Query], str], *, rubric: str = "image_und.point_score.qwen", name: str = "scripted"
) -> ModelJudge:
    """A judge with one of the built-in rubrics, whose model says what a function says."""
    chosen = BUILTIN[rubric]
    return ModelJudge(name, ScriptedBackend(reply), {(chosen.task, chosen.arity): chosen})


def queries(judge: ModelJudge) -> list[Query]:
    """Every query that a scripted judge has asked so far."""
    assert isinstance(judge.backend, ScriptedBackend)
    return judge.backend.queries
