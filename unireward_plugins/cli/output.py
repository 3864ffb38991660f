"""What the command prints: tables for people, tab-separated lines for pipes, JSON for programs."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import click

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that could repaint a terminal: C0 but tab and newline, C1, and marks that turn the direction of text."""

PLAIN_INTERVAL = 10.0
"""Seconds between two lines of progress where there is no terminal to draw a bar on; quick work gets none."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a header; the columns in `numbers` are set flush right."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    """The columns whose cells are never broken into lines, so that they can be copied."""
    styles: Mapping[str, str] = field(default_factory=dict)
    """How a cell with this very text is drawn in a terminal: `{"broken": "red"}`."""


def show_json(value: object) -> None:
    """Print a value as JSON that every parser accepts (no NaN)."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def show_table(table: Table) -> None:
    """Draw the table in a terminal; into a pipe, write a header and one line a row, tab-separated."""
    if not sys.stdout.isatty():
        for row in (table.columns, *table.rows):
            click.echo("\t".join(" ".join(printable(cell).split()) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawing
    from rich.text import Text

    drawing = Drawing(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        justify: Literal["left", "right"] = "right" if column in table.numbers else "left"
        drawing.add_column(column, justify=justify, overflow="fold", no_wrap=column in table.names)
    for row in table.rows:
        drawing.add_row(*(Text(printable(cell), style=table.styles.get(cell, "")) for cell in row))
    Console().print(drawing)


def note(text: str) -> None:
    """Say something beside the results, on standard error."""
    click.echo(printable(text), err=True)


def printable(text: str) -> str:
    """The text with every character that could command a terminal made visible: models write what they like."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def number(value: float | None) -> str:
    """A score as people read it; nothing for `None`."""
    return "" if value is None else f"{value:.3f}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def hide_loading_bars(*libraries: Literal["transformers", "diffusers"]) -> None:
    """Keep libraries from drawing bars on standard error whenever they read weights; what is not installed draws none.

    Downloads keep their bars: they may take an hour. Nor does transformers say any more that without torchvision it
    works on pictures with PIL, which is right and nothing to be done about.
    """
    if "transformers" in libraries:
        logging.getLogger("transformers.utils.import_utils").addFilter(_is_worth_saying)
    with suppress(ImportError):
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars

        downloads_shown = not are_progress_bars_disabled()
        for library in filter(importlib.util.find_spec, libraries):
            importlib.import_module(f"{library}.utils.logging").disable_progress_bar()
        if downloads_shown:
            enable_progress_bars()  # transformers has hidden these as well


def _is_worth_saying(record: logging.LogRecord) -> bool:
    return "requires torchvision (not installed); falling back to" not in record.getMessage()


@contextmanager
def progress(what: str, *, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show on standard error how far work has come, at what rate, and when it ends; call the value with each count."""
    if sys.stderr.isatty():
        yield from _bar(what, total=total, done=done)
    else:
        yield from _lines(what, total=total, done=done)


def _bar(what: str, *, total: int, done: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    started = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, completed=done, rate="")
        judged = 0

        def advance(count: int) -> None:
            nonlocal judged
            judged += count
            bar.update(task, advance=count, rate=f"{judged / (time.monotonic() - started):.1f}/s")

        yield advance


def _lines(what: str, *, total: int, done: int) -> Iterator[Callable[[int], None]]:
    started = said = time.monotonic()
    judged = 0

    def advance(count: int) -> None:
        nonlocal judged, said
        judged += count
        now = time.monotonic()
        if now - said < PLAIN_INTERVAL:
            return
        said = now
        rate = judged / max(now - started, 1e-9)
        left = f", {duration((total - done - judged) / rate)} left" if judged else ""
        note(f"{what} {done + judged}/{total}, {rate:.1f}/s, {duration(now - started)} gone{left}")

    yield advance
