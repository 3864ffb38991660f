"""The conversations that reward models are trained on: taken apart, made into cases, written and read again."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import hub.entries
from hub import save_pairs
from hub.conversations import case_of, parse, part_of
from hub.entries import entries, read_entries
from hub.training_data import REPLIES, pairs_in, read_conversations, write_conversations
from unireward_plugins.cli import main
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.rubrics import BUILTIN, Rubric
from unireward_plugins.types import TASKS, Case

PICTURE, OTHER = (Media.of(Image.new("RGB", (8, 8), colour)) for colour in ("red", "blue"))
CLIP, OTHER_CLIP = Media.of([PICTURE, OTHER]), Media.of([OTHER, PICTURE])
PARTS = [(task, arity) for arity in (2, 1) for task in TASKS]
THINK = "1. Semantic consistency: Image 1 (4/10) - ...; Image 2 (9/10) - ..."


def entry(question: str, reply: str, *files: str, **more: Any) -> dict[str, Any]:
    said = [{"from": "human", "value": f"<image>\n<image>\n{question}"}, {"from": "gpt", "value": reply}]
    return {"conversations": said, "images": list(files), **more}


def case_for(rubric: Rubric) -> Case:
    texts = tuple(f"It is {number} [sic].\nAnswer: see above" for number in range(rubric.arity))
    media = CLIP if rubric.task.startswith("video") else PICTURE
    if rubric.task.endswith("understanding"):
        return Case("What is [this]?\nQuestion: is it red?", texts, (media,))
    context = (OTHER,) if rubric.task == "image_editing" else ()
    return Case("a red [big] dog\nText Caption: none", (media,) * rubric.arity, context)


@pytest.mark.parametrize("name", [name for name in BUILTIN if name != "edit.point_quality"])
def test_the_question_of_every_rubric_is_taken_apart(name: str) -> None:
    """`edit.point_quality` shows the model no instruction, so that there is none to find."""
    rubric = BUILTIN[name]
    case = case_for(rubric)
    query = rubric.query(case)
    told = entry(query.text, "?", "a.png")
    read = parse(told, rubric.task, rubric.arity, place="x")
    assert read.rubric == name
    assert read.prompt.replace("\u200b", "") == case.prompt
    answers = [answer for answer in case.candidates if isinstance(answer, str)]
    assert [answer.replace("\u200b", "") for answer in read.answers] == answers
    assert part_of(told, PARTS, "x") == (rubric.task, rubric.arity)


@pytest.mark.parametrize(
    ("question", "reply", "task", "prompt", "answers", "scores"),
    [
        (
            "Given a caption and two images ...\nYour task is provided as follows:\nText Caption: a bald man",
            f"<think>\n{THINK}\n</think>\n<answer>Image 2 is better</answer>",
            "image_generation",
            "a bald man",
            (),
            (0.0, 1.0),
        ),
        (
            "Compare two videos.\nText Caption: [a dog that runs]",
            "Video 1 is better than Video 2.",
            "video_generation",
            "a dog that runs",
            (),
            (1.0, 0.0),
        ),
        (
            "Compare two images. Text Prompt: [x]",
            "Both images are equally good.",
            "image_generation",
            "x",
            (),
            (0.5, 0.5),
        ),
        (
            "Which is better?\nQuestion: [What is it?]\nThe first response: [a dog]\nThe second response: [a cat]",
            "The image shows a cat, so Response 2 is better.",
            "image_understanding",
            "What is it?",
            ("a dog", "a cat"),
            (0.0, 1.0),
        ),
    ],
)
def test_other_wordings_are_taken_apart_by_their_labels(
    question: str, reply: str, task: Any, prompt: str, answers: tuple[str, ...], scores: tuple[float, ...]
) -> None:
    read = parse(entry(question, reply, "a", "b"), task, 2, place="x")
    assert (read.prompt, read.answers, read.rubric, read.verdict.scores) == (prompt, answers, "", scores)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ({"id": 3}, "x has no field 'conversations' or 'messages'; it has 'id'"),
        ({"conversations": "hello"}, "got a str with neither"),
        ({"conversations": [{"from": "human", "value": "x"}]}, "got a list with 'human'"),
        (entry("Which of these do you like?", "2", "a", "b"), "It ends with 'Which of these do you like?'"),
        (entry("Text Caption: x", "2") | {"images": [3]}, "given by their paths, got [3]"),
    ],
)
def test_what_is_no_such_conversation_is_said(found: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UniRewardError, match=re.escape(complaint)):
        parse(found, "image_generation", 2, place="x")


def test_frames_become_the_clips_that_they_are_of() -> None:
    video = parse(entry("Text Caption: [x]", "Video 1 is better.", *"abcd"), "video_generation", 2, place="x")
    frames = [PICTURE, OTHER, OTHER, PICTURE]
    assert case_of(video, 2, frames, "x") == Case("x", (CLIP, OTHER_CLIP))
    assert case_of(video, 2, [CLIP, OTHER_CLIP], "x") == Case("x", (CLIP, OTHER_CLIP)), "clip files stay whole"
    with pytest.raises(UniRewardError, match="3 frames cannot be those of 2 clips"):
        case_of(video, 2, frames[:3], "x")
    about = parse(entry("Question: x\nResponse 1: a\nResponse 2: b", "?", *"ab"), "video_understanding", 2, place="x")
    assert case_of(about, 2, frames[:2], "x") == Case("x", ("a", "b"), (CLIP,))
    picture = parse(entry("Text Caption: [x]", "Image 1 is better.", "a"), "image_generation", 2, place="x")
    with pytest.raises(UniRewardError, match=r"1 file\(s\) are too few for 2 candidate\(s\) of image_generation"):
        case_of(picture, 2, [PICTURE], "x")
    with pytest.raises(UniRewardError, match=r"3 file\(s\) and 0 answer\(s\) make image_editing"):
        case_of(picture, 2, [PICTURE] * 3, "x")


PAIRS = {
    "image_generation": [Pair(f"{number}", PICTURE, OTHER, 1.0, 0.0) for number in range(16)],
    "video_generation": [Pair("turns", Media.of([PICTURE] * 8), Media.of([OTHER] * 8), 1.0, 0.0)],
    "image_understanding": [Pair("What?", "red\n[so]", "blue", 1.0, 0.0, (PICTURE,))],
    "video_understanding": [Pair("What?", "it turns", "nothing", 1.0, 0.0, (Media.of([OTHER, PICTURE] * 4),))],
    "image_editing": [Pair("make it red", PICTURE, OTHER, 1.0, 0.0, (OTHER,))],
}


@pytest.mark.parametrize("task", list(REPLIES))
def test_pairs_become_training_data_and_come_back(tmp_path: Path, task: Any) -> None:
    file = write_conversations(save_pairs(PAIRS[task], tmp_path / "pairs", judge="x"), tmp_path / "data")
    assert pairs_in(file).pairs == tuple(PAIRS[task])
    written = json.loads(file.read_text())
    assert all(one["conversations"][0]["value"].count("<image>") == len(one["images"]) for one in written)
    if task == "image_generation":
        replies = Counter(one["conversations"][1]["value"] for one in written)
        assert set(replies) == {"Image 1 is better than Image 2.", "Image 2 is better than Image 1."}
        assert min(replies.values()) >= 4, "the better one does not always stand first"


def test_a_file_holds_one_kind_of_entry(tmp_path: Path) -> None:
    PICTURE.pil().save(tmp_path / "a.png")
    point = BUILTIN["image_gen.point_score.v1"].query(Case("a", (PICTURE,))).text
    pair = BUILTIN["image_gen.pair_rank.qwen"].query(Case("a", (PICTURE, OTHER))).text
    one, two = entry(point, "Final Score: 5", "a.png"), entry(pair, "Image 1 is better.", "a.png", "a.png")
    (tmp_path / "points.jsonl").write_text(json.dumps(one) + "\n" + json.dumps(one))
    cases, verdicts = read_conversations(tmp_path / "points.jsonl")
    assert cases == [Case("a", (PICTURE,))] * 2
    assert [verdict.scores for verdict in verdicts] == [(1.0,)] * 2
    with pytest.raises(UniRewardError, match="holds scores of single candidates and no pairs"):
        pairs_in(tmp_path / "points.jsonl")
    (tmp_path / "mixed.json").write_text(json.dumps([one, two]))
    with pytest.raises(UniRewardError, match=r"entry 1 is about 2 candidate\(s\) of image_generation.*split the file"):
        read_conversations(tmp_path / "mixed.json")


def test_the_command_knows_conversations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_pairs(PAIRS["image_editing"], tmp_path / "pairs", judge="x")

    def convert(*arguments: Any) -> int:
        return main(["pairs", "convert", *map(str, arguments)])

    assert convert(folder, tmp_path / "data", "--to", "conversations") == 0
    assert convert(tmp_path / "data" / "train_data.json", tmp_path / "again", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"written": str(tmp_path / "again"), "dropped": {}}
    assert convert(tmp_path / "data" / "train_data.json", tmp_path / "x", "--to", "pick-a-pic") == 2
    assert "--to goes with a folder of pairs" in capsys.readouterr().err


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9) | st.floats(allow_nan=False))))
def test_entries_are_read_a_piece_at_a_time(values: list[dict[str, Any]]) -> None:
    before = hub.entries.CHUNK
    hub.entries.CHUNK = 3
    try:
        lines = "\n".join(map(json.dumps, values)) or "[]"
        for text in (json.dumps(values, indent=1), lines, f"\ufeff{json.dumps(values)}\n"):
            assert list(entries(io.StringIO(text), "x")) == values
    finally:
        hub.entries.CHUNK = before


def test_a_file_that_is_not_there_is_not_called_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=r"there is no file .*nosuch\.json"):
        list(read_entries(tmp_path / "nosuch.json"))


@pytest.mark.parametrize("text", ['[{"a": 1} {"a": 2}]', '[{"a": 1}', '[{"a": 1},', '[{"a": 1}, 3]', '{"a": 1', '"a"'])
def test_a_broken_list_is_an_error_and_not_a_short_list(text: str) -> None:
    with pytest.raises(UniRewardError, match=r"no JSON file that can be read|must be an object|must hold a list"):
        list(entries(io.StringIO(text), "x"))
