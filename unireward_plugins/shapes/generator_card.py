"""Measures a tiny generator that `train_generator` or `train_clip_generator` left, and writes its model card.

python -m unireward_plugins.shapes.generator_card generator
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import AnimateDiffPipeline, DiffusionPipeline

from unireward_plugins.shapes.captions import Caption, grades
from unireward_plugins.shapes.clip_truth import read_clips
from unireward_plugins.shapes.generator_data import (
    CALL,
    CLIP_CALL,
    CLIP_SLIPPED,
    SLIPPED,
    clip_captions,
    generator_captions,
)
from unireward_plugins.shapes.measures import Share
from unireward_plugins.shapes.scene import Subject
from unireward_plugins.shapes.truth import read_scenes

TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two generators: how it is measured, and what its card says of it."""

    thing: str
    """What it makes."""
    tag: str
    """Of the Hub."""
    what: str
    """What it is, its parameters left to be filled in."""
    captions: tuple[Caption, ...]
    """All that it is meant for."""
    of_captions: str
    """What these are."""
    call: Mapping[str, float]
    """How it is sampled."""
    guidance: tuple[float, ...]
    """Scales that it is measured at."""
    samples: int
    """By how many of each."""
    answer: str
    """Where in its answer a sample is."""
    example: str
    """A caption."""
    slipped: float
    """The share of its training data that was altered."""
    start: str
    """What it was begun with, if with anything."""
    command: str
    """The module that trains it."""
    proof: str
    """The command that begins with it."""


PICTURES = Kind(
    thing="picture",
    tag="text-to-image",
    what="A Stable Diffusion of the real classes with {parameters} parameters, stored in half precision, that draws "
    "one coloured\nshape at 64 x 64 pixels in less than a tenth of a second on a CPU.",
    captions=generator_captions(),
    of_captions='Captions are one shape, with or without its size and its place, as in "a green circle", "a large '
    'blue cross at the\nbottom right". None in its training data asks for one of the five pairs of colour and outline '
    "that the world holds out.",
    call=CALL,
    guidance=(1, 1.1, 1.25, 2),
    samples=256,
    answer="images[0]",
    example="a small red cross at the top left",
    slipped=SLIPPED,
    start="",
    command="train_generator",
    proof="unireward prove",
)
CLIPS = Kind(
    thing="clip",
    tag="text-to-video",
    what="An AnimateDiff of the real classes with {parameters} parameters, stored in half precision, that draws eight "
    "frames of one\ncoloured shape to which something happens, at 64 x 64 pixels.",
    captions=clip_captions(),
    of_captions='Captions are one shape, with or without its size, and what happens to it, as in "a green circle that '
    'moves left", "a large\nblue cross that turns red". None in its training data asks for anything that the world '
    "holds out.",
    call=CLIP_CALL,
    guidance=(1, 2, 3),
    samples=128,
    answer="frames[0]",
    example="a small red cross that moves left",
    slipped=CLIP_SLIPPED,
    start="It was begun with the tiny picture generator: its codec is that one's, its text encoder and denoiser are "
    "that one's trained\non, with motion modules between the denoiser's blocks ([AnimateDiff]"
    "(https://arxiv.org/abs/2307.04725)).\n\n",
    command="train_clip_generator",
    proof="unireward prove --clips",
)

CARD = """\
---
library_name: diffusers
pipeline_tag: {tag}
license: mit
---
# The tiny {thing} generator of the shapes world

{what}
It is where `{proof}` starts from, and it is good for nothing else.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{name}")
pipeline("{example}", {call}).{answer}
```

{of_captions}

{start}It was made to leave something to learn: of the {thing}s that it was trained on, {slipped} were altered in one
thing, so that many are not what their captions say. So it draws well, and often something else.

| guidance | right, by the exact referee | nothing of this world |
|---|---|---|
{rows}

({samples} samples each, {steps} steps, captions drawn at random; in brackets the 95 % interval.)

Made by `python -m unireward_plugins.shapes.{command} --seed {seed}`, which measures these figures, too.
"""


def write_card(folder: Path, *, seed: int) -> str:
    """Measure the generator in the folder, write its `README.md`, and return it."""
    pipeline: Any = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    kind = kind_of(pipeline)
    captions = Random("card").choices(kind.captions, k=kind.samples)  # noqa: S311 - pictures, not secrets
    rows = []
    for guidance in kind.guidance:
        right, nothing = measure(pipeline, captions, guidance=guidance)
        rows.append(f"| {guidance:g}{' (off)' if guidance == 1 else ''} | {right} | {nothing} |")
    parts = (part for part in pipeline.components.values() if isinstance(part, torch.nn.Module))
    parameters = sum(weight.numel() for part in parts for weight in part.parameters())
    card = CARD.format(
        tag=kind.tag,
        thing=kind.thing,
        what=kind.what.format(parameters=f"{parameters:,}"),
        proof=kind.proof,
        name=folder.name,
        example=kind.example,
        call=", ".join(f"{name}={value}" for name, value in kind.call.items()),
        answer=kind.answer,
        of_captions=kind.of_captions,
        start=kind.start,
        slipped=f"{kind.slipped:.0%}",
        rows="\n".join(rows),
        samples=kind.samples,
        steps=kind.call["num_inference_steps"],
        command=kind.command,
        seed=seed,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return card


def kind_of(pipeline: Any) -> Kind:
    """Which of the two generators a pipeline is."""
    return CLIPS if isinstance(pipeline, AnimateDiffPipeline) else PICTURES


def measure(pipeline: Any, captions: Sequence[Caption], *, guidance: float) -> tuple[Share, Share]:
    """How many samples are right, and how many show nothing of this world."""
    call = {**kind_of(pipeline).call, "guidance_scale": guidance}
    shown: list[Subject | None] = []
    for start in range(0, len(captions), TOGETHER):
        texts = list(map(str, captions[start : start + TOGETHER]))
        drawn = pipeline(prompt=texts, generator=torch.Generator().manual_seed(start), output_type="np", **call)[0]
        pixels = np.ascontiguousarray((drawn * 255).round().astype(np.uint8))
        shown += read_clips(pixels) if pixels.ndim == 5 else read_scenes(pixels)
    right = [
        subject is not None and grades(caption, subject).alignment == 5
        for caption, subject in zip(captions, shown, strict=True)
    ]
    return Share.of(right), Share.of(subject is None for subject in shown)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `train_generator` or `train_clip_generator` wrote")
    parser.add_argument("--seed", type=int, default=0, help="that it was trained with")
    arguments = parser.parse_args()
    print(write_card(arguments.folder, seed=arguments.seed))


if __name__ == "__main__":
    main()
