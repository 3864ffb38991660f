"""The preference trainer's evaluations by a judge: what is sampled, measured and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusers_ext import checkpoints
from tests.diffusers_ext.tiny_trainer import TRAINING, Make, loaded, media
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Case, Verdict

pytestmark = TRAINING


def brightness(cases: Sequence[Case]) -> list[Verdict]:
    """A judge that likes bright pictures."""
    return [Verdict((float(np.asarray(case.candidates[0].pil()).mean() / 255),)) for case in cases]


def test_the_best_by_held_out_reward_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red cat\ntwo blue birds\n")
    rewards = iter([0.5, 0.7, 0.6, 0.1, 0.1])

    def judge(cases: Sequence[Case]) -> list[Verdict]:
        now = next(rewards)
        return [Verdict((now + 0.01 * number,)) for number, _ in enumerate(cases)]

    settings: dict[str, Any] = {
        "evaluate_every": 1,
        "evaluation_prompts": str(prompts),
        "call": {"num_inference_steps": 1, "height": 32, "width": 32},
    }
    trainer = make(judge=judge, steps=2, checkpoint_every=2, learning_rate=1e-2, **settings)
    trainer.train()
    lines = checkpoints.read_log(trainer.output / "evaluation.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert [line["reward"] for line in lines] == pytest.approx([0.505, 0.705, 0.605])
    assert [line["win_rate"] for line in lines] == [0.5, 1.0, 1.0]
    assert [line["best"] for line in lines] == [True, True, False]
    assert "| 1 | 0.705 | 1 | 0 |" in (trainer.output / "final" / "README.md").read_text()
    best, final = (trainer.output / name / "pytorch_lora_weights.safetensors" for name in ("best", "final"))
    assert best.read_bytes() != final.read_bytes()
    start, end = (trainer.output / "evaluations" / f"step-0000000{n}" / "0000.png" for n in (0, 2))
    assert start.read_bytes() != end.read_bytes()

    again = make(judge=brightness, steps=3, checkpoint_every=2, learning_rate=1e-2, **settings)
    again.train()
    assert [line["step"] for line in checkpoints.read_log(again.output / "evaluation.jsonl")] == [0, 1, 2, 3]


@pytest.mark.slow
def test_galleries_lie_at_their_steps_in_weights_and_biases(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where galleries moved its count on, W&B would drop the next losses. Offline: nothing leaves this machine."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    (tmp_path / "prompts.txt").write_text("a red cat\n")
    settings: dict[str, Any] = {"evaluation_prompts": str(tmp_path / "prompts.txt"), "trackers": ["wandb"]}
    call = {"num_inference_steps": 1, "height": 32, "width": 32}
    make(judge=brightness, steps=2, evaluate_every=1, call=call, **settings).train()
    galleries = tmp_path.glob("wandb/offline-run-*/files/media/images/unireward/gallery_*.png")
    assert sorted(file.name.split("_")[1] for file in galleries) == ["0", "1", "2"]


def test_a_run_that_began_without_evaluations_is_not_measured_against_its_start(make: Make, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a red cat\n")
    settings: dict[str, Any] = {"evaluation_prompts": str(tmp_path / "prompts.txt"), "checkpoint_every": 1}
    make(steps=1, **settings).train()
    with pytest.raises(UniRewardError, match=r"was begun without evaluations.* set evaluate_every: 0, or choose"):
        make(steps=2, evaluate_every=1, judge=brightness, **settings).train()


def test_samples_of_the_start_are_those_of_the_pipeline(make: Make, data: Path, tmp_path: Path) -> None:
    call = {"num_inference_steps": 2, "height": 32, "width": 32, "guidance_scale": 1.0}
    trainer = make(
        pairs=[Pair(f"a red cat {n}", media(n), media(n + 50), 1.0, 0.0) for n in range(12)],
        cache=None,
        judge=brightness,
        held_out=0.3,
        evaluation_count=2,
        evaluate_every=5,
        call=call,
    )
    trainer.evaluate(0)
    pipeline = loaded(data / "sd")
    pipeline.set_progress_bar_config(disable=True)
    for number, prompt in enumerate(trainer.evaluation.prompts):
        assert prompt not in trainer.preferences.prompts
        expected = pipeline(prompt, generator=torch.Generator().manual_seed(number), **call).images[0]
        kept = Media.of(trainer.output / "evaluations" / "step-00000000" / f"000{number}.png")
        assert kept == Media.of(expected)
