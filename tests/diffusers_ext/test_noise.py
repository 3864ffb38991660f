"""The noise processes against independent arithmetic in double precision, and against the schedulers of diffusers."""

from __future__ import annotations

import math

import diffusers
import pytest
import torch
from torch import Tensor

from diffusers_ext.noise import Diffusion, Flow, NoiseProcess, process_of, sdxl_turbo
from unireward_plugins.errors import UniRewardError

DDPM = diffusers.DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
SHAPES = [(4, 4, 8, 8), (4, 4, 3, 8, 8)]


def drawn(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_diffusion_agrees_with_the_scheduler_of_diffusers(shape: tuple[int, ...], prediction: str) -> None:
    scheduler = diffusers.DDPMScheduler.from_config(DDPM.config, prediction_type=prediction)
    process = process_of(scheduler)
    assert isinstance(process, Diffusion)
    clean, noise = drawn(shape)
    level = torch.tensor([0, 1, 500, 999])
    torch.testing.assert_close(process.corrupt(clean, noise, level), scheduler.add_noise(clean, noise, level))
    target = {"epsilon": noise, "sample": clean, "v_prediction": scheduler.get_velocity(clean, noise, level)}
    torch.testing.assert_close(process.target(clean, noise, level), target[prediction])


@pytest.mark.parametrize("shape", SHAPES)
def test_flow_agrees_with_the_scheduler_of_diffusers(shape: tuple[int, ...]) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(4)
    process = process_of(scheduler)
    assert process == Flow(shift=3.0)
    clean, noise = drawn(shape)
    noisy = process.corrupt(clean, noise, scheduler.sigmas[:4])
    torch.testing.assert_close(noisy, scheduler.scale_noise(clean, scheduler.timesteps, noise))
    # A step along the target ends on the straight line between clean and noise.
    after = scheduler.step(process.target(clean, noise, scheduler.sigmas[:1]), scheduler.timesteps[0], noisy[:1])
    expected = process.corrupt(clean[:1], noise[:1], scheduler.sigmas[1:2])
    torch.testing.assert_close(after.prev_sample[:1], expected)


@pytest.mark.parametrize(
    "process",
    [
        *(Diffusion(DDPM.alphas_cumprod, prediction) for prediction in ("epsilon", "v_prediction", "sample")),
        Flow(),
        Flow(shift=7.0, density="uniform"),
    ],
    ids=str,
)
def test_the_clean_latents_of_the_target_are_the_clean_latents(process: NoiseProcess) -> None:
    clean, noise = drawn((4, 4, 8, 8))
    level = process.levels(torch.tensor([0.0, 0.3, 0.6, 0.9]))
    noisy, target = process.corrupt(clean, noise, level), process.target(clean, noise, level)
    torch.testing.assert_close(process.clean(noisy, target, level), clean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "process",
    [
        Diffusion(DDPM.alphas_cumprod),
        sdxl_turbo(Diffusion(DDPM.alphas_cumprod)),
        Flow(),
        Flow(shift=3.0, density="uniform"),
        Flow(shift=3.0, between=(0.875, 1.0)),
        Flow(density="uniform", between=(0.0, 0.4)),
    ],
    ids=str,
)
def test_levels_rise_with_the_uniform_numbers_and_reach_both_ends(process: NoiseProcess) -> None:
    level = process.levels(torch.linspace(0, 1 - 1e-6, 10001))
    assert (level.diff() >= 0).all()
    if isinstance(process, Flow):
        low, high = process.between
        assert low - 1e-6 <= level[0] < low + 0.03
        assert high - 0.03 < level[-1] <= high
        assert level[0] > 0
    else:
        assert level.dtype == torch.int64
        assert sorted(set(level.tolist())) == list(process.only or range(1000))
        _, counts = level.unique(return_counts=True)
        assert counts.max() - counts.min() <= 2


@pytest.mark.parametrize("process", [Diffusion(DDPM.alphas_cumprod), sdxl_turbo(Diffusion(DDPM.alphas_cumprod))])
def test_a_number_that_float32_rounds_up_to_1_has_the_last_level(process: Diffusion) -> None:
    last = torch.tensor([1 - 2**-30])
    assert last == 1
    assert process.levels(last).tolist() == [999]


def test_the_density_of_levels_is_logit_normal_behind_the_shift() -> None:
    uniform = torch.rand(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigma = Flow(shift=3.0).levels(uniform)
    logit = torch.log(sigma / (1 - sigma))
    # A shift moves the logit by its logarithm.
    assert logit.mean().item() == pytest.approx(math.log(3), abs=0.01)
    assert logit.std().item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("density", ["uniform", "logit_normal"])
def test_levels_between_two_sigmas_are_those_levels_of_the_whole_that_lie_between(density: str) -> None:
    uniform = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    whole = Flow(shift=3.0, density=density).levels(uniform)
    whole = whole[(whole > 0.5) & (whole < 0.875)]
    part = Flow(shift=3.0, density=density, between=(0.5, 0.875)).levels(uniform)
    quantiles = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    torch.testing.assert_close(part.quantile(quantiles), whole.quantile(quantiles), atol=1e-4, rtol=1e-4)


def test_sdxl_turbo_has_four_levels_and_no_signal_at_the_last() -> None:
    process = sdxl_turbo(Diffusion(DDPM.alphas_cumprod))
    assert process.levels(torch.tensor([0.0, 0.26, 0.51, 0.99])).tolist() == [249, 499, 749, 999]
    rescaled = diffusers.DDIMScheduler.from_config(DDPM.config, rescale_betas_zero_snr=True).alphas_cumprod
    torch.testing.assert_close(process.alphas, rescaled, atol=1e-6, rtol=1e-4)
    clean, noise = drawn((1, 4, 8, 8))
    torch.testing.assert_close(process.corrupt(clean, noise, torch.tensor([999])), noise)


@pytest.mark.parametrize(
    ("scheduler", "shift"),
    [
        (diffusers.FlowMatchEulerDiscreteScheduler(), 1.0),
        (diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0), 7.0),
        (diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True), 1.0),
        (diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=5.0), 5.0),
        (diffusers.DPMSolverMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0), 3.0),
    ],
)
def test_flow_schedulers_say_their_shift(scheduler: object, shift: float) -> None:
    assert process_of(scheduler) == Flow(shift=shift)


def test_the_process_of_cogvideox_is_what_its_scheduler_says() -> None:
    scheduler = diffusers.CogVideoXDDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    process = process_of(scheduler)
    assert isinstance(process, Diffusion)
    assert process.prediction == "v_prediction"
    assert process.alphas.dtype == torch.float32
    clean, noise = drawn((2, 4, 3, 8, 8))
    level = torch.tensor([10, 999])
    torch.testing.assert_close(process.corrupt(clean, noise, level), scheduler.add_noise(clean, noise, level))


def test_a_scheduler_that_is_neither_is_named() -> None:
    with pytest.raises(UniRewardError, match=r"ScoreSdeVeScheduler.*neither a diffusion.*nor flow"):
        process_of(diffusers.ScoreSdeVeScheduler())


def test_half_precision_stays_half_precision() -> None:
    clean, noise = (value.bfloat16() for value in drawn((1, 4, 8, 8)))
    for process, level in ((Diffusion(DDPM.alphas_cumprod), torch.tensor([3])), (Flow(), torch.tensor([0.123456]))):
        noisy = process.corrupt(clean, noise, level)
        assert noisy.dtype == torch.bfloat16
        exact = process.corrupt(clean.double(), noise.double(), level)
        assert (noisy.double() - exact).abs().max() < 0.05
