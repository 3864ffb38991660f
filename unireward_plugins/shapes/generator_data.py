"""What the tiny generators learn from: captions, and pictures or clips of them that were collected carelessly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import cast

from unireward_plugins.shapes.captions import Caption, Wanted
from unireward_plugins.shapes.data import altered, fulfil
from unireward_plugins.shapes.render import FRAMES
from unireward_plugins.shapes.scene import (
    ACTIONS,
    COLOURS,
    OUTLINES,
    PLACES,
    SIZES,
    Clip,
    Scene,
    Shape,
    Subject,
    is_held_out,
    turned,
)

CALL: Mapping[str, float] = MappingProxyType({"num_inference_steps": 12, "guidance_scale": 1.1})
"""How the picture generator is sampled: with so little guidance that preferences still have most to do."""
CLIP_CALL: Mapping[str, float] = MappingProxyType({**CALL, "guidance_scale": 3.0, "num_frames": FRAMES})
"""How the clip generator is sampled: with guidance, without which frames seldom agree with one another."""
SLIPPED = 0.5
"""How often a picture in the training data is altered in one thing, so that mostly it is not what its caption says."""
CLIP_SLIPPED = 0.3
"""The same of a clip, which goes wrong by itself more often."""


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


def clip_captions() -> tuple[Caption, ...]:
    """Every caption that the clip generator is meant for: one shape, with or without its size, and what happens to it.

    None asks for anything that is held out. One that grows or shrinks has its size by that.
    """
    captions = (
        Caption((Wanted(outline, colour, size),), action=action)
        for colour in COLOURS
        for outline in OUTLINES
        for action in ACTIONS
        if turned(action) != colour
        for size in ((None,) if action in ("grows", "shrinks") else (None, *SIZES))
    )
    return tuple(caption for caption in captions if not caption.held_out)


def draw_careless(count: int, *, seed: int | str, slipped: float = SLIPPED) -> tuple[list[Caption], list[Scene]]:
    """Captions, and a scene for each that shows it, or shows it but for one thing; all on a dark ground."""
    captions, shown = _careless(generator_captions(), count, Random(f"careless {seed}"), slipped)  # noqa: S311 - pictures
    return captions, cast("list[Scene]", shown)


def draw_careless_clips(
    count: int, *, seed: int | str, slipped: float = CLIP_SLIPPED
) -> tuple[list[Caption], list[Clip]]:
    """The same of clips."""
    captions, shown = _careless(clip_captions(), count, Random(f"careless clips {seed}"), slipped)  # noqa: S311 - clips
    return captions, cast("list[Clip]", shown)


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


def _careless(
    captions: Sequence[Caption], count: int, rng: Random, slipped: float
) -> tuple[list[Caption], list[Subject]]:
    chosen = rng.choices(captions, k=count)
    return chosen, [_shown(caption, rng, slipped) for caption in chosen]


def _shown(caption: Caption, rng: Random, slipped: float) -> Subject:
    while True:
        subject = fulfil(caption, rng)
        if rng.random() < slipped:
            subject = altered(subject, rng)
        if not subject.held_out:
            return replace(subject, ground="dark")
