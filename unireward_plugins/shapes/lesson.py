"""What the tiny judge is taught: for each labelled case the reply that it should give, reasons first, verdict last."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unireward_plugins.media import Media
from unireward_plugins.shapes.data import CELLS, AnswerItem, Item, PictureItem, draw_items
from unireward_plugins.shapes.questions import read_answer
from unireward_plugins.shapes.rubrics import RUBRIC_OF

_BLANK = Media.of(np.zeros((8, 8, 3), np.uint8))


def question_about(item: Item) -> str:
    """The text that the judge is asked about an item, after its pictures: what the rubric makes of the case."""
    return RUBRIC_OF[item.cell].query(item.case([_BLANK] * len(item.scenes))).text


def vocabulary(items_per_cell: int = 4000) -> Iterator[str]:
    """Texts that hold every word of the lessons as often as the lessons do, to fit a tokenizer to."""
    for cell in CELLS.values():
        for item in draw_items(cell, items_per_cell, seed="vocabulary", split="train"):
            yield question_about(item)
            yield reply_to(item)


def reply_to(item: Item) -> str:
    """The reply that the judge should give, in the form of UnifiedReward v1.

    It describes what it sees and what the candidates say before it judges: without that, a model of this size does not
    learn to judge at all.
    """
    match item:
        case PictureItem(scenes=[scene]):
            return f"I see {scene}. Final Score: {item.grades[0]}"
        case PictureItem():
            seen = [
                f"Image {number} shows {scene}: {grade}."
                for number, (scene, grade) in enumerate(zip(item.scenes, item.grades, strict=True), start=1)
            ]
            return f"{' '.join(seen)} Image {_winner(item)} is better"
        case AnswerItem(answers=[answer]):
            return f"{_seen(item)} The answer says {_gist(answer)}. Final Score: {item.grades[0]}"
        case AnswerItem():
            said = [
                f"Answer {number} says {_gist(answer)}: {grade}."
                for number, (answer, grade) in enumerate(zip(item.answers, item.grades, strict=True), start=1)
            ]
            return f"{_seen(item)} {' '.join(said)} Answer {_winner(item)} is better"
    raise TypeError(f"no reply is known to {item!r}")


def _winner(item: Item) -> int:
    """The number of the better candidate, from 1."""
    return 1 + item.grades.index(max(item.grades))


def _seen(item: AnswerItem) -> str:
    """What the picture shows, and what follows for the question."""
    question, shape = item.question, item.scene.shape
    true = shape.attributes[question.attribute]
    answer = f"a {true}" if question.attribute == "outline" else true
    conclusion = "" if question.value is None else f", so {question.right_answer(shape)}"
    return f"I see {item.scene}. It is {answer}{conclusion}."


def _gist(answer: str) -> str:
    """What an answer claims, in few words."""
    claim = read_answer(answer)
    return "nothing clear" if claim is None else str(claim)
