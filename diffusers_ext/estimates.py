"""Means with their 95 % intervals, for numbers that come in groups: samples of one prompt are no independent trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum
from typing import TypedDict

import numpy as np

RESAMPLES = 1000
"""How often the bootstrap resamples, after Efron and Tibshirani, "An Introduction to the Bootstrap" (1993)."""
TOGETHER = 50
"""So many resamples are drawn in one step: quick for few groups, and small in memory for many."""


class Estimate(TypedDict):
    """A mean and the interval from the 2.5th to the 97.5th percentile of what the bootstrap found."""

    value: float | None
    low: float | None
    high: float | None
    cases: int
    """Over how many numbers the mean is taken."""


def grouped_mean(groups: Iterable[Sequence[float | None]]) -> Estimate:
    """The mean of all numbers that are there, with whole groups resampled, always by the same draws.

    All is `None` where there is no number, and the interval is where fewer than two groups hold one.
    """
    held = [[number for number in group if number is not None] for group in groups]
    held = [group for group in held if group]
    cases = sum(map(len, held))
    if not held:
        return Estimate(value=None, low=None, high=None, cases=0)
    value = fsum(number for group in held for number in group) / cases
    if len(held) < 2:
        return Estimate(value=value, low=None, high=None, cases=cases)
    sums, sizes = np.array([fsum(group) for group in held]), np.array([len(group) for group in held])
    generator = np.random.default_rng(0)
    draws = (generator.integers(0, len(held), (TOGETHER, len(held))) for _ in range(RESAMPLES // TOGETHER))
    means = np.concatenate([sums[draw].sum(axis=1) / sizes[draw].sum(axis=1) for draw in draws])
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(value=value, low=float(low), high=float(high), cases=cases)
