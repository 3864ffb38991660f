"""`unireward shapes evaluate`: what a judge can do where the truth is known, as tables, Markdown or JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unireward_plugins.cli.options import hide_bars_of, output_options
from unireward_plugins.cli.output import Table, note, progress, show_json, show_table
from unireward_plugins.errors import needs_extra

if TYPE_CHECKING:
    from unireward_plugins.shapes.evaluate import Card
    from unireward_plugins.types import Judge

_MANY = 200
"""From so many items a cell on, a second process gains more than its start costs."""


@dataclass(frozen=True, slots=True)
class Section:
    """A table with what stands above it."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]


@click.command()
@click.option(
    "-j", "--judge", "ref", default="shapes", show_default=True, help="A judge, or a folder that train_judge left."
)
@click.option(
    "-n", "--items", type=click.IntRange(min=1), default=1000, show_default=True, help="Fresh items for each cell."
)
@click.option("--seed", type=int, help="Another seed, other items.")
@click.option("--markdown", is_flag=True, help="Print the tables as Markdown, as on the model card.")
@output_options
def evaluate(ref: str, *, items: int, seed: int | None, markdown: bool, as_json: bool) -> None:
    """Measure a judge on fresh items of eight kinds, where the truth is known.

    Right: a score within half a grade of the truth; in a pair, the better one preferred. Held out: items that hold
    something that no training item held. Flips: pairs whose winner changes when they are asked the other way round.
    Calibration error: how far the probability of the likeliest verdict is from how often that is right, 0 at best, in
    10 bins. Intervals hold the true value with 95 % confidence.
    """
    from unireward_plugins.shapes import evaluate as measuring
    from unireward_plugins.shapes.data import CELLS

    if markdown and as_json:
        raise click.UsageError("give --markdown or --json, not both")
    judge, workers = _load(ref, items)
    hide_bars_of(judge)
    with progress("judged", total=len(CELLS) * items) as advance:
        card = measuring.evaluate(
            judge,
            items=items,
            seed=measuring.FRESH_SEED if seed is None else seed,
            workers=workers,
            watch=advance,
        )
    if as_json:
        show_json({"judge": ref, **plain(card)})
        return
    for section in sections(card):
        if markdown:
            click.echo(f"{section.title}\n\n{_markdown(section)}\n")
        else:
            click.echo(section.title)
            show_table(Table(section.columns, section.rows))
            click.echo()
    for line in card.left_out:
        note(f"left out: {line}")


def sections(card: Card) -> list[Section]:
    """The card as tables, without those that have no row."""
    from unireward_plugins.shapes.data import CELLS

    found = [
        Section(
            f"Verdicts on {card.items:,} fresh items a cell",
            ("cell", "right", "right, held out", "unread"),
            [
                (cell, str(row.right), str(row.held_out), f"{row.unread.value:.1%}")
                for cell, row in card.verdicts.items()
            ],
        ),
        Section(
            "Pairs, in both orders",
            ("cell", "order flips", "first preferred"),
            [(cell, str(row.flips), str(row.first)) for cell, row in card.verdicts.items() if CELLS[cell][1] == 2],
        ),
        Section(
            "Scores alone against true grades",
            ("cell", "rank correlation"),
            [(cell, str(row.correlation)) for cell, row in card.verdicts.items() if CELLS[cell][1] == 1],
        ),
        Section(
            "Likelihood: the probabilities of the verdicts, without reasons",
            ("cell", "expected right", "likeliest right", "reply right", "agree"),
            [
                (cell, str(row.right), str(row.likeliest), *(f"{one.value:.1%}" for one in (row.generated, row.agree)))
                for cell, row in card.likelihood.items()
            ],
        ),
        Section(
            "Likelihood: is a probability to be believed?",
            ("cell", "calibration error", "rank correlation"),
            [(cell, str(row.calibration), str(row.correlation)) for cell, row in card.likelihood.items()],
        ),
        Section(
            "Dimensions, each scored 1 to 5",
            ("of", "exact", "mean error", "rank correlation"),
            [
                (f"{cell.split()[0]}, {name}", str(row.exact), str(row.error), str(row.correlation))
                for cell, rows in card.dimensions.items()
                for name, row in rows.items()
            ],
        ),
        Section(
            f"Think replies, on {next((row.right.trials for row in card.think.values()), 0):,} of the pairs",
            ("cell", "right", "order flips", "unread"),
            [(cell, str(row.right), str(row.flips), f"{row.unread.value:.1%}") for cell, row in card.think.items()],
        ),
        Section(
            "Answers to questions: how often each kind is scored so, judged alone",
            ("answers", "how many", *(f"scored {score}" for score in (5, 4, 3, 2, 1))),
            [
                (kind, f"{shares[5].trials:,}", *(f"{share.value:.1%}" for share in shares.values()))
                for kind, shares in card.answers.items()
            ],
        ),
    ]
    return [section for section in found if section.rows]


def plain(value: Any) -> Any:
    """A card, or a part of it, as JSON has it: numbers with their interval, `None` where nothing was measured."""
    from unireward_plugins.shapes.measures import Estimate, Share

    if isinstance(value, (Share, Estimate)):
        if math.isnan(value.value):
            return None
        found = {"value": value.value, "interval": value.interval, "trials": value.trials}
        return {**found, "hits": value.hits} if isinstance(value, Share) else found
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    return value


def _load(ref: str, items: int) -> tuple[Judge, int]:
    """The judge, and in how many processes it runs: the tiny ones in one on each core, where that is worth it."""
    import os

    from unireward_plugins import plugins
    from unireward_plugins.loading import load_judge
    from unireward_plugins.shapes import load_from

    is_folder = ref not in plugins.judges() and _is_judge_of_shapes(Path(ref))
    if not is_folder and ref != "shapes":
        return load_judge(ref), 1
    with needs_extra("measuring a judge of shapes", "transformers"):
        import torch
    torch.set_num_threads(1)  # the judge is too small to gain from more, and loses much where others are at work
    judge = load_from(Path(ref), name=ref) if is_folder else load_judge(ref)
    return judge, min(4, os.cpu_count() or 1) if items >= _MANY else 1


def _is_judge_of_shapes(folder: Path) -> bool:
    """Whether `train_judge` left what is in the folder: no other model has the chat template of such judges."""
    from unireward_plugins import shapes

    template, ours = (place / "chat_template.jinja" for place in (folder, Path(shapes.__file__).parent / "judge"))
    return template.is_file() and template.read_bytes() == ours.read_bytes()


def _markdown(section: Section) -> str:
    lines = [section.columns, ["---"] * len(section.columns), *section.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
