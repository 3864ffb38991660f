"""The shapes world: its scenes and captions, its pictures, its questions, and the grades of all that is judged."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unireward_plugins.media import Media
from unireward_plugins.shapes.answers import draw_answer, mentions_held_out, say
from unireward_plugins.shapes.captions import HELD_OUT_RELATIONS, Caption, Grades, Wanted, grades, misses
from unireward_plugins.shapes.data import (
    CELLS,
    AnswerItem,
    Cell,
    GenerationItem,
    altered,
    draw_clip,
    draw_items,
    draw_scene,
    flawed,
    fulfil,
)
from unireward_plugins.shapes.draws import draw_caption, draw_clip_caption
from unireward_plugins.shapes.questions import (
    CLIP_QUESTIONS,
    QUESTIONS,
    SCENE_QUESTIONS,
    Question,
    answer_is_right,
    base_form,
    grade_answer,
    read_answer,
)
from unireward_plugins.shapes.render import FRAMES, SIDE, render, render_clips
from unireward_plugins.shapes.scene import (
    ACTIONS,
    ALL_SCENES,
    HELD_OUT_SCENES,
    MOVES,
    PLACES,
    TRAINING_SCENES,
    Clip,
    Scene,
    Shape,
    Subject,
    is_above,
    is_left,
    possible_places,
)

SMALL_RED_CIRCLE = Scene((Shape("circle", "red", "small"),))
LARGE_BLUE_CROSS = Shape("cross", "blue", "large", "bottom right")
TWO = Scene((Shape("circle", "red", "small", "top left"), LARGE_BLUE_CROSS))
MOVING = Clip(Shape("square", "green", "large", "top left"), "moves right")
COLOUR = Question("What colour is the shape?", "colour")
IS_RED = Question("Is the shape red?", "colour", "red")
IS_BLUE = Question("Is the shape blue?", "colour", "blue")


def media_of(subjects: tuple[Subject, ...]) -> list[Media]:
    clips = [subject for subject in subjects if isinstance(subject, Clip)]
    scenes = [subject for subject in subjects if isinstance(subject, Scene)]
    return [Media.of(pixels) for pixels in (render_clips(clips, seed=0) if clips else render(scenes, seed=0))]


def test_pictures_are_the_same_from_the_same_seed_and_differ_between_seeds() -> None:
    first, again, other = (render(ALL_SCENES, seed=seed) for seed in (3, 3, 4))
    assert first.shape == (len(ALL_SCENES), SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).mean() > 0.5


def test_no_scenes_are_no_pictures_and_no_clips_no_frames() -> None:
    assert render([], seed=0).shape == (0, SIDE, SIDE, 3)
    assert render_clips([], seed=0).shape == (0, FRAMES, SIDE, SIDE, 3)


def test_clips_are_the_same_from_the_same_seed_and_differ_between_seeds() -> None:
    first, again, other = (render_clips([MOVING, MOVING], seed=seed) for seed in (3, 3, 4))
    assert first.shape == (2, FRAMES, SIDE, SIDE, 3)
    assert (first == again).all()
    assert (first != other).mean() > 0.5


def test_five_combinations_are_held_out_and_every_attribute_is_still_taught() -> None:
    held_out = {(scene.shape.colour, scene.shape.outline) for scene in HELD_OUT_SCENES}
    assert len(held_out) == 5
    assert {*TRAINING_SCENES} | {*HELD_OUT_SCENES} == {*ALL_SCENES}
    assert not {*TRAINING_SCENES} & {*HELD_OUT_SCENES}
    for name in ("size", "colour", "outline"):
        taught = {scene.shape.attributes[name] for scene in TRAINING_SCENES}
        assert taught == {scene.shape.attributes[name] for scene in ALL_SCENES}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_no_training_item_combines_relates_or_does_what_is_held_out(cell: Cell) -> None:
    for item in draw_items(cell, 400, seed=5, split="train"):
        assert not any(subject.held_out for subject in item.subjects)
        if isinstance(item, GenerationItem):
            outlines = [one.outline for one in item.caption.wanted]
            assert not mentions_held_out(str(item.caption))
            assert (outlines[0], item.caption.relation, outlines[-1]) not in HELD_OUT_RELATIONS
        else:
            assert isinstance(item, AnswerItem)
            assert not item.question.held_out
            assert not any(map(mentions_held_out, item.answers))


def test_fresh_items_hold_what_is_held_out() -> None:
    for cell in CELLS.values():
        assert 0.05 < np.mean([item.held_out for item in draw_items(cell, 300, seed=5)]) < 0.7


def test_held_out_texts_are_noticed() -> None:
    assert mentions_held_out("It is a Red circle.")
    assert mentions_held_out("blue, or a yellow square")
    assert not mentions_held_out("a red square, circle")


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_items_are_cases_of_their_cell_with_one_grade_per_candidate(cell: Cell) -> None:
    items = draw_items(cell, 60, seed=0)
    assert items == draw_items(cell, 60, seed=0) != draw_items(cell, 60, seed=1)
    for item in items:
        case = item.case(media_of(item.subjects))
        assert (case.task, len(case.candidates)) == item.cell == cell
        assert len(set(item.grades)) == len(item.grades) == cell[1]


def test_first_candidates_are_better_as_often_as_second_ones() -> None:
    for cell in (cell for cell in CELLS.values() if cell[1] == 2):
        items = draw_items(cell, 600, seed=0)
        assert 0.43 < np.mean([item.grades[0] > item.grades[1] for item in items]) < 0.57


def test_captions_say_what_they_ask_for() -> None:
    assert str(Caption((Wanted("circle", "orange"),))) == "an orange circle"
    assert str(Caption((Wanted("circle", "red", "small", "top left"),))) == "a small red circle at the top left"
    assert str(Caption((Wanted("circle", "red"), Wanted("cross", "blue")), "left of")) == (
        "a red circle left of a blue cross"
    )
    assert str(Caption((Wanted("cross", "blue"),) * 3)) == "three blue crosses"
    assert str(Caption((Wanted("circle", "red"),), action="turns blue")) == "a red circle that turns blue"


A_RED_CIRCLE = Caption((Wanted("circle", "red"),))
CIRCLE_LEFT_OF_CROSS = Caption((Wanted("circle", "red"), Wanted("cross", "blue")), "left of")
TWO_CROSSES = Caption((Wanted("cross", "blue"),) * 2)
A_SQUARE_MOVES_RIGHT = Caption((Wanted("square", "green"),), action="moves right")


@pytest.mark.parametrize(
    ("caption", "subject", "missing", "alignment"),
    [
        (A_RED_CIRCLE, SMALL_RED_CIRCLE, (), 5),
        (A_RED_CIRCLE, Scene((Shape("circle", "blue", "small"),)), ("red",), 3),
        (A_RED_CIRCLE, Scene((LARGE_BLUE_CROSS,)), ("red", "circle"), 2),
        (A_RED_CIRCLE, TWO, ("alone",), 3),
        (Caption((Wanted("circle", "red", "large", "top right"),)), SMALL_RED_CIRCLE, ("large", "top right"), 3),
        (CIRCLE_LEFT_OF_CROSS, TWO, (), 5),
        (replace(CIRCLE_LEFT_OF_CROSS, relation="right of"), TWO, ("right of",), 4),
        (CIRCLE_LEFT_OF_CROSS, SMALL_RED_CIRCLE, ("blue", "cross", "left of"), 3),
        (TWO_CROSSES, Scene((LARGE_BLUE_CROSS,)), ("blue", "cross"), 3),
        (TWO_CROSSES, TWO, ("blue", "cross"), 3),
        (A_SQUARE_MOVES_RIGHT, MOVING, (), 5),
        (A_SQUARE_MOVES_RIGHT, replace(MOVING, action="moves down"), ("moves right",), 3),
    ],
)
def test_alignment_is_the_share_of_the_facts_that_hold(
    caption: Caption, subject: Subject, missing: tuple[str, ...], alignment: int
) -> None:
    assert misses(caption, subject) == missing
    assert grades(caption, subject) == Grades(alignment, 5, 5)
    assert alignment == 1 + 4 * (caption.facts - len(missing)) // caption.facts


def test_coherence_and_style_lose_two_for_each_thing_that_is_wrong_and_the_whole_loses_one() -> None:
    broken = replace(TWO.shapes[0], damage="broken")
    assert grades(CIRCLE_LEFT_OF_CROSS, replace(TWO, shapes=(broken, TWO.shapes[1]))) == Grades(5, 3, 5)
    bitten = replace(TWO.shapes[1], damage="bitten")
    both = replace(TWO, shapes=(broken, bitten), flaws=("noisy", "blurred", "cluttered"))
    assert grades(CIRCLE_LEFT_OF_CROSS, both) == Grades(5, 1, 1)
    assert [Grades(5, 3, 5).overall, Grades(5, 1, 1).overall, Grades(2, 1, 1).overall] == [4, 1, 1]
    jittery = replace(MOVING, flaws=("jittery",))
    assert grades(A_SQUARE_MOVES_RIGHT, jittery) == Grades(5, 3, 5), "jumping about is no matter of style"
    assert grades(A_SQUARE_MOVES_RIGHT, replace(MOVING, flaws=("flickering", "noisy"))) == Grades(5, 5, 1)


def test_what_fulfils_a_caption_misses_nothing() -> None:
    rng = Random(0)
    for caption in [draw(rng) for draw in (draw_caption, draw_clip_caption) for _ in range(1000)]:
        assert grades(caption, fulfil(caption, rng)) == Grades(5, 5, 5)


def test_drawn_subjects_are_possible() -> None:
    rng = Random(0)
    for draw in (draw_scene, draw_clip):
        for _ in range(1000):
            subject = flawed(altered(draw(rng), rng), rng, rate=0.5)
            if isinstance(subject, Clip):
                assert subject.shape.place in possible_places(subject.action)
                assert subject.action != f"turns {subject.shape.colour}"
                assert subject.shape.size == {"grows": "small", "shrinks": "large"}.get(
                    subject.action, subject.shape.size
                )
            else:
                places = [PLACES.index(shape.place) for shape in subject.shapes]
                assert 1 <= len(places) <= 3
                assert places == sorted(set(places))


def test_places_lie_as_their_names_say() -> None:
    for one in PLACES:
        for other in PLACES:
            assert is_left(one, other) == ("left" in one and "right" in other)
            assert is_above(one, other) == ("top" in one and "bottom" in other)
    assert {action: set(possible_places(action)) for action in MOVES} == {
        "moves left": {"top right", "bottom right"},
        "moves right": {"top left", "bottom left"},
        "moves up": {"bottom left", "bottom right"},
        "moves down": {"top left", "top right"},
    }
    assert possible_places("grows") == PLACES


RIGHT = [
    *(
        (COLOUR, text)
        for text in ("red", "Red.", " red ", "It is red.", "it's red", "It\N{RIGHT SINGLE QUOTATION MARK}s red")
    ),
    *((COLOUR, text) for text in ("a red circle", "red circle", "The circle is red.", "a small red circle", "red!")),
    *((COLOUR, text) for text in ("The colour is red.", "The color is red", "I see a red circle", "the answer is red")),
    *((COLOUR, text) for text in ("small and red", "a red shape", "The small circle is red.")),
    *((IS_RED, text) for text in ("yes", "Yes.", "yes, it is", "Yes, it is red.", "Yes. It is a red circle.")),
    *((IS_BLUE, text) for text in ("no", "No.", "no, it is not", "no, it isn't blue", "No, it is red.")),
]
WRONG = [
    *((COLOUR, text) for text in ("", " ", ".", "blue", "red blue", "red or blue", "red, blue", "red/blue", "red red")),
    *(
        (COLOUR, text)
        for text in ("red red red", "red. red.", "circle", "small", "a small circle", "yes", "a red", "it is")
    ),
    *(
        (COLOUR, text)
        for text in ("not red", "it is not red", "yes, red", "maybe red", "red circle red", "reddish", "red!!")
    ),
    *((COLOUR, text) for text in ("The colour is circle.", "the blue circle is red", "What colour is the shape?")),
    *((COLOUR, text) for text in ("red\nFinal Score: 5", "The answer is right", "redred", "all of them", "red is red")),
    *((IS_RED, text) for text in ("no", "No, it is blue.", "it is red", "red", "yes no", "yes yes", "yes, it is not")),
    *((IS_RED, text) for text in ("no, it is not red", "yes, no", "yes or no", "yes, it is not blue", "yes, no.")),
    *((IS_BLUE, text) for text in ("yes", "no, it is not red", "red", "it is not", "no no", "no, it is not a circle")),
]
HALF_RIGHT = [
    (COLOUR, "a red square"),
    (COLOUR, "large red circle"),
    (IS_RED, "yes, a large red circle"),
    (IS_BLUE, "no, green"),
]


@pytest.mark.parametrize(("question", "answer"), RIGHT)
def test_ways_to_say_the_truth_are_right(question: Question, answer: str) -> None:
    assert grade_answer(SMALL_RED_CIRCLE, question, answer) == 5
    assert answer_is_right(SMALL_RED_CIRCLE, question, answer)


@pytest.mark.parametrize(("question", "answer"), WRONG)
def test_junk_hedges_and_answers_to_other_questions_are_wrong(question: Question, answer: str) -> None:
    assert grade_answer(SMALL_RED_CIRCLE, question, answer) == 1
    assert not answer_is_right(SMALL_RED_CIRCLE, question, answer)


@pytest.mark.parametrize(("question", "answer"), HALF_RIGHT)
def test_right_answers_with_a_false_detail_are_half_right(question: Question, answer: str) -> None:
    assert grade_answer(SMALL_RED_CIRCLE, question, answer) == 3
    assert not answer_is_right(SMALL_RED_CIRCLE, question, answer)


def asked(text: str) -> Question:
    return next(question for question in (*SCENE_QUESTIONS, *CLIP_QUESTIONS) if question.text == text)


@pytest.mark.parametrize(
    ("subject", "text", "answer", "grade"),
    [
        (TWO, "How many shapes are there?", "There are two.", 5),
        (TWO, "How many shapes are there?", "three", 1),
        (TWO, "How many circles are there?", "one", 5),
        (TWO, "How many squares are there?", "none", 5),
        (TWO, "Where is the cross?", "It is at the bottom right.", 5),
        (TWO, "Where is the cross?", "top left", 1),
        (TWO, "What colour is the circle?", "red", 5),
        (TWO, "What colour is the circle?", "blue", 1),
        (TWO, "What is the ground like?", "the ground is dark", 5),
        (TWO, "Is the circle left of the cross?", "yes, it is", 5),
        (TWO, "Is the circle left of the cross?", "no", 1),
        (TWO, "Is the cross above the circle?", "no, it is not", 5),
        (TWO, "Is there a blue cross?", "yes, there is", 5),
        (TWO, "Is there a blue cross?", "Yes, there is a blue cross.", 5),
        (TWO, "Is there a blue cross?", "Yes, there is a red cross.", 3),
        (TWO, "Is there a red cross?", "Yes, there is a red cross.", 1),
        (TWO, "Is there a red cross?", "no", 5),
        (MOVING, "What does the shape do?", "it moves right", 5),
        (MOVING, "What does the shape do?", "it moves left", 1),
        (MOVING, "What happens?", "The square moves right.", 5),
        (MOVING, "What happens?", "the circle moves right", 3),
        (MOVING, "Does it grow?", "no, it does not", 5),
        (MOVING, "What colour is the shape at the end?", "green", 5),
        (replace(MOVING, action="turns blue"), "What colour is the shape at the end?", "blue", 5),
        (replace(MOVING, action="turns blue"), "What colour is the shape at the end?", "green", 1),
    ],
)
def test_answers_about_places_numbers_relations_and_actions_are_graded(
    subject: Subject, text: str, answer: str, grade: int
) -> None:
    assert asked(text).fits(subject)
    assert grade_answer(subject, asked(text), answer) == grade


def test_questions_that_could_mean_several_shapes_or_none_do_not_fit() -> None:
    circles = Scene((Shape("circle", "red", "small"), Shape("circle", "blue", "small", "top right")))
    assert not asked("Where is the circle?").fits(circles)
    assert not asked("Where is the square?").fits(circles)
    assert not asked("Is the circle above the cross?").fits(circles)
    assert not COLOUR.fits(circles)
    assert asked("How many circles are there?").fits(circles)
    assert COLOUR.fits(SMALL_RED_CIRCLE)
    assert not asked("What happens?").fits(SMALL_RED_CIRCLE)
    assert not asked("How many shapes are there?").fits(MOVING)


def test_actions_have_a_base_form() -> None:
    assert [base_form(action) for action in ACTIONS][:10] == [
        *("stay still", "move left", "move right", "move up", "move down"),
        *("grow", "shrink", "appear", "vanish", "turn red"),
    ]


@pytest.mark.parametrize(
    ("answer", "tricky"),
    [("red red", True), ("a red square", True), ("red", False), ("blue", False), ("", False), ("green or blue", False)],
)
def test_tricky_items_hold_an_answer_that_looks_better_than_it_is(answer: str, *, tricky: bool) -> None:
    assert AnswerItem(SMALL_RED_CIRCLE, COLOUR, (answer,)).tricky is tricky
    assert AnswerItem(SMALL_RED_CIRCLE, COLOUR, ("red", answer)).tricky is tricky


def test_every_question_about_one_shape_has_one_right_answer() -> None:
    values = {question.right_answer(scene) for question in QUESTIONS for scene in ALL_SCENES}
    for question in QUESTIONS:
        for scene in ALL_SCENES[:: len(PLACES)]:
            right = {value for value in values if answer_is_right(scene, question, value)}
            assert right == {question.right_answer(scene)}


def test_drawn_phrasings_of_the_truth_are_right_and_of_another_value_wrong() -> None:
    rng = Random(0)
    for _ in range(1500):
        draw = rng.choice((draw_scene, draw_clip))
        subject, other = draw(rng), draw(rng)
        asking = CLIP_QUESTIONS if isinstance(subject, Clip) else (*QUESTIONS, *SCENE_QUESTIONS)
        question = rng.choice([question for question in asking if question.fits(subject)])
        assert answer_is_right(subject, question, say(subject, question, rng)), question
        if question.fits(other) and question.right_answer(subject) != question.right_answer(other):
            assert not answer_is_right(subject, question, say(other, question, rng)), question


def test_drawn_answers_hold_right_half_right_and_wrong_ones_and_much_junk() -> None:
    rng = Random(0)
    answers = [draw_answer(SMALL_RED_CIRCLE, COLOUR, rng) for _ in range(1000)]
    found = [grade_answer(SMALL_RED_CIRCLE, COLOUR, answer) for answer in answers]
    assert all(found.count(grade) / 1000 > 0.03 for grade in (1, 3, 5))
    assert sum(read_answer(answer) is None for answer in answers) > 150
    assert "" in answers


@given(st.text())
def test_any_text_has_a_grade(answer: str) -> None:
    item = AnswerItem(SMALL_RED_CIRCLE, COLOUR, (answer,))
    assert item.grades[0] in (1, 3, 5)
    assert isinstance(item.held_out, bool)
