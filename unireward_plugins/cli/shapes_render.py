"""`unireward shapes render`: pictures and clips of the embedded world, with their captions and cases to judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click

from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, note, show_json, show_table
from unireward_plugins.errors import UniRewardError

if TYPE_CHECKING:
    from unireward_plugins.shapes.scene import Clip, Scene

_COUNT = click.IntRange(min=1)


@click.command()
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
    from unireward_plugins.shapes.data import flawed, fulfil
    from unireward_plugins.shapes.draws import draw_caption
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

    from unireward_plugins.shapes.data import flawed, fulfil
    from unireward_plugins.shapes.draws import draw_clip_caption
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
