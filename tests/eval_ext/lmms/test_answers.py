"""What travels from a model to a task as text, and what is made of all of it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from eval_ext.lmms import aggregate
from eval_ext.lmms.answers import Answer, decode, encode
from eval_ext.lmms.benchmark import BACKWARD, FORWARD
from eval_ext.lmms.functions import process_results
from unireward_plugins import Verdict
from unireward_plugins.plugins import find_rubric

RUBRIC = find_rubric("image_gen.pair_rank.qwen")
THINK = find_rubric("think.image_gen.v1")
DOC = {
    "unireward_benchmark": "eval_ext.lmms.genai:IMAGE",
    "unireward_item": "a dog",
    "unireward_order": FORWARD,
    "unireward_label": "first",
    "unireward_group": "",
    "unireward_left_out": 3,
    "unireward_missing": "",
    "unireward_dataset": "org/pairs@abc",
}


def said(item: str, order: str, scores: tuple[float, float] | None, *, label: str = "first", **more: Any) -> Any:
    return {
        "item": item, "order": order, "label": label, "group": "", "scores": scores, "unread": None, "asked": "case",
        "source": {"judge": "x"}, "seconds": 0.5, "left_out": 0, "dataset": "org/pairs@abc", **more,
    }  # fmt: skip


def test_a_verdict_survives_the_way() -> None:
    verdict = Verdict((0.7, 0.3), aspects={"style": (4.0, 3.0)}, reply="<think>so</think> Image 1 is better")
    text = encode(verdict, {"judge": "shapes", "rubric": "r"}, seconds=0.25)
    assert decode(text, RUBRIC) == Answer((0.7, 0.3), None, source={"judge": "shapes", "rubric": "r"}, seconds=0.25)
    kept = json.loads(text)
    assert (kept["reply"], kept["aspects"]) == (verdict.reply, {"style": [4.0, 3.0]})


def test_an_unread_verdict_keeps_its_reason() -> None:
    answer = decode(encode(Verdict(None, reply="hm", unread="no_verdict"), {"judge": "shapes"}), RUBRIC)
    assert (answer.scores, answer.unread, answer.is_counted) == (None, "no_verdict", True)


def test_a_judge_that_takes_no_such_cases_is_not_counted() -> None:
    answer = decode(encode(None, {"judge": "shapes"}, asked="not at all"), RUBRIC)
    assert (answer.scores, answer.unread, answer.is_counted) == (None, "unsupported", False)


def test_a_plain_reply_is_read_by_the_rubric() -> None:
    assert decode("Image 2 is better.", RUBRIC).scores == (0.0, 1.0)
    digest = sha256(RUBRIC.template.encode()).hexdigest()[:16]
    expected = {"rubric": RUBRIC.name, "rubric_digest": digest, "readout": "generate"}
    assert decode("Image 2 is better.", RUBRIC).source == expected
    assert decode("", RUBRIC).unread == "empty"
    # The example in the prompt, repeated, is no verdict; nor is a thought that was cut off.
    assert decode(RUBRIC.template, RUBRIC).unread == "echo"
    assert decode("<think>Image 1 is better because", THINK).unread == "truncated"
    assert decode("<think>Image 1: no.</think><answer>Image 2 is better</answer>", THINK).scores == (0.0, 1.0)


@pytest.mark.parametrize("start", ["[LMMS_EVAL_REQUEST_FAILED after 5 retries]", "Failed to obtain answer via API. "])
def test_a_request_that_failed_is_no_reply(start: str) -> None:
    answer = decode(f"{start} Image 1 is better", RUBRIC)
    assert (answer.scores, answer.unread) == (None, "request_failed")


def test_what_a_failed_request_was_about_is_counted_apart_and_in_no_figure(caplog: pytest.LogCaptureFixture) -> None:
    whole = [said("a", FORWARD, (0.9, 0.1)), said("a", BACKWARD, (0.8, 0.2))]
    failed = [said("b", FORWARD, None, unread="request_failed"), said("b", BACKWARD, (0.1, 0.9))]
    for name, measure in aggregate.WITH_TIES.items():
        if name not in ("failed_share", "provenance"):
            assert measure([*whole, *failed]) == measure(whole)
    assert aggregate.failed_share([*whole, *failed]) == 1 / 4
    assert aggregate.failed_share(whole) == 0
    assert aggregate.failed_share([said("c", FORWARD, None, asked="not at all")]) is None
    assert aggregate.provenance([*whole, *failed])[0]["unread"] == {"request_failed": 1}
    assert "1 of 4 requests failed" in caplog.text


def test_half_a_pair_is_in_no_figure_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    whole = [said("a", FORWARD, (0.9, 0.1)), said("a", BACKWARD, (0.8, 0.2))]
    half = said("b", FORWARD, (0.1, 0.9))
    for name, measure in aggregate.WITH_TIES.items():
        if name != "provenance":
            assert measure([*whole, half]) == measure(whole)
    assert aggregate.provenance(whole)[0]["half_pairs"] == 0
    assert caplog.text == ""
    assert aggregate.provenance([*whole, half])[0]["half_pairs"] == 1
    assert "give --limit even numbers" in caplog.text
    scored_alone, single = said("c", FORWARD, (4.0, 2.5), asked="alone"), said("d", FORWARD, None, label="3.5")
    assert aggregate.half_pairs([scored_alone, single]) == set()


def test_scores_are_turned_back_to_the_order_of_the_dataset() -> None:
    forward = process_results(DOC, ["Image 1 is better."])
    backward = process_results({**DOC, "unireward_order": BACKWARD}, ["Image 1 is better."])
    assert forward["accuracy_with_ties"]["scores"] == [1.0, 0.0]
    assert backward["accuracy_with_ties"]["scores"] == [0.0, 1.0]
    assert forward["provenance"]["source"]["rubric"] == RUBRIC.name
    assert forward["provenance"]["left_out"] == 3
    assert forward["provenance"]["dataset"] == "org/pairs@abc"
    assert set(forward) == set(aggregate.WITH_TIES)


def test_a_document_without_its_data_is_not_counted() -> None:
    found = process_results({**DOC, "unireward_missing": "no clips"}, ["Image 1 is better."])
    assert found["provenance"]["asked"] == "not at all"
    assert found["provenance"]["source"] == {"missing": "no clips"}
    assert aggregate.WITH_TIES["accuracy_with_ties"]([found["accuracy_with_ties"]]) is None


def test_the_orders_of_a_pair_come_together() -> None:
    pairs = aggregate.judged_pairs(
        [
            said("a", FORWARD, (0.9, 0.1)),
            said("a", BACKWARD, (0.2, 0.8)),
            said("b", FORWARD, None),
            said("b", BACKWARD, (0.4, 0.6)),
            said("c", FORWARD, (0.5, 0.5), asked="alone"),
            said("d", FORWARD, (4.0, 2.5), asked="alone"),
            said("d", BACKWARD, (4.0, 2.5), asked="alone"),
            said("e", FORWARD, None, asked="not at all"),
        ]
    )
    assert [(pair.item, pair.forward, pair.backward, pair.orders) for pair in pairs] == [
        ("a", (0.9, 0.1), (0.2, 0.8), 2),
        ("b", None, (0.4, 0.6), 2),
        ("c", (0.5, 0.5), None, 1),
        ("d", (4.0, 2.5), None, 1),
    ]


def test_a_judge_that_follows_the_position_flips_and_ties() -> None:
    always_first = [
        said(str(number), order, (1.0, 0.0) if order == FORWARD else (0.0, 1.0), label=label)
        for number, label in enumerate(("first", "second", "second", "tie"))
        for order in (FORWARD, BACKWARD)
    ]
    measured = {name: measure(always_first) for name, measure in aggregate.WITH_TIES.items()}
    assert measured["flip_rate"] == 1
    assert measured["accuracy_without_ties"] == 0
    assert measured["accuracy_without_ties_in_one_order"] == 1 / 2
    assert measured["accuracy_with_ties"] == 1 / 4
    low, high = measured["accuracy_with_ties_95"]
    assert low < 1 / 4 < high


def test_provenance_says_all_that_a_number_rests_on() -> None:
    answers = [
        said("a", FORWARD, None, unread="echo"),
        said("a", BACKWARD, (0.1, 0.9), seconds=1.5, source={"judge": "x", "rubric": "r"}),
    ]
    found = aggregate.provenance(answers)
    assert str(found) == "(see the result file)"
    (record,) = json.loads(json.dumps(found))
    assert record["sources"] == [{"judge": "x"}, {"judge": "x", "rubric": "r"}]
    assert record["unread"] == {"echo": 1}
    assert record["datasets"] == ["org/pairs@abc"]
    assert record["seconds_per_document"] == 1.0
    assert record["bootstrap_seed"] == 0
    assert record["packages"]["unireward-plugins"]


def test_values_by_group_are_short_on_the_screen() -> None:
    assert str(aggregate.OffScreen(({"general": 0.51234, "reasoning": None},))) == "general 0.512, reasoning -"


@pytest.mark.parametrize("metrics", [aggregate.WITH_TIES, aggregate.WITHOUT_TIES])
def test_nothing_said_is_no_number(metrics: dict[str, Any]) -> None:
    for name, measure in metrics.items():
        assert name == "provenance" or measure([]) is None
