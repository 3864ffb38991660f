"""Judges: which rubric asks, what is asked once, what is kept, and both orders."""

import pickle
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unireward_plugins import (
    BackendError,
    Case,
    Judge,
    Media,
    UniRewardError,
    UnsupportedCase,
    Verdict,
    both_orders,
    load_judge,
)
from unireward_plugins.backends.vllm import VllmBackend
from unireward_plugins.cache import VerdictCache
from unireward_plugins.families import FAMILIES
from unireward_plugins.judges import ModelJudge, ask, average_of_orders
from unireward_plugins.media import FrameRule
from unireward_plugins.plugins import find_rubric
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import TOO_LONG, Query, Reply


def picture(shade: int) -> Media:
    return Media.of(numpy.full((8, 8, 3), shade, dtype=numpy.uint8))


def four(query: Query) -> str:
    return "Final Score: 4"


def judge_of(reply: Callable[[Query], str | Reply], *rubrics: str, cache: VerdictCache | None = None) -> ModelJudge:
    found = [find_rubric(name) for name in rubrics]
    return ModelJudge("scripted", ScriptedBackend(reply), {(one.task, one.arity): one for one in found}, cache=cache)


POINT = "image_gen.point_score.v1"
PAIR = "image_gen.pair_rank.qwen"


def test_a_judge_picks_the_rubric_from_task_and_number_of_candidates() -> None:
    judge = judge_of(four, POINT, PAIR, "image_und.point_score.qwen")
    assert judge.rubric_for(Case("a dog", (picture(1),))).name == POINT
    assert judge.rubric_for(Case("a dog", (picture(1), picture(2)))).name == PAIR
    assert judge.rubric_for(Case("what?", ("a dog",), (picture(1),))).name == "image_und.point_score.qwen"
    assert judge.supports("image_generation", 2)
    assert not judge.supports("video_generation", 1)


def test_a_case_that_the_judge_cannot_judge_is_refused_before_anything_is_asked() -> None:
    judge = judge_of(four, POINT)
    with pytest.raises(
        UnsupportedCase, match=r"'scripted' cannot judge 3 candidate\(s\) of image_generation.*tournament"
    ):
        judge([Case("a dog", (picture(1),)), Case("a dog", (picture(1), picture(2), picture(3)))])
    assert isinstance(judge.backend, ScriptedBackend)
    assert judge.backend.queries == []


def test_verdicts_come_in_the_order_of_the_cases_and_equal_questions_are_asked_once() -> None:
    def by_caption(query: Query) -> str:
        return "Final Score: 5" if "a dog" in query.text else "Final Score: 1"

    judge = judge_of(by_caption, POINT)
    dog, cat = Case("a dog", (picture(1),)), Case("a cat", (picture(1),))
    assert [verdict.scores for verdict in judge([dog, cat, dog, dog])] == [(1.0,), (0.0,), (1.0,), (1.0,)]
    assert isinstance(judge.backend, ScriptedBackend)
    assert len(judge.backend.queries) == 2
    assert judge([]) == []


class Counting(ScriptedBackend):
    """Remembers how many queries came at a time."""

    def __init__(self, reply: Callable[[Query], str | Reply]) -> None:
        super().__init__(reply)
        self.batches: list[int] = []

    def __call__(self, queries: Sequence[Query], /) -> list[Reply]:
        self.batches.append(len(queries))
        return super().__call__(queries)


@pytest.mark.parametrize(("kind", "batches"), [("image", [100]), ("video", [64, 36])])
def test_many_pictures_are_asked_about_at_once_and_clips_a_memory_full_at_a_time(kind: str, batches: list[int]) -> None:
    backend = Counting(lambda query: f"Final Score: {1 + len(query.text) % 5}")
    point = find_rubric(POINT)
    clip = replace(point, task="video_generation", frames=FrameRule("linspace", 2))
    judge = ModelJudge("counting", backend, {("image_generation", 1): point, ("video_generation", 1): clip})
    shown = picture(1) if kind == "image" else Media.of([picture(1), picture(2)])
    cases = [Case("a" * number, (shown,)) for number in range(100)]
    scores = [verdict.scores for verdict in judge(cases)]
    assert backend.batches == batches
    assert len(set(scores)) == 5
    assert scores == [judge([case])[0].scores for case in cases]


def test_an_unreadable_reply_is_no_verdict() -> None:
    (verdict,) = judge_of(lambda query: "I'd rather not say.", POINT)([Case("a dog", (picture(1),))])
    assert verdict.scores is None
    assert verdict.unread == "no_verdict"
    assert verdict.reply == "I'd rather not say."


def test_what_a_model_has_no_room_for_is_no_verdict_costs_no_other_its_own_and_is_asked_anew(tmp_path: Path) -> None:
    room = 2500

    def limited(query: Query) -> str | Reply:
        return TOO_LONG if len(query.text) > room else "Final Score: 4"

    judge = judge_of(limited, POINT, cache=VerdictCache(tmp_path / "verdicts.db"))
    cases = [Case(prompt, (picture(1),)) for prompt in ("a dog", "a dog " * 1000, "a cat")]
    assert [(verdict.scores, verdict.unread) for verdict in judge(cases)] == [
        ((0.75,), None),
        (None, "too_long"),
        ((0.75,), None),
    ]
    room = 10_000
    asked = len(judge.backend.queries)
    assert [verdict.scores for verdict in judge(cases)] == [(0.75,)] * 3
    assert len(judge.backend.queries) == asked + 1, "the other two are in the cache"


def test_a_cache_answers_what_was_asked_before_and_survives_a_failure_in_between(tmp_path: Path) -> None:
    failing = False
    asked: list[str] = []

    def flaky(query: Query) -> str:
        if failing:
            raise BackendError("the server is gone")
        asked.append(query.text)
        return "Final Score: 3"

    judge = judge_of(flaky, POINT, cache=VerdictCache(tmp_path / "verdicts.db"))
    cases = [Case(f"caption {index % 5}", (picture(index % 7),)) for index in range(100)]
    first = judge(cases[:20])
    assert len(asked) == 20
    failing = True
    assert judge(cases[:20]) == first, "known verdicts need no model"
    with pytest.raises(BackendError):
        judge(cases)
    failing = False
    assert [verdict.scores for verdict in judge(cases)] == [(0.5,)] * 100
    assert len(asked) == 35, "35 distinct cases, each asked once"


def test_a_judge_pickles(tmp_path: Path) -> None:
    judge = judge_of(four, POINT, cache=VerdictCache(tmp_path / "verdicts.db"))
    case = Case("a dog", (picture(1),))
    assert pickle.loads(pickle.dumps(judge))([case]) == judge([case])
    assert pickle.loads(pickle.dumps(both_orders(judge)))([case]) == judge([case])


def always_first(cases: Sequence[Case]) -> list[Verdict]:
    return [Verdict((1.0, 0.0), {"style": (0.7, 0.3)}) for _ in cases]


def test_a_judge_that_always_says_first_comes_out_as_a_tie() -> None:
    (verdict,) = both_orders(always_first)([Case("a dog", (picture(1), picture(2)))])
    assert verdict.scores == (0.5, 0.5)
    assert verdict.aspects == {"style": (0.5, 0.5)}


def test_both_orders_are_asked_in_one_call_and_single_candidates_pass_through() -> None:
    calls: list[list[Case]] = []

    def brighter(cases: Sequence[Case]) -> list[Verdict]:
        calls.append(list(cases))
        return [Verdict((0.9,)) if len(case.candidates) == 1 else Verdict((0.8, 0.2)) for case in cases]

    single, pair = Case("a", (picture(1),)), Case("b", (picture(1), picture(2)))
    assert [verdict.scores for verdict in both_orders(brighter)([single, pair])] == [(0.9,), (0.5, 0.5)]
    assert both_orders(both_orders(brighter)) == both_orders(brighter)
    assert calls == [[single, pair, pair.reversed()]]


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_average_of_orders_is_symmetric(first: float, second: float) -> None:
    straight, swapped = Verdict((first, 1 - first)), Verdict((second, 1 - second))
    average = average_of_orders(straight, swapped).scores
    assert average == average_of_orders(swapped, straight).scores
    assert average is not None
    assert sum(average) == pytest.approx(1)


@pytest.mark.parametrize(
    ("straight", "swapped", "reason"),
    [
        (Verdict((1.0, 0.0)), Verdict(None, unread="both"), "orders"),
        (Verdict(None, unread="both"), Verdict((1.0, 0.0)), "orders"),
        (Verdict(None, unread="empty"), Verdict(None, unread="both"), "empty"),
    ],
)
def test_one_order_alone_is_no_verdict(straight: Verdict, swapped: Verdict, reason: str) -> None:
    average = average_of_orders(straight, swapped)
    assert average.scores is None
    assert average.unread == reason


@pytest.mark.parametrize(
    ("verdicts", "complaint"),
    [
        ([], "asked about 2 cases and gave 0 verdicts"),
        ([Verdict((1.0, 0.0))] * 3, "asked about 2 cases and gave 3 verdicts"),
        ([Verdict((1.0, 0.0)), Verdict((1.0,))], r"gave 1 score\(s\) to a case with 2 candidate\(s\)"),
    ],
)
def test_a_judge_that_breaks_its_contract_is_named(verdicts: list[Verdict], complaint: str) -> None:
    def breaker(cases: Sequence[Case]) -> list[Verdict]:
        return verdicts

    with pytest.raises(UniRewardError, match=rf"judge .*breaker.* {complaint}"):
        both_orders(breaker)([Case("a dog", (picture(1), picture(2)))])


def test_a_callable_is_a_judge() -> None:
    assert load_judge(always_first) is always_first
    assert load_judge(always_first, readout="generate") is always_first


@pytest.mark.parametrize("option", [{"readout": "likelihood"}, {"rubric": PAIR}, {"cache": "verdicts.db"}])
@pytest.mark.parametrize("judge", [always_first, both_orders(always_first)])
def test_an_option_that_a_plain_callable_cannot_heed_is_refused(judge: Judge, option: dict[str, Any]) -> None:
    with pytest.raises(UniRewardError, match="plain callable"):
        load_judge(judge, **option)


@pytest.mark.parametrize("ref", ["shapes", always_first])
def test_a_family_for_a_judge_that_knows_its_rubrics_is_refused(ref: str | Judge) -> None:
    with pytest.raises(UniRewardError, match="family= fits only a checkpoint or a server"):
        load_judge(ref, family="2.0-qwen")


def test_a_misspelt_readout_is_refused() -> None:
    with pytest.raises(UniRewardError, match="readout is 'liklihood'; a reply can be read by generate or likelihood"):
        load_judge("shapes", readout="liklihood")  # type: ignore[arg-type]


def test_a_judge_that_was_built_keeps_what_is_not_asked_for(tmp_path: Path) -> None:
    built = replace(judge_of(four, POINT), readout="likelihood")
    assert load_judge(built) is built
    cached = load_judge(both_orders(built), both_orders=True, cache=tmp_path / "verdicts.db")
    assert cached == both_orders(replace(built, cache=VerdictCache(tmp_path / "verdicts.db")))
    assert load_judge(built, readout="generate") == replace(built, readout="generate")


def test_what_is_neither_a_name_nor_callable_is_refused() -> None:
    with pytest.raises(UniRewardError, match="None is no judge"):
        load_judge(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("ref", ["shapes", "org/other"])
def test_a_loaded_judge_pickles_before_it_is_used(ref: str) -> None:
    judge = load_judge(ref, family=None if ref == "shapes" else "2.0-qwen", both_orders=True)
    assert pickle.loads(pickle.dumps(judge)) == judge


def test_a_judge_shows_itself_without_its_prompts() -> None:
    assert repr(load_judge("org/other", rubric=PAIR)).count("\n") == 0


@pytest.mark.parametrize("ref", ["", "UnifiedReward-7b", "./nowhere", "/nowhere/at/all", "a/b/c", "localhost:8000/v1"])
def test_a_reference_that_names_nothing_says_what_would(ref: str) -> None:
    with pytest.raises(UniRewardError, match=rf"'{re.escape(ref)}' names no judge\. Give a judge's name \(.*shapes"):
        load_judge(ref)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=r"there is no config\.json in it"):
        load_judge(tmp_path)


def test_an_unknown_model_needs_a_family_or_a_rubric() -> None:
    with pytest.raises(UniRewardError, match=r"'org/other' is in no family.*family= \(one of: v1-llava.*rubric="):
        load_judge("org/other")
    with_family = load_judge("org/other", family="2.0-qwen")
    assert isinstance(with_family, ModelJudge)
    assert with_family.supports("image_generation", 1)
    with_rubric = load_judge("org/other", rubric=PAIR)
    assert isinstance(with_rubric, ModelJudge)
    assert list(with_rubric.rubrics) == [("image_generation", 2)]


def test_misspelt_names_get_their_neighbours() -> None:
    with pytest.raises(
        UniRewardError, match=r"no rubric named 'image_gen.pair_rank'\. Did you mean 'image_gen\.pair_rank\.qwen"
    ):
        load_judge("org/other", rubric="image_gen.pair_rank")
    with pytest.raises(UniRewardError, match=r"no family named '2\.0'.*`unireward plugins --json`"):
        load_judge("org/other", family="2.0")
    with pytest.raises(UniRewardError, match=r"no family named 'zzz'\. There are: 2\.0-qwen, "):
        load_judge("org/other", family="zzz")


def test_a_checkpoint_may_be_run_by_vllm() -> None:
    judge = load_judge("vllm:CodeGoat24/UnifiedReward-2.0-qwen35-4b")
    assert isinstance(judge, ModelJudge)
    assert judge.backend == VllmBackend(
        "CodeGoat24/UnifiedReward-2.0-qwen35-4b", chat_template_kwargs={"enable_thinking": False}
    )
    assert judge.supports("image_generation", 1)


@pytest.mark.parametrize("runs_in", ["", "vllm:"])
def test_checkpoints_in_the_original_llava_layout_are_sent_to_a_server(runs_in: str) -> None:
    with pytest.raises(UniRewardError, match="Serve it with SGLang"):
        load_judge(f"{runs_in}CodeGoat24/UnifiedReward-7b-v1.5")


@pytest.mark.parametrize(
    "checkpoint", [one for family in FAMILIES for one in family.checkpoints if not family.only_served]
)
def test_every_published_checkpoint_gets_its_family_without_being_loaded(checkpoint: str) -> None:
    judge = load_judge(checkpoint)
    assert isinstance(judge, ModelJudge)
    assert judge.rubrics
    assert pickle.loads(pickle.dumps(judge)) == judge


def test_a_likelihood_is_refused_where_no_rubric_has_an_answer_slot() -> None:
    with pytest.raises(
        UniRewardError, match=r"think\.image_gen\.qwen3.*has an answer slot.*image_gen\.pair_rank\.qwen"
    ):
        load_judge("CodeGoat24/UnifiedReward-Think-qwen3vl-8b", readout="likelihood")


def test_a_likelihood_judge_refuses_what_it_cannot_read_that_way_before_anything_is_asked() -> None:
    judge = load_judge("org/other", family="2.0-qwen", readout="likelihood")
    assert isinstance(judge, ModelJudge)
    assert not judge.supports("image_generation", 1), "dimension lines have no answer slot"
    with pytest.raises(UnsupportedCase, match=r"By likelihood it judges: image_understanding \(2 at a time\)"):
        judge.rubric_for(Case("a dog", (picture(1),)))


def test_what_the_chat_template_is_told_is_part_of_the_revision(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    plain, told = load_judge(tmp_path, family="2.0-qwen3vl"), load_judge(tmp_path, family="2.0-qwen35")
    assert isinstance(plain, ModelJudge)
    assert isinstance(told, ModelJudge)
    assert told.backend.revision == f'{plain.backend.revision} {{"enable_thinking": false}}'


def test_a_judge_from_a_folder_is_called_as_the_folder_without_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "my-judge"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    judges = [load_judge(ref, family="2.0-qwen3vl") for ref in (folder, f"vllm:{folder}")]
    assert [judge.name for judge in judges if isinstance(judge, ModelJudge)] == ["my-judge", "vllm:my-judge"]


def test_what_is_no_verdict_is_named_with_the_judge_that_gave_it() -> None:
    with pytest.raises(UniRewardError, match=r"gave 0\.5 where a Verdict belongs"):
        ask(lambda cases: [0.5] * len(cases), [Case("a dog", (picture(1),))])  # type: ignore[list-item,misc]


def test_a_misspelt_judge_gets_its_neighbour() -> None:
    with pytest.raises(UniRewardError, match=r"'shaeps' names no judge\. Did you mean 'shapes'\?"):
        load_judge("shaeps")
