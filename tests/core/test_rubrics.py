"""Rubrics: the published prompts as they were written, filled in one pass, with the media in the trained order."""

import hashlib
import json
import math
import pickle
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_parsing import FIVE, FLEX, THOUGHT, blocks
from unireward_plugins.errors import BackendError, UniRewardError, UnsupportedCase
from unireward_plugins.media import FrameRule, Media
from unireward_plugins.neutral import neutralise
from unireward_plugins.parsing import final_score, verdict
from unireward_plugins.rubrics import BUILTIN, AnswerSlot, Readout, Rubric, digit_slot, pair_slot
from unireward_plugins.types import TOO_LONG, Candidate, Case, Reply, Verdict

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "prompts.json").read_text())

every_rubric = pytest.mark.parametrize("rubric", BUILTIN.values(), ids=BUILTIN)


@cache
def picture(shade: int) -> Media:
    return Media.of(np.full((8, 8, 3), shade, dtype=np.uint8))


@cache
def clip(first: int, frames: int = 20) -> Media:
    """A clip whose frames are told apart by their shade: first, first + 1, ..."""
    return Media.of([picture(first + index) for index in range(frames)])


SOURCE, ONE, TWO = picture(1), picture(2), picture(3)


def case_for(rubric: Rubric, prompt: str = "a red circle", answers: tuple[str, ...] = ("yes", "no")) -> Case:
    """A case that the rubric judges."""
    candidates: dict[str, tuple[Candidate, ...]] = {
        "image_generation": (ONE, TWO),
        "image_editing": (ONE, TWO),
        "video_generation": (clip(0), clip(100)),
        "image_understanding": answers,
        "video_understanding": answers,
    }
    context = {"image_editing": (SOURCE,), "image_understanding": (SOURCE,), "video_understanding": (clip(50),)}
    return Case(prompt, candidates[rubric.task][: rubric.arity], context.get(rubric.task, ()))


def shades(media: tuple[Media, ...]) -> list[int]:
    return [pixel[0] for one in media if isinstance(pixel := one.pil().getpixel((0, 0)), tuple)]


def test_the_prompts_are_the_published_ones_byte_for_byte() -> None:
    folder = files("unireward_plugins.rubrics") / "prompts"
    found = {
        prompt.name.removesuffix(".txt"): hashlib.sha256(prompt.read_bytes()).hexdigest() for prompt in folder.iterdir()
    }
    assert found == GOLDEN
    assert set(BUILTIN) == set(GOLDEN)
    assert len(GOLDEN) == 36
    for name, rubric in BUILTIN.items():
        assert hashlib.sha256(rubric.template.encode()).hexdigest() == GOLDEN[name]
        assert GOLDEN[name].startswith(rubric.digest)
        assert len(rubric.digest) == 16


def test_every_prompt_has_its_source() -> None:
    sources = (files("unireward_plugins.rubrics") / "SOURCES.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([^`]+)` \|", sources, re.M)) == set(BUILTIN)


@every_rubric
def test_a_rubric_pickles_and_hashes(rubric: Rubric) -> None:
    again = pickle.loads(pickle.dumps(rubric))
    assert again == rubric
    assert hash(again) == hash(rubric)
    assert len(pickle.dumps(rubric)) < 10_000


@every_rubric
def test_a_query_holds_the_template_with_the_case_filled_in(rubric: Rubric) -> None:
    query = rubric.query(case_for(rubric))
    wanted = rubric.template
    for name in ("prompt", "Query", "instruction"):
        wanted = wanted.replace(f"{{{name}}}", "a red circle")
    for name, answer in {"R1": "yes", "R2": "no", "Response": "yes"}.items():
        wanted = wanted.replace(f"{{{name}}}", answer)
    assert query.text == wanted
    assert (query.prefill, query.choices, query.max_tokens) == ("", (), rubric.max_tokens)
    assert not re.search(r"\{(prompt|Query|instruction|R1|R2|Response)\}", query.text)
    if rubric.task.endswith("understanding"):
        assert "yes" in query.text


@every_rubric
@settings(max_examples=20, deadline=None)
@given(prompt=st.text(), answers=st.tuples(st.text(), st.text()))
def test_any_text_is_filled_in_once_and_neutral(rubric: Rubric, prompt: str, answers: tuple[str, str]) -> None:
    text = rubric.query(case_for(rubric, prompt, answers)).text
    pieces = re.split(r"\{(prompt|Query|instruction|R1|R2|Response)\}", rubric.template)
    values = {**dict.fromkeys(["prompt", "Query", "instruction"], prompt), "R1": answers[0], "R2": answers[1]}
    values["Response"] = answers[0]
    literals, names = pieces[::2], pieces[1::2]
    wanted = literals[0] + "".join(
        neutralise(values[name]) + literal for name, literal in zip(names, literals[1:], strict=True)
    )
    assert text == wanted


@pytest.mark.parametrize(
    "hostile", ["{R2}", "{{R2}}", "{prompt}", "{Query}", "{", "}", "{0}", "%s", r"\1", r"\g<name>", "$R2"]
)
def test_placeholders_in_a_value_stay_what_they_are(hostile: str) -> None:
    query = BUILTIN["image_und.pair_rank.qwen"].query(Case(hostile, (hostile, "SECRET"), (SOURCE,)))
    assert query.text.count("SECRET") == 1
    assert query.text.replace("\u200b", "").endswith(f"Question: {hostile}\nAnswer 1: {hostile}\nAnswer 2: SECRET\n")


EIGHT_OF_20 = [0, 2, 5, 8, 10, 13, 16, 19]
FLOOR_8_OF_20 = [0, 2, 5, 7, 10, 12, 15, 17]
FLOOR_16_OF_20 = [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13, 15, 16, 17, 18]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("image_gen.pair_rank.llava", [2, 3]),
        ("image_gen.point_ACS.v2", [2]),
        ("image_und.pair_rank.qwen", [1]),
        ("edit.pair_rank", [1, 2, 3]),
        ("edit.pair_score", [1, 2, 3]),
        ("edit.point_instruction_following", [1, 2]),
        ("edit.point_quality", [2]),
        ("video_gen.pair_rank.qwen", [*EIGHT_OF_20, *(100 + frame for frame in EIGHT_OF_20)]),
        ("think.video_gen.qwen3", [*EIGHT_OF_20, *(100 + frame for frame in EIGHT_OF_20)]),
        ("flex.video_gen", [*EIGHT_OF_20, *(100 + frame for frame in EIGHT_OF_20)]),
        ("video_gen.pair_score_ACS.v2", [*FLOOR_8_OF_20, *(100 + frame for frame in FLOOR_8_OF_20)]),
        ("video_gen.point_APS.v2", FLOOR_16_OF_20),
        ("video_gen.point_5dim", EIGHT_OF_20),
        ("video_und.pair_rank.qwen", [50 + frame for frame in EIGHT_OF_20]),
        ("think.video_und.v1", [50 + frame for frame in EIGHT_OF_20]),
    ],
)
def test_media_stand_in_the_order_and_with_the_frames_of_the_training(name: str, wanted: list[int]) -> None:
    media = BUILTIN[name].query(case_for(BUILTIN[name])).media
    assert {one.kind for one in media} == {"image"}
    assert shades(media) == wanted


@every_rubric
def test_another_task_or_number_of_candidates_is_refused_by_name(rubric: Rubric) -> None:
    right = case_for(rubric)
    wrong_arity = Case(right.prompt, right.candidates * 2, right.context)
    wrong_task = (
        Case("q", ("a", "b")[: rubric.arity], (SOURCE,)) if rubric.task != "image_understanding" else Case("p", (ONE,))
    )
    for wrong in (wrong_arity, wrong_task):
        with pytest.raises(
            UnsupportedCase, match=re.escape(f"rubric '{rubric.name}' judges {rubric.arity} candidate(s) of")
        ):
            rubric.query(wrong)


def test_an_edit_has_one_source() -> None:
    with pytest.raises(UnsupportedCase, match="made from one source picture, got 2 in the context"):
        BUILTIN["edit.pair_rank"].query(Case("make it red", (ONE, TWO), (SOURCE, SOURCE)))


GOOD_REPLIES = [
    "Image 1 is better than Image 2.",
    "Overall Judgment: Answer 1 is better than Answer 2.",
    "dog (animal): 1\nFinal Score: 1",
    "Alignment Score (1-5): 1\nCoherence Score (1-5): 1\nPhysics Score (1-5): 1\nStyle Score (1-5): 1",
    FIVE,
    blocks((0.4, 0.6), (0.4, 0.6), (0.4, 0.6)),
    THOUGHT + "<answer>Image 1 is better</answer>",
    "Edited Image 1: 0.5\nEdited Image 2: -0.5",
    '{"reasoning": "", "score": [0, 0]}',
    FLEX,
]
"""One for each format."""


@every_rubric
def test_some_good_reply_reads_with_one_score_per_candidate(rubric: Rubric) -> None:
    verdicts = [rubric.verdict(Reply(reply)) for reply in GOOD_REPLIES]
    read = [verdict.scores for verdict in verdicts if verdict.scores is not None]
    assert read
    assert all(len(scores) == rubric.arity for scores in read)


@every_rubric
def test_a_judge_that_repeats_its_prompt_has_not_answered(rubric: Rubric) -> None:
    prompt = rubric.query(case_for(rubric)).text
    for echo in (prompt, f"user\n{prompt}\nassistant\n", prompt.strip()):
        assert rubric.verdict(Reply(echo)).scores is None
    found = rubric.verdict(Reply(prompt))
    assert found.unread == "echo"
    assert found.reply == prompt


def test_an_answer_may_quote_a_little_of_a_short_prompt() -> None:
    rubric = Rubric(
        "mine",
        task="image_generation",
        arity=1,
        template="{prompt}\nRate, then say 'Final Score: '.",
        read=final_score(1, 5),
    )
    assert rubric.verdict(Reply("Rate, then say 'Final Score: '. Final Score: 5")).scores == (1.0,)


WITH_SLOT = {
    "image_gen.pair_rank.llava": "Image ",
    "image_gen.pair_rank.qwen": "Image ",
    "image_gen.point_score.v1": "Final Score: ",
    "image_gen.point_score.short": "Final Score: ",
    "video_gen.pair_rank.llava": "Video ",
    "video_gen.pair_rank.qwen": "Video ",
    "image_und.pair_rank.qwen": "Answer ",
    "image_und.pair_rank.sift": "Overall Judgment: Answer ",
    "video_und.pair_rank.llava_5factor": "Response ",
    "video_und.pair_rank.qwen": "Overall Judgment: Answer ",
    "video_und.point_score": "Final Score: ",
    "edit.pair_rank": "Edited image ",
}


def test_rubrics_with_a_one_token_verdict_have_a_slot() -> None:
    assert {name: rubric.slot.prefill for name, rubric in BUILTIN.items() if rubric.slot} == WITH_SLOT


@pytest.mark.parametrize("name", WITH_SLOT)
def test_the_slot_continues_to_what_the_reader_reads(name: str) -> None:
    rubric = BUILTIN[name]
    assert rubric.slot is not None
    ending = " is better." if rubric.arity == 2 else ""
    for choice, values in zip(rubric.slot.choices, rubric.slot.values, strict=True):
        assert rubric.verdict(Reply(rubric.slot.prefill + choice + ending)).scores == pytest.approx(values)


@pytest.mark.parametrize("name", WITH_SLOT)
def test_a_likelihood_query_forces_the_reply_up_to_the_slot(name: str) -> None:
    rubric = BUILTIN[name]
    query = rubric.query(case_for(rubric), "likelihood")
    assert query.prefill == WITH_SLOT[name]
    assert query.choices == (("1", "2") if rubric.arity == 2 else ("1", "2", "3", "4", "5"))
    assert query.text == rubric.query(case_for(rubric)).text
    assert query.media == rubric.query(case_for(rubric)).media


@pytest.mark.parametrize("name", sorted(set(BUILTIN) - set(WITH_SLOT)))
def test_rubrics_without_a_slot_say_which_of_their_kind_have_one(name: str) -> None:
    rubric = BUILTIN[name]
    able = [one for one in WITH_SLOT if (BUILTIN[one].task, BUILTIN[one].arity) == (rubric.task, rubric.arity)]
    ways = "Use readout='generate'" + (r", or one of these rubrics: .*" + re.escape(able[-1]) if able else "$")
    with pytest.raises(UnsupportedCase, match=rf"rubric '{re.escape(name)}' has no answer slot.*{ways}"):
        rubric.query(case_for(rubric), "likelihood")
    with pytest.raises(UnsupportedCase, match="no answer slot"):
        rubric.verdict(Reply("", logprobs=(0.0,)), "likelihood")


def soft(slot: AnswerSlot, *probabilities: float) -> Reply:
    return Reply(slot.prefill, logprobs=tuple(math.log(one) if one else -math.inf for one in probabilities))


def test_a_pair_slot_gives_the_shares_of_the_two_choices() -> None:
    slot = pair_slot("Image ")
    assert slot.verdict(soft(slot, 0.6, 0.2)).scores == pytest.approx((0.75, 0.25))
    assert slot.verdict(soft(slot, 1.0, 0.0)).scores == (1.0, 0.0)


def test_a_digit_slot_gives_the_expectation() -> None:
    slot = digit_slot("Final Score: ", 1, 5)
    found = slot.verdict(soft(slot, 0, 0, 0.25, 0.25, 0.5))
    assert found.aspects["final_score"] == pytest.approx((4.25,))
    assert found.scores == pytest.approx(((4.25 - 1) / 4,))
    assert found.reply == "Final Score: "


@pytest.mark.parametrize(
    ("logprobs", "reason"),
    [((-math.inf, -math.inf), "mass"), ((-5.0, -6.0), "mass"), ((math.nan, -0.1), "nan")],
)
def test_a_slot_without_probability_is_no_verdict(logprobs: tuple[float, float], reason: str) -> None:
    rubric = BUILTIN["image_gen.pair_rank.qwen"]
    found = rubric.verdict(Reply("Image ", logprobs=logprobs), "likelihood")
    assert (found.scores, found.unread, found.reply) == (None, reason, "Image ")


@pytest.mark.parametrize("readout", ["generate", "likelihood"])
def test_what_the_model_had_no_room_for_is_no_verdict(readout: Readout) -> None:
    found = BUILTIN["image_gen.pair_rank.qwen"].verdict(TOO_LONG, readout)
    assert found == Verdict(None, unread="too_long")


@given(st.lists(st.floats(max_value=0.5) | st.just(math.nan), min_size=5, max_size=5))
def test_any_log_probabilities_give_a_score_on_the_scale_or_none(logprobs: list[float]) -> None:
    found = digit_slot("Final Score: ", 1, 5).verdict(Reply("", logprobs=tuple(logprobs)))
    if found.scores is not None:
        assert 0 <= found.scores[0] <= 1
        assert 1 <= found.aspects["final_score"][0] <= 5 + 1e-9


@pytest.mark.parametrize("logprobs", [None, (), (0.0,)])
def test_a_backend_that_gives_no_probabilities_is_told_so(logprobs: tuple[float, ...] | None) -> None:
    with pytest.raises(BackendError, match=r"asked for 2 log-probabilities, the backend gave"):
        BUILTIN["image_gen.pair_rank.qwen"].verdict(Reply("", logprobs=logprobs), "likelihood")


def test_a_third_party_builds_a_rubric_in_one_call() -> None:
    point = Rubric("m.point", task="image_generation", arity=1, template="{prompt}\nRate.", read=final_score(1, 5))
    assert point.query(Case("a dog", (ONE,))).text == "a dog\nRate."
    answers = Rubric(
        "m.three", task="image_understanding", arity=3, template="{R3}|{R1}|{R2}", read=verdict(ties=False)
    )
    assert answers.query(Case("q", ("a", "b", "c"), (SOURCE,))).text == "c|a|b"
    alone = Rubric("m.one", task="image_understanding", arity=1, template="{Query} {R1}", read=final_score(1, 5))
    assert alone.query(Case("q", ("a",), (SOURCE,))).text == "q a"


def test_a_reader_for_another_number_of_candidates_is_found_out() -> None:
    rubric = Rubric("mine", task="image_generation", arity=2, template="{prompt}", read=final_score(1, 5))
    with pytest.raises(UniRewardError, match=r"rubric 'mine' judges 2 candidate\(s\), its reader gave 1 score\(s\)"):
        rubric.verdict(Reply("Final Score: 5"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "poetry"}, "rubric 'mine': no task is called 'poetry'; there are image_generation"),
        ({"arity": 0}, "at least one candidate, got arity=0"),
        ({"task": "video_generation"}, r"judges videos and needs frames=FrameRule\(\.\.\.\)"),
        ({"slot": pair_slot("Image ")}, r"judges 1 candidate\(s\), its answer slot does not"),
        (
            {"template": "{R1}"},
            r"has the placeholder \{R1\}, and 1 candidate\(s\) of image_generation fill only: Query",
        ),
        ({"task": "image_understanding", "template": "{R1} {R2}"}, r"has the placeholder \{R2\}"),
        ({"task": "image_understanding", "template": "{prompt}"}, r"does not show every answer: .*R1"),
        ({"task": "image_understanding", "arity": 2, "template": "{R1}"}, "does not show every answer"),
    ],
)
def test_a_rubric_that_cannot_work_is_refused(changes: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "task": "image_generation",
        "arity": 1,
        "template": "{prompt}",
        "read": final_score(1, 5),
    }
    with pytest.raises(UniRewardError, match=message):
        Rubric("mine", **(good | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        ({"choices": ("1",), "values": ((1.0,),)}, "at least two different choices"),
        ({"choices": ("1", "1"), "values": ((1.0,), (0.0,))}, "at least two different choices"),
        ({"choices": ("1", "2"), "values": ((1.0,),)}, "needs values for each of"),
        ({"choices": ("1", "2"), "values": ((1.0,), (0.0, 1.0))}, "needs values for each of"),
        ({"choices": ("1", "2"), "values": ((1.0,), (0.0,)), "aspects": {"raw": ()}}, "needs raw for each of"),
    ],
)
def test_an_answer_slot_that_cannot_work_is_refused(slot: dict[str, object], message: str) -> None:
    with pytest.raises(UniRewardError, match=message):
        AnswerSlot("x", **slot)  # type: ignore[arg-type]


def test_a_clip_as_context_of_a_custom_rule_is_sampled_by_it() -> None:
    rubric = Rubric(
        "mine",
        task="video_generation",
        arity=1,
        template="{prompt}",
        read=final_score(1, 5),
        frames=FrameRule("floor", count=2),
    )
    assert shades(rubric.query(Case("p", (clip(0),))).media) == [0, 10]
