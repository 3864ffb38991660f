"""Best of n: several samples of one prompt from a diffusers pipeline, and the one that a judge likes best.

result = best_of(pipeline, "a red circle left of a blue square", judge=load_judge("shapes"), candidates=8)
result.best.save("best.png")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from diffusers_ext.sample import Pipeline, samples
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import ask, both_orders
from unireward_plugins.media import Media
from unireward_plugins.tournament import round_robin, win_rates
from unireward_plugins.types import Case, Judge, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class BestOf:
    """All candidates of a prompt, what the judge said of them, and so the best."""

    outputs: tuple[Image | list[Image], ...] = field(repr=False)
    """The pictures, or the clips as lists of frames, as the pipeline gave them."""
    seeds: tuple[int, ...]
    """Candidate `i` is `pipeline(prompt, generator=torch.Generator().manual_seed(seeds[i]), ...)`."""
    scores: tuple[float | None, ...]
    """From 0 to 1: the judge's grade or, of a judge that only compares, the share of points against all others.
    `None` where no verdict was read or the pipeline's safety checker blanked the picture."""
    cases: tuple[Case, ...] = field(repr=False)
    """What the judge was asked; with `verdicts` this is what `unireward_plugins.pairs.pairs_from` takes."""
    verdicts: tuple[Verdict, ...] = field(repr=False)

    @property
    def winner(self) -> int:
        """The number of the candidate with the highest score, the earliest of equals."""
        return -max((score, -index) for index, score in enumerate(self.scores) if score is not None)[1]

    @property
    def best(self) -> Image | list[Image]:
        """The winner's picture, or its frames."""
        return self.outputs[self.winner]

    @property
    def seed(self) -> int:
        """The winner's seed."""
        return self.seeds[self.winner]


def best_of(
    pipeline: Pipeline,
    prompt: str,
    *,
    judge: Judge,
    candidates: int = 4,
    seed: int = 0,
    context: Sequence[Media] = (),
    **call: Any,
) -> BestOf:
    """Draw candidates from seeds `seed`, `seed + 1`, ... and judge them; `call` goes to the pipeline as it is.

    A judge that grades grades each candidate. One that only compares plays a round robin, each pair in both orders. For
    a pipeline that edits, `context` is the source picture, so that the candidates are judged as edits of it. Raises
    `UniRewardError` where there is no verdict on any candidate, where the pipeline gave no picture or clip, or where
    `call` sets an argument that is set here; `UnsupportedCase` where the judge can judge neither way.
    """
    if candidates < 1:
        raise UniRewardError(f"there must be at least one candidate, got candidates={candidates}")
    drawn = samples(pipeline, prompt, count=candidates, seed=seed, call=call)
    shown = [index for index, sample in enumerate(drawn) if not sample.blanked]
    if not shown:
        raise UniRewardError(f"the pipeline's safety checker blanked all {candidates} candidates of {prompt!r}")
    alone = [Case(prompt, (drawn[index].media,), tuple(context)) for index in shown]
    cases, verdicts, scores = _judged(judge, alone)
    if not any(score is not None for score in scores):
        unread = Counter(verdict.unread for verdict in verdicts).most_common()
        reasons = ", ".join(f"{count} x {reason}" for reason, count in unread) or "it only compares, and there is one"
        raise UniRewardError(f"the judge gave no verdict on any of {len(shown)} candidate(s): {reasons}")
    by_number = dict(zip(shown, scores, strict=True))
    return BestOf(
        outputs=tuple(sample.output for sample in drawn),
        seeds=tuple(sample.seed for sample in drawn),
        scores=tuple(by_number.get(index) for index in range(candidates)),
        cases=tuple(cases),
        verdicts=tuple(verdicts),
    )


def _judged(judge: Judge, alone: Sequence[Case]) -> tuple[Sequence[Case], list[Verdict], list[float | None]]:
    """What was asked, what was answered, and one score a candidate."""
    try:
        verdicts = ask(judge, alone)
    except UnsupportedCase:
        # The judge only compares; if it does not judge such candidates at all, it says so again.
        meetings = round_robin(len(alone))
        pairs = [replace(alone[i], candidates=alone[i].candidates + alone[j].candidates) for i, j in meetings]
        verdicts = ask(both_orders(judge), pairs)
        shares = [None if verdict.scores is None else verdict.scores[0] for verdict in verdicts]
        games = [(i, j, share) for (i, j), share in zip(meetings, shares, strict=True)]
        return pairs, verdicts, win_rates(len(alone), games)
    return alone, verdicts, [None if verdict.scores is None else verdict.scores[0] for verdict in verdicts]
