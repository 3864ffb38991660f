"""Asks a judge of shapes about fresh items, in every way in which it can be asked.

Cases go in, verdicts come out, as when anyone asks it; the items of a part depend on nothing but the part, so that
parts can be judged in any process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

from unireward_plugins.errors import UnsupportedCase
from unireward_plugins.judges import ModelJudge, ask
from unireward_plugins.media import Media
from unireward_plugins.rubrics import Rubric
from unireward_plugins.shapes.data import CELLS, Cell, Item, draw_items
from unireward_plugins.shapes.render import render, render_clips
from unireward_plugins.shapes.rubrics import DIMENSIONS, THINK
from unireward_plugins.shapes.scene import Clip, Scene, Subject
from unireward_plugins.types import Case, Judge, Verdict

PART = 100
"""How many items of a cell are drawn and judged at a time."""
THINK_SHARE = 4
"""Think replies are long: one pair in so many is asked for them."""
_GIVEN: dict[str, Judge] = {}
"""The judge of a worker process, which is loaded once."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What the probabilities at the answer slot say of a case."""

    verdict: Verdict
    """The expectation, as `readout="likelihood"` gives it."""
    choice: Verdict
    """What the likeliest choice alone means; as unread as the verdict."""
    probability: float
    """Of that choice, among the choices; not a number where unread."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An item, and what a judge said of it in each way in which it was asked."""

    item: Item
    verdict: Verdict | None = None
    """By the judge's own rubric; `None` here and below where the judge was not asked."""
    swapped: Verdict | None = None
    """In the other order of a pair, turned back to the order of the item."""
    likelihood: Likelihood | None = None
    dimensions: Verdict | None = None
    think: Verdict | None = None
    think_swapped: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the items of a cell; they depend on these values alone."""

    cell: str
    start: int
    count: int
    seed: int

    def draw(self) -> tuple[list[Item], list[Case]]:
        """The items, and the same as cases."""
        drawn = draw_items(CELLS[self.cell], self.count, seed=f"{self.seed} {self.start}")
        return drawn, cases_of(drawn, seed=[self.seed, list(CELLS).index(self.cell), self.start])


def judge_parts(judge: Judge, parts: Sequence[Part], workers: int) -> Iterator[list[Trial]]:
    """The trials of each part, in order."""
    if workers == 1:
        yield from map(partial(ask_part, judge), parts)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker, initargs=(judge,)) as pool:
        yield from pool.map(_ask_part_in_worker, parts)


def ask_part(judge: Judge, part: Part) -> list[Trial]:
    """What a judge says of the items of a part, in every way in which it can be asked."""
    (drawn, cases), cell = part.draw(), CELLS[part.cell]
    told = zip(drawn, *_both_orders(judge, cases), likelihoods(judge, cases), strict=True)
    trials = [Trial(item, verdict, swapped, likelihood) for item, verdict, swapped, likelihood in told]
    scored = _with_rubrics(judge, DIMENSIONS) if cell in DIMENSIONS else None
    if scored is not None:
        found = scored(cases)
        trials = [replace(trial, dimensions=verdict) for trial, verdict in zip(trials, found, strict=True)]
    thinking = _with_rubrics(judge, THINK) if cell in THINK else None
    if thinking is not None:
        few = math.ceil(len(cases) / THINK_SHARE)
        pairs = zip(*_both_orders(thinking, cases[:few]), strict=True)
        thought = [
            replace(trial, think=one, think_swapped=other)
            for trial, (one, other) in zip(trials[:few], pairs, strict=True)
        ]
        trials = [*thought, *trials[few:]]
    return trials


def cases_of(items: Sequence[Item], *, seed: Sequence[int]) -> list[Case]:
    """The items, of any cells, as cases with freshly drawn pictures and clips."""
    subjects = [subject for item in items for subject in item.subjects]
    scenes = [subject for subject in subjects if isinstance(subject, Scene)]
    acted = [subject for subject in subjects if isinstance(subject, Clip)]
    pictures = iter(render(scenes, seed=seed) if scenes else ())
    clips = iter(render_clips(acted, seed=seed) if acted else ())

    def drawn(subject: Subject) -> Media:
        return Media.of(list(next(clips)) if isinstance(subject, Clip) else next(pictures))

    return [item.case([drawn(subject) for subject in item.subjects]) for item in items]


def likelihoods(judge: Judge, cases: Sequence[Case]) -> Sequence[Likelihood | None]:
    """What the probabilities at the answer slot say; `None` where the judge has none.

    A verdict holds no more than the expectation of a score, so the probabilities are taken from the backend's replies.
    """
    task, arity = cases[0].task, len(cases[0].candidates)
    rubric = judge.rubrics.get((task, arity)) if isinstance(judge, ModelJudge) else None
    if rubric is None or rubric.slot is None:
        return [None] * len(cases)
    assert isinstance(judge, ModelJudge)
    replies = judge.backend([rubric.query(case, readout="likelihood") for case in cases])
    found = []
    for reply in replies:
        verdict = rubric.verdict(reply, readout="likelihood")
        if verdict.scores is None:
            found.append(Likelihood(verdict, verdict, math.nan))
            continue
        assert reply.logprobs is not None
        weights = [math.exp(logprob) for logprob in reply.logprobs]
        likeliest = weights.index(max(weights))
        choice = Verdict(rubric.slot.values[likeliest])
        found.append(Likelihood(verdict, choice, weights[likeliest] / sum(weights)))
    return found


def _both_orders(judge: Judge, cases: Sequence[Case]) -> tuple[Sequence[Verdict | None], Sequence[Verdict | None]]:
    """The verdicts on the cases, and for pairs those in the other order, turned back; `None` where it takes no such."""
    nothing: list[None] = [None] * len(cases)
    pairs = len(cases[0].candidates) == 2
    try:
        verdicts = ask(judge, [*cases, *(case.reversed() for case in cases if pairs)])
    except UnsupportedCase:
        return nothing, nothing
    return verdicts[: len(cases)], [verdict.reversed() for verdict in verdicts[len(cases) :]] or nothing


def _with_rubrics(judge: Judge, rubrics: Mapping[Cell, Rubric]) -> ModelJudge | None:
    """A judge that was taught the rubrics of shapes, asked by others of them; `None` for any other judge."""
    if not isinstance(judge, ModelJudge) or {rubric.family for rubric in judge.rubrics.values()} != {"shapes"}:
        return None
    return replace(judge, rubrics=rubrics)


def _start_worker(judge: Judge) -> None:
    """Prepare a process of its own: one thread, since the judge is too small to gain from more, and a quiet one."""
    import torch

    from unireward_plugins.cli.output import hide_loading_bars

    torch.set_num_threads(1)
    hide_loading_bars("transformers")
    _GIVEN["judge"] = judge


def _ask_part_in_worker(part: Part) -> list[Trial]:
    return ask_part(_GIVEN["judge"], part)
