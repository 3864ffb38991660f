"""Questions about pictures and clips, and the exact grade of an answer.

What says nothing to the small grammar of answers, or is beside the question, is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from unireward_plugins.shapes.captions import (
    HELD_OUT_RELATIONS,
    NUMBERS,
    RELATIONS,
    Relation,
    article,
    holds,
    plural,
)
from unireward_plugins.shapes.grammar import match_answer
from unireward_plugins.shapes.scene import (
    ACTIONS,
    ATTRIBUTES,
    COLOURS,
    GROUNDS,
    OUTLINES,
    PLACES,
    SIZES,
    Action,
    Clip,
    Outline,
    Scene,
    Shape,
    Subject,
    is_held_out,
)

Topic: TypeAlias = Literal[
    "size",
    "colour",
    "outline",
    "place",
    "count",
    "ground",
    "action",
    "end colour",
    "relation",
    "existence",
]
"""What a question asks for; the last two are asked with yes or no for an answer only."""
VALUES: Mapping[Topic, tuple[str, ...]] = {
    "size": SIZES,
    "colour": COLOURS,
    "outline": OUTLINES,
    "place": PLACES,
    "count": NUMBERS,
    "ground": GROUNDS,
    "action": ACTIONS,
    "end colour": COLOURS,
    "relation": ("yes", "no"),
    "existence": ("yes", "no"),
}
"""What may be true of each."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a picture or a clip."""

    text: str
    attribute: Topic
    """What it asks about."""
    value: str | None = None
    """Where given, the question is whether the attribute has this value: yes or no."""
    about: Outline | None = None
    """The outline of the shape that it asks about; the only shape where not given, or all of them for a count."""
    other: Outline | None = None
    """The outline of the shape to which the relation is."""

    @property
    def held_out(self) -> bool:
        """Whether no training item asks it."""
        match self.attribute:
            case "relation":
                return (self.about, self.value, self.other) in HELD_OUT_RELATIONS
            case "existence":
                assert self.about is not None
                return any(self.value == colour and is_held_out(colour, self.about) for colour in COLOURS)
        return self.text in HELD_OUT_QUESTIONS

    @property
    def answered_as(self) -> Topic:
        """The attribute that an answer names: a colour at the end is a colour like any other."""
        return "colour" if self.attribute == "end colour" else self.attribute

    def fits(self, subject: Subject) -> bool:
        """Whether the question makes sense: it is clear which shape it is about."""
        if isinstance(subject, Clip):
            return self in CLIP_QUESTIONS
        if self in CLIP_QUESTIONS and self not in QUESTIONS:
            return False
        outlines = [shape.outline for shape in subject.shapes]
        if self.attribute in ("count", "existence", "ground"):
            return True
        if self.about is None:
            return len(outlines) == 1
        return all(outlines.count(outline) == 1 for outline in (self.about, self.other) if outline)

    def shape(self, subject: Subject) -> Shape | None:
        """The one shape that it is about; `None` where it is about all of them."""
        if isinstance(subject, Clip):
            return subject.shape
        if self.attribute in ("count", "existence", "ground"):
            return subject.shape if len(subject.shapes) == 1 else None
        return next(shape for shape in subject.shapes if self.about in (None, shape.outline))

    def truth(self, subject: Subject) -> str:
        """The value of what it asks about; of a relation or an existence, whether it is so: yes or no."""
        outlines = [] if isinstance(subject, Clip) else [shape.outline for shape in subject.shapes]
        match self.attribute:
            case "count":
                return NUMBERS[len(outlines) if self.about is None else outlines.count(self.about)]
            case "relation":
                assert isinstance(subject, Scene)
                one, other = (
                    next(shape.place for shape in subject.shapes if shape.outline == outline)
                    for outline in (self.about, self.other)
                )
                return _yes(holds(_relation(self.value), one, other))
            case "existence":
                assert isinstance(subject, Scene)
                return _yes(any((shape.colour, shape.outline) == (self.value, self.about) for shape in subject.shapes))
        return truths(subject, self)[self.attribute]

    def right_answer(self, subject: Subject) -> str:
        """The shortest right answer: "red", "circle", "two", "moves left", "yes"."""
        true = self.truth(subject)
        return true if self.value is None or true in ("yes", "no") else _yes(true == self.value)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a well-formed answer says."""

    facts: tuple[tuple[Topic, str], ...]
    """Every attribute and value that it names, in order."""
    says_yes: bool | None = None
    """Whether it opens with yes or with no; `None` where with neither."""
    denies: tuple[Topic, str] | None = None
    """What it says that the shape is not, as in "no, it is not red"."""

    def __str__(self) -> str:
        opening = [] if self.says_yes is None else ["yes" if self.says_yes else "no"]
        denied = [] if self.denies is None else [f"not {self.denies[1]}"]
        return " ".join([*opening, *denied, *dict.fromkeys(value for _, value in self.facts)])


def truths(subject: Subject, question: Question) -> dict[str, str]:
    """All that may truly be said of the shape that a question is about, or of the whole, by attribute."""
    shape = question.shape(subject)
    known: dict[str, str] = {"ground": subject.ground}
    if shape is not None:
        known |= shape.facts
    if isinstance(subject, Clip):
        del known["place"]  # it may change
        known |= {"action": subject.action, "end colour": subject.end_colour}
    return known


def known(subject: Subject, question: Question) -> dict[str, str]:
    """All that an answer to a question may truly say, by attribute."""
    true = truths(subject, question)
    if question.attribute == "end colour":
        true["colour"] = true["end colour"]
    if question.value is None:
        true[question.answered_as] = question.truth(subject)
    if question.attribute == "existence" and question.truth(subject) == "yes":
        assert question.value is not None
        assert question.about is not None
        true |= {"colour": question.value, "outline": question.about}
    return true


def grade_answer(subject: Subject, question: Question, answer: str) -> int:
    """5 for a right answer; 3 for one that is right on what was asked and wrong on something else; 1 for any other."""
    claim = read_answer(answer)
    if claim is None:
        return 1
    true, asked = known(subject, question), question.answered_as
    if question.value is None:
        named = {value for attribute, value in claim.facts if attribute == asked}
        hit = claim.says_yes is None and claim.denies is None and named == {true[asked]}
    else:
        hit = claim.says_yes is (question.right_answer(subject) == "yes")
        hit = hit and claim.denies in (None, (question.attribute, question.value))
    if not hit or any(attribute not in true for attribute, _ in claim.facts):
        return 1
    return 5 if all(true[attribute] == value for attribute, value in claim.facts) else 3


def answer_is_right(subject: Subject, question: Question, answer: str) -> bool:
    """Whether an answer says what was asked, says it once, and says nothing that is false or beside the point."""
    return grade_answer(subject, question, answer) == 5


def read_answer(answer: str) -> Claim | None:
    """What an answer claims; `None` for what is not one well-formed answer."""
    match = match_answer(answer)
    if match is None:
        return None
    facts = [(_TOPIC_OF[word], word) for word in _VALUE.findall(match["sentence"] or match["bare"] or "")]
    opening, denied = match["opening"], match["denied"]
    if match["negation"] and opening != "no":
        return None
    return Claim(
        facts=tuple(facts),
        says_yes=None if opening is None else opening == "yes",
        denies=None if denied is None else (_TOPIC_OF[denied], denied),
    )


def base_form(action: Action) -> str:
    """The action after "does it": "move left", "stay still", "vanish"."""
    verb, *rest = action.split()
    return " ".join([verb.removesuffix("es") if verb == "vanishes" else verb.removesuffix("s"), *rest])


def _yes(is_so: bool) -> str:  # noqa: FBT001 - the word for it
    return "yes" if is_so else "no"


def _relation(value: str | None) -> Relation:
    return next(relation for relation in RELATIONS if relation == value)


def _questions_about_one() -> tuple[Question, ...]:
    asked: Mapping[Topic, tuple[str, ...]] = {
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


def _questions_about_several() -> tuple[Question, ...]:
    pairs = [(one, other) for one in OUTLINES for other in OUTLINES if one != other]
    return (
        Question("How many shapes are there?", "count"),
        *(Question(f"How many {plural(outline)} are there?", "count", about=outline) for outline in OUTLINES),
        Question("What is the ground like?", "ground"),
        Question("Where is the shape?", "place"),
        *(Question(f"Where is the {outline}?", "place", about=outline) for outline in OUTLINES),
        *(Question(f"What colour is the {outline}?", "colour", about=outline) for outline in OUTLINES),
        *(
            Question(f"Is the {one} {relation} the {other}?", "relation", relation, about=one, other=other)
            for one, other in pairs
            for relation in RELATIONS
        ),
        *(
            Question(f"Is there {article(colour)} {colour} {outline}?", "existence", colour, about=outline)
            for colour in COLOURS
            for outline in OUTLINES
        ),
    )


def _questions_about_clips() -> tuple[Question, ...]:
    return (
        Question("What does the shape do?", "action"),
        Question("What happens?", "action"),
        Question("What colour is the shape at the end?", "end colour"),
        Question("What shape is it?", "outline"),
        *(Question(f"Does it {base_form(action)}?", "action", action) for action in ACTIONS),
    )


_TOPIC_OF: Mapping[str, Topic] = {
    value: topic
    for topic, values in VALUES.items()
    if topic not in ("end colour", "relation", "existence")
    for value in values
}
_VALUE = re.compile(rf"\b(?:{'|'.join(sorted(_TOPIC_OF, key=len, reverse=True))})\b")
QUESTIONS: tuple[Question, ...] = _questions_about_one()
"""The questions about a picture of one shape: six open ones, fourteen with yes or no for an answer."""
SCENE_QUESTIONS: tuple[Question, ...] = _questions_about_several()
"""The questions about a picture of one to three shapes: where, how many, how they lie."""
CLIP_QUESTIONS: tuple[Question, ...] = _questions_about_clips()
"""The questions about a clip."""
HELD_OUT_QUESTIONS = frozenset({"How many crosses are there?", "Where is the triangle?", "Does it move up?"})
"""What no training item asks, beside the held-out relations and combinations."""
