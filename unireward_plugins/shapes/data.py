"""Draws labelled cases: what to judge, what it shows, and how good each candidate truly is. All from one seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from unireward_plugins.media import Media
from unireward_plugins.shapes.answers import draw_answer, mentions_held_out
from unireward_plugins.shapes.questions import QUESTIONS, Grade, Question, caption, grade_answer, grade_picture
from unireward_plugins.shapes.scene import ALL_SCENES, TRAINING_SCENES, Scene, Shape
from unireward_plugins.types import Case, Task

Split: TypeAlias = Literal["train", "fresh"]
"""`"train"` never combines a held-out colour and outline, in a picture or a text; `"fresh"` draws from everything."""
Cell: TypeAlias = tuple[Task, int]
"""A task and how many candidates are judged at a time."""

CELLS: Mapping[str, Cell] = MappingProxyType(
    {
        "image generation, point": ("image_generation", 1),
        "image generation, pair": ("image_generation", 2),
        "image understanding, point": ("image_understanding", 1),
        "image understanding, pair": ("image_understanding", 2),
    }
)
"""What the tiny judge is made for, by the name that reports use."""


class Item(Protocol):
    """A case before it is drawn, with its truth."""

    @property
    def cell(self) -> Cell:
        """The task, and how many candidates there are."""
        ...

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """What the pictures of the case show."""
        ...

    @property
    def grades(self) -> tuple[Grade, ...]:
        """How good each candidate is."""
        ...

    @property
    def held_out(self) -> bool:
        """Whether a picture or a text of the case combines a held-out colour and outline."""
        ...

    def case(self, pictures: Sequence[Media]) -> Case:
        """The case, given one picture for each of its scenes."""
        ...


@dataclass(frozen=True, slots=True)
class PictureItem:
    """Pictures that were drawn for a caption."""

    wanted: Shape
    """What the caption asks for; its size is not said."""
    scenes: tuple[Scene, ...]
    """What each of them shows."""

    @property
    def cell(self) -> Cell:
        """The task, and how many candidates there are."""
        return "image_generation", len(self.scenes)

    @property
    def grades(self) -> tuple[Grade, ...]:
        """How good each candidate is."""
        return tuple(grade_picture(self.wanted, scene.shape) for scene in self.scenes)

    @property
    def held_out(self) -> bool:
        """Whether a picture or a text combines a held-out colour and outline."""
        return self.wanted.held_out or any(scene.held_out for scene in self.scenes)

    def case(self, pictures: Sequence[Media]) -> Case:
        """The case, given one picture for each of its scenes."""
        return Case(caption(self.wanted), tuple(pictures))


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """Answers to a question about one picture."""

    scene: Scene
    question: Question
    answers: tuple[str, ...]

    @property
    def cell(self) -> Cell:
        """The task, and how many candidates there are."""
        return "image_understanding", len(self.answers)

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """What the one picture shows."""
        return (self.scene,)

    @property
    def grades(self) -> tuple[Grade, ...]:
        """How good each candidate is."""
        return tuple(grade_answer(self.scene, self.question, answer) for answer in self.answers)

    @property
    def held_out(self) -> bool:
        """Whether a picture or a text combines a held-out colour and outline."""
        return self.scene.held_out or any(map(mentions_held_out, self.answers))

    @property
    def tricky(self) -> bool:
        """Whether an answer is easily taken for a better one: it holds the right word and is wrong, or half right."""
        right = self.question.right_answer(self.scene.shape)
        return any(
            grade == 3 or (grade == 1 and right in answer.lower())
            for grade, answer in zip(self.grades, self.answers, strict=True)
        )

    def case(self, pictures: Sequence[Media]) -> Case:
        """The case, given one picture for each of its scenes."""
        return Case(self.question.text, self.answers, context=tuple(pictures))


def draw_items(cell: Cell, count: int, *, seed: int | str, split: Split = "fresh") -> list[Item]:
    """So many items of one cell. The candidates of a pair are never equally good."""
    rng = Random(f"{cell} {seed} {split}")  # noqa: S311 - pictures, not secrets
    items = _stream(cell, rng, split)
    return [next(items) for _ in range(count)]


def _stream(cell: Cell, rng: Random, split: Split) -> Iterator[Item]:
    task, arity = cell
    draw = _draw_pictures if task == "image_generation" else _draw_answers
    scenes = TRAINING_SCENES if split == "train" else ALL_SCENES
    while True:
        item = draw(rng.choice(scenes), arity, rng)
        if len(set(item.grades)) == arity and not (split == "train" and item.held_out):
            yield item


def _draw_pictures(wanted: Scene, count: int, rng: Random) -> Item:
    """Pictures that share each attribute with the caption as often as not."""
    shape = wanted.shape
    shown = []
    for _ in range(count):
        other = rng.choice(ALL_SCENES).shape
        outline = shape.outline if rng.random() < 0.5 else other.outline
        colour = shape.colour if rng.random() < 0.5 else other.colour
        shown.append(Scene((Shape(outline, colour, other.size),)))
    return PictureItem(shape, tuple(shown))


def _draw_answers(scene: Scene, count: int, rng: Random) -> Item:
    """Answers to a question that is open as often as not."""
    is_open = rng.random() < 0.5
    question = rng.choice([question for question in QUESTIONS if (question.value is None) == is_open])
    if question.value is not None and rng.random() < 0.5:  # else nearly every right answer would be no
        true = scene.shape.attributes[question.attribute]
        question = next(other for other in QUESTIONS if other.value == true)
    return AnswerItem(scene, question, tuple(draw_answer(scene.shape, question, rng) for _ in range(count)))
