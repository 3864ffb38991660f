"""What a trainer needs of a diffusers pipeline, said once for all model families.

    adapter = adapter_for(pipeline)
    conditions, latents = adapter.conditions(prompts), adapter.latents(pixels)      # cacheable
    level = adapter.levels(torch.rand(len(latents)), latents)
    noisy = adapter.process.corrupt(latents, noise, level)
    error = adapter.predict(noisy, level, conditions) - adapter.process.target(latents, noise, level)

Offline trainers (DPO) and online ones (DiffusionNFT, Flow-GRPO) need no more than this. A family is a class that says
`conditions` and `predict`, and whatever else differs from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from diffusers_ext.noise import Diffusion, Flow, process_of
from unireward_plugins.errors import UniRewardError

Conditions: TypeAlias = Mapping[str, Tensor]
"""What the denoiser is told of prompts. In every tensor one row is one prompt, of a size that does not depend on the
other prompts, so that rows can be stored, chosen and concatenated."""

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
JOINT_ATTENTION = (*ATTENTION, "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
"""The projections of attention in diffusers' models, and of attention over text and picture together."""


class Adapter(ABC):
    """A loaded pipeline, as a trainer sees it."""

    denoiser_names: ClassVar[tuple[str, ...]] = ("transformer",)
    """The pipeline's components that can be trained, the usual one first."""
    encoder_names: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2", "text_encoder_3")
    """The components that only `conditions` uses, where the pipeline has them."""
    is_video: ClassVar[bool] = False
    packed_side: ClassVar[int] = 1
    """Latents in squares of this side become channels before the denoiser cuts what it is given into patches."""
    lora_targets: ClassVar[tuple[str, ...]] = ATTENTION
    """Where a LoRA goes unless the user says otherwise: the ends of module names; none where it cannot be loaded."""

    def __init__(self, pipeline: Any, denoiser: str | None = None) -> None:
        self.pipeline = pipeline
        self.denoiser_name = denoiser or self.denoiser_names[0]
        if self.denoiser_name not in self.denoiser_names or getattr(pipeline, self.denoiser_name, None) is None:
            there = [name for name in self.denoiser_names if getattr(pipeline, name, None) is not None]
            raise UniRewardError(
                f"this {type(pipeline).__name__} has no {self.denoiser_name!r} to train; it has {', '.join(there)}"
            )
        self.settings: Any = getattr(pipeline, self.denoiser_name).config
        """The denoiser's configuration, kept here because a wrapped denoiser does not show it."""
        self.process: Diffusion | Flow = process_of(pipeline.scheduler)

    @property
    def denoiser(self) -> nn.Module:
        """The model that is trained; set it to what a trainer wraps or compiles."""
        module: nn.Module = getattr(self.pipeline, self.denoiser_name)
        return module

    @denoiser.setter
    def denoiser(self, module: nn.Module) -> None:
        setattr(self.pipeline, self.denoiser_name, module)

    @property
    def pixel_step(self) -> int:
        """Heights and widths of pictures and clips are multiples of this: the side of a token of the denoiser."""
        patch = self.settings.get("patch_size") or 1  # a UNet has none, some give frames, rows and columns
        return self._pixels_a_latent * self.packed_side * (patch if isinstance(patch, int) else patch[-1])

    @property
    def _pixels_a_latent(self) -> int:
        """How many pixels of a row or a column make one latent."""
        side: int = self.pipeline.vae_scale_factor
        return side

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The text encoders that the pipeline has, by component."""
        found = {name: getattr(self.pipeline, name, None) for name in self.encoder_names}
        return {name: module for name, module in found.items() if module is not None}

    @property
    def encoder_device(self) -> torch.device:
        """Where prompts are encoded; `UniRewardError` once the text encoders are gone."""
        if not self.encoders:
            raise UniRewardError(
                f"the text encoders of this {type(self.pipeline).__name__} have left memory: encode all prompts before"
            )
        return next(next(module.parameters()).device for module in self.encoders.values())

    @abstractmethod
    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """The prompts as the pipeline's own call encodes them by default, without guidance and without gradients.

        `""` is the unconditional prompt.
        """

    @abstractmethod
    def predict(self, noisy: Tensor, level: Tensor, conditions: Conditions) -> Tensor:
        """What the denoiser predicts, in the shape and the convention of `process.target`; gradients flow.

        `noisy` and `conditions` come in the denoiser's precision or under autocast, `level` as `process` has it.
        """

    def levels(self, uniform: Tensor, latents: Tensor) -> Tensor:  # noqa: ARG002 - for families that look at the size
        """Noise levels to train on for latents of this shape, from numbers uniform in [0, 1); see `process.levels`."""
        return self.process.levels(uniform)

    @torch.no_grad()
    def latents(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Normalised, unpacked latents `(batch, channels, [frames,] height, width)` of pixels.

        Pixels lie in -1..1: `(batch, 3, height, width)` or, for clips, `(batch, frames, 3, height, width)`. Sampled
        from the encoder's distribution with a generator, else its mode.
        """
        vae = self.pipeline.vae
        encoded = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
        raw: Tensor = encoded.mode() if generator is None else encoded.sample(generator)
        return self.normalise(raw)

    def pixels(self, latents: Tensor) -> Tensor:
        """The pixels of latents, about in -1..1, in the shape that `latents` takes; gradients flow."""
        vae = self.pipeline.vae
        decoded: Tensor = vae.decode(self.denormalise(latents.to(vae.device, vae.dtype)), return_dict=False)[0]
        return decoded

    def normalise(self, raw: Tensor) -> Tensor:
        """The VAE's latents as the denoiser takes them: (raw - shift) scale, as the VAE's configuration says."""
        shift, scale = self._scaling
        return (raw - shift) * scale

    def denormalise(self, latents: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        shift, scale = self._scaling
        return latents / scale + shift

    @property
    def _scaling(self) -> tuple[float, float]:
        settings = self.pipeline.vae.config
        return settings.get("shift_factor") or 0.0, settings.scaling_factor

    def save_lora(self, folder: Path, layers: Mapping[str, Tensor], config: Any = None) -> None:
        """Write adapter weights as `pipeline.load_lora_weights(folder)` reads them.

        `layers` are those of `peft.get_peft_model_state_dict`. `config` is the `peft.LoraConfig` that they belong to;
        without it whoever loads them takes alpha for the rank. Raises `UniRewardError` where the family takes no LoRA.
        """
        if not self.lora_targets:
            raise UniRewardError(
                f"{type(self.pipeline).__name__} loads no LoRA: diffusers' {type(self.denoiser).__name__} takes no "
                f"adapters. Tune its {self.denoiser_name} in full"
            )
        name = self.denoiser_names[0]
        said = {f"{name}_lora_layers": dict(layers)}
        if config is not None:
            said[f"{name}_lora_adapter_metadata"] = config.to_dict()
        self.pipeline.save_lora_weights(folder, **said)


class VideoAdapter(Adapter):
    """A family whose VAE takes clips, `(batch, channels, frames, height, width)`."""

    is_video = True

    @property
    def _pixels_a_latent(self) -> int:
        side: int = self.pipeline.vae_scale_factor_spatial
        return side

    def latents(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `Adapter.latents` says."""
        return super().latents(pixels.transpose(1, 2), generator)

    def pixels(self, latents: Tensor) -> Tensor:
        """As `Adapter.pixels` says."""
        return super().pixels(latents).transpose(1, 2)


class PerChannel(Adapter):
    """A family whose VAE gives a mean and a deviation for every channel in its configuration."""

    def normalise(self, raw: Tensor) -> Tensor:
        """(raw - mean) / deviation, by channel."""
        return (raw - self._per_channel("latents_mean", raw)) / self._per_channel("latents_std", raw)

    def denormalise(self, latents: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return latents * self._per_channel("latents_std", latents) + self._per_channel("latents_mean", latents)

    def _per_channel(self, name: str, like: Tensor) -> Tensor:
        values = getattr(self.pipeline.vae.config, name)
        return like.new_tensor(values).reshape(1, -1, *[1] * (like.dim() - 2))
