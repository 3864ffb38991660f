"""Every form in which TRL hands over a row, and the case that it becomes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from trl_ext.columns import Row, answer_of, question_of, rows_of
from unireward_plugins import Case, Media, MediaError, UniRewardError

RED, BLUE = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")


def said(text: str) -> list[dict[str, object]]:
    return [{"role": "assistant", "content": text}]


def asked(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def only(rows: list[Row | None]) -> Case:
    (row,) = rows
    assert row is not None
    return row.case


@pytest.mark.parametrize(
    "prompt", ["What is it?", asked("What is it?"), asked([{"type": "text", "text": "What is it?"}])]
)
@pytest.mark.parametrize(
    "completion", ["A cat", said("A cat"), [{"role": "assistant", "content": [{"type": "text", "text": "A cat"}]}]]
)
def test_plain_and_conversational_rows_become_the_same_case(prompt, completion):
    case = only(rows_of([prompt], [completion], {"image": [RED]}))

    assert case == Case("What is it?", ("A cat",), (Media.of(RED),))
    assert case.task == "image_understanding"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"image": [RED]}, (Media.of(RED),)),
        ({"images": [[RED, BLUE]]}, (Media.of(RED), Media.of(BLUE))),
        ({"images": [(RED,)]}, (Media.of(RED),)),
        ({"images": [RED]}, (Media.of(RED),)),
        ({"images": [[BLUE]], "image": [RED]}, (Media.of(BLUE),)),
        ({"images": [[]], "image": [RED]}, (Media.of(RED),)),
        ({"images": [[None, RED]]}, (Media.of(RED),)),
        ({"image": [{"bytes": png(RED), "path": None}]}, (Media.of(RED),)),
        ({"image": [np.asarray(RED)]}, (Media.of(RED),)),
        ({"image": [Media.of(RED)]}, (Media.of(RED),)),
        ({"video": [[RED, BLUE]]}, (Media.of([RED, BLUE]),)),
        ({"videos": [[[RED, BLUE], [BLUE, RED]]]}, (Media.of([RED, BLUE]), Media.of([BLUE, RED]))),
        ({"videos": [None], "video": [[RED, BLUE]]}, (Media.of([RED, BLUE]),)),
        ({"video": [[RED, BLUE]], "images": [[RED]]}, (Media.of([RED, BLUE]),)),
    ],
    ids=str,
)
def test_media_columns(columns, expected):
    assert only(rows_of(["?"], ["!"], columns)).context == expected


def test_a_path_in_a_column_is_read_as_what_the_column_says(tmp_path):
    RED.save(tmp_path / "red.png")

    assert only(rows_of(["?"], ["!"], {"image": [str(tmp_path / "red.png")]})).context == (Media.of(RED),)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "image", "image": RED}, Media.of(RED)),
        ({"type": "image", "image": RED, "text": None}, Media.of(RED)),
        ({"type": "image", "url": "data:image/png;base64,", "image": RED}, Media.of(RED)),
        ({"type": "video", "video": [RED, BLUE]}, Media.of([RED, BLUE])),
    ],
    ids=str,
)
def test_blocks_of_messages_are_the_fall_back(block, expected):
    prompt = asked([block, {"type": "text", "text": "?", "image": None}])

    assert only(rows_of([prompt], ["!"], {})).context == (expected,)
    assert only(rows_of([prompt], ["!"], {"image": [None]})).context == (expected,)
    assert only(rows_of([prompt], ["!"], {"videos": [[[BLUE, BLUE]]]})).context == (Media.of([BLUE, BLUE]),)


def test_a_block_with_a_path_holds_that_picture(tmp_path):
    RED.save(tmp_path / "red.png")
    prompt = asked([{"type": "image", "path": str(tmp_path / "red.png")}, {"type": "text", "text": "?"}])

    assert only(rows_of([prompt], ["!"], {})).context == (Media.of(RED),)


def test_a_place_holder_block_leaves_the_picture_to_the_column():
    prompt = asked([{"type": "image"}, {"type": "text", "text": "?"}])

    assert only(rows_of([prompt], ["!"], {"image": [RED]})).context == (Media.of(RED),)
    assert rows_of([prompt], ["!"], {}) == [None]


def test_rows_without_a_picture_are_no_case():
    rows = rows_of(["?"] * 3, ["!"] * 3, {"image": [None, RED, None]})

    assert [row is None for row in rows] == [True, False, True]


def test_other_columns_are_not_read():
    columns = {"image": [RED], "answer": ["x", "too", "long"], "trainer_state": object(), "completion_ids": [[1]]}

    assert only(rows_of(["?"], ["!"], columns)) == Case("?", ("!",), (Media.of(RED),))


@pytest.mark.parametrize(
    ("completions", "columns", "named"),
    [(["!"], {"image": [RED, RED]}, "'completions' has 1 rows"), (["!", "!"], {"image": [RED]}, "'image' has 1 rows")],
)
def test_columns_of_other_lengths_are_refused(completions, columns, named):
    with pytest.raises(UniRewardError, match=rf"{named}, but there are 2 prompts"):
        rows_of(["?", "?"], completions, columns)


def test_a_column_that_is_no_list_is_refused():
    with pytest.raises(UniRewardError, match="'image' is a Image: pass a list with one entry a row"):
        rows_of(["?"], ["!"], {"image": RED})


def test_what_is_no_picture_is_refused_with_its_row():
    with pytest.raises(MediaError, match=r"row 1: .*float"):
        rows_of(["?"] * 2, ["!"] * 2, {"image": [RED, 3.5]})


def test_the_question_of_one_turn_is_its_text_without_the_system_message():
    prompt = [
        {"role": "system", "content": "Think first."},
        *asked([{"type": "text", "text": "Left?"}, {"type": "text", "text": "Or right?"}]),
    ]

    assert question_of(prompt) == "Left?\nOr right?"


def test_the_question_of_several_turns_is_the_dialogue():
    prompt = [*asked("What is on the right?"), *said("A dog."), *asked("And on the left?")]

    assert question_of(prompt) == "User: What is on the right?\nAssistant: A dog.\nUser: And on the left?"


def test_a_prompt_that_asks_nothing_is_refused():
    with pytest.raises(UniRewardError, match=r"row 0: the prompt has no user message, only \['system'\]"):
        rows_of([[{"role": "system", "content": "Be brief."}]], ["!"], {"image": [RED]})


CALL = {"role": "assistant", "content": "Let me zoom.", "tool_calls": [{"function": {"name": "zoom"}}]}
RESULT = {"role": "tool", "name": "zoom", "content": [{"type": "image", "image": BLUE}]}


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ([CALL, RESULT, *said("A cat")], "A cat"),
        ([CALL, RESULT], "Let me zoom."),
        ([{"role": "assistant", "tool_calls": CALL["tool_calls"]}], ""),
        ([{"role": "assistant", "content": None, "reasoning_content": "Hm"}], ""),
        ([{"role": "assistant", "content": []}], ""),
        ([{"role": "assistant", "content": [{"type": "text", "text": None}]}], ""),
        ([], ""),
        ("", ""),
        (said(""), ""),
    ],
    ids=str,
)
def test_the_answer_is_the_text_of_the_last_message(completion, answer):
    assert answer_of(completion) == answer
    assert only(rows_of(["?"], [completion], {"image": [RED]})).candidates == (answer,)


def test_completions_of_one_prompt_are_together_by_content_not_by_object():
    prompts = [
        asked([{"type": "image", "image": picture.copy()}, {"type": "text", "text": "?"}])
        for picture in (RED, RED, BLUE)
    ]
    first, second, third = (row.prompt for row in rows_of(prompts, ["a", "b", "c"], {}) if row is not None)

    assert first == second
    assert hash(first) == hash(second)
    assert first != third


def test_prompts_that_differ_only_in_the_system_message_are_apart():
    prompts = [[{"role": "system", "content": text}, *asked("?")] for text in ("Be brief.", "Be long.")]
    first, second = (row.prompt for row in rows_of(prompts, ["a", "b"], {"image": [RED, RED]}) if row is not None)

    assert first != second
