"""Draws answers to questions: right ones in many phrasings, wrong ones, and the junk that a policy tries for reward."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import TypeVar

from unireward_plugins.shapes.questions import QUESTIONS, Question, article
from unireward_plugins.shapes.scene import ATTRIBUTES, COLOURS, OUTLINES, SIZES, Attribute, Shape

Value = TypeVar("Value")

_WORDS: tuple[str, ...] = (
    *(*SIZES, *COLOURS, *OUTLINES, "shape", "yes", "no", "colour", "size", "question", "answer", "picture", "image"),
    *("a", "an", "the", "it", "is", "this", "that", "and", "or", "not", "I", "see", "there", "of", "in", "on", "to"),
    *("right", "good", "best", "correct", "true", "score", "final", "1", "2", "3", "4", "5", "what", "which", "do"),
    *("you", "maybe", "very", "thing", "dog", "cat", "sky", "hello", "because"),
)
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "colour": (
        *("{colour}", "{colour}", "it is {colour}", "it's {colour}", "the shape is {colour}", "the colour is {colour}"),
        *("the {outline} is {colour}", "{a_colour} {outline}", "{colour} {outline}", "a {size} {colour} {outline}"),
        *("it is {a_colour} {outline}", "the answer is {colour}", "{a_colour} shape", "I see {a_colour} {outline}"),
        "{size} {colour}",
    ),
    "outline": (
        *("{outline}", "{outline}", "a {outline}", "it is a {outline}", "it's a {outline}", "the shape is a {outline}"),
        *("{a_colour} {outline}", "{colour} {outline}", "a {size} {outline}", "a {size} {colour} {outline}"),
        *("it is {a_colour} {outline}", "the answer is a {outline}", "this is a {outline}", "I see a {outline}"),
    ),
    "size": (
        *(
            "{size}",
            "{size}",
            "it is {size}",
            "it's {size}",
            "the shape is {size}",
            "the size is {size}",
            "a {size} shape",
        ),
        *("the {outline} is {size}", "a {size} {outline}", "{size} {outline}", "a {size} {colour} {outline}"),
        *(
            "it is a {size} {outline}",
            "the answer is {size}",
            "the {colour} {outline} is {size}",
            "{size} and {colour}",
        ),
    ),
    "yes": (
        *("yes", "yes", "yes, it is", "yes, it is {quality}", "yes, it is {a_colour} {outline}"),
        "yes, the shape is {quality}",
    ),
    "no": (
        *("no", "no", "no, it is not", "no, it isn't", "no, it is not {denied}", "no, it is {quality}"),
        *("no, it is {a_colour} {outline}", "no, the shape is {quality}"),
    ),
}


def say(shape: Shape, question: Question, rng: Random) -> str:
    """One way to answer the question as if the picture showed `shape`."""
    attributes = shape.attributes
    if question.value is None:
        template = rng.choice(_TEMPLATES[question.attribute])
    else:
        template = rng.choice(_TEMPLATES["yes" if attributes[question.attribute] == question.value else "no"])
    value, denied = attributes[question.attribute], question.value or ""
    is_noun = question.attribute == "outline"
    text = template.format(
        **attributes,
        a_colour=f"{article(shape.colour)} {shape.colour}",
        quality=f"a {value}" if is_noun else value,
        denied=f"a {denied}" if is_noun else denied,
    )
    return _written(text, rng)


def draw_answer(shape: Shape, question: Question, rng: Random) -> str:
    """An answer to a question about a picture of `shape`: right, wrong, half right, off the topic, or junk.

    What it is worth is for `questions.grade_answer` to say.
    """
    draw = rng.random()
    if draw < 0.34:
        return say(shape, question, rng)
    if draw < 0.54:
        return say(_with_another(shape, question.attribute, rng), question, rng)
    if draw < 0.64:
        others = [name for name in ATTRIBUTES if name != question.attribute]
        false_detail = _with_another(shape, rng.choice(others), rng)
        return max((say(false_detail, question, rng) for _ in range(4)), key=len)  # the longest names the most details
    if draw < 0.72:
        return say(shape, rng.choice(QUESTIONS), rng)
    return rng.choice(_JUNK)(shape, question, rng)


def mentions_held_out(text: str) -> bool:
    """Whether a text names a held-out combination, its colour directly before its outline."""
    words = re.findall(r"[a-z]+", text.lower())
    return any(
        first in COLOURS and second in OUTLINES and Shape(second, first, "small").held_out
        for first, second in pairwise(words)
    )


def _with_another(shape: Shape, attribute: Attribute, rng: Random) -> Shape:
    """The same shape but for one attribute."""
    match attribute:
        case "size":
            return replace(shape, size=_another(SIZES, shape.size, rng))
        case "colour":
            return replace(shape, colour=_another(COLOURS, shape.colour, rng))
        case "outline":
            return replace(shape, outline=_another(OUTLINES, shape.outline, rng))


def _another(values: tuple[Value, ...], value: Value, rng: Random) -> Value:
    return rng.choice([other for other in values if other != value])


def _written(text: str, rng: Random) -> str:
    """The text with or without a capital letter, a full stop and space around it."""
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    before, after = (" " if rng.random() < 0.1 else "" for _ in range(2))
    return before + text + rng.choice(("", ".")) + after


def _empty(_shape: Shape, _question: Question, rng: Random) -> str:
    return rng.choice(("", " ", ".", "?", "...", "\n"))


def _repeated(shape: Shape, question: Question, rng: Random) -> str:
    """A right answer, said several times over."""
    return rng.choice((" ", ", ", ". ", "")).join([say(shape, question, rng)] * rng.randint(2, 5))


def _several(shape: Shape, question: Question, rng: Random) -> str:
    """The right value among others: a list, a hedge, or all of them."""
    values = list(ATTRIBUTES[question.attribute]) if question.value is None else ["yes", "no"]
    chosen = rng.sample(values, rng.randint(2, len(values)))
    right = shape.attributes[question.attribute]
    if question.value is None and right not in chosen and rng.random() < 0.7:
        chosen[rng.randrange(len(chosen))] = right
    return _written(rng.choice((" ", ", ", " or ", " and ", "/")).join(chosen), rng)


def _words(_shape: Shape, _question: Question, rng: Random) -> str:
    """Words in no order."""
    return " ".join(rng.choices(_WORDS, k=rng.randint(1, 10)))


def _world_words(shape: Shape, question: Question, rng: Random) -> str:
    """Words of the world in no order, the right ones more often than not among them."""
    words = rng.choices([*SIZES, *COLOURS, *OUTLINES, "a", "it", "is", "the", "yes", "no"], k=rng.randint(1, 6))
    return " ".join([*words, question.right_answer(shape)][:: rng.choice((1, -1))])


def _letters(_shape: Shape, _question: Question, rng: Random) -> str:
    """Random characters."""
    return "".join(rng.choices(string.ascii_letters + string.digits + string.punctuation + "   ", k=rng.randint(1, 16)))


def _rambling(shape: Shape, question: Question, rng: Random) -> str:
    """A right answer with something before or after it that does not belong there."""
    noise = [_words, _letters, _world_words, _several, _claimed, _echo]
    parts = [say(shape, question, rng), rng.choice(noise)(shape, question, rng)]
    return rng.choice((" ", ". ", ", ")).join(parts[:: rng.choice((1, 1, -1))])


def _cut_off(shape: Shape, question: Question, rng: Random) -> str:
    """The beginning, or the end, of a right answer."""
    words = say(shape, question, rng).split()
    cut = rng.randint(1, len(words))
    return " ".join(words[:cut] if rng.random() < 0.7 else words[-cut:])


def _shuffled(shape: Shape, question: Question, rng: Random) -> str:
    """The words of a right answer, in another order."""
    words = say(shape, question, rng).split()
    return " ".join(rng.sample(words, len(words)))


def _echo(_shape: Shape, question: Question, rng: Random) -> str:
    """The question again."""
    return rng.choice((question, rng.choice(QUESTIONS))).text


def _claimed(_shape: Shape, _question: Question, rng: Random) -> str:
    """Praise of itself in place of an answer."""
    subject = rng.choice(("the answer", "this answer", "it", "answer 1", "answer 2", "that"))
    text = f"{subject} is {rng.choice(('right', 'correct', 'good', 'the best', 'true', 'better', 'clear'))}"
    return _written(rng.choice((text, text, f"final score: {rng.randint(1, 5)}", "5", "I do not know", "correct")), rng)


_JUNK: tuple[Callable[[Shape, Question, Random], str], ...] = (
    *(_empty, _repeated, _several, _words, _world_words, _letters),
    *(_rambling, _cut_off, _shuffled, _echo, _claimed),
)
