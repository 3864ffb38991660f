"""FLUX.2 klein."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from diffusers_ext.families.adapter import ATTENTION, Adapter, Conditions
from diffusers_ext.noise import Flow


class Flux2Klein(Adapter):
    """`Flux2KleinPipeline`. A 2x2 square of the VAE's latents is one place of ours, with four times the channels.

    Levels uniform and unshifted, whatever shift the sampler takes for the size of a picture, as diffusers'
    examples/dreambooth/train_dreambooth_lora_flux2_klein.py.
    """

    lora_targets = (*ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "to_qkv_mlp_proj")
    packed_side = 2

    def __init__(self, pipeline: Any, denoiser: str | None = None) -> None:
        super().__init__(pipeline, denoiser)
        self.process = Flow(density="uniform")

    @torch.no_grad()
    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """`embeds`: `(batch, 512, width)`, three layers of Qwen3 side by side."""
        embeds, _ = self.pipeline.encode_prompt(list(prompts), device=self.encoder_device)
        return {"embeds": embeds}

    def predict(self, noisy: Tensor, level: Tensor, conditions: Conditions) -> Tensor:
        """The velocity."""
        embeds = conditions["embeds"]
        rows, columns = noisy.shape[-2:]
        predicted: Tensor = self.denoiser(
            hidden_states=noisy.flatten(2).transpose(1, 2),
            timestep=level,
            guidance=None,
            encoder_hidden_states=embeds,
            txt_ids=_places(1, 1, embeds.shape[1]).to(noisy.device).expand(len(noisy), -1, -1),
            img_ids=_places(rows, columns, 1).to(noisy.device).expand(len(noisy), -1, -1),
            return_dict=False,
        )[0]
        return predicted.transpose(1, 2).reshape(noisy.shape)

    def normalise(self, raw: Tensor) -> Tensor:
        """2x2 squares as channels, then (raw - mean) / deviation by channel, from the VAE's batch norm."""
        mean, deviation = self._statistics(raw)
        return (pixel_unshuffle(raw, 2) - mean) / deviation

    def denormalise(self, latents: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        mean, deviation = self._statistics(latents)
        return pixel_shuffle(latents * deviation + mean, 2)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        vae = self.pipeline.vae
        deviation = (vae.bn.running_var + vae.config.batch_norm_eps).sqrt()
        return vae.bn.running_mean.to(like).reshape(1, -1, 1, 1), deviation.to(like).reshape(1, -1, 1, 1)


def _places(rows: int, columns: int, words: int) -> Tensor:
    """For each token 0, its row, its column and its place among the words."""
    return torch.cartesian_prod(torch.arange(1), torch.arange(rows), torch.arange(columns), torch.arange(words))
