"""The batches of a preference training: which pairs, under which noise, at which level, with which prompts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffusers_ext.dpo_config import DPOConfig
from diffusers_ext.draws import Draw, Order, draw
from diffusers_ext.families.adapter import Adapter, Conditions
from diffusers_ext.latents import Cache


@dataclass(frozen=True, slots=True)
class Batch:
    """What a forward pass sees: all chosen samples, then all rejected ones, of `2 n` for `n` pairs."""

    noisy: Tensor
    level: Tensor
    target: Tensor
    conditions: Conditions
    weights: Tensor
    """`(n,)`: how much each pair counts."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which process this is, of how many, where its batches go, and in which precision the model takes them."""

    process: int
    processes: int
    device: torch.device
    dtype: torch.dtype


class Batches:
    """The batches of one process; each depends on the seed, the step and its place in the step alone."""

    def __init__(self, config: DPOConfig, cache: Cache, adapter: Adapter, weights: Tensor, place: Place) -> None:
        self.config, self.cache, self.adapter, self.weights, self.place = config, cache, adapter, weights, place
        self.prompts = cache.plan.preferences.prompts
        self.shapes = cache.shapes
        self.order = Order(self.shapes, config.batch_size, config.seed)

    def batch(self, step: int, micro: int) -> Batch:
        """The batch of a forward pass, `micro` of `config.accumulation`, of a step."""
        config, device, process = self.config, self.place.device, self.adapter.process
        slot = micro * self.place.processes + self.place.process
        pairs = self.order[step * config.accumulation * self.place.processes + slot]
        draws = self._draws(step, slot, pairs)
        both = [
            self.cache.latents(i, flip=config.flip and one.flips < 0.5) for i, one in zip(pairs, draws, strict=True)
        ]
        prompts = [
            "" if one.drops < config.caption_dropout else self.prompts[i] for i, one in zip(pairs, draws, strict=True)
        ]
        clean = torch.stack(both, 1).flatten(0, 1).to(device)
        noise = _twice(torch.stack([one.noise for one in draws])).to(device)
        level = self.adapter.levels(torch.tensor([one.uniform for one in draws], device=device), clean).repeat(2)
        return Batch(
            process.corrupt(clean, noise, level).to(self.place.dtype),
            level,
            process.target(clean, noise, level),
            {name: _twice(value).to(device) for name, value in self.cache.conditions(prompts).items()},
            self.weights[pairs].to(device),
        )

    def _draws(self, step: int, slot: int, pairs: list[int]) -> list[Draw]:
        config = self.config
        total = config.batch_size * config.accumulation * self.place.processes
        shape, first = self.shapes[pairs[0]], slot * config.batch_size
        return [draw(config.seed, step, first + number, total=total, shape=shape) for number in range(len(pairs))]


def _twice(rows: Tensor) -> Tensor:
    """The rows for chosen, and again for rejected."""
    return rows.repeat(2, *[1] * (rows.dim() - 1))
