"""The referee: reads back from pixels alone which scene a picture shows. No judge and no policy ever sees it.

unireward shapes check        # its error on 10,000 pictures
"""

from __future__ import annotations

from functools import cache

import numpy as np

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.render import RADIUS, Floats, Pictures, colour_distances, coverage, render
from unireward_plugins.shapes.scene import ALL_SCENES, COLOURS, OUTLINES, Outline, Scene, Shape

WORST_FIT = 0.08
"""The largest root mean square difference between a picture's coverage and the best outline's that still counts."""
LEAST_CONTRAST = 0.25
"""How far, 0 to sqrt(3), a shape's paint must lie from the ground to count as a shape."""
SMALLEST_SIDE = 32
"""The smallest pictures, in pixels, that are read without error."""


def read_scenes(pictures: Pictures) -> list[Scene | None]:
    """What each of the pictures (n, side, side, 3) shows; `None` where nothing in it looks like one of our shapes.

    The ground is read from the frame, the paint from the pixels farthest from the ground, and the outline by drawing
    each one with the area and the middle that were found, and taking the closest. Raises `UniRewardError` for pictures
    that are not square, or too small for their shapes to be told apart.
    """
    if pictures.ndim != 4 or pictures.shape[1] != pictures.shape[2] or pictures.shape[3] != 3:
        raise UniRewardError(f"pictures of shapes are an array (n, side, side, 3), got {pictures.shape}")
    if pictures.shape[1] < SMALLEST_SIDE:
        raise UniRewardError(f"pictures of shapes are at least {SMALLEST_SIDE} pixels wide, got {pictures.shape[1]}")
    return [
        scene
        for start in range(0, len(pictures), 512)
        for scene in _read_chunk(pictures[start : start + 512].astype(np.float32) / 255)
    ]


def read_scene(picture: Pictures) -> Scene | None:
    """What one picture (side, side, 3) shows; see `read_scenes`."""
    return read_scenes(picture[None])[0]


def _read_chunk(pixels: Floats) -> list[Scene | None]:
    ground = _ground(pixels)
    paint = _paint(pixels, ground)
    contrast = np.linalg.norm(paint - ground, axis=-1)
    alpha = _alpha(pixels, ground, paint)
    fits = [_fit(outline, alpha) for outline in OUTLINES]
    misfit, radius = (np.stack(part, axis=-1) for part in zip(*fits, strict=True))
    best = misfit.argmin(-1)
    rows = np.arange(len(best))
    clear = (misfit[rows, best] < WORST_FIT) & (contrast > LEAST_CONTRAST)
    is_large = radius[rows, best] > (RADIUS["small"][1] + RADIUS["large"][0]) / 2
    return [
        Scene((Shape(OUTLINES[best[row]], COLOURS[colour], "large" if is_large[row] else "small"),))
        if clear[row]
        else None
        for row, colour in enumerate(colour_distances(paint).argmin(-1))
    ]


def _ground(pixels: Floats) -> Floats:
    """The colour of the ground (n, 3): the median of the outermost pixels."""
    frame = [pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]]
    median: Floats = np.median(np.concatenate(frame, axis=1), axis=1).astype(np.float32)
    return median


def _paint(pixels: Floats, ground: Floats) -> Floats:
    """The colour of the shape (n, 3): the mean of the pixels that are clearly not ground.

    Clearly: at least 0.7 of the way to a first guess, the twentieth of the pixels that differ most from the ground (the
    smallest shape covers a good twelfth). The guess alone would be too bright, because noise helps a pixel into it.
    """
    flat = pixels.reshape(len(pixels), -1, 3)
    distance = np.linalg.norm(flat - ground[:, None], axis=-1)
    count = flat.shape[1] // 20
    farthest = np.argpartition(distance, -count, axis=1)[:, -count:]
    guess = np.take_along_axis(flat, farthest[..., None], axis=1).mean(axis=1)
    inside = (_alpha(pixels, ground, guess) > 0.7).reshape(len(pixels), -1, 1)
    count_inside = inside.sum(1)
    paint: Floats = np.where(count_inside, (flat * inside).sum(1) / np.maximum(count_inside, 1), guess)
    return paint


def _alpha(pixels: Floats, ground: Floats, paint: Floats) -> Floats:
    """How much of each pixel is paint rather than ground, 0 to 1, as (n, side, side)."""
    direction = paint - ground
    direction /= np.maximum((direction**2).sum(-1, keepdims=True), 1e-6)
    alpha = np.einsum("nhwc,nc->nhw", pixels - ground[:, None, None], direction)
    return np.clip(np.where(np.abs(alpha) < 0.3, 0, alpha), 0, 1)  # what little is left of the ground is noise


def _fit(outline: Outline, alpha: Floats) -> tuple[Floats, Floats]:
    """How badly an outline of the same area and middle fits the coverage, and its radius as a share of the side."""
    side = alpha.shape[-1]
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    total = np.maximum(alpha.sum((1, 2)), 1)
    area, below = _moments(outline)
    radius = np.sqrt(total / area) / side
    x, y = (alpha.sum(1) @ steps) / total, (alpha.sum(2) @ steps) / total
    drawn = coverage([outline] * len(alpha), np.stack([x, y - below * radius], axis=-1), radius, side=side)
    return np.sqrt(((alpha - drawn) ** 2).mean((1, 2))), radius


@cache
def _moments(outline: Outline) -> tuple[float, float]:
    """The area of an outline of radius 1, and how far its middle lies below its centre."""
    side, radius = 512, 0.25
    drawn = coverage([outline], np.full((1, 2), 0.5, np.float32), np.array([radius], np.float32), side=side)[0]
    steps = (np.arange(side) + 0.5) / side
    middle = drawn.sum(1) @ steps / drawn.sum()
    return float(drawn.mean() / radius**2), float((middle - 0.5) / radius)


def count_errors(*, pictures: int, seed: int) -> int:
    """How many of so many fresh pictures, of every scene in turn, are read back as another scene or as none."""
    scenes = [ALL_SCENES[index % len(ALL_SCENES)] for index in range(pictures)]
    chunks = [scenes[start : start + 1000] for start in range(0, pictures, 1000)]
    return sum(
        found != scene
        for number, chunk in enumerate(chunks)
        for scene, found in zip(chunk, read_scenes(render(chunk, seed=[seed, number])), strict=True)
    )
