"""Best of n: several samples of one prompt from a diffusers pipeline, and the one that a judge likes best.

result = best_of(pipeline, "a red circle left of a blue square", judge="shapes", candidates=8)
result.best.save("best.png")

With `preview=0.4` all candidates are sampled to 40 % of their steps, and only the most promising to the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers_ext.load_pipeline import check_names
from diffusers_ext.sample import Pipeline, Sample, samples
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import ask, both_orders
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.tournament import round_robin, win_rates
from unireward_plugins.types import Case, Judge, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

KEPT = 4
"""With a preview, one in so many candidates is sampled to the end, and two at least: a judge may only compare."""


@dataclass(frozen=True, slots=True)
class BestOf:
    """All candidates of a prompt, what the judge said of them, and so the best."""

    outputs: tuple[Image | list[Image], ...] = field(repr=False)
    """The pictures, or the clips as lists of frames, as the pipeline gave them; of a candidate that was stopped, what
    it was judged by then."""
    seeds: tuple[int, ...]
    """Candidate `i` is `pipeline(prompt, generator=torch.Generator().manual_seed(seeds[i]), ...)`."""
    scores: tuple[float | None, ...]
    """From 0 to 1: the judge's grade or, of a judge that only compares, the share of points against all others.
    `None` where no verdict was read, the pipeline's safety checker blanked the picture, or it was stopped."""
    cases: tuple[Case, ...] = field(repr=False)
    """What the judge was asked; with `verdicts` this is what `unireward_plugins.pairs.pairs_from` takes."""
    verdicts: tuple[Verdict, ...] = field(repr=False)
    previews: tuple[float | None, ...] = ()
    """The scores of the predictions by which candidates were stopped or not; none where there was no preview."""

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
    judge: str | Path | Judge,
    candidates: int = 4,
    seed: int = 0,
    context: Sequence[Media] = (),
    preview: float | None = None,
    **call: Any,
) -> BestOf:
    """Draw candidates from seeds `seed`, `seed + 1`, ... and judge them; `call` goes to the pipeline as it is.

    `judge` is a judge or its name (`load_judge`). One that grades grades each candidate, one that only compares plays a
    round robin, each pair in both orders. For a pipeline that edits, `context` is the source picture, so that the
    candidates are judged as edits of it.

    With `preview`, a share of the steps, each candidate is first sampled so far and judged by the picture that the
    model predicts there; the best quarter, two at least, is then sampled in full and judged as ever, the
    others have no score. Candidate and seed belong together as without it. That takes `preview + 1/4` of the steps of
    all candidates, rounding aside, since those that go on begin anew.

    Raises `UniRewardError` where there is no verdict on any candidate, where the pipeline gave no picture or clip, or
    where `call` sets an argument that is set here or that the pipeline does not take; `UnsupportedCase` where the
    judge can judge neither way.
    """
    if candidates < 1:
        raise UniRewardError(f"there must be at least one candidate, got candidates={candidates}")
    judge = load_judge(judge)
    check_names(pipeline, call)
    drawn = _drawn(pipeline, prompt, range(seed, seed + candidates), call, preview)
    scored = _scored(judge, prompt, context, drawn)
    previews: tuple[float | None, ...] = ()
    if preview is not None:
        previews = scored.scores
        ranked = sorted((-score, index) for index, score in enumerate(previews) if score is not None)
        going_on = sorted(index for _, index in ranked[: max(2, candidates // KEPT)])
        finished = _drawn(pipeline, prompt, [seed + index for index in going_on], call)
        scored = _scored(judge, prompt, context, finished)
        for index, sample in zip(going_on, finished, strict=True):
            drawn[index] = sample
        by_number = dict(zip(going_on, scored.scores, strict=True))
        scored = replace(scored, scores=tuple(by_number.get(index) for index in range(candidates)))
    return BestOf(
        outputs=tuple(sample.output for sample in drawn),
        seeds=tuple(sample.seed for sample in drawn),
        scores=scored.scores,
        cases=tuple(scored.cases),
        verdicts=tuple(scored.verdicts),
        previews=previews,
    )


@dataclass(frozen=True, slots=True)
class _Scored:
    """What was asked, what was answered, and one score a candidate."""

    cases: Sequence[Case]
    verdicts: Sequence[Verdict]
    scores: tuple[float | None, ...]


def _drawn(
    pipeline: Pipeline, prompt: str, seeds: Sequence[int], call: Mapping[str, Any], preview: float | None = None
) -> list[Sample]:
    """A sample of each seed or, with `preview`, what the model predicts of it after that share of its steps."""
    if preview is None:
        return [sample for own in seeds for sample in samples(pipeline, prompt, count=1, seed=own, call=call)]
    from diffusers_ext.callbacks import clean_prediction

    if taken := [name for name in call if name.startswith("callback_on_step_end")]:
        raise UniRewardError(f"{', '.join(taken)} cannot be passed on to the pipeline with a preview, which sets it")
    with clean_prediction(pipeline, at=preview) as early:
        return _drawn(pipeline, prompt, seeds, {**call, "callback_on_step_end": early})


def _scored(judge: Judge, prompt: str, context: Sequence[Media], drawn: Sequence[Sample]) -> _Scored:
    """Candidates, judged; `UniRewardError` where none has a verdict."""
    shown = [index for index, sample in enumerate(drawn) if not sample.blanked]
    if not shown:
        raise UniRewardError(f"the pipeline's safety checker blanked all {len(drawn)} candidates of {prompt!r}")
    alone = [Case(prompt, (drawn[index].media,), tuple(context)) for index in shown]
    cases, verdicts, scores = judged(judge, alone)
    if not any(score is not None for score in scores):
        unread = Counter(verdict.unread for verdict in verdicts).most_common()
        reasons = ", ".join(f"{count} x {reason}" for reason, count in unread) or "it only compares, and there is one"
        raise UniRewardError(f"the judge gave no verdict on any of {len(shown)} candidate(s): {reasons}")
    by_number = dict(zip(shown, scores, strict=True))
    return _Scored(cases, verdicts, tuple(by_number.get(index) for index in range(len(drawn))))


def judged(judge: Judge, alone: Sequence[Case]) -> tuple[Sequence[Case], list[Verdict], list[float | None]]:
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
