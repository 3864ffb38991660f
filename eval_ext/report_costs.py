"""The end of the results page: what an item took, and what every figure depends on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from eval_ext.report_figures import Entry, as_table, cell, head
from eval_ext.results import TAKEN

TRACED = {
    "bootstrap_seed": "seed of the intervals",
    "items": "items in each cell of the shapes world",
    "items_seed": "seed of these items",
}
"""What is the same for all tasks of a run, by its name in their provenance."""


def costs(entries: Sequence[Entry]) -> str:
    """What an item and a question took, and how many tokens a reply had, where that is known."""
    columns = ("judge", "items", "questions", "seconds a question", "seconds an item", "tokens a reply")
    rows = [head("task", columns)]
    for entry in (entry for entry in entries if entry.took_part):
        result, about = entry.result, ""
        seconds = result.provenance.get("seconds_per_document")
        if seconds is None and TAKEN in entry.run.settings:
            documents = sum(task.documents for task in entry.run.tasks.values())
            seconds, about = float(entry.run.settings[TAKEN]) / documents, "\N{ALMOST EQUAL TO}"
        figures = [
            "\N{EN DASH}" if number is None else f"{about}{number:.3g}"
            for number in (seconds, None if seconds is None else seconds * result.documents / result.items)
        ]
        tokens = "\N{EN DASH}" if result.tokens is None else f"{result.tokens:.0f}"
        told = (escape(entry.label), f"{result.items:,}", f"{result.documents:,}", *figures, tokens)
        rows.append(f"<tr>{cell(escape(result.name), kind='name')}{''.join(map(cell, told))}</tr>")
    return "\n".join(rows)


def origins(entries: Sequence[Entry]) -> Iterator[str]:
    """For every run what it was started with, and for each of its tasks what the figures depend on."""
    for run in {str(entry.run.file): entry.run for entry in entries}.values():
        yield f"<h3>{escape(run.model)}, {escape(moment(run.date))} ({escape(run.zone)}), {escape(run.file.name)}</h3>"
        settings, packages, rows = dict(run.settings), dict[str, str](), []
        for result in run.tasks.values():
            packages |= result.provenance.get("packages", {})
            data = {"data": "; ".join(found)} if (found := result.provenance.get("datasets")) else {}
            rows += [row(result.name, _told({**source, **data})) for source in result.provenance.get("sources", [])]
            settings |= {
                told: str(result.provenance[name]) for name, told in TRACED.items() if name in result.provenance
            }
        if packages:
            settings["versions"] = ", ".join(f"{name} {number}" for name, number in packages.items())
        yield as_table([*(row(name, value) for name, value in settings.items()), *rows])


def row(name: str, value: str) -> str:
    """A row of two cells."""
    return f"<tr>{cell(escape(name), kind='name')}{cell(escape(value), kind='wide')}</tr>"


def _told(source: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in source.items())


def moment(date: str) -> str:
    """`20261122_033310` as people write it; anything else as it is."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)\d\d", date)
    return "{}-{}-{} {}:{}".format(*found.groups()) if found else date
