"""`unireward shapes` and `unireward demo`: the embedded world of coloured shapes, and what can be shown with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, note, progress, show_json, show_table
from unireward_plugins.errors import needs_extra

if TYPE_CHECKING:
    from unireward_plugins.shapes.evaluate import Share

_COUNT = click.IntRange(min=1)


@click.group()
def shapes() -> None:
    """Draw, check and measure the embedded world of coloured shapes."""


@shapes.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("-n", "--count", type=_COUNT, default=16, show_default=True, help="How many pictures.")
@click.option("--seed", type=int, default=0, show_default=True)
@output_options
def render(folder: Path, *, count: int, seed: int, as_json: bool) -> None:
    """Draw pictures into FOLDER, with cases to judge in its cases.jsonl.

    Each case asks for what one picture shows, and has that picture and another one as candidates.

    \b
    unireward shapes render pictures
    unireward rank --judge shapes --input pictures/cases.jsonl --output verdicts.jsonl
    """
    from random import Random

    from PIL import Image

    from unireward_plugins.shapes.questions import caption
    from unireward_plugins.shapes.render import render as draw
    from unireward_plugins.shapes.scene import ALL_SCENES

    scenes = Random(seed).choices(ALL_SCENES, k=count)  # noqa: S311 (pictures, not secrets)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:04d}-{'-'.join(str(scene.shape).split())}.png" for index, scene in enumerate(scenes)]
    for name, pixels in zip(names, draw(scenes, seed=seed), strict=True):
        Image.fromarray(pixels).save(folder / name)
    cases = [
        {"id": name, "prompt": caption(scene.shape), "candidates": [name, names[(index + 1) % count]]}
        for index, (name, scene) in enumerate(zip(names, scenes, strict=True))
    ]
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    if as_json:
        show_json({"folder": str(folder), "cases": cases})
    else:
        show_table(
            Table(
                ("picture", "caption"),
                [(name, caption(scene.shape)) for name, scene in zip(names, scenes, strict=True)],
            )
        )
        note(f"{count} pictures and cases.jsonl are in {folder}")


@shapes.command()
@click.argument("pictures", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-n", "--count", type=_COUNT, default=10_000, show_default=True, help="Without PICTURES: how many fresh ones."
)
@output_options
def check(pictures: tuple[Path, ...], *, count: int, as_json: bool) -> int:
    """Say what PICTURES show, read from their pixels alone.

    Without PICTURES: how many of some fresh ones are misread. The exit code is 1 where one shows no shape, or where
    0.1 % or more are misread.
    """
    if not pictures:
        return _measure_checker(count, as_json=as_json)
    import numpy

    from unireward_plugins.media import Media
    from unireward_plugins.shapes.truth import read_scene

    found = {str(path): read_scene(numpy.asarray(Media.of(path).pil())) for path in pictures}
    if as_json:
        show_json([{"picture": path, "shows": scene and str(scene)} for path, scene in found.items()])
    else:
        show_table(Table(("picture", "shows"), [(path, str(scene or "no shape")) for path, scene in found.items()]))
    return OK if all(found.values()) else INCOMPLETE


def _measure_checker(pictures: int, *, as_json: bool) -> int:
    from unireward_plugins.shapes.truth import count_errors

    errors = count_errors(pictures=pictures, seed=0)
    if as_json:
        show_json({"pictures": pictures, "misread": errors})
    else:
        click.echo(f"{errors} of {pictures:,} pictures were misread ({errors / pictures:.3%})")
    return OK if errors < pictures / 1000 else INCOMPLETE


@shapes.command()
@click.option(
    "-j", "--judge", "ref", default="shapes", show_default=True, help="A judge, or a folder that train_judge left."
)
@click.option("-n", "--items", type=_COUNT, default=1000, show_default=True, help="Fresh items for each cell.")
@output_options
def evaluate(ref: str, *, items: int, as_json: bool) -> None:
    """Measure a judge on fresh items of four kinds, where the truth is known.

    Right: a score within half a grade of the truth; in a pair, the better one preferred. Flips: pairs whose winner
    changes when they are asked the other way round. Intervals hold the true share with 95 % confidence.
    """
    from unireward_plugins.loading import load_judge
    from unireward_plugins.shapes import evaluate as measure
    from unireward_plugins.shapes import load_from

    with needs_extra("measuring a judge of shapes", "transformers"):
        import torch
    torch.set_num_threads(1)  # the judge is too small to gain from more, and loses much where others are at work
    judge = load_from(Path(ref), name=ref) if Path(ref).is_dir() else load_judge(ref)
    with progress("asked", total=6 * items) as advance:
        asked = 0

        def watch(done: int, _: int) -> None:
            nonlocal asked
            advance(done - asked)
            asked = done

        rows = measure.evaluate(judge, items=items, watch=watch)
    shares = ("right", "held_out", "flips", "first", "unread")
    found = [(row.cell, (row.right, row.held_out, row.flips, row.first, row.unread)) for row in rows]
    if as_json:
        show_json([{"cell": cell, **dict(zip(shares, map(_share, row), strict=True))} for cell, row in found])
    else:
        columns = ("cell", "right", "right, held out", "flips", "first preferred", "unread")
        show_table(Table(columns, [(cell, *map(str, row)) for cell, row in found]))


def _share(share: Share) -> dict[str, object] | None:
    """A share as JSON; `None` where nothing was tried."""
    if not share.trials:
        return None
    return {"value": share.value, "interval": share.interval, "hits": share.hits, "trials": share.trials}


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
@output_options
def demo(output: Path, *, seeds: tuple[int, ...], steps: int | None, as_json: bool) -> None:
    """Train tiny policies with GRPO and the embedded judge, and report what they learned.

    It takes a few minutes on a CPU and downloads nothing. What the policies learn is measured by an exact checker that
    no model sees.
    """
    from unireward_plugins.shapes import demo as demonstration
    from unireward_plugins.shapes.report import truth

    result = demonstration.run_demo(
        output,
        seeds=seeds or demonstration.SEEDS,
        steps=steps or demonstration.STEPS,
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
            "judge_agrees": result.agreement,
            "seconds": result.seconds,
        }
    )
