"""`unireward shapes` and `unireward demo`: the embedded world of coloured shapes, and what can be shown with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import click

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, hide_loading_bars, note, progress, show_json, show_table
from unireward_plugins.cli.shapes_claims import claims
from unireward_plugins.cli.shapes_evaluate import evaluate
from unireward_plugins.errors import UniRewardError

if TYPE_CHECKING:
    from unireward_plugins.shapes.check import Finding
    from unireward_plugins.shapes.scene import Clip, Scene

_COUNT = click.IntRange(min=1)
_COUNTED_AT_ONCE = 500
"""Fresh pictures or clips that the referee is measured on between two signs of life."""


@click.group()
def shapes() -> None:
    """Draw, check and measure the embedded world of coloured shapes."""


shapes.add_command(evaluate)
shapes.add_command(claims)


@shapes.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("-n", "--count", type=_COUNT, default=16, show_default=True, help="How many of them.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--clips", "as_clips", is_flag=True, help="Clips (animated WebP, lossless) instead of pictures.")
@click.option("--everything", is_flag=True, help="Several shapes, every ground, and flaws, instead of one sound shape.")
@output_options
def render(folder: Path, *, count: int, seed: int, as_clips: bool, everything: bool, as_json: bool) -> None:
    """Draw pictures or clips into FOLDER, which is new or empty, with cases to judge in its cases.jsonl.

    Each case asks for what one picture shows, and has that picture and another one, if there is one, as candidates. The
    captions are in metadata.jsonl too, where `unireward shapes check` and image folders of `datasets` look for them.

    \b
    unireward shapes render pictures
    unireward rank --judge shapes --input pictures/cases.jsonl --output verdicts.jsonl
    """
    if folder.exists() and any(folder.iterdir()):
        raise UniRewardError(f"{str(folder)!r} exists and is not empty: choose another folder or delete it first")
    rng = Random(seed)  # noqa: S311 (pictures, not secrets)
    folder.mkdir(parents=True, exist_ok=True)
    if as_clips:
        captions, names = _draw_clips(folder, count, rng, seed, everything=everything)
    else:
        captions, names = _draw_pictures(folder, count, rng, seed, everything=everything)
    rows = [{"file_name": name, "prompt": caption} for name, caption in zip(names, captions, strict=True)]
    cases = [  # of one picture alone there is no other
        {"id": name, "prompt": caption, "candidates": [name, names[(index + 1) % count]][:count]}
        for index, (name, caption) in enumerate(zip(names, captions, strict=True))
    ]
    _write_lines(folder / "metadata.jsonl", rows)
    _write_lines(folder / "cases.jsonl", cases)
    if as_json:
        show_json({"folder": str(folder), "cases": cases})
    else:
        kind = "clip" if as_clips else "picture"
        show_table(Table((kind, "caption"), list(zip(names, captions, strict=True))))
        note(f"{count} {kind}s, cases.jsonl and metadata.jsonl are in {folder}")


def _draw_pictures(
    folder: Path, count: int, rng: Random, seed: int, *, everything: bool
) -> tuple[list[str], list[str]]:
    """Save so many pictures, and return their captions and their names."""
    from PIL import Image

    from unireward_plugins.shapes.captions import Caption, Wanted
    from unireward_plugins.shapes.data import draw_caption, flawed, fulfil
    from unireward_plugins.shapes.render import render as draw
    from unireward_plugins.shapes.scene import ALL_SCENES, Scene

    if everything:
        captions = [draw_caption(rng) for _ in range(count)]
        drawn = [flawed(fulfil(caption, rng), rng) for caption in captions]
        scenes = [scene for scene in drawn if isinstance(scene, Scene)]
    else:
        scenes = rng.choices(ALL_SCENES, k=count)
        captions = [Caption((Wanted(scene.shape.outline, scene.shape.colour),)) for scene in scenes]
    names = [_name(index, scene, "png") for index, scene in enumerate(scenes)]
    for name, pixels in zip(names, draw(scenes, seed=seed), strict=True):
        Image.fromarray(pixels).save(folder / name)
    return [str(caption) for caption in captions], names


def _draw_clips(folder: Path, count: int, rng: Random, seed: int, *, everything: bool) -> tuple[list[str], list[str]]:
    """Save so many clips, and return their captions and their names."""
    from dataclasses import replace

    from PIL import Image

    from unireward_plugins.shapes.data import draw_clip_caption, flawed, fulfil
    from unireward_plugins.shapes.render import render_clips
    from unireward_plugins.shapes.scene import Clip

    captions = [draw_clip_caption(rng) for _ in range(count)]
    drawn = [fulfil(caption, rng) for caption in captions]
    sound = [clip for clip in drawn if isinstance(clip, Clip)]
    clips = [flawed(clip, rng) if everything else replace(clip, ground="dark") for clip in sound]
    shown = [clip for clip in clips if isinstance(clip, Clip)]
    names = [_name(index, clip, "webp") for index, clip in enumerate(shown)]
    for name, frames in zip(names, render_clips(shown, seed=seed), strict=True):
        first, *others = map(Image.fromarray, frames)
        first.save(folder / name, save_all=True, append_images=others, duration=125, loop=0, lossless=True)
    return [str(caption) for caption in captions], names


def _name(index: int, subject: Scene | Clip, ending: str) -> str:
    """A file name that says what is in it: 0000-small-red-circle-moves-left.webp."""
    words = [word for word in str(subject).split() if word not in ("a", "that")]
    return f"{index:04d}-{'-'.join(words)}.{ending}"


def _write_lines(file: Path, rows: Sequence[object]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _picture_file(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    """A file that a sheet can be drawn into; found out before anything is read."""
    if file is None:
        return None
    from PIL import Image

    if Image.registered_extensions().get(file.suffix.lower()) not in Image.SAVE:
        raise click.BadParameter(f"{str(file)!r} does not end like a picture: give it a name such as 'sheet.png'")
    if not file.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {file.absolute().parent}. Make it first")
    return file


@shapes.command()
@click.argument("samples", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What was asked for: .txt, a line for each file in order; .jsonl, .json or .csv with `file` and `prompt`. "
    "Left out, the metadata.jsonl of a folder.",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_picture_file,
    help="Draw wrong and right ones here.",
)
@click.option(
    "-n", "--count", type=_COUNT, default=10_000, show_default=True, help="Without SAMPLES: how many fresh ones."
)
@output_options
def check(samples: tuple[Path, ...], *, prompts: Path | None, sheet: Path | None, count: int, as_json: bool) -> int:
    """Say what SAMPLES show, and how well they do what was asked, from their pixels alone.

    SAMPLES are pictures, clips, and folders of them, drawn by anyone. With prompts each is graded: it is right if all
    of its prompt holds. Exit code 1: a file cannot be read. Wrong samples are a finding, and no failure.

    Without SAMPLES: how many of some fresh pictures and clips are misread; 1 where it is 0.1 % or more of either.

    \b
    unireward shapes check samples/ --prompts prompts.txt --sheet sheet.png
    """
    if not samples:
        if prompts or sheet:
            raise click.UsageError("--prompts and --sheet go with samples: name files or folders to check")
        return _measure_referee(count, as_json=as_json)
    from unireward_plugins.shapes import check as referee

    paths = referee.find_samples(samples)
    captions = referee.read_captions(prompts, paths) if prompts else referee.read_metadata(samples, paths)
    findings = []
    with progress("checked", total=len(paths)) as advance:
        for finding in referee.check(paths, captions):
            findings.append(finding)
            advance(1)
    _show_findings(findings, as_json=as_json)
    if sheet is not None:
        from unireward_plugins.shapes.sheet import write_sheet

        write_sheet(findings, sheet)
    return INCOMPLETE if any(finding.problem for finding in findings) else OK


def _show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    from unireward_plugins.shapes.check import share_right

    share = share_right(findings)
    if as_json:
        right = asdict(share) | {"value": share.value, "interval": share.interval} if share.trials else None
        show_json({"right": right, "samples": [_as_json(finding) for finding in findings]})
        return
    if not share.trials:
        show_table(Table(("sample", "shows"), [(str(finding.path), _seen(finding)) for finding in findings]))
        return
    columns = ("sample", "prompt", "shows", "alignment", "coherence", "style", "overall", "misses")
    show_table(Table(columns, [_cells(finding) for finding in findings], numbers=frozenset(columns[3:7])))
    note(f"{share.hits:,} of {share.trials:,} are right: {share}")


def _cells(finding: Finding) -> tuple[str, ...]:
    found = finding.grades
    graded = ("", "", "", "") if found is None else (found.alignment, found.coherence, found.style, found.overall)
    asked = "" if finding.caption is None else str(finding.caption)
    return (str(finding.path), asked, _seen(finding), *map(str, graded), ", ".join(finding.misses))


def _seen(finding: Finding) -> str:
    from unireward_plugins.shapes.check import describe

    return f"cannot be read: {finding.problem}" if finding.problem else describe(finding.shows)


def _as_json(finding: Finding) -> dict[str, Any]:
    found = finding.grades
    return {
        "file": str(finding.path),
        "prompt": None if finding.caption is None else str(finding.caption),
        "shows": None if finding.problem else _seen(finding),
        "scene": None if finding.shows is None else asdict(finding.shows),
        "grades": None if found is None else asdict(found) | {"overall": found.overall},
        "misses": list(finding.misses),
        "right": None if found is None else finding.right,
        "problem": finding.problem or None,
    }


def _measure_referee(count: int, *, as_json: bool) -> int:
    """Count what the referee misreads of fresh pictures and of fresh clips."""
    from unireward_plugins.shapes.clip_truth import count_clip_errors
    from unireward_plugins.shapes.truth import count_errors

    with progress("read", total=2 * count) as advance:
        pictures = _in_parts(count, lambda some, seed: count_errors(pictures=some, seed=seed), advance)
        clips = _in_parts(count, lambda some, seed: count_clip_errors(clips=some, seed=seed), advance)
    misread = {"pictures": pictures, "clips": clips}
    if as_json:
        show_json({name: {"read": count, "misread": errors} for name, errors in misread.items()})
    else:
        for name, errors in misread.items():
            click.echo(f"{errors} of {count:,} {name} were misread ({errors / count:.3%})")
    return OK if max(misread.values()) < count / 1000 else INCOMPLETE


def _in_parts(count: int, errors: Callable[[int, int], int], advance: Callable[[int], None]) -> int:
    """The errors in all, counted some at a time, each from a seed of its own."""
    total = 0
    for seed, start in enumerate(range(0, count, _COUNTED_AT_ONCE)):
        some = min(_COUNTED_AT_ONCE, count - start)
        total += errors(some, seed)
        advance(some)
    return total


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
