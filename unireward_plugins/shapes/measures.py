"""Numbers about a judge with their 95 % intervals: shares, rank correlations and calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from unireward_plugins.intervals import Interval, bootstrap_interval, wilson_interval

Floats: TypeAlias = NDArray[np.float64]

BINS = 10
"""How many bins of equal width the calibration error sorts probabilities into."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a number of trials came out so."""

    hits: int
    trials: int

    @classmethod
    def of(cls, hits: Iterable[bool]) -> Share:
        """The share of trials that are true."""
        counted = list(hits)
        return cls(sum(counted), len(counted))

    @property
    def value(self) -> float:
        """The share, 0 to 1; not a number without trials."""
        return self.hits / self.trials if self.trials else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that holds the true share with 95 % confidence (Wilson's)."""
        return wilson_interval(self.value, self.trials)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({100 * low:.1f} to {100 * high:.1f})" if self.trials else "-"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number measured on so many trials; not a number where they do not determine it."""

    value: float
    interval: Interval | None
    """From the 2.5th to the 97.5th percentile of what the bootstrap found; `None` where all resamples are alike."""
    trials: int
    share: bool = False
    """Whether it lies between 0 and 1, and is told in per cent. Then Wilson's interval stands in for none."""

    @classmethod
    def of(cls, statistic: Callable[..., float], *columns: Iterable[float], share: bool = False) -> Estimate:
        """A statistic of columns of equal length, one entry a trial; whole trials are resampled, from a fixed seed."""
        arrays = [np.array(list(column), dtype=np.float64) for column in columns]
        trials = len(arrays[0])
        value = statistic(*arrays) if trials else math.nan
        interval = None if math.isnan(value) else bootstrap_interval(statistic, *arrays, share=share)
        return cls(value, interval, trials, share)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        if self.share and self.interval:
            low, high = self.interval
            return f"{self.value:.1%} ({100 * low:.1f} to {100 * high:.1f})"
        return f"{self.value:.3f}" + (" ({:.3f} to {:.3f})".format(*self.interval) if self.interval else "")


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation, -1 to 1: equal values share the mean of their ranks. Not a number where either
    column holds one value alone."""
    ranks = [_centred_ranks(column) for column in (one, other)]
    spread = math.sqrt(math.prod(float(rank @ rank) for rank in ranks))
    return float(ranks[0] @ ranks[1]) / spread if spread else math.nan


def calibration_error(probability: Floats, right: Floats) -> float:
    """The expected calibration error, 0 to 1, of the likeliest verdicts ("top label"): Guo et al. 2017
    (arXiv 1706.04599), equation 5.

    `probability` is what the judge gave the verdict that it found likeliest, `right` whether that was right, 1 or 0.
    The probabilities are sorted into 10 bins of equal width, each open below and closed above; the error is the mean,
    weighted by how many lie in each, of how far the mean probability of a bin lies from its share of right verdicts.
    Chance alone keeps it above 0, the more the fewer trials, and resampling a little more so.
    """
    bins = np.digitize(probability, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    gaps = np.bincount(bins, weights=probability - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(probability))


def mean(column: Floats) -> float:
    """The mean."""
    return float(column.mean())


def _centred_ranks(column: Floats) -> Floats:
    """Ranks from smallest to largest, equal values at their mean rank, shifted to a mean of zero."""
    _, group, counts = np.unique(column, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[group] - (len(column) + 1) / 2
    return ranks
