"""Z-Image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffusers_ext.families.adapter import Adapter, Conditions
from diffusers_ext.noise import Flow


class ZImage(Adapter):
    """`ZImagePipeline`, whose denoiser is told how far it has come, 1 - sigma, and predicts the velocity backwards.

    Levels uniform behind the scheduler's own shift, as diffusers' examples/dreambooth/train_dreambooth_lora_z_image.py.
    """

    packed_side = 2

    tokens = 512
    """The longest prompt, in tokens: the default of the pipeline."""

    def __init__(self, pipeline: Any, denoiser: str | None = None) -> None:
        super().__init__(pipeline, denoiser)
        if isinstance(self.process, Flow):
            self.process = replace(self.process, density="uniform")

    @torch.no_grad()
    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """`embeds`: `(batch, 512, width)` of Qwen3, zeros behind the end; `count`: `(batch,)`, how many are tokens."""
        found, _ = self.pipeline.encode_prompt(
            list(prompts),
            device=self.encoder_device,
            do_classifier_free_guidance=False,
            max_sequence_length=self.tokens,
        )
        embeds = torch.stack([pad(one, (0, 0, 0, self.tokens - len(one))) for one in found])
        return {"embeds": embeds, "count": torch.tensor([len(one) for one in found], device=embeds.device)}

    def predict(self, noisy: Tensor, level: Tensor, conditions: Conditions) -> Tensor:
        """The velocity, of latents with an even height and width."""
        counts = conditions["count"].tolist()
        embeds = [one[:count] for one, count in zip(conditions["embeds"], counts, strict=True)]
        predicted = self.denoiser(list(noisy[:, :, None]), 1 - level, embeds, return_dict=False)[0]
        return -torch.stack(predicted)[:, :, 0]
