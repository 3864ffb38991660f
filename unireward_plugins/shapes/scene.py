"""What a picture of the shapes world shows, as plain values: no pixels here, and nothing heavy to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

Outline: TypeAlias = Literal["circle", "square", "triangle", "cross"]
Colour: TypeAlias = Literal["red", "green", "blue", "yellow", "purple", "orange", "cyan", "white"]
Size: TypeAlias = Literal["small", "large"]
Attribute: TypeAlias = Literal["size", "colour", "outline"]

OUTLINES: tuple[Outline, ...] = get_args(Outline)
COLOURS: tuple[Colour, ...] = get_args(Colour)
SIZES: tuple[Size, ...] = get_args(Size)
ATTRIBUTES: Mapping[Attribute, tuple[str, ...]] = MappingProxyType(
    {"size": SIZES, "colour": COLOURS, "outline": OUTLINES}
)
"""Every attribute of a shape with its values, in the order in which a description names them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One coloured shape."""

    outline: Outline
    colour: Colour
    size: Size

    def __str__(self) -> str:
        return f"{self.size} {self.colour} {self.outline}"

    @property
    def attributes(self) -> dict[Attribute, str]:
        """The value of every attribute."""
        return {"size": self.size, "colour": self.colour, "outline": self.outline}

    @property
    def held_out(self) -> bool:
        """Whether the colour and the outline are one of the five pairs that no training picture or text combines."""
        return (3 * COLOURS.index(self.colour) + 5 * OUTLINES.index(self.outline)) % 7 == 0


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture shows. Today every scene has exactly one shape, near the centre."""

    shapes: tuple[Shape, ...]

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


ALL_SCENES: tuple[Scene, ...] = tuple(
    Scene((Shape(outline, colour, size),)) for outline in OUTLINES for colour in COLOURS for size in SIZES
)
TRAINING_SCENES: tuple[Scene, ...] = tuple(scene for scene in ALL_SCENES if not scene.held_out)
HELD_OUT_SCENES: tuple[Scene, ...] = tuple(scene for scene in ALL_SCENES if scene.held_out)
