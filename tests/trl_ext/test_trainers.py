"""The rewards inside TRL's real trainers, with tiny real policies that see pictures."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pandas
import pytest
from datasets import Dataset, Features, Image, List, Value
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

from tests.trl_ext.material import picture, queries, question, scripted_judge
from trl_ext import UnifiedGroupReward, UnifiedReward
from unireward_plugins import BackendError, UniRewardError, Verdict

# transformers renamed gradient checkpointing; TRL 1.16 still uses the old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")

SAMPLING = {"num_generations": 4, "max_completion_length": 8}
COLOURS = ("red", "lime", "blue", "yellow")


def pictures_dataset(**columns):
    """Four questions, each with a picture: decoded by `datasets` from PNG bytes, as from the Hub."""
    rows = {"prompt": [question()] * 4, "image": [picture(colour) for colour in COLOURS], **columns}
    return Dataset.from_dict(rows).cast_column("image", Image())


def logged(trainer, key):
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def completions_table(settings, step=1):
    return pandas.read_parquet(Path(settings["output_dir"]) / "completions" / f"completions_{step:05d}.parquet")


def score_of(query):
    """A reply that depends on the question as a whole, so that different answers get different scores."""
    return f"Final Score: {sum(map(ord, query.text)) % 101}"


def test_grpo_trains_on_the_scores_and_logs_what_the_judge_said(policy, settings):
    judge = scripted_judge(score_of)
    model, processor = policy("llava")
    trainer = GRPOTrainer(
        model,
        reward_funcs=UnifiedReward(judge),
        args=GRPOConfig(**settings, **SAMPLING, log_completions=True),
        train_dataset=pictures_dataset(),
        processing_class=processor,
    )
    trainer.train()

    table = completions_table(settings)
    raw = [json.loads(aspects)["final_score"] for aspects in table["UnifiedReward-scripted/aspects"]]
    assert len(table) == 4
    assert table["UnifiedReward-scripted"].tolist() == pytest.approx([score / 100 for score in raw])
    assert table["UnifiedReward-scripted/reply"].tolist() == [f"Final Score: {score:.0f}" for score in raw]
    assert logged(trainer, "UnifiedReward-scripted/unread") == [0.0, 0.0]
    assert logged(trainer, "UnifiedReward-scripted/final_score")[0] == pytest.approx(np.mean(raw))
    assert logged(trainer, "rewards/UnifiedReward-scripted/mean")[0] == pytest.approx(np.mean(raw) / 100)
    assert all(query.media and "Which colour is it?" in query.text for query in queries(judge))


def test_an_unread_verdict_is_no_reward_and_is_counted(policy, settings):
    answers = iter(["Final Score: 80", "no idea"] * 100)
    model, processor = policy("qwen2_5_vl")
    trainer = GRPOTrainer(
        model,
        # Every answer is asked about, so that the replies alternate.
        reward_funcs=UnifiedReward(lambda cases: [read(next(answers)) for _ in cases], name="judge"),
        args=GRPOConfig(**settings, **SAMPLING, log_completions=True),
        train_dataset=pictures_dataset(),
        processing_class=processor,
    )
    trainer.train()

    table = completions_table(settings)
    assert table["judge"].tolist() == pytest.approx([0.8, float("nan")] * 2, nan_ok=True)
    assert table["judge/unread"].tolist() == ["", "no_verdict"] * 2
    assert table["advantage"].tolist()[1::2] == [0.0, 0.0]
    assert logged(trainer, "judge/unread") == [0.5, 0.5]


def read(reply):
    score = reply.removeprefix("Final Score: ")
    return (
        Verdict((float(score) / 100,), reply=reply)
        if score.isdigit()
        else Verdict(None, reply=reply, unread="no_verdict")
    )


def test_several_rewards_keep_their_names_and_share_one_run_of_a_judge(policy, settings):
    calls = []

    def judge(cases):
        calls.append(len(cases))
        return [Verdict((0.5,), {"style": (float(len(str(case.candidates[0]))),)}) for case in cases]

    def brevity(completions, **_):
        return [-float(len(completion[0]["content"])) for completion in completions]

    model, processor = policy("llava")
    trainer = GRPOTrainer(
        model,
        reward_funcs=[UnifiedReward(judge), UnifiedReward(judge, aspect="style"), brevity],
        args=GRPOConfig(**settings, **SAMPLING, log_completions=True, reward_weights=[1.0, 0.5, 0.1]),
        train_dataset=pictures_dataset(),
        processing_class=processor,
    )
    trainer.train()

    table = completions_table(settings)
    assert calls == [4, 4]
    assert table["UnifiedReward-judge"].tolist() == [0.5] * 4
    assert table["UnifiedReward-judge-style"].tolist() == [-length for length in table["brevity"]]


def test_rloo_with_several_pictures_a_prompt(policy, settings):
    judge = scripted_judge(score_of)
    dataset = Dataset.from_dict(
        {
            "prompt": [question("What do they share?")] * 4,
            "images": [[picture("red"), picture(other)] for other in COLOURS],
        },
        features=Features({"prompt": [{"role": Value("string"), "content": Value("string")}], "images": List(Image())}),
    )
    model, processor = policy("qwen2_5_vl")
    trainer = RLOOTrainer(
        model,
        reward_funcs=UnifiedReward(judge),
        args=RLOOConfig(**settings, **SAMPLING, log_completions=True),
        train_dataset=dataset,
        processing_class=processor,
    )
    trainer.train()

    assert logged(trainer, "UnifiedReward-scripted/unread") == [0.0, 0.0]
    assert len(logged(trainer, "rewards/UnifiedReward-scripted/mean")) == 2
    assert {len(query.media) for query in queries(judge)} == {2}


@pytest.mark.parametrize("reward", [UnifiedReward, UnifiedGroupReward])
def test_online_dpo_judges_the_picture_of_the_column(policy, settings, reward):
    seen = []

    def judge(cases):
        seen.extend(cases)
        share = 1.0 / len(cases[0].candidates)
        return [Verdict((share,) * len(case.candidates)) for case in cases]

    model, processor = policy("llava")
    trainer = OnlineDPOTrainer(
        model,
        reward_funcs=reward(judge),
        args=OnlineDPOConfig(**settings, max_new_tokens=8, max_length=256),
        train_dataset=pictures_dataset(),
        processing_class=processor,
    )
    trainer.train()

    assert {case.context[0].pil().getpixel((0, 0)) for case in seen} == {
        picture(colour).getpixel((0, 0)) for colour in COLOURS
    }
    assert trainer.state.global_step == 2


def test_grpo_with_win_rates(policy, settings):
    """The judge prefers the longer answer, so rewards must be in the order of the lengths."""

    def longer(cases):
        first_wins = [len(str(first)) >= len(str(second)) for first, second in (case.candidates for case in cases)]
        return [Verdict((1.0, 0.0) if first else (0.0, 1.0)) for first in first_wins]

    model, processor = policy("llava")
    trainer = GRPOTrainer(
        model,
        reward_funcs=UnifiedGroupReward(longer),
        args=GRPOConfig(**settings, **SAMPLING, steps_per_generation=2, log_completions=True),
        train_dataset=pictures_dataset(),
        processing_class=processor,
    )
    trainer.train()

    table = completions_table(settings)
    assert len(table) == 8
    for group in (table[:4], table[4:]):
        lengths = [len(completion[0]["content"]) for completion in group["completion"]]
        rewards = group["UnifiedGroupReward-longer"].tolist()
        assert sum(rewards) == pytest.approx(2.0)
        assert all(rewards[a] >= rewards[b] for a in range(4) for b in range(4) if lengths[a] > lengths[b])


@pytest.fixture
def clip(tmp_path):
    """A short real video file, red then blue."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=4)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for colour in ((255, 0, 0),) * 4 + ((0, 0, 255),) * 4:
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), colour, np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize("prompt", ["Which colours follow each other?", question("Which colours follow each other?")])
def test_the_judge_sees_a_video_that_the_policy_cannot_see(policy, settings, clip, prompt):
    judge = scripted_judge(lambda query: "Final Score: 3", rubric="video_und.point_score")
    model, processor = policy("llava")
    trainer = GRPOTrainer(
        model,
        reward_funcs=UnifiedReward(judge),
        args=GRPOConfig(**settings, **SAMPLING),
        train_dataset=Dataset.from_dict({"prompt": [prompt] * 4, "video": [str(clip)] * 4}),
        processing_class=processor,
    )
    trainer.train()

    red, *_, blue = (frame.pil().getpixel((32, 32)) for frame in queries(judge)[0].media)
    assert red[0] > 200 > 50 > red[2]
    assert blue[2] > 200 > 50 > blue[0]
    assert logged(trainer, "rewards/UnifiedReward-scripted/mean") == [0.5, 0.5]


def test_a_judge_that_is_gone_stops_the_training(policy, settings):
    def gone(_):
        raise BackendError("the server at http://127.0.0.1:9 does not answer")

    model, processor = policy("llava")
    trainer = GRPOTrainer(
        model,
        reward_funcs=UnifiedReward(scripted_judge(gone)),
        args=GRPOConfig(**settings, **SAMPLING),
        train_dataset=pictures_dataset(),
        processing_class=processor,
    )
    with pytest.raises(BackendError, match="does not answer"):
        trainer.train()


@pytest.mark.parametrize(
    ("reward", "dataset", "message"),
    [
        (UnifiedReward, pictures_dataset, r"give it an instance: reward_funcs=UnifiedReward\(\)"),
        (UnifiedGroupReward, pictures_dataset, r"give it an instance: reward_funcs=UnifiedGroupReward\(\)"),
        (
            UnifiedReward(lambda cases: [Verdict((0.5,)) for _ in cases]),
            lambda: Dataset.from_dict({"prompt": [question()] * 4, "answer": ["red"] * 4}),
            r"no column 'videos', 'video', 'images', 'image' among \['answer', 'completion_ids', 'trainer_state'\]",
        ),
    ],
    ids=["class", "group class", "text-only dataset"],
)
def test_what_cannot_work_says_so_at_the_first_step(policy, settings, reward, dataset, message):
    model, processor = policy("llava")
    trainer = GRPOTrainer(
        model,
        reward_funcs=reward,
        args=GRPOConfig(**settings, **SAMPLING),
        train_dataset=dataset(),
        processing_class=processor,
    )
    with pytest.raises(UniRewardError, match=message):
        trainer.train()
