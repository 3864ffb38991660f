"""Measures a tiny generator that `train_generator` left, and writes its model card.

python -m unireward_plugins.shapes.generator_card generator
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from unireward_plugins.shapes.captions import Caption, grades
from unireward_plugins.shapes.generator_data import CALL, SLIPPED, generator_captions
from unireward_plugins.shapes.measures import Share
from unireward_plugins.shapes.truth import read_scenes

SAMPLES = 256
TOGETHER = 32
GUIDANCE = (CALL["guidance_scale"], 1.25, 2.0)

CARD = """\
---
library_name: diffusers
pipeline_tag: text-to-image
license: mit
---
# The tiny picture generator of the shapes world

A Stable Diffusion of the real classes with {parameters} parameters, stored in half precision, that draws one coloured
shape at 64 x 64 pixels in less than a tenth of a second on a CPU. It is where `unireward prove` starts from, and it is
good for nothing else.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{name}")
pipeline("a small red cross at the top left", num_inference_steps={steps}, guidance_scale={guidance}).images[0]
```

Captions are one shape, with or without its size and its place, as in "a green circle", "a large blue cross at the
bottom right". None in its training data asks for one of the five pairs of colour and outline that the world holds out.

It was made to leave something to learn: of the pictures that it was trained on, {slipped} were altered in one thing, so
that mostly they are not what their captions say. So it draws well, and often something else.

| guidance | right, by the exact referee | nothing of this world |
|---|---|---|
{rows}

({samples} samples each, {steps} steps, captions drawn at random; in brackets the 95 % interval.)

Made by `python -m unireward_plugins.shapes.train_generator --seed {seed}`, which measures these figures, too.
"""


def write_card(folder: Path, *, seed: int, samples: int = SAMPLES) -> str:
    """Measure the generator in the folder, write its `README.md`, and return it."""
    pipeline: Any = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    captions = Random("card").choices(generator_captions(), k=samples)  # noqa: S311 - pictures, not secrets
    rows = []
    for guidance in GUIDANCE:
        right, nothing = measure(pipeline, captions, guidance=guidance)
        rows.append(f"| {guidance:g}{' (off)' if guidance == 1 else ''} | {right} | {nothing} |")
    parts = (part for part in pipeline.components.values() if isinstance(part, torch.nn.Module))
    card = CARD.format(
        parameters=f"{sum(weight.numel() for part in parts for weight in part.parameters()):,}",
        name=folder.name,
        steps=CALL["num_inference_steps"],
        guidance=CALL["guidance_scale"],
        slipped=f"{SLIPPED:.0%}",
        rows="\n".join(rows),
        samples=samples,
        seed=seed,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    return card


def measure(pipeline: Any, captions: Sequence[Caption], *, guidance: float) -> tuple[Share, Share]:
    """How many samples are right, and how many show nothing of this world."""
    shown = []
    for start in range(0, len(captions), TOGETHER):
        drawn = pipeline(
            prompt=list(map(str, captions[start : start + TOGETHER])),
            num_inference_steps=CALL["num_inference_steps"],
            guidance=CALL["guidance_scale"],
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(start),
        ).images
        shown += read_scenes(np.stack([np.asarray(picture) for picture in drawn]))
    right = [
        scene is not None and grades(caption, scene).alignment == 5
        for caption, scene in zip(captions, shown, strict=True)
    ]
    return Share.of(right), Share.of(scene is None for scene in shown)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `train_generator` wrote")
    parser.add_argument("--seed", type=int, default=0, help="that it was trained with")
    arguments = parser.parse_args()
    print(write_card(arguments.folder, seed=arguments.seed))


if __name__ == "__main__":
    main()
