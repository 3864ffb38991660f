"""What each step of the judge's training learns from: fresh pictures to look at, and fresh lessons of one cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from unireward_plugins.shapes.answers import draw_contest, draw_lookalike, say
from unireward_plugins.shapes.data import AnswerItem, GenerationItem, Item, altered, draw_items, draw_scene, flawed
from unireward_plugins.shapes.lesson import Form, Lesson, forms
from unireward_plugins.shapes.model import chat, teacher_forcing
from unireward_plugins.shapes.render import FRAMES, Floats, Pictures, colour_distances, render, render_clips
from unireward_plugins.shapes.scene import COLOURS, OUTLINES, Clip, Scene, Subject, is_held_out
from unireward_plugins.shapes.training_plan import EMPHASIS, POLISHING_EMPHASIS, Plan

DIRECT = 0.2
"""The share of lessons that ask for the bare verdict."""
DOUBT = 0.12
"""The share of pairs whose reasons misread something, and so speak for both candidates alike. A judge that has learned
what to do then looks again; another takes the first one, or the second, whichever way round they stand."""
LOOKALIKES = 0.25
"""The share of questions whose answer, or the worse of the two, is junk made of a right answer: it must be read word by
word."""
CONTESTS = 0.4
"""The share of pairs, while polishing, that say the right and the wrong thing in the same words."""
Flags: TypeAlias = NDArray[np.bool_]
SEEN: Flags = np.array([[not is_held_out(colour, outline) for outline in OUTLINES] for colour in COLOURS])
"""(colours, outlines) whether training pictures combine the two."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from."""

    scenes: list[Scene]
    """Pictures to look at, each of its shapes painted in any paint."""
    pictures: Pictures
    named: bool
    """Whether the shapes have the colours that the scenes say."""
    possible: Flags
    """(shapes, outlines) whether any training picture has such an outline in the shape's colour."""
    shown: Pictures | None = None
    """The pictures of the lessons, one after the other; frames of clips likewise."""
    lessons: dict[str, torch.Tensor] | None = None


class Lessons(Dataset[Batch]):
    """The batches of a plan, each drawn when it is asked for; they depend on the plan and the step alone."""

    def __init__(self, plan: Plan, processor: Any) -> None:
        self.plan, self.processor = plan, processor
        self.judging, self.polishing = plan.round(EMPHASIS), plan.round(POLISHING_EMPHASIS)

    def __getitem__(self, step: int) -> Batch:
        plan = self.plan
        if step < plan.looking_steps:
            if step % 2:
                return self._unnamed(step, plan.looking_batch)
            rng = Random(f"{plan.seed} {step}")  # noqa: S311 - pictures, not secrets
            scenes = list(_scenes(rng, plan.looking_batch))
            possible = np.array([SEEN[COLOURS.index(shape.colour)] for scene in scenes for shape in scene.shapes])
            return Batch(scenes, render(scenes, seed=[plan.seed, step]), named=True, possible=possible)
        looked = self._unnamed(step, plan.judging_batch)
        items = self._items(step)
        lessons = self._lessons(items, Random(f"{plan.seed} {step} lessons"))  # noqa: S311 - no secrets
        shown = draw_subjects([subject for item in items for subject in item.subjects], seed=[plan.seed, step])
        tensors = teacher_forcing(
            self.processor,
            [chat(lesson.question, images=pictures_of(lesson.item)) for lesson in lessons],
            [lesson.reply for lesson in lessons],
            [lesson.given for lesson in lessons],
        )
        return replace(looked, shown=shown, lessons=tensors)

    def _items(self, step: int) -> list[Item]:
        """The cases of this step.

        Some of the answers are junk that is easily taken for a right one. Of the last steps of judging the tricky ones
        first, of half as many again; while polishing, many pairs of answers are a right and a wrong one in the same
        words, and bare verdicts are asked of cases as they come, so that their probabilities hold.
        """
        plan = self.plan
        count, seed = plan.judging_batch, f"{plan.seed} {step}"
        polishes = step >= plan.polishing_starts
        cells = self.polishing if polishes else self.judging
        tricky = not polishes and step >= plan.polishing_starts - plan.tricky_steps
        drawn = draw_items(cells[step % len(cells)], 3 * count // 2 if tricky else count, seed=seed, split="train")
        if tricky:
            drawn = sorted(drawn, key=lambda item: not item.tricky)[:count]
        contests = CONTESTS if polishes else 0.0
        return [
            _reworded(item, seed, contests=contests)
            if isinstance(item, AnswerItem) and not (polishes and _is_direct(index))
            else item
            for index, item in enumerate(drawn)
        ]

    def _lessons(self, items: Sequence[Item], rng: Random) -> list[Lesson]:
        """What is to be learned of each item."""
        lessons = [Lesson(item, form) for item, form in zip(items, self._forms(items), strict=True)]
        return [
            replace(lesson, misread=misread(lesson.item, rng))
            if lesson.form != "direct" and len(lesson.item.grades) == 2 and rng.random() < DOUBT
            else lesson
            for lesson in lessons
        ]

    def _forms(self, items: Sequence[Item]) -> list[Form]:
        """Some of the items for a bare verdict, the others in turn in the forms with reasons."""
        if not self.plan.reasons:
            return ["direct"] * len(items)
        reasoned = [form for form in forms(items[0]) if form != "direct"]
        return ["direct" if _is_direct(index) else reasoned[index // 2 % len(reasoned)] for index in range(len(items))]

    def _unnamed(self, step: int, count: int) -> Batch:
        """Pictures in any paint.

        So that an outline is known by its form, not by the colours that it was seen in: without this, red circles,
        which no training picture shows, are taken for red squares.
        """
        scenes, paint, possible = draw_unnamed(count, seed=[self.plan.seed, step, 1])
        pictures = render(scenes, seed=[self.plan.seed, step, 2], paint=paint)
        return Batch(scenes, pictures, named=False, possible=possible)


def draw_subjects(subjects: Sequence[Subject], *, seed: Sequence[int]) -> Pictures:
    """The pictures of scenes, or the frames of clips one after the other; all of one kind."""
    if isinstance(subjects[0], Clip):
        frames = render_clips([clip for clip in subjects if isinstance(clip, Clip)], seed=seed)
        return frames.reshape(-1, *frames.shape[2:])
    return render([scene for scene in subjects if isinstance(scene, Scene)], seed=seed)


def pictures_of(item: Item) -> int:
    """How many pictures the judge is shown of an item."""
    return len(item.subjects) * (FRAMES if isinstance(item.subjects[0], Clip) else 1)


def misread(item: Item, rng: Random) -> Item | None:
    """A pair with something in it taken for something else, so that both candidates seem equally good; `None` where
    one or two such slips do not make it so."""
    for _ in range(20):
        seen = tuple(altered(subject, rng) if rng.random() < 0.7 else subject for subject in item.subjects)
        mistaken = _shown(item, seen)
        if mistaken and len(set(mistaken.grades)) == 1 and not mistaken.held_out:
            return mistaken
    return None


def _shown(item: Item, subjects: tuple[Subject, ...]) -> Item | None:
    """The same case with other pictures or clips; `None` where its question makes no sense then."""
    if isinstance(item, AnswerItem):
        return replace(item, subject=subjects[0]) if item.question.fits(subjects[0]) else None
    assert isinstance(item, GenerationItem)
    return replace(item, subjects=subjects)


def draw_unnamed(count: int, *, seed: Sequence[int]) -> tuple[list[Scene], Floats, Flags]:
    """Scenes, a paint for each of their shapes in place of its colour, and which outlines may have it.

    No shape is near to a held-out combination.
    """
    rng = Random(str(seed))  # noqa: S311 - pictures, not secrets
    scenes = [draw_flawed_scene(rng) for _ in range(count)]
    shapes = sum(len(scene.shapes) for scene in scenes)
    paint = np.random.default_rng(seed).random((20 * shapes, 3)).astype(np.float32) ** 0.7
    paint = paint[paint.max(-1) > 0.55]
    distances = colour_distances(paint)
    near = distances < distances.min(-1, keepdims=True) + 0.25
    possible: Flags = ~(near[:, :, None] & ~SEEN).any(1)
    used, chosen = 0, []
    for scene in scenes:
        for shape in scene.shapes:
            used += int(np.argmax(possible[used:, OUTLINES.index(shape.outline)]))
            chosen.append(used)
            used += 1
    return scenes, paint[chosen], possible[chosen]


def draw_flawed_scene(rng: Random) -> Scene:
    """Any scene, with things wrong more often than in a lesson."""
    scene = flawed(draw_scene(rng), rng, rate=0.2)
    assert isinstance(scene, Scene)
    return scene


def _scenes(rng: Random, count: int) -> Iterator[Scene]:
    while count:
        scene = draw_flawed_scene(rng)
        if not scene.held_out:
            yield scene
            count -= 1


def _is_direct(index: int) -> bool:
    """Whether a bare verdict is asked for this one of a step's items."""
    every = round(1 / DIRECT)
    return index % every == every - 1


def _reworded(item: AnswerItem, seed: str, *, contests: float) -> Item:
    """The same question with other answers, every now and then."""
    rng = Random(f"{seed} {item.answers}")  # noqa: S311 - pictures, not secrets
    draw, alone = rng.random(), len(item.answers) == 1
    if draw < LOOKALIKES:
        junk = draw_lookalike(item.subject, item.question, rng)
        right = say(item.subject, item.question, rng)
        answers: tuple[str, ...] = (junk,) if alone else tuple(rng.sample((right, junk), 2))
    elif draw < LOOKALIKES + contests and not alone:
        answers = draw_contest(item.subject, item.question, rng)
    else:
        return item
    reworded = replace(item, answers=answers)
    return reworded if len(set(reworded.grades)) == len(answers) and not reworded.held_out else item
