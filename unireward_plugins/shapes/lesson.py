"""What the tiny judge is taught: for each labelled case the reply that it should give, reasons first, verdict last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from unireward_plugins.media import Media
from unireward_plugins.rubrics import Rubric
from unireward_plugins.shapes.captions import Caption, assigned, misses
from unireward_plugins.shapes.data import CELLS, AnswerItem, GenerationItem, Item, draw_items
from unireward_plugins.shapes.questions import Question, known, read_answer
from unireward_plugins.shapes.rubrics import DIMENSIONS, NOUNS, RUBRIC_OF, THINK
from unireward_plugins.shapes.scene import Clip, Scene, Shape, Subject

Form: TypeAlias = Literal["v1", "2.0", "think", "direct"]
"""How a reply is written: as UnifiedReward v1 does, with the dimension lines of 2.0, with the tags of Think, or as the
bare verdict of v1, whose probability is what a likelihood reads."""

QUOTED = 48
"""How many characters of an answer are said again before it is judged: those of every answer that may be right."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the judge is asked about an item, and what it should reply."""

    item: Item
    form: Form = "v1"
    misread: Item | None = None
    """What the reasons take the item for, where that is something else. They are given then: what is to be learned is
    only to judge rightly all the same."""

    @property
    def rubric(self) -> Rubric:
        """What it is asked by."""
        match self.form:
            case "2.0":
                return DIMENSIONS[self.item.cell]
            case "think":
                return THINK[self.item.cell]
        return RUBRIC_OF[self.item.cell]

    @property
    def question(self) -> str:
        """The text after the pictures: what the rubric makes of the case."""
        item = self.item
        blank = _BLANK_CLIP if item.cell[0].startswith("video") else _BLANK
        return self.rubric.query(item.case([blank] * len(item.subjects))).text

    @property
    def given(self) -> str:
        """The beginning of the reply that is there already: where a likelihood is read, all but the verdict."""
        if self.form == "direct":
            assert self.rubric.slot is not None
            return self.rubric.slot.prefill
        return self.reply.rpartition(_verdict(self.item))[0] if self.misread else ""

    @property
    def reply(self) -> str:
        """The reply that it should give.

        It says what it sees, what the candidates say and what of that is wrong before it judges: without that, a model
        of this size does not learn to judge well.
        """
        if self.form == "direct":
            return _verdict(self.item)
        reasons = _reasons(self.misread or self.item)
        if self.form == "think":
            return f"<think>{reasons}</think>\n<answer>{_verdict(self.item)}</answer>"
        if self.form == "2.0":
            assert isinstance(self.item, GenerationItem)
            (found,) = self.item.dimensions
            second = "Physics" if self.item.cell[0].startswith("video") else "Coherence"
            scores = ("Alignment", found.alignment), (second, found.coherence), ("Style", found.style)
            return "\n".join([reasons, *(f"{name} Score (1-5): {score}" for name, score in scores)])
        return f"{reasons} {_verdict(self.item)}"


def vocabulary(items_per_cell: int = 3000) -> Iterator[str]:
    """Texts that hold every word of the lessons as often as the lessons do, to fit a tokenizer to."""
    for cell in CELLS.values():
        for number, item in enumerate(draw_items(cell, items_per_cell, seed="vocabulary", split="train")):
            lesson = Lesson(item, forms(item)[number % len(forms(item))])
            yield lesson.question
            yield lesson.reply


def forms(item: Item) -> tuple[Form, ...]:
    """The forms in which an item is judged."""
    if len(item.grades) == 2:
        return "v1", "think", "direct"
    return ("v1", "2.0", "direct") if isinstance(item, GenerationItem) else ("v1", "direct")


def describe(subject: Subject, *, flaws: bool) -> str:
    """What is to be seen, in reading order, with or without what is wrong with it."""
    return ", ".join(_parts(subject, flaws=flaws))


def _parts(subject: Subject, *, flaws: bool) -> Iterator[str]:
    if isinstance(subject, Clip):
        yield f"{_shape(subject.shape, flaws=flaws)} that {subject.action}"
    else:
        yield from (f"{shape.place} {_shape(shape, flaws=flaws)}" for shape in subject.shapes)
    if flaws:
        yield from subject.flaws


def _shape(shape: Shape, *, flaws: bool) -> str:
    return f"a {shape.damage} {shape}" if flaws and shape.damage else f"a {shape}"


def _reasons(item: Item) -> str:
    if isinstance(item, GenerationItem):
        return _of_subjects(item)
    assert isinstance(item, AnswerItem)
    return _of_answers(item)


def _of_subjects(item: GenerationItem) -> str:
    """What each picture or clip shows, and what of the caption holds."""
    if len(item.subjects) == 1:
        return f"I see {_seen(item.caption, item.subjects[0])}."
    candidates = zip(("first ", "second "), item.subjects, item.grades, strict=True)
    reasons = (f"{_seen(item.caption, subject, which)}, so {grade}." for which, subject, grade in candidates)
    return " ".join(reason[0].upper() + reason[1:] for reason in reasons)


def _of_answers(item: AnswerItem) -> str:
    """What is to be seen, and of each answer its words and what of them is true."""
    said = [", ".join(_said(answer, item.question, item.subject)) for answer in item.answers]
    if len(said) == 1:
        return f"{_understood(item)}\n{_quoted('Answer', item.answers[0])}\nSays {said[0]}."
    candidates = enumerate(zip(item.answers, said, item.grades, strict=True), 1)
    read = (
        f"{_quoted(f'Answer {number}', answer)}\nSays {one}, so {grade}." for number, (answer, one, grade) in candidates
    )
    return "\n".join([_understood(item), *read])


def _verdict(item: Item) -> str:
    """The verdict of v1, and nothing else."""
    if len(item.grades) == 1:
        return f"Final Score: {item.grades[0]}"
    noun = NOUNS[item.cell[0]].capitalize()
    return f"{noun} {1 + item.grades.index(max(item.grades))} is better"


def _seen(caption: Caption, subject: Subject, which: str = "") -> str:
    """What a candidate shows, and of each fact of the caption what is there instead, and whether it holds.

    A network of this size learns to compare two words that it has just said side by side, not two that lie far apart;
    and it looks at the right one of two pictures if it has just said which.
    """
    seen = ", ".join(which + part for part in _parts(subject, flaws=True))
    return f"{seen}; {', '.join(_checks(caption, subject))}"


def _checks(caption: Caption, subject: Subject) -> Iterator[str]:
    shown = assigned(caption, subject)
    for wanted, shape in zip(caption.wanted, shown, strict=True):
        found = shape.facts if shape else {}
        checks = ", ".join(_check(value, found.get(name, "none")) for name, value in wanted.facts.items())
        several = isinstance(subject, Scene) and max(len(caption.wanted), len(subject.shapes)) > 1
        yield f"{wanted.noun} {shape.place if shape else 'nowhere'} {checks}" if several else checks
    if isinstance(subject, Clip):
        yield _check(str(caption.action), str(subject.action))
        return
    if caption.relation:
        yield f"{caption.relation}: {_yes(caption.relation not in misses(caption, subject))}"
    yield f"alone: {_yes('alone' not in misses(caption, subject))}"


def _check(wanted: str, found: str) -> str:
    return f"{wanted}: {found} {_yes(wanted == found)}"


def _yes(is_so: bool) -> str:  # noqa: FBT001 - the word for it
    return "yes" if is_so else "no"


def _quoted(name: str, answer: str) -> str:
    """An answer as it stands in the question, but for the end of a long one.

    A network of this size takes garbled words for the sentence that they resemble, unless it has just said them again.
    """
    return f"{name}: {answer if len(answer) <= QUOTED else answer[:QUOTED].rpartition(' ')[0] + '...'}"


def _understood(item: AnswerItem) -> str:
    """What the picture or clip shows, and what follows for the question."""
    return f"I see {describe(item.subject, flaws=False)}. {_conclusion(item.question, item.subject)}."


def _conclusion(question: Question, subject: Subject) -> str:
    true = question.truth(subject)
    if question.attribute == "existence":
        assert isinstance(subject, Scene)
        colours = [shape.colour for shape in subject.shapes if shape.outline == question.about]
        found = [_check(str(question.value), colour) for colour in colours] or [f"{question.about}: nowhere"]
        return f"{', '.join(found)}, so {true}"
    if question.attribute == "relation":
        assert isinstance(subject, Scene)
        places = {shape.outline: shape.place for shape in subject.shapes}
        found = [f"{outline}: {places[outline]}" for outline in (question.about, question.other) if outline]
        return f"{', '.join(found)}, so {true}"
    if question.value is not None:
        return _check(question.value, true)
    return f"It {true}" if question.attribute == "action" else f"{question.about or 'It'} is {true}"


def _said(answer: str, question: Question, subject: Subject) -> Iterator[str]:
    """What an answer says, each word of it beside what is true; first what was asked, if only that it is not there."""
    claim = read_answer(answer)
    if claim is None:
        yield "nothing clear"
        return
    true, right = known(subject, question), question.right_answer(subject)
    is_open, facts = question.value is None, list(dict.fromkeys(claim.facts))
    asked = [fact for fact in facts if is_open and fact[0] == question.answered_as]
    opening = [] if claim.says_yes is None else [_yes(claim.says_yes)]
    yield from (_check(word, "none" if is_open else right) for word in opening)
    if not (asked if is_open else opening):
        yield _check("none", right)
    yield from (_check(value, true[attribute]) for attribute, value in asked)
    if claim.denies:
        yield f"not {_check(claim.denies[1], question.value or 'none')}"
    yield from (
        _check(value, true.get(attribute, "none")) for attribute, value in facts if (attribute, value) not in asked
    )


_BLANK = Media.of(np.zeros((8, 8, 3), np.uint8))
_BLANK_CLIP = Media.of([np.zeros((8, 8, 3), np.uint8)] * 8)
