"""Edits of pictures: their instructions, what they make of a scene, and the grades of what came out."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.shapes.edits import KINDS, Edit, EditGrades, EditItem, draw_edit, draw_edit_items
from unireward_plugins.shapes.render import render
from unireward_plugins.shapes.scene import Scene, Shape

CIRCLE = Shape("circle", "red", "small", "top left")
SQUARE = Shape("square", "blue", "large", "bottom right")
OTHER_CIRCLE = Shape("circle", "green", "small", "bottom left")
SOURCE = Scene((CIRCLE, SQUARE), "dark")
ADDED = Shape("cross", "green", "small", "bottom left")

RECOLOUR = Edit(SOURCE, CIRCLE, replace(CIRCLE, colour="yellow"))
RESIZE = Edit(SOURCE, CIRCLE, replace(CIRCLE, size="large"))
MOVE = Edit(SOURCE, CIRCLE, replace(CIRCLE, place="top right"))
REMOVE = Edit(SOURCE, SQUARE)
ADD = Edit(SOURCE, after=ADDED)
GROUND = Edit(SOURCE, ground="light")
EDITS = {"recolour": RECOLOUR, "resize": RESIZE, "move": MOVE, "remove": REMOVE, "add": ADD, "ground": GROUND}


@pytest.mark.parametrize(
    ("edit", "instruction"),
    [
        (RECOLOUR, "make the circle yellow"),
        (RESIZE, "make the circle larger"),
        (Edit(SOURCE, SQUARE, replace(SQUARE, size="small")), "make the square smaller"),
        (MOVE, "move the circle to the top right"),
        (REMOVE, "remove the square"),
        (ADD, "add a green cross at the bottom left"),
        (GROUND, "make the ground light"),
        (Edit(Scene((CIRCLE, OTHER_CIRCLE)), CIRCLE), "remove the red circle"),
        (
            Edit(Scene((CIRCLE, replace(CIRCLE, size="large", place="top right"))), CIRCLE),
            "remove the small red circle",
        ),
        (
            Edit(Scene((CIRCLE, replace(CIRCLE, place="top right"))), CIRCLE),
            "remove the small red circle at the top left",
        ),
    ],
)
def test_instructions_mean_one_shape_in_the_fewest_words(edit: Edit, instruction: str) -> None:
    assert str(edit) == instruction


def test_every_kind_is_known_by_what_it_changes() -> None:
    assert {name: edit.kind for name, edit in EDITS.items()} == {name: name for name in KINDS}


def test_an_edit_changes_what_it_says_and_nothing_else() -> None:
    assert RECOLOUR.apply(SOURCE) == Scene((replace(CIRCLE, colour="yellow"), SQUARE))
    assert MOVE.apply(SOURCE) == Scene((replace(CIRCLE, place="top right"), SQUARE))
    assert REMOVE.apply(SOURCE) == Scene((CIRCLE,))
    assert ADD.apply(SOURCE) == Scene((CIRCLE, ADDED, SQUARE))
    assert GROUND.apply(SOURCE) == replace(SOURCE, ground="light")


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_perfect_edit_is_flawless_and_one_left_undone_keeps_all_and_follows_nothing(edit: Edit) -> None:
    assert edit.grades(edit.apply(SOURCE)) == EditGrades(5, 5)
    assert edit.grades(SOURCE) == EditGrades(1, 5)
    assert edit.grades(SOURCE).overall == 1


@pytest.mark.parametrize(
    ("edit", "result", "followed", "kept"),
    [
        # the wrong colour is no step towards the right one
        (RECOLOUR, Scene((replace(CIRCLE, colour="green"), SQUARE)), 1, 5),
        # done, but the shape grew with it, or the ground or another shape changed
        (RECOLOUR, Scene((replace(CIRCLE, colour="yellow", size="large"), SQUARE)), 5, 4),
        (RECOLOUR, Scene((replace(CIRCLE, colour="yellow"), SQUARE), "light"), 5, 4),
        (RECOLOUR, Scene((replace(CIRCLE, colour="yellow"), replace(SQUARE, colour="red", size="small"))), 5, 3),
        (RECOLOUR, Scene((replace(CIRCLE, colour="yellow"), SQUARE), flaws=("noisy", "blurred")), 5, 3),
        (RECOLOUR, Scene((replace(CIRCLE, colour="yellow", damage="broken"), SQUARE)), 5, 4),
        # another shape went, or came
        (RECOLOUR, Scene((replace(CIRCLE, colour="yellow"),)), 5, 1),
        (RECOLOUR, Scene((replace(CIRCLE, colour="yellow"), OTHER_CIRCLE, SQUARE)), 5, 1),
        # the shape itself went
        (RECOLOUR, Scene((SQUARE,)), 1, 1),
        # the wrong one was removed; the right one, and the other recoloured
        (REMOVE, Scene((SQUARE,)), 1, 1),
        (REMOVE, Scene((replace(CIRCLE, colour="blue"),)), 5, 4),
        # moved and lost its colour; copied instead of moved; put elsewhere
        (MOVE, Scene((replace(CIRCLE, place="top right", colour="blue"), SQUARE)), 3, 4),
        (MOVE, Scene((CIRCLE, replace(CIRCLE, place="top right"), SQUARE)), 3, 5),
        (MOVE, Scene((replace(CIRCLE, place="bottom left"), SQUARE)), 3, 1),
        # half of what was to be added
        (ADD, Scene((CIRCLE, replace(ADDED, colour="red"), SQUARE)), 3, 5),
        (ADD, Scene((CIRCLE, replace(ADDED, size="large"), SQUARE)), 5, 5),
        (ADD, Scene((CIRCLE, replace(ADDED, damage="bitten"), SQUARE)), 5, 4),
        (GROUND, Scene((CIRCLE, SQUARE), "striped"), 1, 5),
        (GROUND, Scene((CIRCLE, SQUARE), "light", ("cluttered",)), 5, 4),
    ],
)
def test_grades_follow_the_formulae(edit: Edit, result: Scene, followed: int, kept: int) -> None:
    grades = edit.grades(result)
    assert (grades.followed, grades.kept) == (followed, kept)
    assert grades.overall == min(followed, kept)


def test_flaws_that_were_there_before_are_not_held_against_an_edit_and_their_loss_is() -> None:
    noisy = replace(SOURCE, flaws=("noisy",))
    edit = Edit(noisy, CIRCLE, replace(CIRCLE, colour="yellow"))
    assert edit.grades(edit.apply(noisy)).kept == 5
    assert edit.grades(edit.apply(SOURCE)).kept == 4


def test_impossible_edits_are_refused() -> None:
    with pytest.raises(UniRewardError, match="no small green circle at the bottom left"):
        Edit(SOURCE, OTHER_CIRCLE)
    with pytest.raises(UniRewardError, match="either one shape or the ground"):
        Edit(SOURCE)
    with pytest.raises(UniRewardError, match="either one shape or the ground"):
        Edit(SOURCE, CIRCLE, ground="light")
    with pytest.raises(UniRewardError, match="the ground is dark already"):
        Edit(SOURCE, ground="dark")
    with pytest.raises(UniRewardError, match="there is no small red circle"):
        RECOLOUR.apply(Scene((SQUARE,)))
    with pytest.raises(UniRewardError, match="something at the bottom left already"):
        ADD.apply(Scene((OTHER_CIRCLE,)))


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        (CIRCLE, "nothing"),
        (replace(CIRCLE, outline="square"), "outline"),
        (replace(CIRCLE, damage="broken"), "damage"),
        (replace(CIRCLE, colour="blue", size="large"), "colour and size"),
        (replace(CIRCLE, place="top right", colour="blue"), "colour and place"),
    ],
)
def test_an_edit_of_a_shape_changes_one_thing_that_an_edit_can_ask_for(after: Shape, changed: str) -> None:
    with pytest.raises(UniRewardError, match=f"one of them alone: this one changes {changed}$"):
        Edit(SOURCE, CIRCLE, after)


def test_drawn_edits_are_of_every_kind_and_can_be_done() -> None:
    rng = Random(0)
    edits = [draw_edit(rng) for _ in range(600)]
    assert {edit.kind for edit in edits} == {*KINDS}
    for edit in edits:
        result = edit.apply(edit.source)
        assert result != edit.source
        assert 1 <= len(result.shapes) <= 3
        assert edit.grades(result) == EditGrades(5, 5)


@pytest.mark.parametrize("arity", [1, 2])
def test_items_are_editing_cases_with_different_grades(arity: int) -> None:
    items = draw_edit_items(arity, 200, seed=0)
    assert items == draw_edit_items(arity, 200, seed=0) != draw_edit_items(arity, 200, seed=1)
    assert {grade for item in items for grade in item.grades} == {1, 2, 3, 4, 5}
    for item in items:
        case = item.case([Media.of(picture) for picture in render(item.subjects, seed=0)])
        assert (case.task, len(case.candidates)) == item.cell == ("image_editing", arity)
        assert len(set(item.grades)) == arity


def test_training_items_hold_nothing_that_is_held_out() -> None:
    assert not any(item.held_out for item in draw_edit_items(2, 300, seed=0, split="train"))
    assert any(item.held_out for item in draw_edit_items(2, 300, seed=0))


def test_the_source_is_the_context_of_the_case() -> None:
    pixels = render([SOURCE, REMOVE.apply(SOURCE), SOURCE], seed=0)
    source, *results = (Media.of(np.asarray(picture)) for picture in pixels)
    case = EditItem(REMOVE, (REMOVE.apply(SOURCE), SOURCE)).case([source, *results])
    assert case.prompt == "remove the square"
    assert case.context == (source,)
    assert case.candidates == tuple(results)
