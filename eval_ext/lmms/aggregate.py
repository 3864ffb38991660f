"""From what was said of each document to the values of a result file: joins the two orders of a pair and measures.

Every value is a number, the two ends of its 95 % interval, or a table with a number for each group.
"""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from eval_ext import benchmark_metrics as measures
from eval_ext.benchmark_metrics import Judged, Metric
from eval_ext.lmms.answers import REQUEST_FAILED
from eval_ext.lmms.benchmark import FORWARD, Aggregation

_log = logging.getLogger(__name__)

BOOTSTRAP_SEED = 0
PACKAGES = (
    "unireward-plugins",
    "lmms-eval",
    "torch",
    "transformers",
    "vllm",
    "openai",
    "datasets",
    "numpy",
    "pillow",
    "av",
)
"""Whose versions a number may depend on."""


class OffScreen(tuple[dict[str, Any]]):
    """Values by name that stand whole in the result file, as a list with this one object, and short on the screen.

    The table that lmms-eval prints is as wide as its widest value, and it shows a dictionary in full.
    """

    def __str__(self) -> str:
        values = self[0]
        if any(not isinstance(value, (float, type(None))) for value in values.values()):
            return "(see the result file)"
        return ", ".join(f"{name} {'-' if value is None else format(value, '.3f')}" for name, value in values.items())


def judged_pairs(said: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """The pairs, each with what was said of it in both orders.

    One whose candidates were scored one by one counts as asked in one: there is no order. Pairs that the judge does not
    take are left out, and so are those that `of_whole_items` leaves out: nothing was measured there.
    """
    pairs: dict[str, dict[str, Mapping[str, Any]]] = {}
    for one in of_whole_items(said):
        if one["asked"] != "not at all":
            pairs.setdefault(one["item"], {})[one["order"]] = one
    return [_judged(list(pair.values())) for pair in pairs.values()]


def _judged(orders: list[Mapping[str, Any]]) -> Judged:
    orders.sort(key=lambda one: one["order"] != FORWARD)
    twice = len(orders) == 2 and orders[0]["asked"] == "case"
    first, second = orders[0], orders[1] if twice else None
    return Judged(
        label=first["label"],
        forward=_shares(first),
        backward=None if second is None else _shares(second),
        group=first["group"],
        item=first["item"],
        orders=2 if twice else 1,
    )


def _shares(one: Mapping[str, Any]) -> tuple[float, float] | None:
    if one["scores"] is None:
        return None
    first, second = one["scores"]
    return float(first), float(second)


def of_whole_items(said: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What was said of the items of which no request failed (`failed_share` counts them) and that are no `half_pairs`:
    one of two orders alone would be another measure."""
    left_out = {one["item"] for one in said if one["unread"] == REQUEST_FAILED} | half_pairs(said)
    return [one for one in said if one["item"] not in left_out]


def half_pairs(said: Sequence[Mapping[str, Any]]) -> set[str]:
    """The pairs that were asked about in one of their orders alone: the last of a run with an odd `--limit`."""
    documents = Counter(one["item"] for one in said)
    return {
        one["item"]
        for one in said
        if documents[one["item"]] == 1
        and one["asked"] == "case"
        and (one["label"] in measures.SIGNS or "," in one["label"])  # what a single candidate has is one grade
    }


def failed_share(said: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of the requests to the model that failed; no other figure holds their documents."""
    asked = [one["unread"] == REQUEST_FAILED for one in said if one["asked"] != "not at all"]
    return sum(asked) / len(asked) if asked else None


def value(metric: Metric) -> Aggregation:
    """The metric."""
    return lambda said: metric(judged_pairs(said))


def interval(metric: Metric, *, whole_groups: bool = False) -> Aggregation:
    """The metric's 95 % interval, `[low, high]`; `None` where it has no value."""

    def measure(said: Sequence[Mapping[str, Any]]) -> list[float] | None:
        found = measures.bootstrap_interval(judged_pairs(said), metric, seed=BOOTSTRAP_SEED, whole_groups=whole_groups)
        return None if found is None else [round(bound, 4) for bound in found]

    return measure


def with_interval(name: str, metric: Metric, *, whole_groups: bool = False) -> dict[str, Aggregation]:
    """A metric and its 95 % interval, under their names."""
    return {name: value(metric), f"{name}_95": interval(metric, whole_groups=whole_groups)}


def each_group(metric: Metric) -> Aggregation:
    """The metric of each group."""
    return lambda said: OffScreen((measures.by_group(judged_pairs(said), metric),))


def macro(metric: Metric) -> Metric:
    """The mean of the metric over the groups."""
    return partial(measures.macro, metric=metric)


def provenance(said: Sequence[Mapping[str, Any]]) -> OffScreen:
    """What the numbers of a task depend on, and what is not in them; says so aloud where requests failed or pairs are
    not whole."""
    sources = {tuple(sorted(one["source"].items())): one["source"] for one in said}
    seconds = [one["seconds"] for one in said if one["seconds"] is not None]
    unread = Counter(one["unread"] for one in said if one["unread"] is not None)
    if unread[REQUEST_FAILED]:
        _log.warning("%d of %d requests failed; no figure holds their documents", unread[REQUEST_FAILED], len(said))
    halves = len(half_pairs(said))
    if halves:
        _log.warning(
            "%d pair(s) were asked in one of two orders, and no figure holds them: give --limit even numbers", halves
        )
    found = {
        "sources": list(sources.values()),
        "asked": dict(Counter(one["asked"] for one in said)),
        "unread": dict(unread),
        "half_pairs": halves,
        "left_out": max((one["left_out"] for one in said), default=0),
        "datasets": sorted({one["dataset"] for one in said} - {""}),
        "seconds_per_document": sum(seconds) / len(seconds) if seconds else None,
        "bootstrap_seed": BOOTSTRAP_SEED,
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
    }
    return OffScreen((found,))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


WITHOUT_TIES: dict[str, Aggregation] = {
    **with_interval("accuracy_without_ties", measures.accuracy_without_ties),
    "accuracy_without_ties_in_one_order": value(measures.in_one_order(measures.accuracy_without_ties)),
    **with_interval("flip_rate", measures.flip_rate),
    "unread_share": value(measures.unread_share),
    "failed_share": failed_share,
    "provenance": provenance,
}
"""What every benchmark of pairs reports."""

WITH_TIES: dict[str, Aggregation] = {
    **with_interval("accuracy_with_ties", measures.accuracy_with_ties),
    "accuracy_with_ties_in_one_order": value(measures.in_one_order(measures.accuracy_with_ties)),
    **with_interval("accuracy_with_ties_at_best_threshold", measures.best_threshold_accuracy),
    **WITHOUT_TIES,
}
"""The same where people may call a pair a tie."""
