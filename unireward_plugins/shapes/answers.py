"""Draws answers to questions: right ones in many phrasings, wrong ones, and the junk that a policy tries for reward."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from random import Random

from unireward_plugins.shapes.captions import NUMBERS, article
from unireward_plugins.shapes.draws import another
from unireward_plugins.shapes.questions import CLIP_QUESTIONS, QUESTIONS, SCENE_QUESTIONS, VALUES, Question
from unireward_plugins.shapes.scene import (
    ATTRIBUTES,
    COLOURS,
    OUTLINES,
    PLACES,
    SIZES,
    Attribute,
    Clip,
    Shape,
    Subject,
    is_held_out,
)

_LITTLE_WORDS = (
    "a",
    "it",
    "is",
    "the",
    "yes",
    "no",
    "top",
    "left",
    "right",
    "bottom",
    "moves",
    "turns",
    "dark",
    "light",
)

_WORDS: tuple[str, ...] = (
    *(
        *SIZES,
        *COLOURS,
        *OUTLINES,
        *NUMBERS,
        *PLACES,
        "shape",
        "yes",
        "no",
        "colour",
        "size",
        "question",
        "answer",
        "picture",
        "image",
    ),
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
    "place": ("{value}", "it is at the {value}", "at the {value}", "in the {value}", "the answer is {value}"),
    "count": ("{value}", "{value}", "there are {value}", "the answer is {value}", "I see {value}"),
    "ground": ("{value}", "{value}", "it is {value}", "the ground is {value}", "the answer is {value}"),
    "action": ("{value}", "{value}", "it {value}", "it {value}", "the shape {value}", "the {outline} {value}"),
    "end colour": ("{value}", "it is {value}", "the answer is {value}", "the colour is {value}", "it's {value}"),
    "yes": (
        *("yes", "yes", "yes, it is", "yes, it is {quality}", "yes, it is {a_colour} {outline}"),
        "yes, the shape is {quality}",
    ),
    "no": (
        *("no", "no", "no, it is not", "no, it isn't", "no, it is not {denied}", "no, it is {quality}"),
        *("no, it is {a_colour} {outline}", "no, the shape is {quality}"),
    ),
    "yes, relation": ("yes", "yes", "yes, it is"),
    "no, relation": ("no", "no", "no, it is not", "no, it isn't"),
    "yes, existence": ("yes", "yes", "yes, there is"),
    "no, existence": ("no", "no", "no, there is not", "no, there isn't"),
    "yes, action": ("yes", "yes", "yes, it does", "yes, it {value}"),
    "no, action": ("no", "no", "no, it does not", "no, it doesn't", "no, it {value}"),
}


def say(subject: Subject, question: Question, rng: Random) -> str:
    """One way to answer the question rightly."""
    return _phrased(question, question.truth(subject), question.shape(subject), rng)


def draw_answer(subject: Subject, question: Question, rng: Random) -> str:
    """An answer to a question about a picture or clip: right, wrong, half right, off the topic, or junk.

    What it is worth is for `questions.grade_answer` to say.
    """
    draw = rng.random()
    if draw < 0.34:
        return say(subject, question, rng)
    if draw < 0.54:
        return _say_wrong(subject, question, rng)
    if draw < 0.64 and question.attribute in ATTRIBUTES:
        return _say_with_false_detail(subject, question, rng)
    if draw < 0.72:
        return say(subject, rng.choice(_askable(subject)), rng)
    return rng.choice(_JUNK)(subject, question, rng)


def draw_contest(subject: Subject, question: Question, rng: Random) -> tuple[str, str]:
    """A right answer and a wrong one in the same words but for what they claim, in either order."""
    shape, true = question.shape(subject), question.truth(subject)
    false = another(VALUES[question.attribute], true, rng)
    words = rng.random()
    said = [_phrased(question, value, shape, Random(words)) for value in (true, false)]  # noqa: S311
    rng.shuffle(said)
    return said[0], said[1]


def draw_lookalike(subject: Subject, question: Question, rng: Random) -> str:
    """Junk that is made of a right answer, or holds it."""
    return rng.choice(_LOOKALIKES)(subject, question, rng)


def _phrased(question: Question, true: str, shape: Shape | None, rng: Random) -> str:
    """An answer that says that the attribute asked about is `true`, of a shape that may be described."""
    attribute = question.attribute
    if question.value is None:
        template = rng.choice(_TEMPLATES[attribute])
    elif attribute in ("relation", "existence"):
        template = rng.choice(_TEMPLATES[f"{true}, {attribute}"])
    else:
        opening = "yes" if true == question.value else "no"
        template = rng.choice(_TEMPLATES[opening if attribute in ATTRIBUTES else f"{opening}, {attribute}"])
    denied = question.value or ""
    is_noun = attribute == "outline"
    described = {} if shape is None else {**shape.facts, attribute: true}
    if shape is not None:
        described["a_colour"] = f"{article(described['colour'])} {described['colour']}"
    text = template.format(
        **described,
        value=true,
        quality=f"a {true}" if is_noun else true,
        denied=f"a {denied}" if is_noun else denied,
    )
    return _written(text, rng)


def _say_wrong(subject: Subject, question: Question, rng: Random) -> str:
    """A well-formed answer that claims another value."""
    true, shape = question.truth(subject), question.shape(subject)
    values = VALUES[question.attribute]
    other = another(values, true, rng)
    if question.value is not None and question.value != true and question.value in values and rng.random() < 0.8:
        other = question.value
    return _phrased(question, other, shape, rng)


def _say_with_false_detail(subject: Subject, question: Question, rng: Random) -> str:
    """An answer that is right on what was asked and wrong on something else."""
    shape = question.shape(subject)
    assert shape is not None
    attribute = rng.choice([name for name in ATTRIBUTES if name != question.attribute])
    false = _with_another(shape, attribute, rng)
    true = question.truth(subject)
    said = (_phrased(question, true, false, rng) for _ in range(4))
    return max(said, key=len)  # the longest names the most details


def _askable(subject: Subject) -> list[Question]:
    asked = CLIP_QUESTIONS if isinstance(subject, Clip) else (*QUESTIONS, *SCENE_QUESTIONS)
    return [question for question in asked if question.fits(subject)]


def mentions_held_out(text: str) -> bool:
    """Whether a text names a held-out combination, its colour directly before its outline."""
    words = re.findall(r"[a-z]+", text.lower())
    return any(
        first in COLOURS and second in OUTLINES and is_held_out(first, second) for first, second in pairwise(words)
    )


def _with_another(shape: Shape, attribute: Attribute, rng: Random) -> Shape:
    """The same shape but for one attribute."""
    match attribute:
        case "size":
            return replace(shape, size=another(SIZES, shape.size, rng))
        case "colour":
            return replace(shape, colour=another(COLOURS, shape.colour, rng))
        case "outline":
            return replace(shape, outline=another(OUTLINES, shape.outline, rng))


def _written(text: str, rng: Random) -> str:
    """The text with or without a capital letter, a full stop and space around it."""
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    before, after = (" " if rng.random() < 0.1 else "" for _ in range(2))
    return before + text + rng.choice(("", ".")) + after


def _empty(_subject: Subject, _question: Question, rng: Random) -> str:
    return rng.choice(("", " ", ".", "?", "...", "\n"))


def _repeated(subject: Subject, question: Question, rng: Random) -> str:
    """A right answer, said several times over."""
    return rng.choice((" ", ", ", ". ", "")).join([say(subject, question, rng)] * rng.randint(2, 5))


def _several(subject: Subject, question: Question, rng: Random) -> str:
    """The right value among others: a list, a hedge, or all of them."""
    values = list(VALUES[question.attribute]) if question.value is None else ["yes", "no"]
    chosen = rng.sample(values, rng.randint(2, min(len(values), 8)))
    right = question.right_answer(subject)
    if question.value is None and right not in chosen and rng.random() < 0.7:
        chosen[rng.randrange(len(chosen))] = right
    return _written(rng.choice((" ", ", ", " or ", " and ", "/")).join(chosen), rng)


def _words(_subject: Subject, _question: Question, rng: Random) -> str:
    """Words in no order."""
    return " ".join(rng.choices(_WORDS, k=rng.randint(1, 10)))


def _world_words(subject: Subject, question: Question, rng: Random) -> str:
    """Words of the world in no order, the right ones more often than not among them."""
    words = rng.choices([*SIZES, *COLOURS, *OUTLINES, *NUMBERS, *_LITTLE_WORDS], k=rng.randint(1, 6))
    return " ".join([*words, question.right_answer(subject)][:: rng.choice((1, -1))])


def _letters(_subject: Subject, _question: Question, rng: Random) -> str:
    """Random characters."""
    return "".join(rng.choices(string.ascii_letters + string.digits + string.punctuation + "   ", k=rng.randint(1, 16)))


def _rambling(subject: Subject, question: Question, rng: Random) -> str:
    """A right answer with something before or after it that does not belong there."""
    noise = [_words, _letters, _world_words, _several, _claimed, _echo]
    parts = [say(subject, question, rng), rng.choice(noise)(subject, question, rng)]
    return rng.choice((" ", ". ", ", ")).join(parts[:: rng.choice((1, 1, -1))])


def _cut_off(subject: Subject, question: Question, rng: Random) -> str:
    """The beginning, or the end, of a right answer."""
    words = say(subject, question, rng).split()
    cut = rng.randint(1, len(words))
    return " ".join(words[:cut] if rng.random() < 0.7 else words[-cut:])


def _shuffled(subject: Subject, question: Question, rng: Random) -> str:
    """The words of a right answer, in another order."""
    words = say(subject, question, rng).split()
    return " ".join(rng.sample(words, len(words)))


def _echo(_subject: Subject, question: Question, rng: Random) -> str:
    """The question again."""
    return rng.choice((question, rng.choice((*QUESTIONS, *SCENE_QUESTIONS, *CLIP_QUESTIONS)))).text


def _claimed(_subject: Subject, _question: Question, rng: Random) -> str:
    """Praise of itself in place of an answer."""
    subject = rng.choice(("the answer", "this answer", "it", "answer 1", "answer 2", "that"))
    text = f"{subject} is {rng.choice(('right', 'correct', 'good', 'the best', 'true', 'better', 'clear'))}"
    return _written(rng.choice((text, text, f"final score: {rng.randint(1, 5)}", "5", "I do not know", "correct")), rng)


_JUNK: tuple[Callable[[Subject, Question, Random], str], ...] = (
    *(_empty, _repeated, _several, _words, _world_words, _letters),
    *(_rambling, _cut_off, _shuffled, _echo, _claimed),
)
_LOOKALIKES: tuple[Callable[[Subject, Question, Random], str], ...] = (
    *(_repeated, _several, _world_words, _rambling, _cut_off, _shuffled),
)
