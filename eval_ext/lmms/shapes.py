"""The embedded world as tasks: the eight cells of `unireward shapes evaluate`, with its items and its measures.

The items of a run depend on how many there are in a cell, so the same number gives the same pictures here as there:
100, or what the environment variable `UNIREWARD_SHAPES_ITEMS` says.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eval_ext.lmms.aggregate import OffScreen, failed_share, of_whole_items, provenance
from eval_ext.lmms.benchmark import (
    BACKWARD,
    FORWARD,
    GROUP,
    HOME,
    ITEM,
    LABEL,
    ORDER,
    Aggregation,
    Docs,
    Row,
    blank,
    metric_list,
    words_of,
)
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.rubrics import Rubric
from unireward_plugins.shapes.data import CELLS, Item
from unireward_plugins.shapes.evaluate import FRESH_SEED, row
from unireward_plugins.shapes.evaluate import Row as Measured
from unireward_plugins.shapes.measures import Estimate, Share
from unireward_plugins.shapes.trials import PART, Part
from unireward_plugins.types import UNREAD_REASONS, Case, Task, Verdict

ITEMS = "UNIREWARD_SHAPES_ITEMS"
"""The environment variable that says how many items a cell has."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the embedded world."""

    home: str
    """Where it lives, as "module:ATTRIBUTE"."""
    name: str
    """As in `CELLS`."""

    @property
    def task(self) -> Task:
        """What is judged."""
        return CELLS[self.name][0]

    @property
    def arity(self) -> int:
        """Whether candidates are judged alone or in pairs."""
        return CELLS[self.name][1]

    @property
    def metrics(self) -> Mapping[str, Aggregation]:
        """The measures of `unireward_plugins.shapes.evaluate.Row`, each with its 95 % interval."""
        shares = ["right", "right_on_held_out", *(["flip_rate", "first_preferred"] if self.arity == 2 else [])]
        numbers = [*shares, "unread_share", *(["rank_correlation"] if self.arity == 1 else [])]
        values = {name: self._measure(name) for name in numbers}
        bounds = {f"{name}_95": self._bounds(name) for name in numbers}
        return {**values, **bounds, "failed_share": failed_share, "provenance": _provenance}

    def docs(self, _: Docs) -> Docs:
        """The documents, drawn from the seed of `unireward shapes evaluate`; what lmms-eval loaded is only a name."""
        from datasets import Dataset

        orders = (FORWARD, BACKWARD)[: self.arity]
        return Dataset.from_list(
            [
                {
                    HOME: self.home,
                    ITEM: str(number),
                    ORDER: order,
                    LABEL: ",".join(map(str, item.grades)),
                    GROUP: "held out" if item.held_out else "",
                    "prompt": case.prompt,
                    "answers": [one for one in case.candidates if isinstance(one, str)],
                }
                for number, (item, case) in enumerate(drawn(self.name, how_many()))
                for order in orders
            ]
        )

    def case(self, doc: Row) -> Case:
        """The case of a document, in the order that the document stands in."""
        _, case = drawn(self.name, how_many())[int(doc[ITEM])]
        return case if doc[ORDER] == FORWARD else case.reversed()

    def wording(self, doc: Row, rubric: Rubric) -> str:
        """The rubric's text for a document; there are no pictures in it anyway."""
        stand_in: Media = blank(self.task)
        if self.task.endswith("generation"):
            return words_of(rubric, Case(doc["prompt"], (stand_in,) * self.arity))
        answers = tuple(doc["answers"])
        case = Case(doc["prompt"], answers, context=(stand_in,))
        return words_of(rubric, case if doc[ORDER] == FORWARD else case.reversed())

    def _measured(self, said: Sequence[Mapping[str, Any]]) -> Measured:
        """The row of the cell, from what was said of its items."""
        orders: dict[str, dict[str, Verdict]] = {}
        for one in of_whole_items(said):
            if one["asked"] == "case":
                orders.setdefault(one["item"], {})[one["order"]] = _verdict(one)
        items = drawn(self.name, how_many())
        return row(
            [
                (items[int(number)][0], found[FORWARD], found.get(BACKWARD))
                for number, found in orders.items()
                if FORWARD in found
            ]
        )

    def _measure(self, name: str) -> Aggregation:
        return lambda said: _number(_FIELDS[name](self._measured(said)).value)

    def _bounds(self, name: str) -> Aggregation:
        def measure(said: Sequence[Mapping[str, Any]]) -> list[float] | None:
            found = _FIELDS[name](self._measured(said))
            interval = None if math.isnan(found.value) else found.interval
            return None if interval is None else [round(bound, 4) for bound in interval]

        return measure


_FIELDS: Mapping[str, Callable[[Measured], Share | Estimate]] = {
    "right": lambda measured: measured.right,
    "right_on_held_out": lambda measured: measured.held_out,
    "flip_rate": lambda measured: measured.flips,
    "first_preferred": lambda measured: measured.first,
    "unread_share": lambda measured: measured.unread,
    "rank_correlation": lambda measured: measured.correlation,
}
"""Our names for the fields of `evaluate.Row`, where each is explained."""


def how_many() -> int:
    """The number of items in each cell."""
    wanted = os.environ.get(ITEMS, "100")
    if not wanted.isdigit() or not int(wanted):
        raise UniRewardError(
            f"{ITEMS}={wanted!r} is no number of items; say how many each cell has, as in {ITEMS}=1000"
        )
    return int(wanted)


@cache
def drawn(cell: str, count: int) -> list[tuple[Item, Case]]:
    """So many items of a cell with their cases, as `unireward shapes evaluate --items COUNT` draws them."""
    parts = [Part(cell, start, min(PART, count - start), FRESH_SEED) for start in range(0, count, PART)]
    return [pair for part in parts for pair in zip(*part.draw(), strict=True)]


def _provenance(said: Sequence[Mapping[str, Any]]) -> OffScreen:
    """What the numbers of every task depend on, and what the items do."""
    (found,) = provenance(said)
    drawn_here = {"datasets": ["the shapes world"], "items": how_many(), "items_seed": FRESH_SEED}
    return OffScreen(({**found, **drawn_here},))


def _verdict(one: Mapping[str, Any]) -> Verdict:
    if one["scores"] is not None:
        return Verdict(tuple(one["scores"]))
    return Verdict(None, unread=one["unread"] if one["unread"] in UNREAD_REASONS else "no_verdict")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


_BY_ATTRIBUTE: Mapping[str, Cell] = {
    name: Cell(f"{__name__}:{name}", cell) for cell in CELLS for name in [cell.replace(", ", " ").replace(" ", "_")]
}
"""The cells, under the names that tasks and documents know them by."""


def __getattr__(name: str) -> Any:
    """A cell, as `image_generation_pair`; with `_docs` or `_metrics` behind it what its YAML file names (PEP 562)."""
    if name in _BY_ATTRIBUTE:
        return _BY_ATTRIBUTE[name]
    cell, _, wanted = name.rpartition("_")
    if cell in _BY_ATTRIBUTE and wanted == "docs":
        return _BY_ATTRIBUTE[cell].docs
    if cell in _BY_ATTRIBUTE and wanted == "metrics":
        return metric_list(_BY_ATTRIBUTE[cell].metrics)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
