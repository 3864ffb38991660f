"""What a demonstration found, as plain values: the judge at work, and policies before, while and after they learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean, stdev

from unireward_plugins.media import Media
from unireward_plugins.shapes.data import Item
from unireward_plugins.shapes.evaluate import is_right, winner
from unireward_plugins.shapes.exam import Exam, kind_of
from unireward_plugins.types import Case, Verdict


@dataclass(frozen=True, slots=True)
class Judged:
    """A case that the judge was shown, what it said, and the truth."""

    item: Item
    case: Case
    verdict: Verdict
    swapped: Verdict | None = None
    """What the judge said of a pair in the other order, turned back to the order of the case."""

    @property
    def agrees(self) -> bool:
        """Whether the judge says what the exact checker says; of a pair, in both orders."""
        return all(is_right(verdict, self.item) for verdict in self.verdicts)

    @property
    def flips(self) -> bool:
        """Whether the judge, where it was read in both orders, chooses otherwise in the other."""
        return len({winner(verdict) for verdict in self.verdicts if verdict.scores and len(verdict.scores) == 2}) > 1

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdict, of a pair those in both orders."""
        return (self.verdict,) if self.swapped is None else (self.verdict, self.swapped)


@dataclass(frozen=True, slots=True)
class Point:
    """How a policy did in the exam after so many steps of training."""

    step: int
    truth: float
    """The share of answers that are right."""
    held_out: float
    """The same, about colours and outlines that no training picture combines; NaN where the exam has none."""
    reward: float
    """What the judge gives the same answers on average, from 0 to 1, where it was read; NaN where it never was."""
    unread: int = 0
    """How many of the answers got no verdict."""


@dataclass(frozen=True, slots=True)
class Run:
    """One policy, trained from the base with one seed."""

    seed: int
    points: tuple[Point, ...]
    """From before the first step to after the last."""
    rewards: tuple[tuple[int, float], ...]
    """Each step with the mean reward of its sampled answers."""
    answers: tuple[str, ...]
    """To the exam, after training."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a generator drew for one prompt before and after it learned, from the same noise."""

    prompt: str
    before: Media
    after: Media
    was_right: bool
    """Whether the first shows all that the prompt says and no other shape, by the exact checker."""
    is_right: bool


@dataclass(frozen=True, slots=True)
class GeneratorRun:
    """A generator that learned from pairs which the judge chose."""

    pairs: int
    before: float
    """The share of samples of held-out prompts, for which no pair was made, that are right, 0 to 1."""
    after: float
    samples: tuple[Drawn, ...]
    """One of each held-out prompt."""
    seconds: float


@dataclass(frozen=True, slots=True)
class DemoResult:
    """All that a demonstration found."""

    judged: tuple[Judged, ...]
    """Fresh cases of all eight cells."""
    exam: Exam
    answers: tuple[str, ...]
    """Of the base policy, to the exam."""
    runs: tuple[Run, ...]
    generator: GeneratorRun
    published: tuple[str, ...]
    """Addresses on the Hub of what was pushed there and loaded back."""
    settings: Mapping[str, str]
    """What it ran with, in words."""
    seconds: float

    @property
    def agreement(self) -> float:
        """The share of cases in which the judge says what the exact checker says."""
        return fmean(case.agrees for case in self.judged)

    def before(self, measure: Callable[[Point], float]) -> float:
        """What a measure of the base policy was."""
        return measure(self.runs[0].points[0])

    def after(self, measure: Callable[[Point], float]) -> tuple[float, float]:
        """Mean and sample standard deviation of a measure over the seeds, after the last step; 0 for one seed."""
        values = [measure(run.points[-1]) for run in self.runs]
        if any(map(isnan, values)):
            return nan, nan
        return fmean(values), stdev(values) if len(values) > 1 else 0.0

    def turned(self) -> tuple[float, float]:
        """How many answers were wrong and became right, and the other way round: means over the seeds."""
        before = self.exam.grade(self.answers)
        changes = [list(zip(before, self.exam.grade(run.answers), strict=True)) for run in self.runs]
        mended = fmean(marks.count((False, True)) for marks in changes)
        return mended, fmean(marks.count((True, False)) for marks in changes)

    def by_kind(self) -> list[tuple[str, int, float, float]]:
        """For each kind of question: its name, how many there were, and the share answered right before and after."""
        kinds = list(map(kind_of, self.exam.questions))
        before = self.exam.grade(self.answers)
        after = [fmean(marks) for marks in zip(*(self.exam.grade(run.answers) for run in self.runs), strict=True)]
        table = []
        for kind in sorted(set(kinds)):
            rows = [row for row, name in enumerate(kinds) if name == kind]
            table.append((kind, len(rows), _mean_at(before, rows), _mean_at(after, rows)))
        return table


def _mean_at(values: Sequence[float], rows: Sequence[int]) -> float:
    return fmean(values[row] for row in rows)
