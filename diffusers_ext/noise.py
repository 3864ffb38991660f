"""How clean latents become noisy ones, and what a denoiser is asked to predict: epsilon, v and flow, each written once.

Everywhere in here `clean` and `noise` are latents of one shape, `(batch, channels, ...)`, and `level` holds one noise
level for each of the batch: an integer timestep for `Diffusion`, a sigma in (0, 1] for `Flow`; more is noisier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from unireward_plugins.errors import UniRewardError


class NoiseProcess(Protocol):
    """The forward process of a model family, with the parametrisation of its denoiser."""

    def levels(self, uniform: Tensor) -> Tensor:
        """Noise levels to train on, from numbers that are uniform in [0, 1); monotone, so that strata stay strata."""
        ...

    def corrupt(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """The noisy latents at a level."""
        ...

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """What the denoiser should predict from `corrupt(clean, noise, level)`."""
        ...

    def clean(self, noisy: Tensor, prediction: Tensor, level: Tensor) -> Tensor:
        """The clean latents that a prediction stands for."""
        ...


@dataclass(frozen=True, slots=True)
class Diffusion:
    """The variance-preserving process of DDPM (arXiv:2006.11239, eq. 4): x_t = sqrt(a_t) x + sqrt(1 - a_t) n.

    The target is n for "epsilon", sqrt(a_t) n - sqrt(1 - a_t) x for "v_prediction" (arXiv:2202.00512, appendix D) and x
    for "sample".
    """

    alphas: Tensor
    """a_t, the cumulative products of 1 - beta, one for each timestep, in float32."""
    prediction: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    only: tuple[int, ...] = ()
    """The timesteps to train on, rising, where these are few: those that a distilled model is sampled at."""

    def levels(self, uniform: Tensor) -> Tensor:
        """Timesteps, as `NoiseProcess.levels` says."""
        count = len(self.only or self.alphas)
        place = (uniform * count).long().clamp(max=count - 1)  # in float32 the last numbers below 1 are 1
        return torch.tensor(self.only, device=uniform.device)[place] if self.only else place

    def corrupt(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """As `NoiseProcess.corrupt` says."""
        signal, spread = self._coefficients(level, clean)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """As `NoiseProcess.target` says."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "sample":
            return clean
        signal, spread = self._coefficients(level, clean)
        return signal * noise - spread * clean

    def clean(self, noisy: Tensor, prediction: Tensor, level: Tensor) -> Tensor:
        """As `NoiseProcess.clean` says; not finite for an epsilon where no signal is left: nothing follows there."""
        if self.prediction == "sample":
            return prediction
        signal, spread = self._coefficients(level, noisy)
        if self.prediction == "epsilon":
            return (noisy - spread * prediction) / signal
        return signal * noisy - spread * prediction

    def _coefficients(self, level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alphas = _per_sample(self.alphas.to(like.device)[level.long()], like)
        return alphas.sqrt().to(like.dtype), (1 - alphas).sqrt().to(like.dtype)


@dataclass(frozen=True, slots=True)
class Flow:
    """The straight path of rectified flow (arXiv:2209.03003, eq. 1; arXiv:2403.03206): x_s = (1 - s) x + s n.

    The target is the velocity n - x.
    """

    shift: float = 1.0
    """How far the levels are moved to the noisy end: s -> shift s / (1 + (shift - 1) s) (arXiv:2403.03206, eq. 23)."""
    density: Literal["uniform", "logit_normal"] = "logit_normal"
    """How levels are spread before the shift; "logit_normal" of mean 0 and scale 1 (arXiv:2403.03206, section 3.1)."""
    between: tuple[float, float] = (0.0, 1.0)
    """The sigmas, after the shift, to stay between: those that one of several denoisers is asked at."""

    def levels(self, uniform: Tensor) -> Tensor:
        """Sigmas, as `NoiseProcess.levels` says."""
        low, high = (self._uniform(sigma) for sigma in self.between)
        # The ends of the logit-normal lie at infinity, and at sigma 0 there is nothing to learn.
        sigma = (low + (high - low) * uniform).clamp(1e-4, 1 - 1e-4)
        if self.density == "logit_normal":
            sigma = torch.special.ndtri(sigma).sigmoid()
        return (self.shift * sigma / (1 + (self.shift - 1) * sigma)).clamp(*self.between)

    def _uniform(self, sigma: float) -> float:
        """The share of levels below a sigma: the inverse of `levels` where these are not held between any."""
        sigma = sigma / (self.shift - (self.shift - 1) * sigma)
        if self.density == "uniform" or sigma in {0.0, 1.0}:
            return sigma
        return NormalDist().cdf(math.log(sigma / (1 - sigma)))

    def corrupt(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """As `NoiseProcess.corrupt` says."""
        sigma = _per_sample(level, clean).to(clean.dtype)
        return (1 - sigma) * clean + sigma * noise

    def target(self, clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:  # noqa: ARG002 - the same at every level
        """As `NoiseProcess.target` says."""
        return noise - clean

    def clean(self, noisy: Tensor, prediction: Tensor, level: Tensor) -> Tensor:
        """As `NoiseProcess.clean` says."""
        return noisy - _per_sample(level, noisy).to(noisy.dtype) * prediction


def process_of(scheduler: Any) -> Diffusion | Flow:
    """The process that a pipeline's scheduler undoes; `UniRewardError` where it is neither diffusion nor flow."""
    settings = scheduler.config
    if "FlowMatch" in type(scheduler).__name__ or settings.get("use_flow_sigmas"):
        # Where the shift depends on the size of the picture (`use_dynamic_shifting`) the family says it.
        shift = settings.get("flow_shift") or settings.get("shift") or 1.0
        return Flow(shift=1.0 if settings.get("use_dynamic_shifting") else float(shift))
    alphas = getattr(scheduler, "alphas_cumprod", None)
    prediction = settings.get("prediction_type", "epsilon")
    if alphas is None or prediction not in {"epsilon", "v_prediction", "sample"}:
        raise UniRewardError(
            f"{type(scheduler).__name__} with prediction_type={prediction!r} is neither a diffusion with "
            "`alphas_cumprod` nor flow matching. Give the pipeline the scheduler that its model was trained with"
        )
    return Diffusion(alphas.float(), prediction)


def sdxl_turbo(process: Diffusion) -> Diffusion:
    """The process that SDXL-Turbo is aligned with: its four timesteps, and no signal left at the last.

    Timesteps 249, 499, 749 and 999 are those of its 4-step sampler (arXiv:2311.17042, section 3.1); square roots of a_t
    are moved and stretched such that the last is 0 and the first stays (arXiv:2305.08891, algorithm 1). So does the
    DiffusionDPO of github.com/CodeGoat24/UnifiedReward.
    """
    roots = process.alphas.double().sqrt()
    rescaled = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
    quarter = len(roots) // 4
    return replace(process, alphas=rescaled.square().float(), only=tuple(range(quarter - 1, len(roots), quarter)))


def _per_sample(values: Tensor, like: Tensor) -> Tensor:
    """One value for each of the batch, ready to be multiplied with latents."""
    return values.reshape(-1, *[1] * (like.dim() - 1))
