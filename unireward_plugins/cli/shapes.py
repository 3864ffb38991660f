"""`unireward shapes` and `unireward demo`: the embedded world of coloured shapes, and what can be shown with it."""

from __future__ import annotations

from pathlib import Path

import click

from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, hide_loading_bars, note, progress, show_json, show_table
from unireward_plugins.cli.shapes_check import check
from unireward_plugins.cli.shapes_claims import claims
from unireward_plugins.cli.shapes_evaluate import evaluate
from unireward_plugins.cli.shapes_render import render

_COUNT = click.IntRange(min=1)


@click.group()
def shapes() -> None:
    """Draw, check and measure the embedded world of coloured shapes."""


shapes.add_command(render)
shapes.add_command(check)
shapes.add_command(evaluate)
shapes.add_command(claims)


@shapes.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("-n", "--items", type=_COUNT, default=200, show_default=True, help="Rows of each kind, in each split.")
@click.option("--seed", type=int, default=0, show_default=True)
@output_options
def dataset(folder: Path, *, items: int, seed: int, as_json: bool) -> None:
    """Write labelled cases of every kind into FOLDER, for `datasets.load_dataset(FOLDER, "image_generation_pair")`.

    Pictures, clips, captions, questions, answers and edits, each with its exact grades; all from one seed.
    """
    from unireward_plugins.shapes.dataset import CONFIGURATIONS, SPLITS, write_dataset

    with progress("written", total=items * len(SPLITS) * len(CONFIGURATIONS)) as advance:
        counts = write_dataset(folder, items=items, seed=seed, watch=advance)
    if as_json:
        show_json({"folder": str(folder), "rows": counts})
    else:
        show_table(Table(("configuration", "rows"), [(name, str(count)) for name, count in counts.items()]))
        note(f"Load one with datasets.load_dataset({str(folder)!r}, {next(iter(counts))!r})")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    default="report.html",
    show_default=True,
    help="The report: one file that stands by itself.",
)
@click.option(
    "--seed", "seeds", type=int, multiple=True, help="Train one policy from this seed; more than once for more."
)
@click.option("--steps", type=_COUNT, help="Of training, for each policy.")
@click.option(
    "--publish",
    "owner",
    default="",
    metavar="OWNER",
    help="Push the generator, its pairs and its adapter to this account on the Hub, and load them back.",
)
@output_options
def demo(output: Path, *, seeds: tuple[int, ...], steps: int | None, owner: str, as_json: bool) -> None:
    """Train tiny policies with GRPO and a tiny generator with Diffusion-DPO, both on the embedded judge.

    It takes a few minutes on a CPU and downloads nothing. What they learn is measured by an exact checker that no model
    sees, and reported.
    """
    from unireward_plugins.shapes import demo as demonstration
    from unireward_plugins.shapes.report import truth

    hide_loading_bars("diffusers", "transformers")
    result = demonstration.run_demo(
        output,
        seeds=seeds or demonstration.SEEDS,
        steps=steps or demonstration.STEPS,
        owner=owner,
        watch=demonstration.Watcher(),
    )
    if not as_json:
        click.echo(demonstration.summary(result))
        note(f"The report is in {output}")
        return
    mean, deviation = result.after(truth)
    show_json(
        {
            "report": str(output),
            "right_before": result.before(truth),
            "right_after": {
                "mean": mean,
                "deviation": deviation,
                "runs": [truth(run.points[-1]) for run in result.runs],
            },
            "right_pictures": {"before": result.generator.before, "after": result.generator.after},
            "judge_agrees": result.agreement,
            "published": result.published,
            "seconds": result.seconds,
        }
    )
