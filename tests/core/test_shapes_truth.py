"""The referee of the shapes world: reads scenes and clips back from their pixels, and nothing from other pixels."""

from __future__ import annotations

import warnings
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.clip_truth import count_clip_errors, read_clip, read_clips
from unireward_plugins.shapes.data import draw_clip, draw_scene, flawed
from unireward_plugins.shapes.render import FRAMES, SIDE, render, render_clips
from unireward_plugins.shapes.scene import ALL_SCENES, CLIP_FLAWS, DAMAGES, FLAWS, Clip, Scene, Shape
from unireward_plugins.shapes.truth import count_errors, read_scene, read_scenes

SMALL_RED_CIRCLE = Shape("circle", "red", "small")


def scenes(count: int, *, seed: int, rate: float) -> list[Scene]:
    rng = Random(seed)
    drawn = (flawed(draw_scene(rng), rng, rate=rate) for _ in range(count))
    return [scene for scene in drawn if isinstance(scene, Scene)]


def clips(count: int, *, seed: int, rate: float) -> list[Clip]:
    rng = Random(seed)
    drawn = (flawed(draw_clip(rng), rng, rate=rate) for _ in range(count))
    return [clip for clip in drawn if isinstance(clip, Clip)]


def test_every_single_shape_is_read_back_from_its_pixels() -> None:
    assert read_scenes(render(ALL_SCENES, seed=1)) == list(ALL_SCENES)


def test_pictures_with_all_that_may_be_wrong_are_read_back() -> None:
    assert count_errors(pictures=300, seed=17) <= 1


def test_clips_with_all_that_may_be_wrong_are_read_back() -> None:
    assert count_clip_errors(clips=150, seed=17) == 0


def test_errors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unireward_plugins.shapes.truth.read_scenes", lambda pictures: [None] * len(pictures))
    monkeypatch.setattr("unireward_plugins.shapes.clip_truth.read_clips", lambda clips: [None] * len(clips))
    assert count_errors(pictures=7, seed=0) == 7
    assert count_clip_errors(clips=3, seed=0) == 3


@pytest.mark.slow
def test_less_than_one_picture_and_one_clip_in_a_thousand_are_misread() -> None:
    assert count_errors(pictures=10_000, seed=0) < 10
    assert count_clip_errors(clips=10_000, seed=0) < 10


@pytest.mark.slow
def test_pictures_and_clips_with_far_more_wrong_are_read_back_but_for_a_few() -> None:
    drawn, moving = scenes(2000, seed=3, rate=0.3), clips(1000, seed=3, rate=0.3)
    found, happened = read_scenes(render(drawn, seed=3)), read_clips(render_clips(moving, seed=3))
    assert sum(scene != other for scene, other in zip(drawn, found, strict=True)) < 20
    assert sum(clip != other for clip, other in zip(moving, happened, strict=True)) < 5


def test_a_shape_that_is_there_in_one_frame_is_read_without_a_warning() -> None:
    shown = Clip(Shape("circle", "red", "large"), "appears")
    frames = render_clips([shown], seed=1)
    empty = frames[:, 0]
    frames[:, :-1] = empty[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_clips(frames) == [shown]


@pytest.mark.parametrize("side", [65, 96, 128])
def test_pictures_and_clips_of_other_sizes_are_read_back(side: int) -> None:
    drawn, moving = scenes(40, seed=side, rate=0.06), clips(12, seed=side, rate=0.12)
    assert read_scenes(render(drawn, seed=side, side=side)) == drawn
    assert read_clips(render_clips(moving, seed=side, side=side)) == moving


@pytest.mark.parametrize("ground", ["dark", "light", "striped"])
@pytest.mark.parametrize("flaw", [*((one,) for one in FLAWS), ()])
def test_every_flaw_is_seen_on_every_ground(ground: str, flaw: tuple[str, ...]) -> None:
    drawn = [
        Scene(
            (Shape("square", "green", "small"), Shape("cross", "white", "large", "bottom right", damage)), ground, flaw
        )  # type: ignore[arg-type]
        for damage in (None, *DAMAGES)
    ]
    assert read_scenes(render(drawn, seed=2)) == drawn


@pytest.mark.parametrize("flaws", [*((one,) for one in CLIP_FLAWS), CLIP_FLAWS, ()])
def test_every_flaw_of_a_clip_is_seen(flaws: tuple[str, ...]) -> None:
    drawn = [
        Clip(Shape("triangle", "blue", "small", "top left", damage), action, "light", flaws)  # type: ignore[arg-type]
        for damage in (None, *DAMAGES)
        for action in ("moves down", "appears", "turns cyan", "grows", "stays still")
    ]
    assert read_clips(render_clips(drawn, seed=2)) == drawn


def strange_pictures() -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    ground = rng.normal(60, 7, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    columns = np.zeros((SIDE, SIDE, 3), np.uint8)
    columns[:, ::4] = 255
    slope = np.add.outer(np.arange(SIDE), 2 * np.arange(SIDE))[..., None] * np.array([1.0, 0.8, 0.5])
    waves = np.sin(np.arange(SIDE) / 5)[:, None, None] * np.sin(np.arange(SIDE) / 7)[None, :, None]
    circle = render([Scene((SMALL_RED_CIRCLE,))], seed=0)[0]
    everywhere = [Shape("square", "red", "large", place) for place in ("top left", "top right", "bottom left")]
    four = render([Scene((*everywhere, Shape("square", "red", "large", "bottom right")))], seed=0)[0]
    return {
        "noise": noise,
        "ground": ground,
        "columns": columns,
        "slope": (slope + rng.normal(0, 4, slope.shape)).clip(0, 255).astype(np.uint8),
        "waves": (120 + 90 * waves + rng.normal(0, 4, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8),
        "black": np.zeros_like(columns),
        "white": np.full_like(columns, 255),
        "a shape across two quarters": np.roll(circle, SIDE // 4, axis=1),
        "four shapes": four,
        "half a picture": np.concatenate([circle[: SIDE // 2], noise[SIDE // 2 :]]),
    }


@pytest.mark.parametrize("name", strange_pictures())
def test_what_is_no_picture_of_our_world_is_read_as_nothing(name: str) -> None:
    assert read_scene(strange_pictures()[name]) is None


@pytest.mark.parametrize("name", ["noise", "ground", "columns", "slope", "waves", "black", "white", "half a picture"])
def test_what_is_no_clip_of_our_world_is_read_as_nothing(name: str) -> None:
    assert read_clip(np.stack([strange_pictures()[name]] * FRAMES)) is None


def test_a_clip_with_a_strange_frame_or_in_disorder_is_read_as_nothing() -> None:
    clip, vanishing = render_clips([Clip(SMALL_RED_CIRCLE, "moves right"), Clip(SMALL_RED_CIRCLE, "vanishes")], seed=0)
    strange = clip.copy()
    strange[4] = strange_pictures()["waves"]
    assert read_clip(strange) is None
    assert read_clip(clip[[0, 7, 2, 5, 4, 3, 6, 1]]) is None
    assert read_clip(vanishing[[0, 7, 1, 6, 2, 5, 3, 4]]) is None
    assert read_clip(clip) == Clip(SMALL_RED_CIRCLE, "moves right")


def test_no_pictures_and_no_clips_are_read_as_none() -> None:
    assert read_scenes(np.zeros((0, SIDE, SIDE, 3), np.uint8)) == []
    assert read_clips(np.zeros((0, FRAMES, SIDE, SIDE, 3), np.uint8)) == []


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (SIDE, 2 * SIDE, 3), (SIDE, SIDE, 4), (8, 8, 3), (32, 32, 3)])
def test_what_is_not_a_square_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UniRewardError, match="pictures of shapes are"):
        read_scene(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(SIDE, SIDE, 3), (7, SIDE, SIDE, 3), (FRAMES, SIDE, SIDE, 1), (FRAMES, 32, 32, 3)])
def test_what_is_not_a_clip_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UniRewardError, match="clips of shapes are"):
        read_clip(np.zeros(shape, np.uint8))
