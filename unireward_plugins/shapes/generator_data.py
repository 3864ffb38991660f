"""What the tiny generators learn from: captions, and pictures or clips of them that were collected carelessly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType

from unireward_plugins.shapes.captions import Caption, Wanted
from unireward_plugins.shapes.data import altered, fulfil
from unireward_plugins.shapes.scene import COLOURS, OUTLINES, PLACES, SIZES, Scene, Shape, is_held_out

CALL: Mapping[str, float] = MappingProxyType({"num_inference_steps": 12, "guidance_scale": 1.0})
"""How the picture generator is sampled: without guidance, which does already what preferences are to do."""
SLIPPED = 0.5
"""How often a picture in the training data is altered in one thing, so that mostly it is not what its caption says."""


def generator_captions() -> tuple[Caption, ...]:
    """Every caption that the picture generator is meant for: one shape, with or without its size and its place.

    None asks for a held-out pair of colour and outline: 405 are left.
    """
    return tuple(
        Caption((Wanted(outline, colour, size, place),))
        for colour in COLOURS
        for outline in OUTLINES
        for size in (None, *SIZES)
        for place in (None, *PLACES)
        if not is_held_out(colour, outline)
    )


def draw_careless(count: int, *, seed: int | str, slipped: float = SLIPPED) -> tuple[list[Caption], list[Scene]]:
    """Captions, and a scene for each that shows it, or shows it but for one thing; all on a dark ground."""
    rng = Random(f"careless {seed}")  # noqa: S311 - pictures, not secrets
    captions = rng.choices(generator_captions(), k=count)
    return captions, [_careless(caption, rng, slipped) for caption in captions]


def draw_crowded(count: int, *, seed: int | str) -> list[Scene]:
    """Scenes with a shape in most of the four places, for the codec: the more it sees, the sooner it learns."""
    rng = Random(f"crowded {seed}")  # noqa: S311 - pictures, not secrets
    return [
        Scene(
            tuple(
                Shape(rng.choice(OUTLINES), rng.choice(COLOURS), rng.choice(SIZES), place)
                for place in PLACES
                if rng.random() < 0.8
            )
        )
        for _ in range(count)
    ]


def _careless(caption: Caption, rng: Random, slipped: float) -> Scene:
    while True:
        scene = fulfil(caption, rng)
        if rng.random() < slipped:
            scene = altered(scene, rng)
        assert isinstance(scene, Scene)
        if not scene.held_out:
            return replace(scene, ground="dark")
