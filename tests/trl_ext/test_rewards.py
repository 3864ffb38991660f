"""The rewards as TRL calls them, without a trainer: what they ask, what they give, and what they refuse."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

import trl_ext
from tests.trl_ext.material import picture, queries, question, scripted_judge
from trl_ext import UnifiedGroupReward, UnifiedReward
from trl_ext.choices import DEFAULT_JUDGE, short_name
from trl_ext.sharing import LastBatch
from unireward_plugins import UniRewardError, UnsupportedCase, Verdict, both_orders, load_judge

SEVEN_B = "CodeGoat24/UnifiedReward-2.0-qwen-7b"
THINK = "CodeGoat24/UnifiedReward-Think-qwen3vl-8b"
FLEX = "CodeGoat24/UnifiedReward-Flex-qwen3vl-8b"


def halves(cases):
    return [Verdict((1 / len(case.candidates),) * len(case.candidates)) for case in cases]


def by_length(cases):
    """Alone: a tenth for each letter. In pairs: the longer answer wins, and equal lengths are left open."""
    verdicts = []
    for case in cases:
        lengths = [len(candidate) for candidate in case.candidates]
        if len(lengths) == 1:
            verdicts.append(Verdict((lengths[0] / 10,), {"letters": (float(lengths[0]),)}, f"{lengths[0]} letters"))
        elif lengths[0] == lengths[1]:
            verdicts.append(Verdict(None, unread="no_verdict", reply="cannot say"))
        else:
            verdicts.append(Verdict((1.0, 0.0) if lengths[0] > lengths[1] else (0.0, 1.0), reply="longer"))
    return verdicts


class Strict:
    def __call__(self, cases):
        return halves(cases)


class Logs:
    """What TRL's `log_extra` and `log_metric` collect."""

    def __init__(self):
        self.columns, self.metrics = {}, {}

    def __call__(self, reward, prompts, completions, **columns):
        return reward(
            prompts=prompts,
            completions=completions,
            log_extra=self.columns.__setitem__,
            log_metric=self.metrics.__setitem__,
            completion_ids=[[1]] * len(prompts),
            trainer_state=None,
            **columns,
        )


def ask(reward, answers, colours=None):
    """The rewards of answers to one question, each about a picture of its colour."""
    colours = colours or ["red"] * len(answers)
    return reward(["?"] * len(answers), answers, image=[picture(colour) for colour in colours])


# --- what it gives ---


def test_the_score_is_the_reward_and_the_logs_hold_the_rest():
    logs = Logs()
    rewards = logs(UnifiedReward(by_length), ["?"] * 2, ["four", "sixsix"], image=[picture("red")] * 2)

    assert rewards == [0.4, 0.6]
    assert logs.columns == {
        "UnifiedReward-by_length/reply": ["4 letters", "6 letters"],
        "UnifiedReward-by_length/aspects": ['{"letters": 4.0}', '{"letters": 6.0}'],
        "UnifiedReward-by_length/unread": ["", ""],
    }
    assert logs.metrics == {"UnifiedReward-by_length/unread": 0.0, "UnifiedReward-by_length/letters": 5.0}


def test_an_unreadable_reply_is_none_and_says_why():
    replies = iter(["Final Score: 70", "I would rather not say."])
    logs = Logs()
    reward = UnifiedReward(scripted_judge(lambda query: next(replies)), name="judge")

    assert logs(reward, ["?"] * 2, ["a", "b"], image=[picture("red")] * 2) == [0.7, None]
    assert logs.columns["judge/unread"] == ["", "no_verdict"]
    assert logs.columns["judge/reply"] == ["Final Score: 70", "I would rather not say."]
    assert logs.metrics == {"judge/unread": 0.5, "judge/final_score": 70.0}


def test_a_reward_is_called_without_loggers_too():
    assert ask(UnifiedReward(by_length), ["four"]) == [0.4]


def test_an_empty_answer_is_judged():
    judge = scripted_judge(lambda query: "Final Score: 0")

    assert ask(UnifiedReward(judge), [[]]) == [0.0]
    assert len(queries(judge)) == 1


def test_rows_without_a_picture_in_a_mixed_dataset_get_none():
    logs = Logs()
    reward = UnifiedReward(by_length, name="judge")

    assert logs(reward, ["?"] * 3, ["a", "bb", "ccc"], image=[None, picture("red"), None]) == [None, 0.2, None]
    assert logs.columns["judge/unread"] == ["no picture or clip", "", "no picture or clip"]
    assert logs.metrics["judge/unread"] == 0.0


def test_a_batch_of_rows_without_pictures_is_no_error_where_others_have_some():
    logs = Logs()
    asked = []
    reward = UnifiedReward(lambda cases: asked.append(cases) or halves(cases), name="judge")

    assert logs(reward, ["?"], ["a"], image=[None]) == [None]
    assert (asked, logs.metrics) == ([], {})

    block = [{"role": "user", "content": [{"type": "image", "image": picture("red")}]}]
    assert reward([block], ["a"]) == [1.0]
    assert reward([question()], ["a"]) == [None]


def test_an_aspect_is_the_raw_number():
    assert ask(UnifiedReward(by_length, aspect="letters"), ["four", "sixsix"]) == [4.0, 6.0]


def test_an_aspect_that_a_reply_left_out_is_none():
    def partly(cases):
        return [Verdict(None, {"style": (3.0,)}, unread="incomplete"), Verdict(None, unread="empty")]

    logs = Logs()
    reward = UnifiedReward(partly, aspect="style", name="judge")
    assert logs(reward, ["?"] * 2, ["a", "b"], image=[picture("red")] * 2) == [3.0, None]
    assert logs.columns["judge/unread"] == ["", "empty"]
    assert logs.metrics["judge/unread"] == 0.5


def test_a_judge_that_gives_no_such_aspect_is_an_error():
    with pytest.raises(
        UniRewardError, match=r"UnifiedReward-by_length-style: the judge gives no 'style', only \['letters'\]"
    ):
        ask(UnifiedReward(by_length, aspect="style"), ["a"])


def test_the_rubric_is_said_once_for_each_kind_of_row(caplog):
    replies = {"image_understanding": "Final Score: 70", "video_understanding": "Final Score: 4"}
    image = scripted_judge(lambda query: replies["image_understanding"])
    video = scripted_judge(lambda query: replies["video_understanding"], rubric="video_und.point_score")
    both = type(image)("both", image.backend, {**image.rubrics, **video.rubrics})
    reward = UnifiedReward(both)
    with caplog.at_level(logging.INFO, "trl_ext"):
        for _ in range(2):
            ask(reward, ["a"])
            reward(["?"], ["a"], video=[[picture("red"), picture("blue")]])

    assert caplog.messages == [
        "UnifiedReward-both: both judges image_understanding by rubric image_und.point_score.qwen",
        "UnifiedReward-both: both judges video_understanding by rubric video_und.point_score",
    ]


# --- which judge, under which name ---


def test_without_an_argument_the_judge_is_the_published_one(monkeypatch):
    monkeypatch.delenv("UNIREWARD_JUDGE", raising=False)
    reward = UnifiedReward()

    assert reward.judge.judge.name == DEFAULT_JUDGE
    assert reward.__name__ == "UnifiedReward"


def test_the_environment_names_another(monkeypatch):
    monkeypatch.setenv("UNIREWARD_JUDGE", "shapes")

    assert UnifiedReward().judge.judge.name == "shapes"
    assert UnifiedReward().__name__ == "UnifiedReward"
    assert UnifiedGroupReward().judge.judge.name == "shapes"


@pytest.mark.parametrize(
    ("reward", "name"),
    [
        (lambda: UnifiedReward("shapes"), "UnifiedReward-shapes"),
        (lambda: UnifiedReward(SEVEN_B, readout="likelihood"), "UnifiedReward-UnifiedReward-2.0-qwen-7b-likelihood"),
        (
            lambda: UnifiedReward(SEVEN_B, rubric="video_und.point_score"),
            "UnifiedReward-UnifiedReward-2.0-qwen-7b-video_und.point_score",
        ),
        (
            lambda: UnifiedGroupReward(f"http://127.0.0.1:9/v1#{THINK}", rubric="think.image_und.qwen3"),
            "UnifiedGroupReward-UnifiedReward-Think-qwen3vl-8b-think.image_und.qwen3",
        ),
        (lambda: UnifiedReward(by_length, aspect="letters"), "UnifiedReward-by_length-letters"),
        (lambda: UnifiedReward(scripted_judge(str, name="org/mine")), "UnifiedReward-mine"),
        (lambda: UnifiedReward(by_length, name="mine"), "mine"),
        (lambda: UnifiedReward(Strict()), "UnifiedReward-Strict"),
        (lambda: UnifiedGroupReward(both_orders(by_length)), "UnifiedGroupReward-by_length-both_orders"),
        (lambda: UnifiedGroupReward(THINK), "UnifiedGroupReward-UnifiedReward-Think-qwen3vl-8b"),
    ],
)
def test_rewards_with_other_arguments_have_other_names(reward, name):
    assert reward().__name__ == name


def test_a_server_is_named_by_its_address():
    assert short_name("http://127.0.0.1:9/v1") == "127.0.0.1:9"


def test_a_judge_that_was_built_keeps_its_readout():
    judge = load_judge(SEVEN_B, readout="likelihood")

    assert UnifiedReward(judge).judge.judge.readout == "likelihood"


# --- what it refuses ---


def test_the_class_in_place_of_an_instance():
    with pytest.raises(
        UniRewardError, match=r"TRL was given the class UnifiedReward; .*reward_funcs=UnifiedReward\(\)"
    ):
        UnifiedReward(prompts=["?"], completions=["a"], completion_ids=[[1]], image=[picture("red")])


@pytest.mark.parametrize("reward", [UnifiedReward, UnifiedGroupReward])
def test_a_misspelt_option(reward):
    with pytest.raises(TypeError, match=rf"{reward.__name__}\(\) has no option 'rubrik'"):
        reward("shapes", rubrik="image_und.point_score.qwen")


def test_an_unknown_rubric():
    with pytest.raises(UniRewardError, match="image_und"):
        UnifiedReward("shapes", rubric="image_und.point_score.quen")


def test_a_rubric_for_a_judge_that_asks_none():
    with pytest.raises(UniRewardError, match="is a plain callable: rubric=, readout= and cache= fit only"):
        UnifiedReward(by_length, rubric="image_und.point_score.qwen")


def test_an_unknown_readout():
    with pytest.raises(UniRewardError, match="readout is 'liklihood'; a reply can be read by generate or likelihood"):
        UnifiedReward("shapes", readout="liklihood")


@pytest.mark.parametrize(
    ("reward", "judge", "message"),
    [
        (UnifiedReward, lambda: THINK, r"UnifiedReward asks\. It judges: .*; use UnifiedGroupReward with it"),
        (
            UnifiedReward,
            lambda: FLEX,
            r"a reward for TRL needs a judge of text answers, that is of image_understanding or video",
        ),
        (UnifiedGroupReward, lambda: FLEX, r"a reward for TRL needs a judge of text answers"),
        (UnifiedGroupReward, lambda: scripted_judge(str), r"use UnifiedReward with it"),
        (UnifiedReward, lambda: load_judge(THINK, both_orders=True), r"use UnifiedGroupReward with it"),
    ],
)
def test_a_judge_that_cannot_judge_so_is_refused_at_construction(reward, judge, message):
    with pytest.raises(UnsupportedCase, match=message):
        reward(judge())


def test_a_judge_of_pictures_is_refused_for_clips_at_the_first_of_them():
    reward = UnifiedReward(scripted_judge(lambda query: "Final Score: 70"))

    with pytest.raises(UnsupportedCase, match="'scripted' cannot judge video_understanding 1 answer"):
        reward(["?"], ["a"], video=[[picture("red"), picture("blue")]])


def test_a_text_only_dataset_names_the_columns_that_there_are():
    with pytest.raises(
        UniRewardError, match=r"no column 'videos', 'video', 'images', 'image' among \['img', 'solution'\]"
    ):
        UnifiedReward(by_length)([question()], ["a"], img=[picture("red")], solution=["a"])


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda cases: [], "asked about 1 cases and gave 0 verdicts"),
        (lambda cases: [Verdict((0.5, 0.5))], r"gave 2 score\(s\) to a case with 1 candidate"),
    ],
)
def test_a_judge_that_breaks_its_contract(judge, message):
    with pytest.raises(UniRewardError, match=message):
        ask(UnifiedReward(judge), ["a"])


# --- several rewards over one judge ---


def test_rewards_over_one_judge_ask_it_once_a_batch():
    batches = []

    def judge(cases):
        batches.append(len(cases))
        return by_length(cases)

    score, letters = UnifiedReward(judge), UnifiedReward(judge, aspect="letters")

    assert (ask(score, ["four", "six"]), ask(letters, ["four", "six"])) == ([0.4, 0.3], [4.0, 3.0])
    assert batches == [2]
    ask(score, ["four", "six"], ["red", "blue"])
    assert batches == [2, 2]


def test_the_memory_of_a_judge_ends_with_its_last_user():
    def judge(cases):
        return halves(cases)

    memory = LastBatch.of(judge)
    assert LastBatch.of(judge) is memory
    memory.judge = None
    del memory
    gc.collect()
    assert LastBatch.of(judge).judge is judge


# --- the group reward ---


def test_the_win_rate_is_the_reward():
    assert ask(UnifiedGroupReward(by_length), ["a", "bbb", "cc"]) == [0.0, 1.0, 0.5]


def test_the_games_of_all_groups_are_one_call():
    calls = []

    def judge(cases):
        calls.append(len(cases))
        return by_length(cases)

    colours = ["red"] * 3 + ["blue"] * 2
    assert ask(UnifiedGroupReward(judge), ["a", "bbb", "cc", "d", "ee"], colours) == [0.0, 1.0, 0.5, 0.0, 1.0]
    assert calls == [3 + 1]


def test_completions_of_one_prompt_need_not_stand_together():
    """As in OnlineDPO, which calls with the first completion of every prompt, then the second of every prompt."""
    assert ask(UnifiedGroupReward(by_length), ["a", "dd", "bb", "c"], ["red", "blue"] * 2) == [0.0, 1.0, 1.0, 0.0]


def test_an_open_game_counts_for_nobody():
    logs = Logs()
    rewards = logs(
        UnifiedGroupReward(by_length, name="judge"), ["?"] * 3, ["aa", "bb", "c"], image=[picture("red")] * 3
    )

    assert rewards == [1.0, 1.0, 0.0]
    assert logs.metrics == {"judge/unread": pytest.approx(1 / 3)}
    assert logs.columns["judge/reply"][2] == "[0.0] longer\n\n[0.0] longer"
    assert sorted(logs.columns["judge/reply"][0].split("\n\n")) == ["[1.0] longer", "[unread] cannot say"]


def test_a_completion_without_a_game_that_was_read_gets_none():
    logs = Logs()
    rewards = logs(UnifiedGroupReward(by_length, name="judge"), ["?"] * 2, ["aa", "bb"], image=[picture("red")] * 2)

    assert rewards == [None, None]
    assert logs.columns["judge/unread"] == ["no_verdict"] * 2
    assert logs.metrics == {"judge/unread": 1.0}


def test_equal_answers_draw_without_being_asked_about():
    asked = []
    reward = UnifiedGroupReward(lambda cases: asked.extend(cases) or by_length(cases))

    assert ask(reward, ["aa", "aa", "b"]) == [0.75, 0.75, 0.0]
    assert len(asked) == 2


def test_a_judge_that_always_says_first_is_cured_by_asking_both_orders():
    def first(cases):
        return [Verdict((1.0, 0.0)) for _ in cases]

    assert ask(UnifiedGroupReward(both_orders(first)), ["a", "b", "c"]) == [0.5, 0.5, 0.5]


def test_the_built_in_pair_rubrics_are_asked_with_both_answers():
    judge = scripted_judge(lambda query: "Answer 1 is better", rubric="image_und.pair_rank.qwen")

    assert sorted(ask(UnifiedGroupReward(judge), ["a cat", "a dog"])) == [0.0, 1.0]
    (query,) = queries(judge)
    assert "a cat" in query.text
    assert "a dog" in query.text
    assert len(query.media) == 1


def test_a_group_of_one_is_refused():
    with pytest.raises(UniRewardError, match=r"1 of 3 completions have no other completion of the same prompt"):
        ask(UnifiedGroupReward(by_length), ["a", "b", "c"], ["red", "red", "blue"])


def test_rows_without_a_picture_play_no_games():
    reward = UnifiedGroupReward(by_length)
    columns = {"image": [picture("red"), None, picture("red")]}

    assert reward(["?"] * 3, ["a", "b", "cc"], **columns) == [0.0, None, 1.0]


# --- other processes ---


def always(query):
    return "Final Score: 70"


def test_a_reward_works_in_a_spawned_process():
    """As in AsyncGRPO, which calls the reward for one group at a time, without loggers, in a spawned child."""
    rewards = [UnifiedReward(scripted_judge(always)), UnifiedReward(by_length), UnifiedGroupReward(by_length)]
    ask(rewards[0], ["a", "bb"])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as child:
        results = [child.submit(ask, reward, ["a", "bb"]).result() for reward in rewards]

    assert results == [[0.7, 0.7], [0.1, 0.2], [0.0, 1.0]]


def test_pickled_rewards_stay_what_they_were():
    judge = scripted_judge(always)
    score, raw = pickle.loads(pickle.dumps([UnifiedReward(judge), UnifiedReward(judge, aspect="final_score")]))

    assert (score.__name__, raw.__name__) == ("UnifiedReward-scripted", "UnifiedReward-scripted-final_score")
    assert score.judge is raw.judge
    assert (ask(score, ["a"]), ask(raw, ["a"])) == ([0.7], [70.0])


@pytest.mark.parametrize("judge", [None, "shapes", "http://127.0.0.1:9/v1#judge", THINK])
def test_rewards_of_references_pickle(judge):
    rubric = "image_und.pair_rank.qwen" if judge and judge.startswith("http") else "auto"
    reward = UnifiedGroupReward(judge, rubric=rubric)

    assert pickle.loads(pickle.dumps(reward)).judge.judge == reward.judge.judge


def test_the_package_is_light_until_a_trainer_is_there():
    code = (
        "import sys, json, trl_ext; trl_ext.UnifiedReward('shapes');"
        "print(json.dumps([name for name in ('torch', 'trl', 'datasets', 'PIL') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == []


def test_the_instances_for_the_command_line_are_configured_by_the_environment(monkeypatch):
    for name in ("unified_reward", "unified_group_reward"):
        monkeypatch.delitem(vars(trl_ext), name, raising=False)
    monkeypatch.setenv("UNIREWARD_JUDGE", SEVEN_B)
    monkeypatch.setenv("UNIREWARD_READOUT", "likelihood")
    point, group = trl_ext.unified_reward, trl_ext.unified_group_reward

    assert point is trl_ext.unified_reward
    assert (point.judge.judge.name, point.judge.judge.readout) == (SEVEN_B, "likelihood")
    assert (point.__name__, group.__name__) == ("UnifiedReward-likelihood", "UnifiedGroupReward-likelihood")


def test_the_environment_can_name_a_rubric(monkeypatch):
    monkeypatch.delitem(vars(trl_ext), "unified_reward", raising=False)
    monkeypatch.setenv("UNIREWARD_JUDGE", SEVEN_B)
    monkeypatch.setenv("UNIREWARD_RUBRIC", "video_und.point_score")

    assert trl_ext.unified_reward.__name__ == "UnifiedReward-video_und.point_score"


def test_public_names():
    assert dir(trl_ext) == sorted(trl_ext.__all__)
    with pytest.raises(AttributeError, match="no attribute 'unified_rewards'"):
        trl_ext.unified_rewards  # noqa: B018
