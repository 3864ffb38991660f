"""What pictures and clips of the shapes world show, as plain values: no pixels here, and nothing heavy to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

Outline: TypeAlias = Literal["circle", "square", "triangle", "cross"]
Colour: TypeAlias = Literal["red", "green", "blue", "yellow", "purple", "orange", "cyan", "white"]
Size: TypeAlias = Literal["small", "large"]
Place: TypeAlias = Literal["top left", "top right", "bottom left", "bottom right"]
Ground: TypeAlias = Literal["dark", "light", "striped"]
Damage: TypeAlias = Literal["broken", "bitten"]
"""What may be wrong with one shape: a gap through its middle, or a quarter that is missing."""
Flaw: TypeAlias = Literal["noisy", "blurred", "cluttered"]
"""What may be wrong with a whole picture."""
ClipFlaw: TypeAlias = Literal["jittery", "flickering", "noisy"]
"""What may be wrong with a whole clip: the shape jumps about, the light goes on and off, or there is noise."""
Action: TypeAlias = Literal[
    "stays still",
    "moves left",
    "moves right",
    "moves up",
    "moves down",
    "grows",
    "shrinks",
    "appears",
    "vanishes",
    "turns red",
    "turns green",
    "turns blue",
    "turns yellow",
    "turns purple",
    "turns orange",
    "turns cyan",
    "turns white",
]
Attribute: TypeAlias = Literal["size", "colour", "outline"]

OUTLINES: tuple[Outline, ...] = get_args(Outline)
COLOURS: tuple[Colour, ...] = get_args(Colour)
SIZES: tuple[Size, ...] = get_args(Size)
PLACES: tuple[Place, ...] = get_args(Place)
"""The four quarters of a picture, in reading order; each holds one shape at most."""
GROUNDS: tuple[Ground, ...] = get_args(Ground)
DAMAGES: tuple[Damage, ...] = get_args(Damage)
FLAWS: tuple[Flaw, ...] = get_args(Flaw)
CLIP_FLAWS: tuple[ClipFlaw, ...] = get_args(ClipFlaw)
ACTIONS: tuple[Action, ...] = get_args(Action)
ATTRIBUTES: Mapping[Attribute, tuple[str, ...]] = MappingProxyType(
    {"size": SIZES, "colour": COLOURS, "outline": OUTLINES}
)
"""Every attribute of a shape with its values, in the order in which a description names them."""
MOVES: Mapping[Action, tuple[int, int]] = MappingProxyType(
    {"moves left": (-1, 0), "moves right": (1, 0), "moves up": (0, -1), "moves down": (0, 1)}
)
"""By how many quarters, right and down, each movement takes a shape."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One coloured shape."""

    outline: Outline
    colour: Colour
    size: Size
    place: Place = "top left"
    damage: Damage | None = None

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.outline}"

    @property
    def attributes(self) -> dict[Attribute, str]:
        """The value of every attribute."""
        return {"size": self.size, "colour": self.colour, "outline": self.outline}

    @property
    def facts(self) -> dict[str, str]:
        """Its attributes and its place, by name."""
        return {"size": self.size, "colour": self.colour, "outline": self.outline, "place": self.place}

    @property
    def held_out(self) -> bool:
        """Whether the colour and the outline are one of the five pairs that no training picture or text combines."""
        return is_held_out(self.colour, self.outline)


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture shows: up to three shapes, in reading order, each in a quarter of its own."""

    shapes: tuple[Shape, ...]
    ground: Ground = "dark"
    flaws: tuple[Flaw, ...] = ()

    def __str__(self) -> str:
        return " and ".join(f"a {shape}" for shape in self.shapes)

    @property
    def shape(self) -> Shape:
        """The one shape of the scene."""
        (shape,) = self.shapes
        return shape

    @property
    def held_out(self) -> bool:
        """Whether any shape of the scene is a held-out combination."""
        return any(shape.held_out for shape in self.shapes)

    @property
    def damages(self) -> tuple[str, ...]:
        """What is wrong with the shapes."""
        return tuple(shape.damage for shape in self.shapes if shape.damage is not None)


@dataclass(frozen=True, slots=True)
class Clip:
    """What one clip shows: a shape to which something happens, in eight frames."""

    shape: Shape
    """As it is while it is there to be seen first; one that appears, once it is there."""
    action: Action
    ground: Ground = "dark"
    flaws: tuple[ClipFlaw, ...] = ()

    def __str__(self) -> str:
        return f"a {self.shape} that {self.action}"

    @property
    def end_colour(self) -> Colour:
        """The colour of the shape at the end, before it vanishes if it does."""
        return turned(self.action) or self.shape.colour

    @property
    def held_out(self) -> bool:
        """Whether the shape is, or turns into, a held-out combination, or does what no training clip shows it do."""
        return (
            self.shape.held_out
            or is_held_out(self.end_colour, self.shape.outline)
            or action_held_out(self.shape.outline, self.action)
        )

    @property
    def damages(self) -> tuple[str, ...]:
        """What is wrong with the shape and with its movement."""
        damage = () if self.shape.damage is None else (self.shape.damage,)
        return (*damage, *(flaw for flaw in self.flaws if flaw == "jittery"))


Subject: TypeAlias = Scene | Clip
"""What a picture or a clip shows."""


def turned(action: Action) -> Colour | None:
    """The colour that a shape turns, where it turns one."""
    return next((colour for colour in COLOURS if action == f"turns {colour}"), None)


def is_held_out(colour: Colour, outline: Outline) -> bool:
    """Whether no training picture or text combines the two: true of five pairs of thirty-two."""
    return (3 * COLOURS.index(colour) + 5 * OUTLINES.index(outline)) % 7 == 0


def action_held_out(outline: Outline, action: Action) -> bool:
    """Whether no training clip or caption lets a shape of that outline do so: one kind of action for each outline."""
    return (outline, action.split()[0]) in {
        *(("circle", "shrinks"), ("square", "vanishes")),
        *(("triangle", "grows"), ("cross", "appears")),
    }


def possible_places(action: Action) -> tuple[Place, ...]:
    """Where a shape may start so that it stays in the picture."""
    right, down = MOVES.get(action, (0, 0))
    return tuple(place for place in PLACES if 0 <= _column(place) + right <= 1 and 0 <= _row(place) + down <= 1)


def is_left(one: Place, other: Place) -> bool:
    """Whether one place is in the left half and the other in the right."""
    return _column(one) < _column(other)


def is_above(one: Place, other: Place) -> bool:
    """Whether one place is in the upper half and the other in the lower."""
    return _row(one) < _row(other)


def _column(place: Place) -> int:
    return PLACES.index(place) % 2


def _row(place: Place) -> int:
    return PLACES.index(place) // 2


ALL_SCENES: tuple[Scene, ...] = tuple(
    Scene((Shape(outline, colour, size, place),))
    for outline in OUTLINES
    for colour in COLOURS
    for size in SIZES
    for place in PLACES
)
"""Every scene of one sound shape on a dark ground, without a flaw."""
TRAINING_SCENES: tuple[Scene, ...] = tuple(scene for scene in ALL_SCENES if not scene.held_out)
HELD_OUT_SCENES: tuple[Scene, ...] = tuple(scene for scene in ALL_SCENES if scene.held_out)
