"""The two sides of `bench_training_step.py`: a step in the manner of the scripts, and a step of our trainer."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diffusers_ext.dpo import DPOTrainer
from diffusers_ext.dpo_config import DPOConfig
from diffusers_ext.draws import Order, draw
from diffusers_ext.families import adapter_for
from diffusers_ext.latents import pixels_of
from diffusers_ext.load_pipeline import open_pipeline
from diffusers_ext.losses import LOSSES
from diffusers_ext.pair_errors import pair_errors
from diffusers_ext.preferences import read_preferences
from diffusers_ext.training_pipeline import add_lora, frozen_copy

PAIRS = 4
BATCH = 1


@dataclass(frozen=True)
class Setting:
    """What is trained, and on what."""

    family: str
    size: str
    device: str
    height: int
    width: int
    frames: int = 0
    whole: bool = False
    """Whether the whole denoiser is trained, against a second one."""
    half: bool = False
    """Whether all but the VAE and what is trained is in bfloat16."""

    @property
    def label(self) -> str:
        """For the table."""
        frames = f"{self.frames} x " if self.frames else ""
        return f"{self.family}{', whole' if self.whole else ''}, {frames}{self.height} x {self.width}"

    def config(self, folder: Path) -> DPOConfig:
        """The settings of the trainer, whose rank is that of the scripts."""
        return DPOConfig(
            pipeline=str(folder / "pipeline"),
            pairs=str(folder / f"pairs-{self.frames}-{self.height}"),
            output=tempfile.mkdtemp(dir=folder),
            cache=str(folder / "cache"),
            resolution=(self.height, self.width),
            batch_size=BATCH,
            lora_rank=0 if self.whole else 4,
            mixed_precision="bf16" if self.half else "no",
            gradient_checkpointing=self.size == "full" and (self.family == "wan" or self.whole),
        )


class Script:
    """A step in the manner of the scripts."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting, self.config = setting, setting.config(folder)
        dtype = torch.bfloat16 if setting.half else torch.float32
        # The scripts keep the VAE in float32, unless they are given another one, and what is trained.
        dtypes = {"default": dtype, "vae": torch.float32}
        pipeline = open_pipeline(folder / "pipeline", {**dtypes, "unet": torch.float32} if setting.whole else dtypes)
        self.adapter = adapter_for(pipeline.to(setting.device))
        for module in (pipeline.vae, *self.adapter.encoders.values()):
            module.requires_grad_(requires_grad=False)
        self.model: Any = self.adapter.denoiser
        self.second = frozen_copy(self.model, dtype) if setting.whole else None
        if setting.whole:
            self.model.requires_grad_(requires_grad=True)
        else:
            add_lora(self.adapter, self.config)
        if self.config.gradient_checkpointing:
            self.model.enable_gradient_checkpointing()
        self.trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-5)
        self.preferences = read_preferences(self.config.pairs)
        self.order = Order([()] * PAIRS, BATCH, seed=0)

    def step(self, number: int) -> None:
        """Decode, encode, predict twice, and step."""
        adapter, device, pairs = self.adapter, self.setting.device, self.order[number]
        size = (self.setting.height, self.setting.width)
        files = zip(*(self.preferences.pair(index) for index in pairs), strict=True)
        pixels = torch.stack([pixels_of(media, size) for side in files for media in side]).to(device)
        with self._autocast():
            conditions = adapter.conditions([self.preferences.prompts[index] for index in pairs])
        told = {name: value.repeat(2, *[1] * (value.dim() - 1)) for name, value in conditions.items()}
        latents = adapter.latents(pixels, torch.Generator(device).manual_seed(number)).float()
        chance = draw(0, number, 0, total=1, shape=latents.shape[1:])
        noise = chance.noise.to(device).expand_as(latents)
        level = adapter.levels(torch.full([len(pairs)], chance.uniform, device=device), latents).repeat(2)
        noisy = adapter.process.corrupt(latents, noise, level).to(next(self.model.parameters()).dtype)
        with self._autocast():
            prediction = adapter.predict(noisy, level, told)
            with torch.no_grad(), self._reference():
                reference = adapter.predict(noisy, level, told)
        errors = pair_errors(prediction, adapter.process.target(latents, noise, level), reference)
        LOSSES["diffusion_dpo"].of(errors, 5000.0).mean().backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def weights(self) -> dict[str, int]:
        """Bytes by component."""
        named = {"denoiser": self.model, "second denoiser": self.second, "vae": self.adapter.pipeline.vae}
        return _bytes({**named, **self.adapter.encoders})

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.setting.device, torch.bfloat16) if self.setting.half else nullcontext()

    def _reference(self) -> AbstractContextManager[Any]:
        stack = ExitStack()
        if self.second is None:
            self.model.disable_adapters()
            stack.callback(self.model.enable_adapters)
        else:
            self.adapter.denoiser = self.second
            stack.callback(setattr, self.adapter, "denoiser", self.model)
        return stack


class Ours:
    """A step of our trainer."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.trainer = DPOTrainer(setting.config(folder))

    def step(self, number: int) -> None:
        """A step."""
        self.trainer.step(number)

    def weights(self) -> dict[str, int]:
        """Bytes by component."""
        model, pipeline = self.trainer.model, self.trainer.adapter.pipeline
        named = {"denoiser": model.denoiser, "second denoiser": model.frozen, "vae": pipeline.vae}
        return _bytes({**named, **self.trainer.adapter.encoders})


def _bytes(modules: dict[str, Any]) -> dict[str, int]:
    return {
        name: sum(weight.numel() * weight.element_size() for weight in module.parameters())
        for name, module in modules.items()
        if module is not None
    }
