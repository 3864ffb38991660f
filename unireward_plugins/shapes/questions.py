"""Captions of scenes, questions about them, and the exact grade of an answer.

An answer is graded by a small grammar that knows the ways to say it ("red", "It is red.", "a red circle", "The circle
is red."), and takes nothing else: what is repeated, listed, hedged, cut off or beside the question is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from unireward_plugins.shapes.scene import ATTRIBUTES, COLOURS, OUTLINES, SIZES, Attribute, Scene, Shape

Grade: TypeAlias = Literal[1, 3, 5]
"""How good a candidate is: 5 right, 3 half right, 1 wrong."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about the one shape of a scene."""

    text: str
    attribute: Attribute
    """What it asks about."""
    value: str | None = None
    """Where given, the question is whether the attribute has this value: yes or no."""

    def right_answer(self, shape: Shape) -> str:
        """The shortest right answer about a shape: "red", "circle", "small", "yes"."""
        true = shape.attributes[self.attribute]
        return true if self.value is None else "yes" if self.value == true else "no"


def _questions() -> tuple[Question, ...]:
    asked: Mapping[Attribute, tuple[str, ...]] = {
        "colour": ("What colour is the shape?", "Which colour do you see?"),
        "outline": ("What shape is it?", "Which shape do you see?"),
        "size": ("How big is the shape?", "Is the shape small or large?"),
    }
    open_questions = [Question(text, attribute) for attribute, texts in asked.items() for text in texts]
    yes_or_no = [
        Question(
            f"Is it {article(value)} {value}?" if attribute == "outline" else f"Is the shape {value}?", attribute, value
        )
        for attribute, values in ATTRIBUTES.items()
        for value in values
    ]
    return (*open_questions, *yes_or_no)


def article(word: str) -> str:
    """The indefinite article of a word."""
    return "an" if word[0] in "aeiou" else "a"


def caption(shape: Shape) -> str:
    """What a picture is asked to show: colour and outline."""
    return f"{article(shape.colour)} {shape.colour} {shape.outline}"


def grade_picture(wanted: Shape, shown: Shape | None) -> Grade:
    """How well a picture of `shown` fits `caption(wanted)`: 5 with both attributes, 3 with one, 1 with none.

    `None` is a picture that shows no shape.
    """
    if shown is None:
        return 1
    hits = (wanted.colour == shown.colour) + (wanted.outline == shown.outline)
    return 5 if hits == 2 else 3 if hits == 1 else 1


@dataclass(frozen=True, slots=True)
class Claim:
    """What a well-formed answer says of the shape."""

    facts: tuple[tuple[Attribute, str], ...]
    """Every attribute and value that it names, in order."""
    says_yes: bool | None = None
    """Whether it opens with yes or with no; `None` where with neither."""
    denies: tuple[Attribute, str] | None = None
    """What it says that the shape is not, as in "no, it is not red"."""

    def __str__(self) -> str:
        opening = [] if self.says_yes is None else ["yes" if self.says_yes else "no"]
        denied = [] if self.denies is None else [f"not {self.denies[1]}"]
        return " ".join([*opening, *denied, *dict.fromkeys(value for _, value in self.facts)])


def grade_answer(scene: Scene, question: Question, answer: str) -> Grade:
    """5 for a right answer; 3 for one that is right on what was asked and wrong on something else; 1 for any other."""
    claim = read_answer(answer)
    if claim is None:
        return 1
    true = scene.shape.attributes
    if question.value is None:
        named = {value for attribute, value in claim.facts if attribute == question.attribute}
        hit = claim.says_yes is None and claim.denies is None and named == {true[question.attribute]}
    else:
        hit = claim.says_yes is (true[question.attribute] == question.value)
        hit = hit and claim.denies in (None, (question.attribute, question.value))
    if not hit:
        return 1
    return 5 if all(true[attribute] == value for attribute, value in claim.facts) else 3


def answer_is_right(scene: Scene, question: Question, answer: str) -> bool:
    """Whether an answer says what was asked, says it once, and says nothing that is false or beside the point."""
    return grade_answer(scene, question, answer) == 5


def read_answer(answer: str) -> Claim | None:
    """What an answer claims; `None` for what is not one well-formed answer."""
    match = _ANSWER.fullmatch(" ".join(answer.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()))
    if match is None:
        return None
    facts = [(_ATTRIBUTE_OF[word], word) for word in _VALUE.findall(match["sentence"] or match["bare"] or "")]
    opening, denied = match["opening"], match["denied"]
    if match["negation"] and opening != "no":
        return None
    return Claim(
        facts=tuple(facts),
        says_yes=None if opening is None else opening == "yes",
        denies=None if denied is None else (_ATTRIBUTE_OF[denied], denied),
    )


def _answer_grammar() -> re.Pattern[str]:
    """The ways to say an answer, in lower case with single spaces."""
    size, colour, outline = ("|".join(values) for values in (SIZES, COLOURS, OUTLINES))
    noun = rf"(?:{outline}|shape)"
    described = rf"(?:(?:{size}) )?(?:(?:{colour}) )?{noun}"
    thing = rf"(?:(?:an?|the) )?{described}"
    quality = rf"(?:{size}|{colour}|(?:{size}) (?:and )?(?:{colour}))"
    sentence = "|".join(
        [
            quality,
            rf"(?:(?:it is|it's|this is|i see|there is|the answer is) )?{thing}",
            rf"(?:it is|it's|the answer is|the {described} is) {quality}",
            rf"(?:the colour is|the color is) (?:{colour})",
            rf"the size is (?:{size})",
            rf"the shape is (?:an? )?(?:{outline})",
        ]
    )
    negation = rf"(?:it is not|it's not|it isn't)(?: (?:an? )?(?P<denied>{size}|{colour}|{outline}))?"
    rest = rf"(?P<negation>{negation})|(?:it is)|(?P<sentence>{sentence})"
    return re.compile(rf"(?:(?P<opening>yes|no)(?:[,.] ?(?:{rest}))?|(?P<bare>{sentence}))[.!]?")


_ATTRIBUTE_OF: Mapping[str, Attribute] = {
    value: attribute for attribute, values in ATTRIBUTES.items() for value in values
}
_VALUE = re.compile(rf"\b(?:{'|'.join(_ATTRIBUTE_OF)})\b")
_ANSWER = _answer_grammar()
QUESTIONS: tuple[Question, ...] = _questions()
"""Every question of the world: six open ones, fourteen with yes or no for an answer."""
