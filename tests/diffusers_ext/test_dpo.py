"""The preference trainer on tiny pipelines: what a step does, what is saved, and going on after a stop."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from click.testing import CliRunner, Result
from datasets.utils import logging as datasets_logging
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL.Image import fromarray
from safetensors.torch import load_file
from torch._dynamo.utils import counters
from transformers.utils import logging as transformers_logging

from diffusers_ext import checkpoints, draws, training_pipeline
from diffusers_ext.dpo import DPOTrainer, WinnerWatch
from diffusers_ext.dpo_config import TRACKERS, DPOConfig, config_from, descriptions, read_settings
from diffusers_ext.families.adapter import Adapter
from diffusers_ext.losses import LOSSES
from diffusers_ext.memory import memory_need
from diffusers_ext.train_dpo import command, config_of
from diffusers_ext.training_setup import cautions
from hub import save_pairs
from tests.diffusers_ext.tiny_pipelines import clip_pipeline, picture_pipeline, text_to_video_pipeline
from unireward_plugins.cli import main as unireward
from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Case, Verdict

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # a scheduler of diffusers
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore::UserWarning:accelerate"),
]

ROOT = Path(__file__).parents[2]
Make = Callable[..., DPOTrainer]


def media(seed: int, *, frames: int = 0) -> Media:
    shape = (max(frames, 1), 32, 32, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Media.of([fromarray(one) for one in pixels]) if frames else Media.of(fromarray(pixels[0]))


def pairs_of(count: int, *, frames: int = 0) -> list[Pair]:
    return [
        Pair(f"a red cat {n % 4}", media(2 * n, frames=frames), media(2 * n + 1, frames=frames), 1.0, n / 10)
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pipelines, pairs and the cache that all tests share."""
    diffusers_logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("data")
    picture_pipeline().save_pretrained(folder / "sd")
    clip_pipeline().save_pretrained(folder / "wan")
    save_pairs(pairs_of(7), folder / "pairs", judge="x")
    return folder


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Each trainer of a test is the first of its process."""
    yield
    forget_accelerate()


def forget_accelerate() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture
def make(data: Path, tmp_path: Path) -> Make:
    """A trainer on the tiny pipeline, with settings that make it quick."""

    def trainer(output: str = "run", *, pairs: Any = None, judge: Any = None, **settings: Any) -> DPOTrainer:
        forget_accelerate()
        quick: dict[str, Any] = {
            "pipeline": str(data / "sd"),
            "pairs": str(data / "pairs"),
            "output": str(tmp_path / output),
            "cache": str(data / "cache"),
            "resolution": 32,
            "batch_size": 2,
            "steps": 3,
            "lora_rank": 2,
            "learning_rate": 1e-4,
            "mixed_precision": "no",
        }
        return DPOTrainer(DPOConfig(**(quick | settings)), pairs=pairs, judge=judge)

    return trainer


def log_of(trainer: DPOTrainer) -> list[dict[str, Any]]:
    return checkpoints.read_log(trainer.output / "log.jsonl")


def sampled(pipeline: Any) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    call = {"num_inference_steps": 2, "height": 32, "width": 32, "guidance_scale": 1.0, "output_type": "pt"}
    return pipeline("a red cat", generator=torch.Generator().manual_seed(0), **call).images


def loaded(folder: Path) -> Any:
    return DiffusionPipeline.from_pretrained(folder, safety_checker=None)


# One step


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("lora_rank", [2, 0])
def test_the_first_loss_is_ln_2_to_the_bit(make: Make, lora_rank: int, precision: str) -> None:
    trainer = make(lora_rank=lora_rank, mixed_precision=precision)
    found = trainer.step(0)
    assert found["loss"] == torch.tensor(math.log(2)).item()
    assert found["winner_over_reference"] == found["loser_over_reference"] == found["margin"] == 0
    assert found["accuracy"] == 0.5
    assert found["grad_norm"] > 0


@pytest.mark.parametrize("settings", [{"lora_rank": 2}, {"lora_rank": 0, "learning_rate": 1e-5}])
def test_a_step_raises_the_margin_of_its_batch(make: Make, settings: dict[str, Any]) -> None:
    trainer = make(**settings)
    batch = trainer.batch(0, 0)
    trainer.step(0)
    errors, _, _ = trainer.errors_of(batch)
    assert errors.margin.mean() > 0
    assert LOSSES["diffusion_dpo"].of(errors, 5000.0).mean() < math.log(2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the compiler's own
@pytest.mark.parametrize("lora_rank", [2, 0])
def test_compiled_blocks_give_the_same_curve(make: Make, lora_rank: int) -> None:
    if not (shutil.which("c++") or shutil.which("g++")):
        pytest.skip("torch.compile needs a C++ compiler")
    counters.clear()
    curves = {}
    for compiled in (True, False):
        trainer = make(str(compiled), compile=compiled, lora_rank=lora_rank)
        curves[compiled] = [trainer.step(step) for step in range(3)]
        assert counters["inductor"] or not compiled
    for compiled, plain in zip(curves[True], curves[False], strict=True):
        # Not the accuracy: rounding decides the sign of margins that are almost 0.
        for name in ("loss", "grad_norm", "winner_error", "loser_error"):
            assert compiled[name] == pytest.approx(plain[name], rel=2e-3)


def test_a_gradient_norm_that_nobody_tells_is_not_logged(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for what accelerate may answer under DeepSpeed, which does not run here."""
    trainer = make(steps=1)
    monkeypatch.setattr(trainer.accelerator, "clip_grad_norm_", lambda *_: None)
    trainer.train()
    (line,) = log_of(trainer)
    assert math.isfinite(line["loss"])
    assert "grad_norm" not in line


def test_embeddings_of_one_precision_are_not_taken_for_those_of_another(make: Make) -> None:
    half = make("half", mixed_precision="bf16", cache=None)
    whole = make("whole", mixed_precision="no", cache=str(half.output / "cache"))
    assert half.batch(0, 0).conditions["embeds"].dtype == torch.bfloat16
    assert whole.batch(0, 0).conditions["embeds"].dtype == torch.float32


def test_chosen_and_rejected_share_noise_and_level(make: Make) -> None:
    trainer = make(flip=True, cache=None)
    batch = trainer.batch(3, 0)
    chosen, rejected = batch.target.chunk(2)
    assert torch.equal(chosen, rejected)  # epsilon: the noise itself
    assert torch.equal(*batch.level.chunk(2))
    assert not torch.equal(*batch.noisy.chunk(2))
    again = trainer.batch(3, 0)
    assert torch.equal(again.noisy, batch.noisy)
    assert not torch.equal(trainer.batch(4, 0).target, batch.target)


def test_accumulation_and_batch_size_are_two_ways_to_the_same_step(make: Make) -> None:
    whole = make("whole", batch_size=4)
    curve = [whole.step(step) for step in range(2)]
    parts = make("parts", batch_size=2, accumulation=2)
    # Both see the same pairs as long as an epoch does not end.
    for found, expected in zip([parts.step(0)], curve, strict=False):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    for ours, theirs in zip(parts.trained, whole.trained, strict=True):
        del theirs
        assert torch.isfinite(ours).all()


@pytest.mark.parametrize("loss", [*LOSSES])
def test_every_loss_trains(make: Make, loss: str) -> None:
    trainer = make(loss=loss, accumulation=2)
    before = [weight.clone() for weight in trainer.trained]
    found = trainer.step(0)
    assert math.isfinite(found["loss"])
    assert found["beta"] == LOSSES[loss].beta
    assert any(not torch.equal(old, new) for old, new in zip(before, trainer.trained, strict=True))


def test_the_safeguard_keeps_the_winner_from_getting_worse(make: Make) -> None:
    worse = {}
    for safeguard in (None, 1.0):
        trainer = make(str(safeguard), safeguard=safeguard, lora_rank=0, learning_rate=1e-4)
        batch = trainer.batch(0, 0)
        trainer.step(0)
        worse[safeguard] = trainer.errors_of(batch)[0].over_reference[0].mean().item()
    assert worse[1.0] < worse[None]


def test_stabilisers_are_in_the_loss(make: Make) -> None:
    plain, steadied = make("plain"), make("steadied", winner_weight=2.0, anchor_weight=3.0, rare_gaps=True)
    expected = plain.step(0)
    found = steadied.step(0)
    assert found["loss"] > expected["loss"] + 2.0 * found["winner_error"] * 0.99 - 1e-4
    assert steadied.step(1)["loss"] != plain.step(1)["loss"]
    assert steadied.weights.max() >= 1


def test_beta_follows_the_margins(make: Make) -> None:
    trainer = make(auto_beta=0.2)
    elements = math.prod(trainer.cache.shapes[0])
    betas = [trainer.step(step)["beta"] for step in range(3)]
    assert betas[:2] == [elements, elements]  # nothing has moved before the second step
    assert 0 < betas[2] <= elements
    assert trainer.auto_beta is not None
    assert trainer.auto_beta.average is not None


def test_prompts_are_left_out_as_often_as_asked(make: Make) -> None:
    always, never = make("always", caption_dropout=1.0, cache=None), make("never")
    empty = always.cache.conditions([""])["embeds"]
    assert torch.equal(always.batch(0, 0).conditions["embeds"], empty.repeat(4, 1, 1))
    assert not torch.equal(never.batch(0, 0).conditions["embeds"][:1], empty)


def test_clips_are_trained_on(make: Make, data: Path) -> None:
    trainer = make(pipeline=str(data / "wan"), pairs=pairs_of(2, frames=5), cache=None, loss="flow_dpo")
    assert trainer.cache.shapes == [(16, 2, 4, 4)] * 2
    assert trainer.step(0)["loss"] == torch.tensor(math.log(2)).item()
    assert trainer.step(1)["margin"] != 0


# What comes out


def test_the_lora_loads_in_a_fresh_pipeline_and_changes_samples(make: Make, data: Path) -> None:
    trainer = make(learning_rate=1e-2)
    folder = trainer.train()
    pipeline = loaded(data / "sd")
    before = sampled(pipeline)
    pipeline.load_lora_weights(folder)
    after = sampled(pipeline)
    assert (after - before).abs().max() > 1e-3
    trainer.adapter.pipeline.vae, trainer.adapter.pipeline.text_encoder = pipeline.vae, pipeline.text_encoder
    torch.testing.assert_close(sampled(trainer.adapter.pipeline), after, atol=1e-4, rtol=1e-3)
    card = (folder / "README.md").read_text()
    assert "load_lora_weights" in card
    assert yaml.safe_load(card.rpartition("```yaml\n")[2].removesuffix("```\n"))["learning_rate"] == 1e-2
    assert yaml.safe_load(card.rpartition("```yaml\n")[2].removesuffix("```\n"))["beta"] == 5000
    assert [line["step"] for line in log_of(trainer)] == [1, 2, 3]


def test_a_full_fine_tune_is_a_pipeline_with_the_averaged_weights(make: Make, data: Path) -> None:
    trainer = make(lora_rank=0, ema_decay=0.9, learning_rate=1e-3)
    pipeline = loaded(trainer.train())
    start = loaded(data / "sd")
    average = trainer.average.shadow_params
    for saved, averaged, live in zip(pipeline.unet.parameters(), average, trainer.trained, strict=True):
        assert torch.equal(saved, averaged)
        assert averaged.shape == live.shape
    assert any(not torch.equal(a, b) for a, b in zip(average, trainer.trained, strict=True))
    assert not torch.equal(sampled(pipeline), sampled(start))
    assert all(torch.equal(a, b) for a, b in zip(pipeline.vae.parameters(), start.vae.parameters(), strict=True))


def test_encoders_are_gone_and_not_called_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    latents = Adapter.latents

    def spy(self: Adapter, *given: Any, **named: Any) -> torch.Tensor:
        calls.append("latents")
        return latents(self, *given, **named)

    monkeypatch.setattr(Adapter, "latents", spy)
    first = make("first", cache=None)
    assert len(calls) == 7
    pipeline = first.adapter.pipeline
    assert pipeline.vae is pipeline.text_encoder is None
    monkeypatch.setattr(training_pipeline, "encoders_to", None)
    again = make("second", cache=str(first.output / "cache"))
    assert len(calls) == 7
    assert torch.equal(again.batch(0, 0).noisy, first.batch(0, 0).noisy)


# Stopping and going on


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_beta": 0.2, "optimizer": "adamw"},
        {"lora_rank": 0, "ema_decay": 0.5, "learning_rate": 1e-5, "optimizer": "adafactor"},
        {"mixed_precision": "bf16"},
        {"mixed_precision": "bf16", "lora_rank": 0},
    ],
)
def test_a_resumed_run_is_the_same_to_the_bit(make: Make, settings: dict[str, Any]) -> None:
    straight = make("straight", steps=4, checkpoint_every=0, **settings)
    straight.train()
    make("broken", steps=2, checkpoint_every=1, **settings).train()
    with (straight.output.parent / "broken" / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "loss": 1')
    resumed = make("broken", steps=4, checkpoint_every=2, **settings)
    resumed.train()
    assert log_of(resumed) == log_of(straight)
    assert len(log_of(straight)) == 4
    for ours, theirs in zip(resumed.trained, straight.trained, strict=True):
        assert torch.equal(ours, theirs)
    if straight.average is not None:
        for ours, theirs in zip(resumed.average.shadow_params, straight.average.shadow_params, strict=True):
            assert torch.equal(ours, theirs)
    assert [path.name for path in checkpoints.checkpoints(resumed.output / "checkpoints")] == [
        "step-00000002",
        "step-00000004",
    ]


def test_a_checkpoint_that_was_cut_off_is_none(make: Make) -> None:
    trainer = make(steps=2, checkpoint_every=1)
    trainer.train()
    folder = trainer.output / "checkpoints"
    (folder / "step-00000002").rename(folder / ".step-00000002.part")
    assert make(steps=2, checkpoint_every=1).resume() == 1


def test_a_run_does_not_go_on_under_other_settings(make: Make) -> None:
    make(beta=5000)
    with pytest.raises(UniRewardError, match=r"other settings: beta was 5000.0 and is 500.0. Choose another output"):
        make(beta=500)
    with pytest.raises(UniRewardError, match=r"pairs_a_step was 2 and is 4. Choose another output folder$"):
        make(beta=5000, batch_size=4)
    make(beta=5000, batch_size=1, accumulation=2, steps=9)


def test_pairs_that_have_changed_are_told_in_words(make: Make) -> None:
    make(steps=1)
    with pytest.raises(UniRewardError, match=r"other settings: the pairs have changed. Choose another output folder$"):
        make(steps=1, pairs=pairs_of(6))


def test_a_run_that_has_more_steps_behind_it_is_not_passed_off_as_a_shorter_one(make: Make) -> None:
    folder = make(steps=2, checkpoint_every=1).train()
    card = (folder / "README.md").read_text()
    assert "steps: 2\n" in card
    with pytest.raises(UniRewardError, match=r"has done 2 steps, and steps is 1: .* least --steps 2 to go on with it"):
        make(steps=1, checkpoint_every=1)
    assert (folder / "README.md").read_text() == card
    make(steps=2, checkpoint_every=1).train()


def test_the_command_draws_no_bars_into_the_log(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(data / "pairs", tmp_path / "pairs")  # a folder that `datasets` has not seen yet
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    words = ["--pipeline", str(data / "sd"), "--pairs", str(tmp_path / "pairs"), "--output", str(tmp_path / "run")]
    words += ["--resolution", "32", "--batch_size", "2", "--lora_rank", "0", "--mixed_precision", "no", "--steps", "1"]
    for shown in (transformers_logging, diffusers_logging, datasets_logging):
        shown.enable_progress_bar()
    try:
        done = CliRunner().invoke(command, words)
    finally:
        diffusers_logging.disable_progress_bar()  # as the fixture has it
    assert done.exit_code == 0, done.stderr
    assert "step 1/1" in done.stderr
    assert not re.findall(r"it/s|examples/s|%\|", done.stderr)


def test_a_run_from_before_says_with_which_options_it_goes_on(tmp_path: Path) -> None:
    """As a run that was begun when 512 pixels were the default, and goes on where the pipeline's own size is."""
    begun = {"resolution": 512, "call": {"guidance_scale": 1.0}, "seed": 0}
    file = tmp_path / "run.json"
    checkpoints.check_same_run(file, begun)
    now = {**begun, "resolution": 64, "call": {}}
    with pytest.raises(UniRewardError) as raised:
        checkpoints.check_same_run(file, now, options=now)
    assert "resolution was 512 and is 64" in str(raised.value)
    said = str(raised.value).partition("or go on as it was begun: ")[2]
    options = dict(zip(*[iter(shlex.split(said))] * 2, strict=True))
    config = config_of(None, {"pipeline": "p", "output": "o", **{k.strip("-"): v for k, v in options.items()}})
    assert (config.resolution, config.call) == (512, {"guidance_scale": 1.0})


def test_an_interrupted_run_says_where_it_is_and_goes_on_from_there(
    make: Make, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()  # the cache
    forget_accelerate()
    words = [f"--pipeline={data}/sd", f"--pairs={data}/pairs", f"--cache={data}/cache", f"--output={tmp_path}/o"]
    words += ["--resolution", "32", "--batch_size", "2", "--lora_rank", "2", "--mixed_precision", "no"]
    words += ["--steps", "4", "--checkpoint_every", "2"]

    def run() -> Result:
        forget_accelerate()
        return CliRunner().invoke(command, words)

    step = DPOTrainer.step
    for stop, told in (
        (0, "interrupted before the first step was done; there is no checkpoint yet, and the same command begins anew"),
        (1, "interrupted after step 1 of 4; there is no checkpoint yet"),
        (3, "interrupted after step 3 of 4; the last checkpoint is at step 2, and the same command goes on from there"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                DPOTrainer, "step", lambda self, number, stop=stop: _pressed(number == stop, step, self, number)
            )
            done = run()
        assert done.exit_code == 130
        assert done.stderr.splitlines()[-1].startswith(told)
    done = run()
    assert done.exit_code == 0
    assert "goes on from step 2 of 4\n" in done.stderr
    assert [line["step"] for line in checkpoints.read_log(tmp_path / "o" / "log.jsonl")] == [1, 2, 3, 4]
    assert "nothing is left to train: the last checkpoint is at step 4, and steps is 4\n" in run().stderr


def _pressed(now: bool, step: Callable[..., Any], *arguments: Any) -> Any:
    """A step, or Ctrl-C where it would be."""
    if now:
        signal.raise_signal(signal.SIGINT)
    return step(*arguments)


# Evaluation


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


# Warnings and errors


def test_winners_that_get_worse_behind_a_good_accuracy_are_reported() -> None:
    bad = {"winner_over_reference": 1e-3, "accuracy": 0.9}
    watch = WinnerWatch()
    warned = {step: text for step in range(1, 41) if (text := watch.update(bad))}
    assert list(warned) == [10, 20, 40]
    assert "for 10 steps the model has predicted the winners worse" in warned[10]
    assert "(by 0.001), though it prefers 90% of them" in warned[10]
    for fine in ({"winner_over_reference": -1e-3, "accuracy": 0.9}, {"winner_over_reference": 1e-3, "accuracy": 0.5}):
        watch = WinnerWatch()
        assert not any(watch.update(fine) for _ in range(100))
    assert WinnerWatch().update({"winner_error": 1.0}) is None


def test_the_warning_comes_from_a_run(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make()
    values = {**trainer.step(0), "winner_over_reference": 0.1, "accuracy": 1.0}
    with caplog.at_level(logging.WARNING):
        for step in range(10):
            trainer.log.add(step + 1, values, 0.1)
    assert "step 10: for 10 steps the model has predicted the winners worse" in caplog.text


def test_pairs_that_are_too_small_or_too_few_are_warned_of(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    make("fine")
    assert not caplog.messages
    trainer = make("odd", resolution=64, batch_size=8, cache=None)
    small, few = caplog.messages
    assert "smaller than the resolution 64: of 7 that were looked at, the smallest is 32 x 32 pixels" in small
    assert "scaled up to 64 x 64" in small
    assert "a step takes 8 pairs and there are 7: each comes up 1.1 times in every step" in few
    assert len(trainer.batch(0, 0).weights) == 8
    caplog.clear()
    config, preferences = DPOConfig(pipeline="p", output="o", resolution=(24, 40)), trainer.preferences
    (wide,) = cautions(config, preferences, pairs_a_step=7)
    assert "scaled up to 40 x 24" in wide
    assert not [*cautions(replace(config, resolution=None), preferences, pairs_a_step=7)]
    assert not [*cautions(replace(config, resolution=(32, 34)), preferences, pairs_a_step=7)]


def test_a_tracker_whose_package_is_missing_is_named(make: Make) -> None:
    there = {str(one) for one in get_available_trackers()}
    missing = next((name for name in TRACKERS if name not in {"all", *there}), None)
    if missing is None:
        pytest.skip("every tracker of accelerate is installed")
    with pytest.raises(MissingExtra, match=f"trackers need packages .*: pip install {missing}$"):
        make(trackers=[missing])


def test_trackers_are_those_of_accelerate() -> None:
    assert set(TRACKERS) == {"all", *LOGGER_TYPE_TO_CLASS}


def test_a_loss_that_is_no_number_ends_the_run(make: Make) -> None:
    trainer = make()
    with torch.no_grad():
        trainer.trained[0].fill_(math.nan)
    with pytest.raises(UniRewardError, match="the loss of step 1 is nan: the training has broken down"):
        trainer.train()


def test_what_does_not_fit_is_named(make: Make, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match="there are no pairs: name them"):
        make(pairs="")
    with pytest.raises(UniRewardError, match="evaluate_every needs a judge"):
        make(evaluate_every=1, held_out=0.1)
    with pytest.raises(UniRewardError, match="noise_levels: turbo is for SDXL-Turbo"):
        make("flow", pipeline=str(data / "wan"), pairs=pairs_of(1, frames=5), noise_levels="turbo")
    with pytest.raises(UniRewardError, match=r"takes no argument 'num_steps'. Did you mean"):
        make("call", call={"num_steps": 4})
    assert not (tmp_path / "call" / "run.json").exists()
    text_to_video_pipeline().save_pretrained(tmp_path / "video")
    with pytest.raises(UniRewardError, match=r"takes no LoRA in diffusers: train the whole unet, lora_rank: 0"):
        make("video", pipeline=str(tmp_path / "video"), pairs=pairs_of(1, frames=2), cache=None)
    row = {"prompt": "a", "chosen": media(0), "rejected": media(1)}
    with pytest.raises(UniRewardError, match="rare_gaps needs the columns chosen_score"):
        make("gaps", pairs=Rows([row]), rare_gaps=True, cache=None)


class Rows(list[Any]):
    """Pairs without scores."""

    def __iter__(self) -> Iterator[Any]:
        return (Pair(row["prompt"], row["chosen"], row["rejected"], None, None) for row in super().__iter__())  # type: ignore[arg-type]


def test_pairs_are_scaled_to_what_the_pipeline_was_made_for(make: Make) -> None:
    trainer = make(pipeline="shapes", resolution=None, cache=None)
    assert trainer.config.resolution == 64
    assert trainer.cache.shapes[0] == (12, 8, 8)
    assert json.loads((trainer.output / "run.json").read_text())["resolution"] == 64


@pytest.mark.parametrize(
    ("part", "denoiser", "vae", "resolution"),
    [
        ("unet", {"sample_size": 128}, {"block_out_channels": [128, 256, 512, 512]}, 1024),  # SDXL
        ("transformer", {"sample_size": 32}, {"encoder_block_out_channels": [1] * 6}, 1024),  # Sana
        ("transformer", {"sample_height": 60, "sample_width": 90}, {"block_out_channels": [1] * 4}, (480, 720)),
        ("transformer", {"patch_size": [1, 2, 2]}, {"base_dim": 96}, 512),  # Wan takes any
    ],
)
def test_a_pipeline_says_what_it_was_made_for(
    part: str, denoiser: dict[str, Any], vae: dict[str, Any], resolution: int | tuple[int, int], tmp_path: Path
) -> None:
    for name, settings in ((part, denoiser), ("vae", vae)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(settings))
    index = {"_class_name": "AnyPipeline", part: ["diffusers", "A"], "vae": ["diffusers", "B"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert training_pipeline.own_resolution(tmp_path) == resolution


# Settings


def test_yaml_command_line_and_python_give_the_same(tmp_path: Path) -> None:
    python = DPOConfig(
        pipeline="p",
        pairs="123",
        output="o",
        beta=500,
        learning_rate=1e-8,
        loss="linear_dpo",
        loss_options={"eta": 0.01},
        resolution=(320, 512),
        lora_targets=("to_q",),
        flip=True,
        mixed_precision="no",
    )
    settings = {
        "pipeline": "p",
        "pairs": "123",
        "output": "o",
        "loss": "linear_dpo",
        "loss_options": {"eta": 0.01},
        "resolution": [320, 512],
        "lora_targets": ["to_q"],
        "flip": True,
    }
    file = tmp_path / "dpo.yaml"
    file.write_text(yaml.safe_dump(settings) + "learning_rate: 1e-8\nbeta: 7\nmixed_precision: no\n")
    assert config_of(str(file), {"beta": "500"}) == python
    as_options = {name: str(value) for name, value in settings.items()}
    options = {**as_options, "learning_rate": "1e-8", "beta": "500", "mixed_precision": "no"}
    assert config_of(None, options) == python
    assert config_from(python.as_dict()) == python
    assert config_from(yaml.safe_load(yaml.safe_dump(python.as_dict()))) == python


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bta": 5}, r"there is no setting 'bta'. Did you mean 'beta'\?"),
        ({"beta": "high"}, r"beta must be a number or nothing, got 'high'"),
        ({"steps": 1.5}, r"steps must be a whole number, got 1.5"),
        ({"steps": True}, r"steps must be a whole number, got True"),
        ({"resolution": [1, 2, 3]}, r"must be a whole number or two of them, .* or nothing, got \[1, 2, 3\]"),
        ({"loss": "diffusion_dp"}, r"there is no loss 'diffusion_dp'. Did you mean 'diffusion_dpo'.*\?"),
        ({"schedule": "cosin"}, r"must be one of constant, linear, cosine, got 'cosin'. Did you mean 'cosine'\?"),
        ({"trackers": ["tensorbord"]}, r"no tracker 'tensorbord'. Did you mean 'tensorboard'\? There are .*, wandb$"),
        ({"trackers": 1}, r"trackers must be a list of texts, as in \[one, two\], got 1$"),
        ({"call": "fast"}, r"call must be values by name, as in \{name: 4\}, got 'fast'$"),
        ({"caption_dropout": 2}, r"caption_dropout must be from 0 to 1, got 2.0"),
        ({"evaluate_every": 1}, r"evaluate_every needs prompts"),
        ({"loss_options": {"eta": 1}}, r"loss 'diffusion_dpo' has no option 'eta'; it has none"),
        ({"loss": "mapo", "auto_beta": 0.2}, r"auto_beta goes by the margin over a reference"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UniRewardError, match=message):
        config_from({"pipeline": "p", "output": "o", **settings})
    with pytest.raises(UniRewardError, match="pipeline must be set"):
        config_from({"output": "o"})


def test_every_setting_is_described_and_an_option() -> None:
    names = set(DPOConfig.__dataclass_fields__)
    assert descriptions().keys() == names
    assert {parameter.name for parameter in command.params} == names | {"config"}
    assert all(text.endswith(".") for text in descriptions().values())
    assert all(f"`{loss}`" in descriptions()["loss"] for loss in LOSSES)
    said = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "Optimiser steps. [default: 1000]" in said
    assert "[default: constant]" in said


def test_shipped_settings_are_whole() -> None:
    shipped = sorted(path.name for path in (ROOT / "diffusers_ext" / "configs").glob("*.yaml"))
    assert len(shipped) >= 7
    for name in shipped:
        config_from({**read_settings(name), "pairs": "pairs", "output": "out"})
    turbo = config_from({**read_settings("sdxl-turbo.yaml"), "output": "out"})
    assert turbo.rate_at(19, pairs=32 * 16) == pytest.approx(1e-8 * 512)
    with pytest.raises(UniRewardError, match=r"no file .sdxl\.yml., and no shipped one: .*sdxl\.yaml"):
        read_settings("sdxl.yml")


def test_rates_rise_and_fall() -> None:
    def rates(**settings: Any) -> list[float]:
        config = DPOConfig(pipeline="p", output="o", steps=8, warmup_steps=3, learning_rate=1.0, **settings)
        return [config.rate_at(step, pairs=10) for step in range(8)]

    assert rates() == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert rates(scale_lr=True)[-1] == 10
    assert rates(schedule="linear")[3:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    cosine = rates(schedule="cosine")
    assert cosine[3] == 1.0
    assert cosine[3:] == sorted(cosine[3:], reverse=True)


def test_memory_is_counted() -> None:
    lora = memory_need(1000, 10, half=True)
    assert lora["total"] == 1000 * 2 + 10 * (4 + 4 + 8)
    full = memory_need(1000, 1000, half=True, optimizer="adamw_8bit", averaged=True)
    assert full["total"] == 1000 * (4 + 2 + 2 + 4 + 2 + 4)


# Chance


def test_draws_depend_on_their_place_alone() -> None:
    one = draws.draw(0, 5, 3, total=8, shape=(4, 8, 8))
    again = draws.draw(0, 5, 3, total=8, shape=(4, 8, 8))
    assert torch.equal(one.noise, again.noise)
    assert (one.uniform, one.flips, one.drops) == (again.uniform, again.flips, again.drops)
    others = [draws.draw(*place, total=8, shape=(4, 8, 8)) for place in ((1, 5, 3), (0, 6, 3), (0, 5, 4))]
    assert not any(torch.equal(one.noise, other.noise) for other in others)
    uniform = torch.tensor([draws.draw(0, 1, place, total=64, shape=(1,)).uniform for place in range(64)])
    assert torch.equal((uniform * 64).long(), torch.arange(64))
    assert (torch.stack([draws.draw(0, 0, n, total=99, shape=(64,)).noise for n in range(99)]).std() - 1).abs() < 0.03


def test_every_pair_comes_up_in_every_epoch_in_batches_of_one_shape() -> None:
    shapes = [(4, 8, 8)] * 7 + [(4, 4, 16)] * 3 + [(4, 16, 4)]
    order = draws.Order(shapes, 2, seed=0)
    assert order.batches_an_epoch == 4 + 2 + 1
    for epoch in range(3):
        batches = [order[epoch * 7 + place] for place in range(7)]
        assert {index for batch in batches for index in batch} == set(range(11))
        assert all(len({shapes[index] for index in batch}) == 1 and len(batch) == 2 for batch in batches)
    assert [order[n] for n in range(7)] != [order[n] for n in range(7, 14)]
    assert draws.Order(shapes, 2, seed=0)[9] == order[9]
    finer, coarser = (draws.Order([(1,)] * 12, size, seed=3) for size in (2, 4))
    assert [coarser[n] for n in range(3)] == [finer[2 * n] + finer[2 * n + 1] for n in range(3)]


# The command, in processes of its own


def launched(data: Path, output: Path, *options: str, processes: int = 1) -> subprocess.Popen[str]:
    """The command; `accelerate launch --cpu` starts a single process whatever it is told, torchrun starts several."""
    if processes == 1:
        launcher = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
        launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    else:
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    words = [sys.executable, "-m", *launcher, "-m", "diffusers_ext.train_dpo", "--pipeline", str(data / "sd")]
    words += ["--pairs", str(data / "pairs"), "--output", str(output), "--cache", str(data / "cache")]
    words += ["--resolution", "32", "--lora_rank", "2", "--learning_rate", "1e-4", "--batch_size", "2", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=ROOT, env=environment, start_new_session=True, **pipes)


def finished(run: subprocess.Popen[str]) -> str:
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    return said


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(data: Path, tmp_path: Path) -> None:
    finished(launched(data, tmp_path / "one", "--steps", "3", "--accumulation", "2"))
    finished(launched(data, tmp_path / "two", "--steps", "3", processes=2))
    one, two = (checkpoints.read_log(tmp_path / name / "log.jsonl") for name in ("one", "two"))
    assert len(one) == len(two) == 3
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)
    assert (tmp_path / "two" / "final" / "pytorch_lora_weights.safetensors").is_file()


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_curve(data: Path, tmp_path: Path) -> None:
    options = ("--steps", "16", "--checkpoint_every", "3")
    finished(launched(data, tmp_path / "straight", *options))
    broken = launched(data, tmp_path / "broken", *options)
    log = tmp_path / "broken" / "log.jsonl"
    while not (log.is_file() and len(log.read_text().splitlines()) >= 8):
        assert broken.poll() is None, broken.communicate()[0]
        time.sleep(0.01)
    os.killpg(broken.pid, signal.SIGKILL)
    broken.communicate()
    assert not (tmp_path / "broken" / "final").exists()
    finished(launched(data, tmp_path / "broken", *options))
    assert log.read_text() == (tmp_path / "straight" / "log.jsonl").read_text()
    finals = [tmp_path / name / "final" / "pytorch_lora_weights.safetensors" for name in ("broken", "straight")]
    ours, theirs = map(load_file, finals)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(weights, theirs[name]) for name, weights in ours.items())


@pytest.mark.slow
def test_the_command_ends_with_a_message_where_settings_are_wrong(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "diffusers_ext.train_dpo", "--config", "sd15.yaml", "--output", str(tmp_path)]
    done = subprocess.run([*words, "--bta", "5"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "--beta" in done.stderr
    done = subprocess.run([*words, "--beta", "high"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "Error: beta must be a number or nothing, got 'high'\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UniRewardError("the loss is nan"), 2),
        (FileNotFoundError(2, "No such file", "pairs"), 2),
        (BackendError("the judge cannot be reached"), 3),
        (MissingExtra("pip install 'unireward-plugins[diffusers]'"), 4),
    ],
)
def test_errors_have_the_exit_codes_of_unireward(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training itself is cut out: any of these may come from anywhere in it."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(DPOTrainer, "__init__", fail)
    done = CliRunner().invoke(command, ["--pipeline", "shapes", "--output", str(tmp_path)])
    assert (done.exit_code, done.stderr) == (code, f"Error: {error}\n")
    monkeypatch.setattr("unireward_plugins.cli.score.score.callback", fail)
    assert unireward(["score", "--judge", "shapes", "--prompt", "a", "b"]) == code


def test_the_log_is_json_lines(make: Make) -> None:
    trainer = make(steps=1)
    trainer.train()
    (line,) = (trainer.output / "log.jsonl").read_text().splitlines()
    assert {"step", "loss", "margin", "winner_over_reference", "loser_over_reference", "beta", "lr"} <= json.loads(
        line
    ).keys()
