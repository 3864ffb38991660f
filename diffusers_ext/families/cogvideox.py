"""CogVideoX 1.0 and 1.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid
from torch import Tensor

from diffusers_ext.families.adapter import Conditions, VideoAdapter
from unireward_plugins.errors import UniRewardError


class CogVideoX(VideoAdapter):
    """`CogVideoXPipeline`: text to video, with v-prediction.

    All timesteps alike, as diffusers' examples/cogvideo/train_cogvideox_lora.py, whose loss, the error of the clean
    latents over 1 - a_t, is the error of v.
    """

    @torch.no_grad()
    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """`embeds`: `(batch, 226, width)` of T5."""
        embeds, _ = self.pipeline.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, device=self.encoder_device
        )
        return {"embeds": embeds}

    def predict(self, noisy: Tensor, level: Tensor, conditions: Conditions) -> Tensor:
        """V."""
        predicted: Tensor = self.denoiser(
            hidden_states=noisy.transpose(1, 2),
            encoder_hidden_states=conditions["embeds"],
            timestep=level,
            image_rotary_emb=self._rotations(noisy) if self.settings.use_rotary_positional_embeddings else None,
            return_dict=False,
        )[0]
        return predicted.transpose(1, 2)

    def _rotations(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The cosines and sines of the places of all tokens, on the grid that the pipeline takes for this size."""
        frames, height, width = latents.shape[-3:]
        square, depth = self.settings.patch_size, self.settings.patch_size_t
        grid = (height // square, width // square)
        trained = (self.settings.sample_height // square, self.settings.sample_width // square)
        if depth is None:
            places: dict[str, Any] = {"crops_coords": get_resize_crop_region_for_grid(grid, trained[1], trained[0])}
        else:
            places = {"crops_coords": None, "grid_type": "slice", "max_size": trained}
        rotations: tuple[Tensor, Tensor] = get_3d_rotary_pos_embed(
            embed_dim=self.settings.attention_head_dim,
            grid_size=grid,
            temporal_size=frames // (depth or 1),
            device=latents.device,
            **places,
        )
        return rotations

    def latents(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `Adapter.latents` says; for CogVideoX 1.5 with its first frame once more in front.

        Its patches are two latent frames deep, and clips have an odd number of these; so does the `finetune` of
        github.com/THUDM/CogVideo. Raises `UniRewardError` for a number of frames that does not come out, and for clips
        that are larger than CogVideoX 1.5 has places for.
        """
        self._check_size(pixels.shape[-2], pixels.shape[-1])
        step = self.pipeline.vae_scale_factor_temporal * (self._extra + 1)
        if (pixels.shape[1] - 1) % step:
            raise UniRewardError(
                f"this CogVideoX takes clips of 1, {step + 1}, {2 * step + 1}, ... frames, got {pixels.shape[1]}"
            )
        latents = super().latents(pixels, generator)
        return torch.cat([latents[:, :, :1]] * self._extra + [latents], dim=2)

    def _check_size(self, height: int, width: int) -> None:
        """CogVideoX 1.5 cuts its places out of a grid of the size in its settings; 1.0 stretches them over any."""
        settings = self.settings
        high, wide = (side * self._pixels_a_latent for side in (settings.sample_height, settings.sample_width))
        if self._extra and (height > high or width > wide):
            raise UniRewardError(
                f"this CogVideoX 1.5 takes clips of at most {high} x {wide} pixels (height x width), got {height} x "
                f"{width}: set a resolution within that, as in resolution: [{min(height, high)}, {min(width, wide)}]"
            )

    def pixels(self, latents: Tensor) -> Tensor:
        """As `Adapter.pixels` says, without the frame that was put in front."""
        return super().pixels(latents[:, :, self._extra :])

    @property
    def _extra(self) -> int:
        """How many latent frames are put in front of a clip."""
        return (self.settings.patch_size_t or 1) - 1
