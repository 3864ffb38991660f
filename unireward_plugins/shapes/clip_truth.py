"""The referee of clips: reads back from pixels alone what happens in one. No judge ever sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.data import draw_clip, flawed
from unireward_plugins.shapes.fitting import KINDS, Fits, Reach, Windows, best_fits
from unireward_plugins.shapes.render import (
    CENTRE,
    DIMMED,
    FRAMES,
    JITTER,
    RADIUS,
    SHAKE,
    STRONG_NOISE,
    Floats,
    Pictures,
    colour_distances,
    render_clips,
)
from unireward_plugins.shapes.scene import (
    ACTIONS,
    CLIP_FLAWS,
    COLOURS,
    MOVES,
    PLACES,
    Action,
    Clip,
    Colour,
    Damage,
    Ground,
    Outline,
    Shape,
    Size,
    turned,
)
from unireward_plugins.shapes.truth import (
    SMALLEST_SIDE,
    channels_first,
    grey_of,
    ground_of,
    noise_of,
    size_of,
    stripes_of,
)

WORST_FIT = 4.0
"""The largest loss per pixel, in variances of the noise, of a frame of ours: chance makes it 3."""
LEAST_MOVE = 0.25
"""How far a shape that moves goes at least, as a share of the side: half of what it does."""
LEAST_GROWTH = 0.03
"""By how much the radius of one that grows does so at least, as a share of the side: somewhat over half of it."""
FARTHEST_ASTRAY = JITTER + SHAKE + 0.03
"""How far, right or down, as a share of the side, a shape may be from its path through the middles of its places."""
LEAST_SHAKE = 0.8 * SHAKE
"""How far from one frame to the next a jittery shape jumps at least, as a share of the side: half of what it does."""
WINDOW = 0.56
"""The width of the window in which a shape is fitted, as a share of the side."""
SMOOTHING = 0.115
"""Standard deviation of the blur that brings out where a shape is, as a share of the side."""
CHUNK = 4
"""How many clips are read at a time: few enough to stay in the cache of a processor."""
TIME = np.arange(FRAMES, dtype=np.float32) / (FRAMES - 1)
TURNS: Mapping[Colour, Action] = {
    colour: action for action in ACTIONS for colour in COLOURS if turned(action) == colour
}
EARLY, LATE = slice(0, 3), slice(5, FRAMES)
"""The frames before and after whatever happens all at once."""
_REACH = Reach(
    radii=(0.105, 0.12, 0.14, 0.16, 0.18, 0.195),
    bounds=((RADIUS["small"][0], RADIUS["large"][1]),),
    offset=0.0625,
    step=2,
)


def read_clips(clips: Pictures) -> list[Clip | None]:
    """What each of the clips (n, `FRAMES`, side, side, 3) shows; `None` where one is no clip of one of our shapes.

    The shape is found in every frame by itself, its outline and damage in all of them together; what happens follows
    from how its place, radius and colour, and whether it is there at all, change from the first frames to the last.
    Raises `UniRewardError` for clips that are not square, too small, or not of so many frames.
    """
    if clips.ndim != 5 or clips.shape[1] != FRAMES or clips.shape[2] != clips.shape[3] or clips.shape[4] != 3:
        raise UniRewardError(f"clips of shapes are an array (n, {FRAMES}, side, side, 3), got {clips.shape}")
    if clips.shape[2] < SMALLEST_SIDE:
        raise UniRewardError(f"clips of shapes are at least {SMALLEST_SIDE} pixels wide, got {clips.shape[2]}")
    return [
        clip
        for start in range(0, len(clips), CHUNK)
        for clip in _read_chunk(channels_first(clips[start : start + CHUNK]))
    ]


def read_clip(clip: Pictures) -> Clip | None:
    """What one clip (`FRAMES`, side, side, 3) shows; see `read_clips`."""
    return read_clips(clip[None])[0]


def count_clip_errors(*, clips: int, seed: int) -> int:
    """How many of so many fresh clips, with all that may be wrong with them, are not read back as what they show."""
    rng = Random(seed)  # noqa: S311 - pictures, not secrets
    shown = (flawed(draw_clip(rng), rng) for _ in range(clips))
    drawn = [clip for clip in shown if isinstance(clip, Clip)]
    chunks = [drawn[start : start + 250] for start in range(0, clips, 250)]
    return sum(
        found != clip
        for number, chunk in enumerate(chunks)
        for clip, found in zip(chunk, read_clips(render_clips(chunk, seed=[seed, number])), strict=True)
    )


@dataclass(slots=True)
class _Track:
    """The shape of one clip, frame by frame."""

    outline: Outline
    damage: Damage | None
    light: Floats
    """(frames,) how bright the light is: 1, or `DIMMED`."""
    there: NDArray[np.bool_]
    """(frames,) whether it is there."""
    centre: Floats
    """(frames, 2) as shares of the side."""
    radius: Floats
    """(frames,) as shares of the side."""
    distances: Floats
    """(frames, colours) how far its paint is from each colour."""
    trust: Floats
    """(frames,) how much each frame counts: nothing where it is not there, little where it is dim."""


def _read_chunk(pixels: Floats) -> list[Clip | None]:
    """What the clips (n, frames, 3, side, side) show."""
    count, _, _, side, _ = pixels.shape
    light = _light(pixels)
    lit = pixels / light[..., None, None, None]
    noise, stripes = noise_of(_side_by_side(pixels)), stripes_of(_side_by_side(lit))
    bare = _bare(lit.reshape(-1, 3, side, side), stripes.repeat(FRAMES, axis=0), (noise[:, None] / light).reshape(-1))
    windows, corner = _windows(bare)
    fits = best_fits(windows, _REACH, side=side, kinds=4, steps=4, together=FRAMES)
    loss = bare.empty_loss + np.where(fits.there, fits.loss - windows.empty_loss, 0)
    fits.centre += corner
    clips: list[Clip | None] = []
    for index in range(count):
        frames = slice(index * FRAMES, (index + 1) * FRAMES)
        track = _track(fits[frames], light[index], side)
        if not track.there.any() or loss[frames].max() > WORST_FIT * side**2:
            clips.append(None)
            continue
        ground = ground_of(float(np.median(bare.grey[frames][light[index] == 1])), stripes[index])
        clips.append(_clip(track, ground, noisy=bool(noise[index] == np.float32(STRONG_NOISE))))
    return clips


def _side_by_side(pixels: Floats) -> Floats:
    """The frames of each clip (n, frames, 3, side, side) as one picture (n, 3, side, frames x side)."""
    count, frames, _, side, _ = pixels.shape
    return pixels.transpose(0, 2, 3, 1, 4).reshape(count, 3, side, frames * side)


def _light(pixels: Floats) -> Floats:
    """(n, frames) how bright the light is in each frame: 1, and `DIMMED` in every other one of a flickering clip."""
    margins = pixels[..., [0, 1, -2, -1]]
    even, odd = (np.median(margins[:, start::2].reshape(len(pixels), -1), axis=1) for start in (0, 1))
    limit = (1 + DIMMED) / 2
    is_even = np.arange(FRAMES) % 2 == 0
    dim = ((even < limit * odd)[:, None] & is_even) | ((odd < limit * even)[:, None] & ~is_even)
    return np.where(dim, np.float32(DIMMED), np.float32(1))


def _bare(frames: Floats, stripes: Floats, noise: Floats) -> Windows:
    """Whole frames (n, 3, side, side), less the ground."""
    grey = grey_of(frames, stripes, noise)
    left = frames - (grey[:, None] + stripes)[:, None, :, None]
    return Windows(left, grey, stripes, noise, np.ones_like(left[:, 0]))


def _windows(bare: Windows) -> tuple[Windows, Floats]:
    """A window of each frame around what stands out most from the ground, and where its corner is, in pixels."""
    left = bare.pixels
    side = left.shape[-1]
    width = round(WINDOW * side / 2) * 2
    steps = np.arange(side, dtype=np.float32)
    smooth = np.exp(-0.5 * ((steps - steps[:, None]) / (SMOOTHING * side)) ** 2)
    strength = ((smooth @ left @ smooth) ** 2).sum(1).reshape(len(left), -1).argmax(1)
    down, right = strength // side, strength % side
    margin = width // 2
    padded = np.pad(left, [(0, 0), (0, 0), (margin, margin), (margin, margin)])
    known = np.pad(bare.known, [(0, 0), (margin, margin), (margin, margin)])
    rows, columns = (start[:, None] + np.arange(width) for start in (down, right))
    each = np.arange(len(left))[:, None, None]
    cut = padded.transpose(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None]].transpose(0, 3, 1, 2)
    windows = Windows(
        np.ascontiguousarray(cut),
        bare.grey,
        np.pad(bare.stripes, [(0, 0), (margin, margin)])[each[:, 0], rows],
        bare.noise,
        known[each, rows[:, :, None], columns[:, None]],
    )
    return windows, np.stack([right, down], axis=-1) - np.float32(margin)


def _track(fits: Fits, light: Floats, side: int) -> _Track:
    outline, damage = KINDS[fits.kind[0]]
    trust = fits.there * light**2
    return _Track(
        outline, damage, light, fits.there, fits.centre / side, fits.radius / side, colour_distances(fits.paint), trust
    )


def _clip(track: _Track, ground: Ground, *, noisy: bool) -> Clip | None:
    """What a track shows; `None` where it is not that of anything that happens in our world."""
    action = _action(track)
    path = track.centre - np.outer(TIME, MOVES.get(action, (0, 0))) / 2
    right, down = _mean(track, path)
    place = PLACES[int(right > 0.5) + 2 * int(down > 0.5)]
    if not _is_possible(track, action, path - CENTRE[place]):
        return None
    radius = _mean(track, track.radius[:, None])[0]
    sizes: Mapping[Action, Size] = {"grows": "small", "shrinks": "large"}
    colour = _colour(track, LATE if action == "appears" else EARLY)
    shape = Shape(track.outline, colour, sizes.get(action, size_of(radius)), place, track.damage)
    jumps = np.linalg.norm(np.diff(path[track.there], axis=0), axis=-1)
    jumps_about = len(jumps) > 0 and np.median(jumps) > LEAST_SHAKE
    found = zip(CLIP_FLAWS, (jumps_about, bool((track.light < 1).any()), noisy), strict=True)
    return Clip(shape, action, ground, tuple(flaw for flaw, is_there in found if is_there))


def _action(track: _Track) -> Action:
    """What happens to a shape from the first frames to the last."""
    move, growth = _change(track, track.centre), _change(track, track.radius[:, None])[0]
    if not track.there[EARLY].any():
        return "appears"
    if not track.there[LATE].any():
        return "vanishes"
    if np.abs(move).max() > LEAST_MOVE:
        return max(MOVES, key=lambda name: float(np.dot(MOVES[name], move)))
    if abs(growth) > LEAST_GROWTH:
        return "grows" if growth > 0 else "shrinks"
    colour = _colour(track, LATE)
    return "stays still" if colour == _colour(track, EARLY) else TURNS[colour]


def _is_possible(track: _Track, action: Action, astray: Floats) -> bool:
    """Whether the shape is there when it should be, and nowhere far astray, in the frames that are not dim."""
    lit = track.light == 1
    there = track.there[lit].astype(int)
    changes = np.diff(there)
    expected = {"appears": (changes >= 0).all(), "vanishes": (changes <= 0).all()}.get(action, there.all())
    return bool(expected and (np.abs(astray[lit & track.there]) < FARTHEST_ASTRAY).all())


def _colour(track: _Track, frames: slice) -> Colour:
    """The colour in some frames."""
    return COLOURS[int((track.trust[frames] @ track.distances[frames] ** 2).argmin())]


def _mean(track: _Track, values: Floats) -> Floats:
    mean: Floats = track.trust @ values / track.trust.sum()
    return mean


def _change(track: _Track, values: Floats) -> Floats:
    """By how much values (frames, n) change from the first frame to the last, going by a straight line."""
    time = TIME - track.trust @ TIME / track.trust.sum()
    change: Floats = (track.trust * time) @ values / max(float((track.trust * time**2).sum()), 1e-6)
    return change
