"""Edits of pictures: what to change, what should come out, and exact grades of what did come out.

An edit is graded in two parts, each from 1 to 5, place by place, from what the pictures show alone:

    followed    what was asked. Ground, colour, size: 5 if it is so, 1 if not. Remove: 5 if the place is empty, else 1.
                Add: 1 + 4 x the share of colour and outline that are right in the place that was named.
                Move: 3 if the old place is empty or the new one holds the shape (by colour and outline), 5 if both.
    kept        the rest: 5, less 1 for each thing that changed and should not have, at least 1. Things are the size,
                colour, outline and damage of a shape, the ground, and each flaw; a shape that is gone or new is four.
    overall     the worse of the two: an edit is as good as its worse half.

The embedded judge was not taught edits: these are for judges that know them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Literal, TypeAlias, get_args

from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.shapes.captions import article
from unireward_plugins.shapes.data import Cell, Split, altered, draw_scene, flawed
from unireward_plugins.shapes.draws import another
from unireward_plugins.shapes.scene import (
    COLOURS,
    GROUNDS,
    OUTLINES,
    PLACES,
    SIZES,
    Ground,
    Place,
    Scene,
    Shape,
    Subject,
)
from unireward_plugins.types import Case

Kind: TypeAlias = Literal["recolour", "resize", "move", "remove", "add", "ground"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class EditGrades:
    """How good an edit is, each from 1 (bad) to 5 (flawless); the module says how."""

    followed: int
    """How much of the instruction was done."""
    kept: int
    """How much of the rest stayed as it was."""

    @property
    def overall(self) -> int:
        """The worse of the two."""
        return min(self.followed, self.kept)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a picture: a shape becomes another, goes or comes, or the ground becomes another."""

    source: Scene
    before: Shape | None = None
    """The shape of the source that changes, moves or goes; `None` where one comes, and for the ground."""
    after: Shape | None = None
    """What it becomes: it differs in its colour, its size or its place alone; `None` where it goes."""
    ground: Ground | None = None
    """What the ground becomes, where that is the edit."""

    def __post_init__(self) -> None:
        if (self.ground is not None) == (self.before is not None or self.after is not None):
            raise UniRewardError(
                "an edit changes either one shape or the ground: give `before` or `after`, or `ground`"
            )
        if self.before is not None and self.before not in self.source.shapes:
            raise UniRewardError(f"there is no {self.before} at the {self.before.place} in {self.source}")
        if self.before is not None and self.after is not None:
            after = asdict(self.after)
            changed = [name for name, value in asdict(self.before).items() if after[name] != value]
            if len(changed) != 1 or changed[0] not in ("colour", "size", "place"):
                raise UniRewardError(
                    "an edit of a shape changes its colour, its size or its place, and one of them alone: this one "
                    f"changes {' and '.join(changed) or 'nothing'}"
                )
        if self.ground == self.source.ground:
            raise UniRewardError(f"the ground is {self.ground} already: an edit of it makes it another")

    @property
    def kind(self) -> Kind:
        """What sort of change it is."""
        if self.ground is not None:
            return "ground"
        if self.before is None or self.after is None:
            return "add" if self.before is None else "remove"
        if self.before.place != self.after.place:
            return "move"
        return "recolour" if self.before.colour != self.after.colour else "resize"

    def __str__(self) -> str:
        """The instruction: "make the red circle blue", "add a green circle at the bottom left"."""
        if self.ground is not None:
            return f"make the ground {self.ground}"
        if self.before is None:
            assert self.after is not None
            noun = f"{self.after.colour} {self.after.outline}"
            return f"add {article(noun)} {noun} at the {self.after.place}"
        it = _reference(self.before, self.source.shapes)
        if self.after is None:
            return f"remove {it}"
        match self.kind:
            case "move":
                return f"move {it} to the {self.after.place}"
            case "recolour":
                return f"make {it} {self.after.colour}"
        return f"make {it} {'larger' if self.after.size == 'large' else 'smaller'}"

    def apply(self, scene: Scene) -> Scene:
        """The scene with the change made and all else as it was.

        Raises `UniRewardError` where the shape to change is not there, or where the place to go to is taken.
        """
        if self.ground is not None:
            return replace(scene, ground=self.ground)
        if self.before is not None and self.before not in scene.shapes:
            raise UniRewardError(f"{self!s}: there is no {self.before} at the {self.before.place} in {scene}")
        shapes = [shape for shape in scene.shapes if shape != self.before]
        if self.after is not None:
            if self.after.place in {shape.place for shape in shapes}:
                raise UniRewardError(f"{self!s}: there is something at the {self.after.place} already in {scene}")
            shapes.append(self.after)
        return replace(scene, shapes=tuple(sorted(shapes, key=lambda shape: PLACES.index(shape.place))))

    def grades(self, result: Scene) -> EditGrades:
        """How good a picture of the scene is as the result of this edit of its source."""
        return EditGrades(self._followed(result), max(1, 5 - self._changes(result)))

    def case(self, source: Media, results: Sequence[Media]) -> Case:
        """The case for a judge: the instruction, the pictures that came out, and the one that went in."""
        return Case(str(self), tuple(results), context=(source,))

    def _followed(self, result: Scene) -> int:
        if self.ground is not None:
            return 5 if result.ground == self.ground else 1
        shown = _by_place(result)
        if self.after is None:
            assert self.before is not None
            return 1 if self.before.place in shown else 5
        found = shown.get(self.after.place)
        same_colour = found is not None and found.colour == self.after.colour
        same_outline = found is not None and found.outline == self.after.outline
        match self.kind:
            case "add":
                return 1 + 2 * same_colour + 2 * same_outline
            case "move":
                assert self.before is not None
                return 1 + 2 * (self.before.place not in shown) + 2 * (same_colour and same_outline)
            case "recolour":
                return 5 if same_colour else 1
        return 5 if found is not None and found.size == self.after.size else 1

    def _changes(self, result: Scene) -> int:
        """How much is otherwise than it should be, beside what the edit asked for."""
        wanted, shown = _by_place(self.apply(self.source)), _by_place(result)
        touched = {shape.place for shape in (self.before, self.after) if shape is not None}
        ground = self.ground is None and result.ground != self.source.ground
        flaws = set(result.flaws) ^ set(self.source.flaws)
        untouched = sum(_differences(wanted.get(place), shown.get(place)) for place in PLACES if place not in touched)
        return ground + len(flaws) + untouched + self._changes_of_the_edited(shown)

    def _changes_of_the_edited(self, shown: Mapping[Place, Shape]) -> int:
        """What an edited shape lost that it should have kept; what the edit asked of it is no part of that."""
        if self.after is None:
            return 0
        found = shown.get(self.after.place)
        if self.before is None:
            return 0 if found is None or found.damage is None else 1
        found = found or shown.get(self.before.place)
        match self.kind:
            case "recolour" if found is not None:
                found = replace(found, colour=self.after.colour)
            case "resize" if found is not None:
                found = replace(found, size=self.after.size)
        return _differences(self.after, found)


@dataclass(frozen=True, slots=True)
class EditItem:
    """Pictures that came out of an edit, to be judged."""

    edit: Edit
    results: tuple[Scene, ...]
    """What each of them shows."""

    @property
    def cell(self) -> Cell:
        """The task, and how many candidates there are."""
        return "image_editing", len(self.results)

    @property
    def subjects(self) -> tuple[Scene, ...]:
        """What the pictures of the case show: the source, then the results."""
        return (self.edit.source, *self.results)

    @property
    def dimensions(self) -> tuple[EditGrades, ...]:
        """How good each candidate is in following the instruction and in keeping the rest."""
        return tuple(self.edit.grades(result) for result in self.results)

    @property
    def grades(self) -> tuple[int, ...]:
        """How good each candidate is, all in all."""
        return tuple(found.overall for found in self.dimensions)

    @property
    def held_out(self) -> bool:
        """Whether any picture holds a held-out combination."""
        return any(scene.held_out for scene in (*self.subjects, self.edit.apply(self.edit.source)))

    def case(self, media: Sequence[Media]) -> Case:
        """The case, given one picture for each of its subjects."""
        return self.edit.case(media[0], media[1:])


def draw_edit(rng: Random) -> Edit:
    """An edit of a flawless scene, each kind as likely as any other that the scene allows."""
    source = draw_scene(rng)
    free = [place for place in PLACES if place not in _by_place(source)]
    kinds = [kind for kind in KINDS if len(source.shapes) != {"remove": 1, "add": 3}.get(kind)]
    kind, shape = rng.choice(kinds), rng.choice(source.shapes)
    match kind:
        case "ground":
            return Edit(source, ground=another(GROUNDS, source.ground, rng))
        case "add":
            after = Shape(rng.choice(OUTLINES), rng.choice(COLOURS), rng.choice(SIZES), rng.choice(free))
            return Edit(source, after=after)
        case "remove":
            return Edit(source, shape)
        case "move":
            return Edit(source, shape, replace(shape, place=rng.choice(free)))
        case "recolour":
            return Edit(source, shape, replace(shape, colour=another(COLOURS, shape.colour, rng)))
    return Edit(source, shape, replace(shape, size=another(SIZES, shape.size, rng)))


def draw_result(edit: Edit, rng: Random) -> Scene:
    """What an editor may make of an edit: it is done or left undone, now and then with something else done too."""
    result: Subject = edit.apply(edit.source) if rng.random() < 0.75 else edit.source
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        result = altered(result, rng)
    result = flawed(result, rng, rate=0.05)
    assert isinstance(result, Scene), "a scene stays one"
    return result


def draw_edit_items(arity: int, count: int, *, seed: int | str, split: Split = "fresh") -> list[EditItem]:
    """So many edits, each with `arity` results; those of one edit are never equally good."""
    rng = Random(f"edits {arity} {seed} {split}")  # noqa: S311 - pictures, not secrets
    items: list[EditItem] = []
    while len(items) < count:
        edit = draw_edit(rng)
        item = EditItem(edit, tuple(draw_result(edit, rng) for _ in range(arity)))
        if len(set(item.grades)) == arity and not (split == "train" and item.held_out):
            items.append(item)
    return items


def _reference(shape: Shape, among: Sequence[Shape]) -> str:
    """The shortest words that mean this shape and no other."""
    ways = (shape.outline, f"{shape.colour} {shape.outline}", str(shape))
    for way in ways:
        if sum(set(way.split()) <= set(str(other).split()) for other in among) == 1:
            return f"the {way}"
    return f"the {shape} at the {shape.place}"


def _by_place(scene: Scene) -> dict[Place, Shape]:
    return {shape.place: shape for shape in scene.shapes}


def _differences(one: Shape | None, other: Shape | None) -> int:
    """In how much two shapes differ, but for where they are; four where one is not there."""
    if one is None or other is None:
        return 0 if one is other else 4
    damaged = one.damage != other.damage
    return damaged + sum(other.attributes[name] != value for name, value in one.attributes.items())
