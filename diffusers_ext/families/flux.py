"""FLUX.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from diffusers_ext.families.adapter import JOINT_ATTENTION, Adapter, Conditions
from diffusers_ext.noise import Flow


class Flux(Adapter):
    """`FluxPipeline`, dev and schnell.

    Levels uniform and unshifted, whatever shift the sampler takes for the size of a picture, as diffusers'
    examples/dreambooth/train_dreambooth_lora_flux.py.
    """

    lora_targets = JOINT_ATTENTION
    packed_side = 2

    guidance = 3.5
    """The guidance that a guidance-distilled model (FLUX.1-dev) is told: the default of its pipeline and of the script
    above."""

    def __init__(self, pipeline: Any, denoiser: str | None = None) -> None:
        super().__init__(pipeline, denoiser)
        self.process = Flow(density="uniform")

    tokens = 512
    """How many tokens of T5 a prompt has: the default of the pipeline; FLUX.1-schnell was made for 256."""

    @torch.no_grad()
    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """`embeds`: `(batch, tokens, width)` of T5; `pooled`: `(batch, width)` of CLIP."""
        embeds, pooled, _ = self.pipeline.encode_prompt(
            list(prompts), None, device=self.encoder_device, max_sequence_length=self.tokens
        )
        return {"embeds": embeds, "pooled": pooled}

    def predict(self, noisy: Tensor, level: Tensor, conditions: Conditions) -> Tensor:
        """The velocity, of latents with an even height and width."""
        height, width = noisy.shape[-2:]
        embeds = conditions["embeds"]
        predicted = self.denoiser(
            hidden_states=packed(noisy),
            timestep=level,
            guidance=torch.full_like(level, self.guidance) if self.settings.guidance_embeds else None,
            pooled_projections=conditions["pooled"],
            encoder_hidden_states=embeds,
            txt_ids=embeds.new_zeros(embeds.shape[1], 3),
            img_ids=_places(height // 2, width // 2).to(noisy),
            return_dict=False,
        )[0]
        return unpacked(predicted, height, width)


def packed(latents: Tensor) -> Tensor:
    """`(batch, channels, height, width)` as one token for each 2x2 square: `(batch, tokens, 4 channels)`."""
    batch, channels, height, width = latents.shape
    squares = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(batch, height * width // 4, 4 * channels)


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `packed`, for latents of this height and width."""
    squares = tokens.reshape(len(tokens), height // 2, width // 2, -1, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), -1, height, width)


def _places(rows: int, columns: int) -> Tensor:
    """For each token of a picture 0, its row and its column."""
    return torch.cartesian_prod(torch.arange(1), torch.arange(rows), torch.arange(columns))
