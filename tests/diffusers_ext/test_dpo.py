"""The preference trainer on tiny pipelines: what a step does, and what comes out."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch._dynamo.utils import counters

from diffusers_ext import training_pipeline
from diffusers_ext.families.adapter import Adapter
from diffusers_ext.losses import LOSSES
from tests.diffusers_ext.tiny_trainer import TRAINING, Make, loaded, log_of, pairs_of

pytestmark = TRAINING


def sampled(pipeline: Any) -> torch.Tensor:
    pipeline.set_progress_bar_config(disable=True)
    call = {"num_inference_steps": 2, "height": 32, "width": 32, "guidance_scale": 1.0, "output_type": "pt"}
    return pipeline("a red cat", generator=torch.Generator().manual_seed(0), **call).images


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


def test_the_log_is_json_lines(make: Make) -> None:
    trainer = make(steps=1)
    trainer.train()
    (line,) = (trainer.output / "log.jsonl").read_text().splitlines()
    assert {"step", "loss", "margin", "winner_over_reference", "loser_over_reference", "beta", "lr"} <= json.loads(
        line
    ).keys()
