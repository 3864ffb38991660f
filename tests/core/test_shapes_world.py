"""The shapes world: its pictures, the referee that reads them back, its questions and the grades of answers."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.shapes.answers import draw_answer, mentions_held_out, say
from unireward_plugins.shapes.data import CELLS, AnswerItem, PictureItem, draw_items
from unireward_plugins.shapes.questions import (
    QUESTIONS,
    Question,
    answer_is_right,
    caption,
    grade_answer,
    grade_picture,
    read_answer,
)
from unireward_plugins.shapes.render import SIDE, render
from unireward_plugins.shapes.scene import ALL_SCENES, HELD_OUT_SCENES, TRAINING_SCENES, Scene, Shape
from unireward_plugins.shapes.truth import count_errors, read_scene, read_scenes

SMALL_RED_CIRCLE = Scene((Shape("circle", "red", "small"),))
COLOUR = Question("What colour is the shape?", "colour")
IS_RED = Question("Is the shape red?", "colour", "red")
IS_BLUE = Question("Is the shape blue?", "colour", "blue")


def test_pictures_are_the_same_from_the_same_seed_and_differ_between_seeds() -> None:
    first, again, other = (render(ALL_SCENES, seed=seed) for seed in (3, 3, 4))
    assert first.shape == (len(ALL_SCENES), SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).mean() > 0.5


def test_no_pictures_are_an_empty_array() -> None:
    assert render([], seed=0).shape == (0, SIDE, SIDE, 3)
    assert read_scenes(render([], seed=0)) == []


def test_referee_reads_every_scene_back_from_its_pixels() -> None:
    assert count_errors(pictures=12 * len(ALL_SCENES), seed=17) == 0


@pytest.mark.slow
def test_referee_errs_on_less_than_one_picture_in_a_thousand() -> None:
    assert count_errors(pictures=10_000, seed=0) < 10


@pytest.mark.parametrize("side", [32, 64, 128])
def test_referee_reads_pictures_of_other_sizes(side: int) -> None:
    assert read_scenes(render(ALL_SCENES, seed=1, side=side)) == list(ALL_SCENES)


def test_referee_sees_no_shape_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    ground = rng.normal(60, 7, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
    stripes = np.zeros((SIDE, SIDE, 3), np.uint8)
    stripes[:, ::4] = 255
    two_shapes = np.concatenate([render([SMALL_RED_CIRCLE], seed=0)[0]] * 2, axis=1)[:, 28:84]
    for picture in (noise, ground, stripes, two_shapes, np.zeros_like(stripes), np.full_like(stripes, 255)):
        assert read_scene(picture) is None


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (SIDE, 2 * SIDE, 3), (SIDE, SIDE, 4), (8, 8, 3)])
def test_referee_refuses_what_is_not_a_square_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(UniRewardError, match="pictures of shapes are"):
        read_scene(np.zeros(shape, np.uint8))


def test_five_combinations_are_held_out_and_every_attribute_is_still_taught() -> None:
    held_out = {(scene.shape.colour, scene.shape.outline) for scene in HELD_OUT_SCENES}
    assert len(held_out) == 5
    assert {*TRAINING_SCENES} | {*HELD_OUT_SCENES} == {*ALL_SCENES}
    assert not {*TRAINING_SCENES} & {*HELD_OUT_SCENES}
    for name in ("size", "colour", "outline"):
        taught = {scene.shape.attributes[name] for scene in TRAINING_SCENES}
        assert taught == {scene.shape.attributes[name] for scene in ALL_SCENES}


def test_no_training_picture_or_text_combines_what_is_held_out() -> None:
    for cell in CELLS.values():
        for item in draw_items(cell, 2000, seed=5, split="train"):
            case = item.case([Media.of(np.zeros((SIDE, SIDE, 3), np.uint8))] * len(item.scenes))
            texts = [case.prompt, *(text for text in case.candidates if isinstance(text, str))]
            assert not any(scene.held_out for scene in item.scenes)
            assert not any(mentions_held_out(text) for text in texts)


def test_fresh_cases_hold_what_is_held_out() -> None:
    for cell in CELLS.values():
        assert 0.1 < np.mean([item.held_out for item in draw_items(cell, 1000, seed=5)]) < 0.5


def test_held_out_texts_are_noticed() -> None:
    assert mentions_held_out("It is a Red circle.")
    assert mentions_held_out("blue, or a yellow square")
    assert not mentions_held_out("a red square, circle")


@pytest.mark.parametrize(("name", "cell"), CELLS.items())
def test_items_are_cases_of_their_cell_with_one_grade_per_candidate(name: str, cell: tuple[str, int]) -> None:
    items = draw_items(cell, 300, seed=0)
    assert items == draw_items(cell, 300, seed=0) != draw_items(cell, 300, seed=1)
    for item in items:
        case = item.case([Media.of(picture) for picture in render(item.scenes, seed=0)])
        assert (case.task, len(case.candidates)) == item.cell == cell
        assert len(item.grades) == len(case.candidates)
        assert len(set(item.grades)) == len(item.grades)


def test_first_candidates_are_better_as_often_as_second_ones() -> None:
    for cell in (cell for cell in CELLS.values() if cell[1] == 2):
        items = draw_items(cell, 2000, seed=0)
        assert 0.45 < np.mean([item.grades[0] > item.grades[1] for item in items]) < 0.55


def test_grades_of_pictures_count_what_the_caption_names() -> None:
    red_circle, blue_cross = Shape("circle", "red", "small"), Shape("cross", "blue", "large")
    assert caption(red_circle) == "a red circle"
    assert caption(Shape("circle", "orange", "small")) == "an orange circle"
    assert grade_picture(red_circle, Shape("circle", "red", "large")) == 5
    assert grade_picture(red_circle, Shape("circle", "blue", "small")) == 3
    assert grade_picture(red_circle, Shape("square", "red", "small")) == 3
    assert grade_picture(red_circle, blue_cross) == 1
    assert grade_picture(red_circle, None) == 1
    assert PictureItem(red_circle, (SMALL_RED_CIRCLE,)).grades == (5,)


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


@pytest.mark.parametrize(
    ("answer", "tricky"),
    [("red red", True), ("a red square", True), ("red", False), ("blue", False), ("", False), ("green or blue", False)],
)
def test_tricky_items_hold_an_answer_that_looks_better_than_it_is(answer: str, *, tricky: bool) -> None:
    assert AnswerItem(SMALL_RED_CIRCLE, COLOUR, (answer,)).tricky is tricky
    assert AnswerItem(SMALL_RED_CIRCLE, COLOUR, ("red", answer)).tricky is tricky


def test_every_question_is_asked_of_every_scene_and_its_right_answer_alone_is_right() -> None:
    values = {question.right_answer(scene.shape) for question in QUESTIONS for scene in ALL_SCENES}
    for question in QUESTIONS:
        for scene in ALL_SCENES:
            right = {value for value in values if answer_is_right(scene, question, value)}
            assert right == {question.right_answer(scene.shape)}


def test_drawn_phrasings_of_the_truth_are_right_and_of_another_value_wrong() -> None:
    rng = Random(0)
    for _ in range(2000):
        scene, other, question = rng.choice(ALL_SCENES), rng.choice(ALL_SCENES), rng.choice(QUESTIONS)
        assert answer_is_right(scene, question, say(scene.shape, question, rng))
        if question.right_answer(scene.shape) != question.right_answer(other.shape):
            assert not answer_is_right(scene, question, say(other.shape, question, rng))


def test_drawn_answers_hold_right_half_right_and_wrong_ones_and_much_junk() -> None:
    rng = Random(0)
    answers = [draw_answer(SMALL_RED_CIRCLE.shape, COLOUR, rng) for _ in range(1000)]
    grades = [grade_answer(SMALL_RED_CIRCLE, COLOUR, answer) for answer in answers]
    assert all(grades.count(grade) / 1000 > 0.03 for grade in (1, 3, 5))
    assert sum(read_answer(answer) is None for answer in answers) > 150
    assert "" in answers


@given(st.text())
def test_any_text_has_a_grade(answer: str) -> None:
    item = AnswerItem(SMALL_RED_CIRCLE, COLOUR, (answer,))
    assert item.grades[0] in (1, 3, 5)
    assert isinstance(item.held_out, bool)
