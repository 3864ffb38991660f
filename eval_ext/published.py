"""The figures that papers and model cards report, with their sources, and a mark on each that does not compare as it
stands.

    for table in tables_for("unireward_vl_rewardbench"):
        print(table.title, [row.model for row in table.rows])

The figures are in `published.json`. One and the same model moves by 1 to 3 points between papers: differences of that
size are differences of protocol.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure was read."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Column:
    """What the figures of a column measure, and where the same value stands among our results."""

    title: str
    unit: Literal["percent", "points"]
    """Shares are in percent here and from 0 to 1 in our results; points are on the benchmark's own scale."""
    task: str | None = None
    """The task of lmms-eval that measures it; `None` where there is none."""
    metric: str | None = None
    """What the task calls it: for pairs, the name of a function in `eval_ext.benchmark_metrics`."""
    group: str | None = None
    """The group of pairs that it is over; `None` for all of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one model from one source."""

    model: str
    source: Source
    values: tuple[float | None, ...]
    """One a column; `None` where the source has none."""
    mark: str | None
    """Why the figures do not compare as they stand, in words; `None` where nothing is known against it."""


@dataclass(frozen=True, slots=True)
class Table:
    """The published figures of one benchmark."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str
    """What to know before comparing; may be empty."""


@cache
def published() -> tuple[Table, ...]:
    """All tables."""
    found = json.loads(files("eval_ext").joinpath("published.json").read_text(encoding="utf-8"))
    sources = {name: Source(**told) for name, told in found["sources"].items()}
    return tuple(_table(told, sources, found["marks"]) for told in found["tables"])


def tables_for(task: str) -> list[Table]:
    """The tables with a column that a task of lmms-eval measures."""
    return [table for table in published() if any(column.task == task for column in table.columns)]


def _table(told: dict[str, Any], sources: dict[str, Source], marks: dict[str, str]) -> Table:
    columns = tuple(Column(**column) for column in told["columns"])
    rows = []
    for model, source, mark, *values in told["rows"]:
        assert len(values) == len(columns), f"published.json: {told['name']}, {model}: one value a column"
        rows.append(Row(model, sources[source], tuple(values), None if mark is None else marks[mark]))
    return Table(told["name"], told["title"], columns, tuple(rows), told["note"])
