"""What a reward did, for people to read: columns of TRL's completions table and scalars of its training log."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

LogExtra = Callable[[str, list[str]], None]
"""TRL's `log_extra(column, values)`: one value per completion."""
LogMetric = Callable[[str, float], None]
"""TRL's `log_metric(name, value)`: a scalar, averaged over the logging step."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one completion."""

    reward: float | None
    """What TRL gets; `None` where there is no verdict."""
    reply: str = ""
    """The judge's own words."""
    unread: str = ""
    """Why there is no reward, in a word; empty where there is one."""
    aspects: Mapping[str, float] = field(default_factory=dict)
    """The judge's raw numbers, on the scale of its rubric."""
    missed: float = 0.0
    """The share of what the judge was asked about the completion that came back without a verdict."""


NOT_JUDGED = Outcome(None, unread="no picture or clip")
"""A row of a mixed dataset that the judge has nothing to look at for."""


def report(name: str, outcomes: Sequence[Outcome], log_extra: LogExtra | None, log_metric: LogMetric | None) -> None:
    """Hand the outcomes to TRL's loggers, where the trainer gives any, under names that begin with the reward's name.

    Columns: `name/reply`, `name/aspects` (JSON), `name/unread`; always these three, because TRL builds its table from
    several calls. Scalars: `name/unread`, the share of questions that came back without a verdict, and the mean of each
    raw number.
    """
    if log_extra is not None:
        log_extra(f"{name}/reply", [outcome.reply for outcome in outcomes])
        log_extra(f"{name}/aspects", [json.dumps(dict(outcome.aspects)) for outcome in outcomes])
        log_extra(f"{name}/unread", [outcome.unread for outcome in outcomes])
    judged = [outcome for outcome in outcomes if outcome is not NOT_JUDGED]
    if log_metric is not None and judged:
        log_metric(f"{name}/unread", fmean(outcome.missed for outcome in judged))
        for aspect in sorted({aspect for outcome in judged for aspect in outcome.aspects}):
            log_metric(f"{name}/{aspect}", fmean(one.aspects[aspect] for one in judged if aspect in one.aspects))
