"""Draws scenes: anti-aliased coloured shapes on a noisy grey ground, thousands a second, all from one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unireward_plugins.shapes.scene import COLOURS, OUTLINES, Colour, Outline, Scene, Size

Pictures: TypeAlias = NDArray[np.uint8]
"""Pictures as an array (n, side, side, 3), red, green, blue from 0 to 255."""
Floats: TypeAlias = NDArray[np.floating[Any]]

SIDE = 56
"""Width and height of a picture in pixels."""
PAINT: Mapping[Colour, tuple[int, int, int]] = MappingProxyType(
    {
        "red": (220, 40, 40),
        "green": (40, 180, 60),
        "blue": (50, 80, 220),
        "yellow": (230, 210, 50),
        "purple": (150, 60, 190),
        "orange": (240, 140, 40),
        "cyan": (60, 200, 210),
        "white": (240, 240, 240),
    }
)
"""The paint of each colour at full brightness."""
RADIUS: Mapping[Size, tuple[float, float]] = MappingProxyType({"small": (0.20, 0.24), "large": (0.34, 0.40)})
"""From and to: the radius of each size as a share of the side."""
BRIGHTNESS = (0.85, 1.0)
GROUND = (0.05, 0.30)
"""From and to: how bright the grey ground is, 0 to 1."""
JITTER = 0.06
"""How far a shape's centre may lie from the picture's, as a share of the side."""
NOISE = 0.03
"""Standard deviation of the pixel noise, 0 to 1."""
SHARPNESS = 2.0
"""How fast coverage falls off over an edge, per pixel: the edge is about two pixels wide."""

# Normal noise from one random byte a pixel: many times faster than drawing it exactly.
_NOISE_LEVELS = np.array([NormalDist(sigma=NOISE).inv_cdf((level + 0.5) / 256) for level in range(256)], np.float32)


def render(
    scenes: Sequence[Scene], *, seed: int | Sequence[int], side: int = SIDE, paint: Floats | None = None
) -> Pictures:
    """One picture for each scene; the same scenes and seed give the same pixels.

    The seed draws what a scene leaves open: exact radius, place, brightness, ground and noise. `paint` (n, 3), 0 to 1,
    takes the place of the scenes' own colours.
    """
    rng = np.random.default_rng(seed)
    count = len(scenes)
    shapes = [scene.shape for scene in scenes]
    low, high = np.array([RADIUS[shape.size] for shape in shapes], np.float32).reshape(count, 2).T
    radius = low + (high - low) * rng.random(count, np.float32)
    centre = 0.5 + JITTER * (2 * rng.random((count, 2), np.float32) - 1)
    if paint is None:
        paint = np.array([PAINT[shape.colour] for shape in shapes], np.float32).reshape(count, 3) / 255
    paint = paint * _between(BRIGHTNESS, rng, count)
    pixels = np.empty((count, side, side, 3), np.float32)
    pixels[:] = _between(GROUND, rng, count)[:, None, None]
    alpha = coverage([shape.outline for shape in shapes], centre, radius, side=side)[..., None]
    pixels += alpha * (paint[:, None, None] - pixels)
    pixels += _NOISE_LEVELS[rng.integers(0, 256, pixels.shape, np.uint8)]
    pixels *= 255
    pixels += 0.5
    return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)


def coverage(outlines: Sequence[Outline], centre: Floats, radius: Floats, *, side: int) -> Floats:
    """How much of each pixel each shape covers, 0 to 1, as (n, side, side).

    `centre` (n, 2) holds x and y, `radius` (n,) the radius, both as shares of the side.
    """
    steps = (np.arange(side, dtype=np.float32) + 0.5) / side
    x = np.abs(steps - centre[:, :1])[:, None, :] / radius[:, None, None]  # every outline is symmetric in x
    y = (steps - centre[:, 1:])[:, :, None] / radius[:, None, None]
    kinds = np.array([OUTLINES.index(outline) for outline in outlines])
    distance = np.empty((len(kinds), side, side), np.float32)
    for kind, outline in enumerate(OUTLINES):
        rows = kinds == kind
        distance[rows] = _distance(outline, x[rows], y[rows])
    distance *= radius[:, None, None] * (side * SHARPNESS)
    covered: Floats = 1 / (1 + np.exp(np.clip(distance, -30, 30)))
    return covered


def colour_distances(paint: Floats) -> Floats:
    """How far each paint (n, 3), 0 to 1, lies from each of `COLOURS`, at the brightness that suits it best."""
    colours = np.array([PAINT[colour] for colour in COLOURS], np.float32) / 255
    brightness = np.clip(paint @ colours.T / (colours**2).sum(-1), 0.75, 1.1)
    distances: Floats = np.linalg.norm(paint[:, None] - brightness[..., None] * colours, axis=-1)
    return distances


def _distance(outline: Outline, x: Floats, y: Floats) -> Floats:
    """How far points lie outside an outline of radius 1, negative inside; `x` is the distance from the middle line."""
    distance: Floats
    match outline:
        case "circle":
            distance = np.hypot(x, y) - 1
        case "square":
            distance = np.maximum(x, np.abs(y)) - np.float32(0.86)
        case "triangle":
            distance = np.maximum((x - np.float32(0.58) * (y + 1)) * np.float32(0.86), y - np.float32(0.75))
        case "cross":
            y, arm = np.abs(y), np.float32(0.33)
            distance = np.minimum(np.maximum(x - 1, y - arm), np.maximum(x - arm, y - 1))
    return distance


def _between(bounds: tuple[float, float], rng: np.random.Generator, count: int) -> Floats:
    low, high = bounds
    drawn: Floats = np.float32(low) + np.float32(high - low) * rng.random((count, 1), np.float32)
    return drawn
