"""The figures of the results page: what is measured, in words, and tables, published figures and bars as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from eval_ext import benchmark_metrics as measures
from eval_ext.benchmark_metrics import Metric
from eval_ext.published import Column, Table
from eval_ext.results import Run, TaskResult

MEASURES: Mapping[str, tuple[str, str]] = {
    "accuracy_without_ties": (
        "Right, without ties",
        "right answers among the pairs whose label is no tie, by the mean of both orders",
    ),
    "accuracy_without_ties_in_one_order": (
        "asked once",
        "the same for a judge that is asked in one order, drawn at random, as in published figures",
    ),
    "accuracy_with_ties": (
        "Right, with ties",
        "right answers of three (first, second, tie) among all pairs; the tau of UnifiedReward's tables, not Kendall's",
    ),
    "accuracy_with_ties_in_one_order": ("with ties, asked once", "the same for a judge that is asked in one order"),
    "accuracy_with_ties_at_best_threshold": (
        "at best threshold",
        "the same where small differences of the scores count as a tie, at the best threshold for these very pairs",
    ),
    "macro_accuracy_without_ties": ("Mean of groups", "right without ties: the mean over the groups of pairs"),
    "group_accuracy": ("Whole sets right", "sets of edits of which every comparison is right"),
    "right": (
        "Right",
        "alone: the score lies within half a grade of the truth; a pair: the better one is preferred, asked once",
    ),
    "right_on_held_out": ("Right, held out", "the same on items that hold something that no training item held"),
    "rank_correlation": (
        "Rank correlation",
        "Spearman's, of score and true grade, from -1 to 1; without an interval where all resamples are alike",
    ),
    "first_preferred": ("First preferred", "verdicts for the candidate shown first: without position bias one half"),
    "flip_rate": ("Flips", "pairs whose choice changes with their order, among those read in both"),
    "unread_share": (
        "Unread",
        "replies that hold no verdict; for the accuracies, a pair with one of them is wrong",
    ),
}
"""What each measure is called on the page, and what it means."""
HEADLINES = ("accuracy_without_ties", "right")
BY_GROUP = "_by_group"
OTHER_GROUPS = "_unifiedreward_groups"
COLOURS = 4
SETS_SHOWN = 12
"""With more groups than these, the groups of a benchmark are no categories to draw."""
_METRICS: Mapping[str, Metric] = {
    "accuracy_without_ties": measures.accuracy_without_ties,
    "accuracy_with_ties": measures.accuracy_with_ties,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """What one judge did in one task."""

    label: str
    colour: int
    run: Run
    result: TaskResult

    @property
    def swatch(self) -> str:
        """Its name with its colour before it."""
        return f'<i class="run-{self.colour % COLOURS}"></i>{escape(self.label)}'

    @property
    def took_part(self) -> bool:
        """Whether the judge judges such cases at all."""
        return set(self.result.provenance.get("asked", {})) != {"not at all"}


def counted(number: int, what: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def share(value: float | None) -> str:
    """A share as people read it."""
    return "\N{EN DASH}" if value is None else f"{value:.1%}"


def shown(name: str, value: Any) -> str:
    """A value of a measure of ours."""
    if not isinstance(value, (int, float)):
        return "\N{EN DASH}"
    return f"{value:.3f}" if "correlation" in name else share(value)


def interval(name: str, bounds: Any) -> str:
    """A 95 % interval, in small; nothing where there is none."""
    match bounds:
        case [float() | int() as low, float() | int() as high]:
            if "correlation" in name:
                return f"<small>{low:.3f} to {high:.3f}</small>"
            return f"<small>{100 * low:.1f} to {100 * high:.1f}</small>"
    return ""


def _interval_of(name: str, found: Mapping[str, Any]) -> str:
    """The interval of a measure, or that it has none where others of its kind do."""
    bounds = f"{name}_95"
    is_missing = bounds in found and isinstance(found.get(name), (int, float)) and not isinstance(found[bounds], list)
    return "<small>no interval</small>" if is_missing else interval(name, found.get(bounds))


def cell(content: str, *, kind: str = "figure") -> str:
    """A cell of HTML that is already safe."""
    return f'<td class="{kind}">{content}</td>'


def head(first: str, others: Iterable[str], last: str = "") -> str:
    """A row of headings, of which all but the first, and a last one, stand over figures."""
    figures = "".join(f'<th class="figure">{escape(one)}</th>' for one in others)
    return f"<tr><th>{escape(first)}</th>{figures}{f'<th>{escape(last)}</th>' if last else ''}</tr>"


def measured(entries: Sequence[Entry]) -> str:
    """A table of the measures that have a name on this page: a row a judge."""
    names = [name for name in MEASURES if any(name in entry.result.metrics for entry in entries)]
    rows = [head("judge", (MEASURES[name][0] for name in names))]
    for entry in entries:
        found = entry.result.metrics
        figures = (cell(shown(name, found.get(name)) + _interval_of(name, found)) for name in names)
        rows.append(f"<tr>{cell(entry.swatch, kind='name')}{''.join(figures)}</tr>")
    return as_table(rows)


def further(entries: Sequence[Entry]) -> str:
    """Everything else that the result files hold of a task, folded away; nothing where that is all."""
    names = dict.fromkeys(
        name
        for entry in entries
        for name, value in entry.result.metrics.items()
        if name not in MEASURES and isinstance(value, (int, float))
    )
    if not names:
        return ""
    ours = any(entry.result.provenance for entry in entries)
    rows = [head("measure", (entry.label for entry in entries))]
    for name in names:
        values = (entry.result.metrics.get(name) for entry in entries)
        told = (shown(name, value) if ours else "\N{EN DASH}" if value is None else f"{value:.4g}" for value in values)
        rows.append(f"<tr>{cell(escape(name.replace('_', ' ')), kind='name')}{''.join(map(cell, told))}</tr>")
    return f"<details><summary>Further figures</summary>{as_table(rows)}</details>" if ours else as_table(rows)


def compared(table: Table, entries: Sequence[Entry]) -> str:
    """Published figures, with ours of the same benchmark above them; marks are explained below."""
    ours = [(f"{entry.swatch}{told}", values) for entry in entries for told, values in own_rows(table, entry)]
    marks = {mark: number for number, mark in enumerate(dict.fromkeys(row.mark for row in table.rows if row.mark), 1)}
    rows = [head("model", (column.title for column in table.columns), last="source")]
    for name, values in ours:
        figures = "".join(cell(_figure(value, column)) for value, column in zip(values, table.columns, strict=True))
        rows.append(f'<tr class="ours">{cell(name, kind="name")}{figures}{cell("this run", kind="source")}</tr>')
    for row in table.rows:
        mark = f"<sup>{marks[row.mark]}</sup>" if row.mark else ""
        figures = "".join(cell(_figure(value, column)) for value, column in zip(row.values, table.columns, strict=True))
        source = f'<a href="{escape(row.source.url)}">{escape(row.source.title)}</a>'
        rows.append(f"<tr>{cell(escape(row.model) + mark, kind='name')}{figures}{cell(source, kind='source')}</tr>")
    notes = "".join(f"<li><b>{number}</b>{escape(mark)}</li>" for mark, number in marks.items())
    note = f'<p class="under">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<details open><summary>Beside published figures: {escape(table.title)}</summary>{note}{as_table(rows)}"
        f'<ul class="marks">{notes}</ul></details>'
    )


def own_rows(table: Table, entry: Entry) -> list[tuple[str, list[float | None]]]:
    """What a run has in the columns of a table: its figures over both orders, in one order, and in the groups of
    UnifiedReward's scripts, as far as there are any. On the scale of the table."""
    ways: dict[str, Callable[[Column], Any]] = {
        "": lambda column: _both_orders(entry.result, column),
        ", asked once": lambda column: _one_order(entry.result, column),
        ", in UnifiedReward's groups": lambda column: _regrouped(entry.result, column),
    }
    rows = []
    for told, find in ways.items():
        values = [find(column) if column.task == entry.result.name else None for column in table.columns]
        scaled = [
            None if value is None else 100 * value if column.unit == "percent" else float(value)
            for value, column in zip(values, table.columns, strict=True)
        ]
        if any(value is not None for value in scaled):
            rows.append((told, scaled))
    return rows


def bars(named: Sequence[tuple[str, Sequence[tuple[Entry, float | None, Any]]]], *, chance: bool) -> str:
    """Shares as bars with their intervals, for each name a bar a judge; a dotted line at one half where that is what
    guessing reaches."""
    several = len({entry.label for _, values in named for entry, _, _ in values}) > 1
    drawn = []
    for name, values in named:
        if several:
            drawn.append(f'<div class="of">{escape(name)}</div>')
        for entry, value, bounds in values:
            drawn.append(
                f'<div class="bar"><span>{entry.swatch if several else escape(name)}</span>'
                f"{_bar(entry, value, bounds, label=f'{name}, {entry.label}: {share(value)}', chance=chance)}"
                f'<span class="figure">{share(value)}{interval("", bounds)}</span></div>'
            )
    return f'<div class="bars">{"".join(drawn)}</div>'


def categories(entries: Sequence[Entry]) -> str:
    """The accuracy in each category as bars; nothing where a task has none."""
    found: dict[str, list[tuple[Entry, float | None, Any]]] = {}
    for entry in entries:
        for group, value in _groups(entry.result).items():
            found.setdefault(group, []).append((entry, value, _bounds(entry.result, group)))
    if not 2 <= len(found) <= SETS_SHOWN:
        return ""
    return f"<h3>Right without ties, by category</h3>{bars(list(found.items()), chance=True)}"


def headline(result: TaskResult) -> tuple[str, float, Any] | None:
    """The name, the value and the interval of the one figure that stands for a task of ours."""
    for name in HEADLINES:
        value = result.metrics.get(name)
        if isinstance(value, (int, float)):
            return name, value, result.metrics.get(f"{name}_95")
    return None


def _groups(result: TaskResult) -> dict[str, float | None]:
    for name in HEADLINES:
        table = result.metrics.get(f"{name}{BY_GROUP}")
        if isinstance(table, Mapping):
            return {str(group): value for group, value in table.items() if isinstance(value, (int, float))}
    return {}


def _bounds(result: TaskResult, group: str) -> Any:
    pairs = [pair for pair in result.pairs if pair.group == group]
    found = measures.bootstrap_interval(pairs, measures.accuracy_without_ties)
    return None if found is None else list(found)


def _both_orders(result: TaskResult, column: Column) -> Any:
    if column.group is None:
        return result.metrics.get(str(column.metric))
    return _groups(result).get(column.group)


def _one_order(result: TaskResult, column: Column) -> Any:
    if column.group is None:
        if f"{column.metric}_in_one_order" in result.metrics:
            return result.metrics[f"{column.metric}_in_one_order"]
        if column.metric == "macro_accuracy_without_ties":
            return measures.macro(result.pairs, measures.in_one_order(measures.accuracy_without_ties))
        return None
    if column.metric is None or column.metric not in _METRICS:
        return None
    return measures.by_group(result.pairs, measures.in_one_order(_METRICS[column.metric])).get(column.group)


def _regrouped(result: TaskResult, column: Column) -> Any:
    group = "" if column.group is None else f"_{column.group}"
    return result.metrics.get(f"{column.metric}{OTHER_GROUPS}{group}")


def _figure(value: float | None, column: Column) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.1f}" if column.unit == "percent" else f"{value:.2f}"


def _bar(entry: Entry, value: float | None, bounds: Any, *, label: str, chance: bool) -> str:
    half = '<line class="chance" x1="50" x2="50" y1="0" y2="14"/>' if chance else ""
    whisker = ""
    match bounds:
        case [float() | int() as low, float() | int() as high]:
            whisker = f'<line class="whisker" x1="{100 * low:.1f}" x2="{100 * high:.1f}" y1="7" y2="7"/>'
    return (
        f'<svg viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'<rect class="track" width="100" height="14" rx="1"/><rect class="run-{entry.colour % COLOURS}" '
        f'width="{100 * (value or 0):.1f}" height="14" rx="1"/>{half}{whisker}</svg>'
    )


def as_table(rows: Sequence[str]) -> str:
    """Rows of HTML as a table that scrolls by itself where the page is narrow."""
    lines = "\n".join(rows)
    return f'<div class="scroll"><table>\n{lines}\n</table></div>'
