"""Says in one sentence whether what the papers claim held here, from the figures alone."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal, TypeAlias

from unireward_plugins.shapes.claims import Result
from unireward_plugins.shapes.claims_questions import PaperClaim

MINUS = "\N{MINUS SIGN}"

Answer: TypeAlias = Literal["yes", "no", "undecided"]

AGREEING, SPREADS = 0.75, 2.0
"""An answer takes at least this share of the comparisons on one side, and a mean that is more than so many standard
deviations of the seeds' means away from 0. Where nothing matters, twelve comparisons in three seeds then give an answer
about one time in twenty."""


def verdict(claim: PaperClaim, results: Sequence[Result]) -> str:
    """One sentence: whether it held in all cases, in some or in none, and what each case says."""
    answers, told = [], []
    for rows, where in claim.comparisons.items():
        found = [claim.differences(results, rows, column) for column in claim.columns]
        answers.append(answer(found))
        told.append(f"{answers[-1]} {where} ({_figures(found)})")
    return f'**"{claim.thesis}" {in_all(answers)}:** {"; ".join(told)}.'


def answer(differences: Sequence[Sequence[float]]) -> Answer:
    """Whether the first is better, given what it has more: a row for each column, with a number for each seed.

    Of fewer than three seeds the spread says too little.
    """
    every, seeds = [value for column in differences for value in column], _means(differences)
    if len(seeds) < 3 or abs(fmean(seeds)) <= SPREADS * stdev(seeds):
        return "undecided"
    if fmean(seeds) > 0 and sum(value > 0 for value in every) >= AGREEING * len(every):
        return "yes"
    if fmean(seeds) < 0 and sum(value < 0 for value in every) >= AGREEING * len(every):
        return "no"
    return "undecided"


def in_all(answers: Sequence[Answer]) -> str:
    """What the answers in several cases come to."""
    if set(answers) == {"yes"}:
        return "held here"
    if "yes" in answers:
        return "held here in part"
    return "did not hold here" if "no" in answers else "was not decided here"


def points(difference: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * difference:+.1f}".replace("-", MINUS)


def _figures(differences: Sequence[Sequence[float]]) -> str:
    """In how many comparisons the first is better, and by how much: mean and standard deviation of the seeds' means."""
    every = [value for column in differences for value in column]
    seeds = _means(differences)
    spread = f" ± {100 * stdev(seeds):.1f}" if len(seeds) > 1 else ""
    return f"better in {sum(value > 0 for value in every)} of {len(every)}, {points(fmean(seeds))}{spread} points"


def _means(differences: Sequence[Sequence[float]]) -> list[float]:
    """The mean over the columns, for each seed."""
    return [fmean(seed) for seed in zip(*differences, strict=True)]
