"""Draws labelled cases: what to judge, what it shows, and how good each candidate truly is. All from one seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from unireward_plugins.media import Media
from unireward_plugins.shapes.answers import draw_answer, mentions_held_out
from unireward_plugins.shapes.captions import Caption, Grades, Wanted, grades, holds
from unireward_plugins.shapes.draws import (
    altered_clip,
    altered_scene,
    clip_of,
    draw_action,
    draw_caption,
    draw_clip_caption,
    draw_shape,
    in_order,
)
from unireward_plugins.shapes.questions import (
    CLIP_QUESTIONS,
    QUESTIONS,
    SCENE_QUESTIONS,
    Question,
    grade_answer,
)
from unireward_plugins.shapes.scene import (
    CLIP_FLAWS,
    DAMAGES,
    FLAWS,
    GROUNDS,
    PLACES,
    SIZES,
    Clip,
    Scene,
    Shape,
    Subject,
)
from unireward_plugins.types import Case, Task

Split: TypeAlias = Literal["train", "fresh"]
"""`"train"` never holds a held-out combination, relation, action or question; `"fresh"` draws from everything."""
Cell: TypeAlias = tuple[Task, int]
"""A task and how many candidates are judged at a time."""

CELLS: Mapping[str, Cell] = MappingProxyType(
    {
        "image generation, point": ("image_generation", 1),
        "image generation, pair": ("image_generation", 2),
        "image understanding, point": ("image_understanding", 1),
        "image understanding, pair": ("image_understanding", 2),
        "video generation, point": ("video_generation", 1),
        "video generation, pair": ("video_generation", 2),
        "video understanding, point": ("video_understanding", 1),
        "video understanding, pair": ("video_understanding", 2),
    }
)
"""What the tiny judge is made for, by the name that reports use."""
FLAWED = 0.12
"""How often each thing that may be wrong with a picture or clip is wrong."""


class Item(Protocol):
    """A case before it is drawn, with its truth."""

    @property
    def cell(self) -> Cell:
        """The task, and how many candidates there are."""
        ...

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What the pictures or clips of the case show."""
        ...

    @property
    def grades(self) -> tuple[int, ...]:
        """How good each candidate is, from 1 to 5."""
        ...

    @property
    def held_out(self) -> bool:
        """Whether anything in it was held out of the training."""
        ...

    @property
    def tricky(self) -> bool:
        """Whether it is harder to judge than others of its kind."""
        ...

    def case(self, media: Sequence[Media]) -> Case:
        """The case, given one picture or clip for each of its subjects."""
        ...


@dataclass(frozen=True, slots=True)
class GenerationItem:
    """Pictures, or clips, that were made for a caption."""

    caption: Caption
    subjects: tuple[Subject, ...]
    """What each of them shows."""

    @property
    def cell(self) -> Cell:
        """The task, and how many candidates there are."""
        return _task(self.subjects[0], "generation"), len(self.subjects)

    @property
    def dimensions(self) -> tuple[Grades, ...]:
        """How good each candidate is in alignment, coherence and style."""
        return tuple(grades(self.caption, subject) for subject in self.subjects)

    @property
    def grades(self) -> tuple[int, ...]:
        """How good each candidate is all in all, from 1 to 5."""
        return tuple(found.overall for found in self.dimensions)

    @property
    def held_out(self) -> bool:
        """Whether anything in it was held out of the training."""
        return self.caption.held_out or any(subject.held_out for subject in self.subjects)

    @property
    def tricky(self) -> bool:
        """Whether two different shapes are wanted, so that it must be told which of those shown is which."""
        return self.caption.relation is not None

    def case(self, media: Sequence[Media]) -> Case:
        """The case, given one picture or clip for each of its subjects."""
        return Case(str(self.caption), tuple(media))


@dataclass(frozen=True, slots=True)
class AnswerItem:
    """Answers to a question about one picture or clip."""

    subject: Subject
    question: Question
    answers: tuple[str, ...]

    @property
    def cell(self) -> Cell:
        """The task, and how many candidates there are."""
        return _task(self.subject, "understanding"), len(self.answers)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """What the one picture or clip shows."""
        return (self.subject,)

    @property
    def grades(self) -> tuple[int, ...]:
        """How good each candidate is, from 1 to 5."""
        return tuple(grade_answer(self.subject, self.question, answer) for answer in self.answers)

    @property
    def held_out(self) -> bool:
        """Whether anything in it was held out of the training."""
        return self.subject.held_out or self.question.held_out or any(map(mentions_held_out, self.answers))

    @property
    def tricky(self) -> bool:
        """Whether an answer is easily taken for a better one: it holds the right word and is wrong, or half right."""
        right = self.question.right_answer(self.subject)
        return any(
            grade == 3 or (grade == 1 and right in answer.lower())
            for grade, answer in zip(self.grades, self.answers, strict=True)
        )

    def case(self, media: Sequence[Media]) -> Case:
        """The case, given the picture or clip."""
        return Case(self.question.text, self.answers, context=tuple(media))


def draw_items(cell: Cell, count: int, *, seed: int | str, split: Split = "fresh") -> list[Item]:
    """So many items of one cell. The candidates of a pair are never equally good."""
    rng = Random(f"{cell} {seed} {split}")  # noqa: S311 - pictures, not secrets
    items = _stream(cell, rng, split)
    return [next(items) for _ in range(count)]


def fulfil(caption: Caption, rng: Random) -> Subject:
    """A flawless picture or clip of all that a caption asks for; what it leaves open is drawn."""
    shapes = [_fulfilled(one, rng) for one in caption.wanted]
    if caption.action is not None:
        return clip_of(shapes[0], caption.action, rng)
    while True:
        places = rng.sample(PLACES, len(shapes))
        asked = all(one.place in (None, place) for one, place in zip(caption.wanted, places, strict=True))
        if asked and (caption.relation is None or holds(caption.relation, *places)):
            break
    placed = [replace(shape, place=place) for shape, place in zip(shapes, places, strict=True)]
    return Scene(in_order(placed), rng.choice(GROUNDS))


def altered(subject: Subject, rng: Random) -> Subject:
    """The same picture or clip but for one thing."""
    if isinstance(subject, Clip):
        return altered_clip(subject, rng)
    return altered_scene(subject, rng)


def flawed(subject: Subject, rng: Random, *, rate: float = FLAWED) -> Subject:
    """The same picture or clip with each thing that may be wrong with it wrong every now and then."""
    if isinstance(subject, Clip):
        flaws = tuple(flaw for flaw in CLIP_FLAWS if rng.random() < rate)
        damage = rng.choice(DAMAGES) if rng.random() < rate else None
        return replace(subject, flaws=flaws, shape=replace(subject.shape, damage=damage))
    shapes = tuple(
        replace(shape, damage=rng.choice(DAMAGES) if rng.random() < rate else None) for shape in subject.shapes
    )
    return replace(subject, shapes=shapes, flaws=tuple(flaw for flaw in FLAWS if rng.random() < rate))


def draw_scene(rng: Random) -> Scene:
    """Any one, two or three shapes, without a flaw."""
    places = rng.sample(PLACES, rng.choice((1, 1, 2, 2, 3)))
    return Scene(in_order([draw_shape(rng, place) for place in places]), rng.choice(GROUNDS))


def draw_clip(rng: Random) -> Clip:
    """Any shape to which anything happens, without a flaw."""
    shape, action = draw_shape(rng, PLACES[0]), draw_action(rng)
    while action == f"turns {shape.colour}":
        action = draw_action(rng)
    return clip_of(shape, action, rng)


def _task(subject: Subject, doing: Literal["generation", "understanding"]) -> Task:
    if isinstance(subject, Clip):
        return "video_generation" if doing == "generation" else "video_understanding"
    return "image_generation" if doing == "generation" else "image_understanding"


def _stream(cell: Cell, rng: Random, split: Split) -> Iterator[Item]:
    task, arity = cell
    while True:
        item = _draw_generation(task, arity, rng) if task.endswith("generation") else _draw_answers(task, arity, rng)
        if len(set(item.grades)) == arity and not (split == "train" and item.held_out):
            yield item


def _draw_generation(task: Task, count: int, rng: Random) -> Item:
    """What was made for a caption: some of it flawless, some altered in a few things."""
    caption = draw_clip_caption(rng) if task.startswith("video") else draw_caption(rng)
    shown = []
    for _ in range(count):
        subject = fulfil(caption, rng)
        for _ in range(rng.choice((0, 0, 1, 1, 2, 2, 4))):
            subject = altered(subject, rng)
        shown.append(flawed(subject, rng))
    return GenerationItem(caption, tuple(shown))


def _draw_answers(task: Task, count: int, rng: Random) -> Item:
    """Answers to a question about a picture or clip."""
    if task.startswith("video"):
        subject: Subject = draw_clip(rng)
        question = _draw_question(subject, CLIP_QUESTIONS, rng)
    elif rng.random() < 0.5:
        subject = replace(draw_scene(rng), shapes=(draw_shape(rng, rng.choice(PLACES)),))
        question = _draw_question(subject, QUESTIONS, rng)
    else:
        subject = draw_scene(rng)
        question = _draw_question(subject, SCENE_QUESTIONS, rng)
    subject = flawed(subject, rng, rate=FLAWED / 2)
    return AnswerItem(subject, question, tuple(draw_answer(subject, question, rng) for _ in range(count)))


def _draw_question(subject: Subject, questions: Sequence[Question], rng: Random) -> Question:
    """A question that is open as often as not, and if not, as often to be answered with yes as with no."""
    fitting = [question for question in questions if question.fits(subject)]
    is_open, is_true = rng.random() < 0.5, rng.random() < 0.5
    chosen = [question for question in fitting if (question.value is None) == is_open]
    if not is_open:
        wanted = "yes" if is_true else "no"
        chosen = [question for question in chosen if question.right_answer(subject) == wanted] or chosen
    attribute = rng.choice(sorted({question.attribute for question in chosen}))
    return rng.choice([question for question in chosen if question.attribute == attribute])


def _fulfilled(wanted: Wanted, rng: Random) -> Shape:
    return Shape(wanted.outline, wanted.colour, rng.choice(SIZES) if wanted.size is None else wanted.size)
