"""`unireward shapes claims`: the papers' claims, tested in the embedded world."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import hide_loading_bars, note, progress, show_json
from unireward_plugins.errors import needs_extra

_COUNT = click.IntRange(min=1)


@click.command()
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the page, its plots, the judges and their figures; goes on with what lies in it.",
)
@click.option("--seed", "seeds", type=int, multiple=True, help="More than once for more. [default: 0, 1 and 2]")
@click.option(
    "--steps",
    type=_COUNT,
    help="Of learning to judge, for each judge, after 2,000 of learning to look. [default: 1000]",
)
@click.option("-n", "--items", type=_COUNT, help="Fresh ones in each cell, to measure by. [default: 200]")
@output_options
def claims(output: Path, *, seeds: tuple[int, ...], steps: int | None, items: int | None, as_json: bool) -> None:
    """Test what the papers claim of joint learning, of reasons, of pairs and of both orders.

    Tiny judges are taught in different ways and measured where the truth is known. It takes some two hours of one CPU
    core, downloads nothing, and leaves a page with plots, whatever they say. Several runs, each with a --seed of its
    own, can share the folder; one without --seed then writes the page of all.
    """
    from unireward_plugins.shapes import claims as testing

    with needs_extra("teaching judges of shapes", "transformers"):
        from unireward_plugins.shapes.claims_page import write_page
        from unireward_plugins.shapes.training_plan import Plan
    base = Plan(judging_steps=steps or testing.STEPS, tricky_steps=0, polishing_steps=0)
    chosen = tuple(dict.fromkeys(seeds)) or testing.SEEDS
    left = testing.work_left(output, base=base, seeds=chosen)
    hide_loading_bars("transformers")
    with progress("steps", total=left) as advance:
        results = testing.run_claims(output, base=base, seeds=chosen, items=items or testing.ITEMS, watch=advance)
    page = write_page(results, output)
    if as_json:
        show_json({"page": str(page), "results": [asdict(result) for result in results]})
    else:
        note(f"The page is {page}")
