"""LTX-Video."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from diffusers_ext.families.adapter import Conditions, VideoAdapter
from diffusers_ext.noise import Flow


class LTX(VideoAdapter):
    """`LTXPipeline`: text to video."""

    frame_rate = 25
    """Frames a second that the model is told a clip has: the default of its pipeline."""

    def levels(self, uniform: Tensor, latents: Tensor) -> Tensor:
        """Logit-normal levels whose mean grows with the number of tokens, as the sampler's does.

        The mean m of the logit is linear in the tokens, through the two points that the scheduler's configuration
        gives, as in `ShiftedLogitNormalTimestepSampler` of github.com/Lightricks/LTX-Video-Trainer; a shift of e^m is
        the same as this mean. diffusers has no training script for LTX.
        """
        settings = self.pipeline.scheduler.config
        if not (isinstance(self.process, Flow) and settings.get("use_dynamic_shifting")):
            return super().levels(uniform, latents)
        tokens = latents[0, 0].numel() / (self._patch[0] * self._patch[1] ** 2)
        few, many = settings.base_image_seq_len, settings.max_image_seq_len
        mean = settings.base_shift + (settings.max_shift - settings.base_shift) * (tokens - few) / (many - few)
        return replace(self.process, shift=math.exp(mean)).levels(uniform)

    @torch.no_grad()
    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """`embeds`: `(batch, 128, width)` of T5; `mask`: `(batch, 128)`, true for a token."""
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, device=self.encoder_device
        )
        return {"embeds": embeds, "mask": mask}

    def predict(self, noisy: Tensor, level: Tensor, conditions: Conditions) -> Tensor:
        """The velocity."""
        time, space = self._patch
        frames, height, width = noisy.shape[-3:]
        stretch = self.pipeline.vae_spatial_compression_ratio
        predicted = self.denoiser(
            hidden_states=self.pipeline._pack_latents(noisy, space, time),
            encoder_hidden_states=conditions["embeds"],
            timestep=1000 * level,
            encoder_attention_mask=conditions["mask"],
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(self.pipeline.vae_temporal_compression_ratio / self.frame_rate, stretch, stretch),
            return_dict=False,
        )[0]
        unpacked: Tensor = self.pipeline._unpack_latents(predicted, frames, height, width, space, time)
        return unpacked

    def pixels(self, latents: Tensor) -> Tensor:
        """As `Adapter.pixels` says; a decoder that also removes noise is told that there is none."""
        vae = self.pipeline.vae
        latents = self.denormalise(latents.to(vae.device, vae.dtype))
        time = latents.new_zeros(len(latents)) if vae.config.timestep_conditioning else None
        decoded: Tensor = vae.decode(latents, time, return_dict=False)[0]
        return decoded.transpose(1, 2)

    def normalise(self, raw: Tensor) -> Tensor:
        """(raw - mean) scale / deviation, by channel."""
        mean, deviation = self._statistics(raw)
        return (raw - mean) * self._scaling[1] / deviation

    def denormalise(self, latents: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        mean, deviation = self._statistics(latents)
        return latents * deviation / self._scaling[1] + mean

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        vae = self.pipeline.vae
        return vae.latents_mean.to(like).reshape(1, -1, 1, 1, 1), vae.latents_std.to(like).reshape(1, -1, 1, 1, 1)

    @property
    def _pixels_a_latent(self) -> int:
        side: int = self.pipeline.vae_spatial_compression_ratio
        return side

    @property
    def _patch(self) -> tuple[int, int]:
        """How many latent frames, and how many of a row or a column, make a token."""
        return self.pipeline.transformer_temporal_patch_size, self.pipeline.transformer_spatial_patch_size
