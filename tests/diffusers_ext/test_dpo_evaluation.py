"""The preference trainer's evaluations by a judge: what is sampled, measured and kept."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import AutoencoderKL, UNet2DConditionModel

from diffusers_ext import checkpoints
from diffusers_ext.dpo import DPOTrainer
from diffusers_ext.held_out import decode_without_autocast
from diffusers_ext.validation import REPORT
from tests.diffusers_ext.tiny_trainer import TRAINING, Make, forget_accelerate, loaded, log_of, media
from unireward_plugins.errors import UniRewardError
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Case, Verdict

pytestmark = TRAINING


def brightness(cases: Sequence[Case]) -> list[Verdict]:
    """A judge that likes bright pictures."""
    return [Verdict((float(np.asarray(case.candidates[0].pil()).mean() / 255),)) for case in cases]


def test_the_best_by_held_out_reward_is_kept(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red cat\ntwo blue birds\n")
    rewards = iter([0.5, 0.7, 0.6, 0.1])  # once each: what was judged before a stop is not judged again

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
    card = (trainer.output / "final" / "README.md").read_text()
    assert "| 1 | 0.705 | 1 | 0 |" in card
    assert [line["prompts"] for line in lines] == [2, 2, 2]
    assert "held-out prompts, step 1: reward 0.705" in capsys.readouterr().err
    assert "2 prompts, one sample of each" in card
    assert "The best is step 1, in `best/`." in card
    assert "The best is" not in (trainer.output / "best" / "README.md").read_text()
    assert f"scored by `{judge.__module__}.{judge.__qualname__}`" in card
    best, final = (trainer.output / name / "pytorch_lora_weights.safetensors" for name in ("best", "final"))
    assert best.read_bytes() != final.read_bytes()
    start, end = (trainer.output / "evaluations" / f"step-0000000{n}" / "0000.png" for n in (0, 2))
    assert start.read_bytes() != end.read_bytes()

    again = make(judge=judge, steps=3, checkpoint_every=2, learning_rate=1e-2, **settings)
    again.train()
    lines = checkpoints.read_log(again.output / "evaluation.jsonl")
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert lines[3]["win_rate"] == 0.0
    told = json.loads((again.output / REPORT).read_text())
    assert [one["step"] for one in told["validations"]] == [0, 1, 2, 3]
    assert told["best"] == {"step": 1, "reward": pytest.approx(0.705), "win_rate": 1.0}


@pytest.mark.parametrize("others", [{}, {"lora_rank": 1, "evaluation_count": 1}], ids=["same", "other settings"])
def test_a_run_that_was_stopped_before_its_first_checkpoint_begins_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, others: dict[str, Any]
) -> None:
    (tmp_path / "prompts.txt").write_text("a red cat\ntwo blue birds\n")
    settings: dict[str, Any] = {
        "judge": brightness,
        "steps": 2,
        "evaluate_every": 2,
        "evaluation_prompts": str(tmp_path / "prompts.txt"),
        "call": {"num_inference_steps": 1, "height": 32, "width": 32},
    }
    broken = make(**settings)
    step = broken.step
    monkeypatch.setattr(broken, "step", lambda number: {**step(number), "loss": math.nan if number else 0.5})
    with pytest.raises(UniRewardError, match=r"the loss of step 2 is nan.* Lower the learning rate"):
        broken.train()
    assert len(log_of(broken)) == 1

    trainer = make(**settings | others)
    trainer.train()
    assert [line["step"] for line in log_of(trainer)] == [1, 2]
    assert log_of(trainer)[0]["loss"] != 0.5
    assert [line["step"] for line in trainer.evaluation.lines] == [0, 2]
    told = json.loads((trainer.output / REPORT).read_text())
    assert [one["step"] for one in told["validations"]] == [0, 2]
    samples = list((trainer.output / "evaluations").rglob("*.png"))
    assert len(samples) == 2 * len(trainer.evaluation.prompts)
    assert json.loads((trainer.output / "run.json").read_text())["lora_rank"] == trainer.config.lora_rank
    with pytest.raises(UniRewardError, match=r"lora_rank was \d and is 3"):
        make(**settings | others | {"lora_rank": 3})


def test_the_card_names_the_judge_that_is_asked(make: Make, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a red cat\n")
    settings = {"evaluate_every": 1, "evaluation_prompts": str(tmp_path / "prompts.txt")}
    trainer = make(judge=brightness, mixed_precision=None, **settings)
    for given, named in ((brightness, f"{__name__}.brightness"), (load_judge("shapes"), "shapes"), (None, "other")):
        forget_accelerate()
        trainer = DPOTrainer(replace(trainer.config, judge="other"), judge=given)
        trainer.save(tmp_path / "saved")
        said = (tmp_path / "saved" / "README.md").read_text().rpartition("```yaml\n")[2]
        assert yaml.safe_load(said.removesuffix("```\n"))["judge"] == named
    assert "mixed_precision: 'no'\n" in said


def test_autocast_is_around_the_denoiser_and_not_around_the_vae(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text("a red cat\n")
    found: dict[str, set[bool]] = {"denoised": set(), "decoded": set()}

    def spy(kind: type, name: str, told: str) -> None:
        original = getattr(kind, name)

        def spied(self: Any, *given: Any, **named: Any) -> Any:
            found[told].add(torch.is_autocast_enabled("cpu"))
            return original(self, *given, **named)

        monkeypatch.setattr(kind, name, spied)

    spy(UNet2DConditionModel, "forward", "denoised")
    spy(AutoencoderKL, "decode", "decoded")
    call = {"num_inference_steps": 1, "height": 32, "width": 32}
    prompts = str(tmp_path / "prompts.txt")
    trainer = make(mixed_precision="bf16", judge=brightness, evaluate_every=1, evaluation_prompts=prompts, call=call)
    trainer.evaluate(0)
    assert found == {"denoised": {True}, "decoded": {False}}


def test_a_vae_in_float32_decodes_in_float32_under_autocast(pipeline: Any) -> None:
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.no_grad():
        expected = pipeline.vae.decode(latents.float(), return_dict=False)[0]
        decode_without_autocast(pipeline.vae)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            (found,) = pipeline.vae.decode(latents, return_dict=False)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


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


def test_a_run_goes_on_without_its_judge_and_not_with_another(make: Make, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a red cat\n")
    call = {"num_inference_steps": 1, "height": 32, "width": 32}
    settings: dict[str, Any] = {"evaluation_prompts": str(tmp_path / "prompts.txt"), "checkpoint_every": 1}
    first = make(steps=1, evaluate_every=1, judge=brightness, call=call, **settings)
    first.train()
    forget_accelerate()
    another = DPOTrainer(replace(first.config, judge="shapes", steps=2))
    with pytest.raises(UniRewardError, match=r"had another judge, .*brightness: none to come can be compared"):
        another.train()
    forget_accelerate()
    alone = DPOTrainer(replace(first.config, evaluate_every=0, steps=2))
    alone.train()
    assert [line["step"] for line in log_of(alone)] == [1, 2]
    assert [line["step"] for line in alone.evaluation.lines] == [0, 1]


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
