"""Draws what pictures and clips are made of: captions, shapes, what a shape does, and one change of a scene or clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from unireward_plugins.shapes.captions import RELATIONS, Caption, Wanted
from unireward_plugins.shapes.scene import (
    ACTIONS,
    COLOURS,
    GROUNDS,
    OUTLINES,
    PLACES,
    SIZES,
    Action,
    Clip,
    Place,
    Scene,
    Shape,
    Size,
    possible_places,
)

Value = TypeVar("Value")


def draw_caption(rng: Random) -> Caption:
    """What a picture is asked to show: one shape, two in relation, or several of a kind."""
    kind = rng.random()
    if kind < 0.45:
        place = rng.choice(PLACES) if rng.random() < 0.3 else None
        return Caption((_wanted(rng, place),))
    if kind < 0.8:
        return Caption((_wanted(rng), _wanted(rng)), relation=rng.choice(RELATIONS))
    return Caption((replace(_wanted(rng), size=None),) * rng.choice((2, 2, 3)))


def draw_clip_caption(rng: Random) -> Caption:
    """What a clip is asked to show: a shape to which something happens."""
    action = draw_action(rng)
    wanted = _wanted(rng)
    while action == f"turns {wanted.colour}":
        wanted = _wanted(rng)
    return Caption((replace(wanted, size=None) if action in ("grows", "shrinks") else wanted,), action=action)


def draw_shape(rng: Random, place: Place) -> Shape:
    """Any sound shape at a place."""
    return Shape(rng.choice(OUTLINES), rng.choice(COLOURS), rng.choice(SIZES), place)


def draw_action(rng: Random) -> Action:
    """An action of a kind that is as likely as any other, movements thrice as likely."""
    kinds = ("stays", "moves", "moves", "moves", "grows", "shrinks", "appears", "vanishes", "turns")
    kind = rng.choice(kinds)
    return rng.choice([action for action in ACTIONS if action.startswith(kind)])


def clip_of(shape: Shape, action: Action, rng: Random) -> Clip:
    """A clip of a shape, moved to where it can do it, in a size in which it can, in a colour that it can leave."""
    sizes: dict[Action, Size] = {"grows": "small", "shrinks": "large"}
    size = sizes.get(action, shape.size)
    colour = another(COLOURS, shape.colour, rng) if action == f"turns {shape.colour}" else shape.colour
    shape = replace(shape, place=rng.choice(possible_places(action)), size=size, colour=colour)
    return Clip(shape, action, rng.choice(GROUNDS))


def altered_scene(scene: Scene, rng: Random) -> Scene:
    """The same picture but for one thing: a colour, an outline, a size, a place, a shape more or a shape less."""
    index = rng.randrange(len(scene.shapes))
    shape, others = scene.shapes[index], [*scene.shapes[:index], *scene.shapes[index + 1 :]]
    free = [place for place in PLACES if place not in [other.place for other in scene.shapes]]
    change = rng.random()
    if change < 0.3:
        shapes = [*others, replace(shape, colour=another(COLOURS, shape.colour, rng))]
    elif change < 0.6:
        shapes = [*others, replace(shape, outline=another(OUTLINES, shape.outline, rng))]
    elif change < 0.7:
        shapes = [*others, replace(shape, size=another(SIZES, shape.size, rng))]
    elif change < 0.85 and others:
        other = others.pop(rng.randrange(len(others)))
        shapes = [*others, replace(shape, place=other.place), replace(other, place=shape.place)]
    elif change < 0.85:
        shapes = [replace(shape, place=rng.choice(free))]
    elif len(scene.shapes) < 3 and rng.random() < 0.5:
        shapes = [*scene.shapes, draw_shape(rng, rng.choice(free))]
    else:
        shapes = others or [shape]
    return replace(scene, shapes=in_order(shapes))


def altered_clip(clip: Clip, rng: Random) -> Clip:
    """The same clip but for one thing: a colour, an outline, a size, or what happens."""
    shape, change = clip.shape, rng.random()
    if change < 0.3:
        shape = replace(shape, colour=another(COLOURS, shape.colour, rng))
    elif change < 0.6:
        shape = replace(shape, outline=another(OUTLINES, shape.outline, rng))
    elif change < 0.7 and clip.action not in ("grows", "shrinks"):
        shape = replace(shape, size=another(SIZES, shape.size, rng))
    else:
        return replace(clip_of(shape, draw_action(rng), rng), ground=clip.ground)
    return clip if clip.action == f"turns {shape.colour}" else replace(clip, shape=shape)


def in_order(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes of a scene, in reading order."""
    return tuple(sorted(shapes, key=lambda shape: PLACES.index(shape.place)))


def another(values: Sequence[Value], value: Value, rng: Random) -> Value:
    """Any of the values but one."""
    return rng.choice([other for other in values if other != value])


def _wanted(rng: Random, place: Place | None = None) -> Wanted:
    size = rng.choice(SIZES) if rng.random() < 0.25 else None
    return Wanted(rng.choice(OUTLINES), rng.choice(COLOURS), size, place)
