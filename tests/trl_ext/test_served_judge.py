"""The main job as most people will run it: the judge behind a server, from Python and from TRL's command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import Dataset, Image
from trl import GRPOConfig, GRPOTrainer

from tests.backends.stub_server import Answer, StubServer, completion
from tests.trl_ext.material import picture, question
from trl_ext import UnifiedReward
from trl_ext.choices import DEFAULT_JUDGE
from unireward_plugins import BackendError

# transformers renamed gradient checkpointing; TRL 1.16 still uses the old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")


@pytest.fixture
def server() -> Iterator[StubServer]:
    """A server of the published judge, that scores answers 1, 2, 3, ... out of 100."""

    def answer(request):
        return Answer(completion(f"Final Score: {request.number + 1}"))

    with StubServer(answer, models={"judge": DEFAULT_JUDGE}) as server:
        yield server


@pytest.fixture
def rows() -> Dataset:
    columns = {"prompt": [question()] * 4, "image": [picture(colour) for colour in ("red", "lime", "blue", "yellow")]}
    return Dataset.from_dict(columns).cast_column("image", Image())


def shown_pictures(server):
    """How many pictures came with each request."""
    return [
        sum(part["type"] == "image_url" for message in request.body["messages"] for part in message["content"])
        for request in server.requests
    ]


def test_grpo_with_a_served_judge(policy, settings, server, rows, monkeypatch):
    monkeypatch.setenv("UNIREWARD_JUDGE", server.url)
    model, processor = policy("llava")
    trainer = GRPOTrainer(
        model,
        reward_funcs=UnifiedReward(),
        args=GRPOConfig(**settings, num_generations=4, max_completion_length=8),
        train_dataset=rows,
        processing_class=processor,
    )
    trainer.train()

    scores = [entry["UnifiedReward/final_score"] for entry in trainer.state.log_history if "loss" in entry]
    assert set(shown_pictures(server)) == {1}
    assert len(scores) == 2
    assert 1 <= scores[0] < scores[1] <= len(server.requests)


def test_a_server_that_refuses_stops_the_training(policy, settings, rows):
    def answer(request):
        return Answer(completion("Final Score: 50")) if request.number < 4 else Answer({}, status=401)

    model, processor = policy("llava")
    with StubServer(answer, models={"judge": DEFAULT_JUDGE}) as server:
        trainer = GRPOTrainer(
            model,
            reward_funcs=UnifiedReward(server.url),
            args=GRPOConfig(**settings, num_generations=4, max_completion_length=8),
            train_dataset=rows,
            processing_class=processor,
        )
        with pytest.raises(BackendError, match="does not accept the API key"):
            trainer.train()


@pytest.mark.slow
def test_trl_grpo_with_the_reward_that_the_environment_configures(policy_folder, server, rows, tmp_path):
    (tmp_path / "data").mkdir()
    rows.to_parquet(tmp_path / "data" / "train.parquet")
    options = {
        "model_name_or_path": policy_folder("llava"),
        "dataset_name": tmp_path / "data",
        "output_dir": tmp_path / "run",
        "reward_funcs": "trl_ext.unified_reward",
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "max_completion_length": 8,
        "max_steps": 2,
        "save_steps": 2,
        "logging_steps": 1,
        "report_to": "none",
        "use_cpu": "true",
        "bf16": "false",
        "gradient_checkpointing": "false",
    }
    done = subprocess.run(
        [Path(sys.executable).parent / "trl", "grpo", *(f"--{name}={value}" for name, value in options.items())],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "UNIREWARD_JUDGE": server.url, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    history = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())["log_history"]
    assert set(shown_pictures(server)) == {1}
    assert [step["UnifiedReward/unread"] for step in history if "loss" in step] == [0.0, 0.0]
    assert history[0]["rewards/UnifiedReward/mean"] == pytest.approx(history[0]["UnifiedReward/final_score"] / 100)
