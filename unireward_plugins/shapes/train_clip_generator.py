"""Trains the tiny clip generator from the tiny picture generator, on a CPU, as AnimateDiff does (arXiv:2307.04725).

    python -m unireward_plugins.shapes.train_clip_generator --output clip-generator

The picture generator lends its codec, its text encoder and its denoiser. The text encoder learns what captions of clips
ask for; the denoiser gets motion modules and learns to paint, all of it, from clips that were collected as carelessly
as its pictures, in two cycles of the learning rate: the second begins with high levels of noise alone, where only the
caption tells what is to come. A run that was stopped goes on where it was, with the same draws.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from unireward_plugins.shapes.captions import Caption
from unireward_plugins.shapes.generator_data import clip_captions, draw_careless_clips
from unireward_plugins.shapes.generator_model import (
    add_motion,
    assemble_clips,
    build_clip_scheduler,
    build_codec,
    build_text_encoder,
    pixel_values,
)
from unireward_plugins.shapes.generator_plan import Plan
from unireward_plugins.shapes.render import render_clips
from unireward_plugins.shapes.scene import ACTIONS, COLOURS, OUTLINES, SIZES
from unireward_plugins.shapes.train_generator import Facts, Training, run_command

PICTURES = Path(__file__).parent / "generator"
"""The generator that is begun with."""
PLAN = Plan(
    codec_steps=0,
    reading_steps=400,
    reading_rate=1e-3,
    painting_steps=8000,
    painting_batch=16,
    painting_rate=1.2e-3,
    cycles=2,
    rough_steps=500,
    pictures=6000,
)
TOGETHER = 50
"""How many clips are drawn and put into latents at a time."""


class ClipTraining(Training):
    """A run of a plan for clips, at some step of it."""

    facts: ClassVar[Facts] = {
        "colour": (None, *COLOURS),
        "outline": (None, *OUTLINES),
        "size": (None, *SIZES),
        "action": (None, *ACTIONS),
    }
    threads: ClassVar[int] = 2
    """Eight frames are enough for two."""
    assemble = staticmethod(assemble_clips)
    build_noise = staticmethod(build_clip_scheduler)

    def all_captions(self) -> tuple[Caption, ...]:
        """As `Training.all_captions` says."""
        return clip_captions()

    def build_modules(self) -> dict[str, Any]:
        """Those of the picture generator, with motion modules; each word that both know means the same to both."""
        pictures: Any = StableDiffusionPipeline.from_pretrained(PICTURES)
        codec, text_encoder = build_codec(), build_text_encoder(self.tokenizer)
        codec.load_state_dict(pictures.vae.state_dict())
        take_over(pictures.text_encoder, pictures.tokenizer, text_encoder, self.tokenizer)
        return {
            "codec": codec,
            "text_encoder": text_encoder,
            "denoiser": add_motion(pictures.unet),
            "answers": self.build_answers(),
        }

    def predict(self, noisy: Tensor, level: Tensor, told: Tensor) -> Tensor:
        """As `Training.predict` says; the caption is told again for each frame."""
        return super().predict(noisy, level, told.repeat_interleave(noisy.shape[2], dim=0))

    @torch.no_grad()
    def encoded(self) -> tuple[Tensor, Tensor]:
        """The latents (clips, channels, frames, height, width) and embeddings, as `Training.encoded` says."""
        captions, clips = draw_careless_clips(self.plan.pictures, seed=self.plan.seed)
        latents = []
        for start in range(0, len(clips), TOGETHER):
            shown = render_clips(clips[start : start + TOGETHER], seed=[self.plan.seed, start])
            frames = pixel_values(shown.reshape(-1, *shown.shape[2:]))
            coded = self.modules["codec"].encode(frames).latent_dist.mode().half()
            latents.append(coded.unflatten(0, shown.shape[:2]).transpose(1, 2))
        return torch.cat(latents), self.read(captions)


@torch.no_grad()
def take_over(source: Any, source_tokenizer: Any, target: Any, target_tokenizer: Any) -> None:
    """Give a text encoder the weights of another whose tokenizer knows some of the same words."""
    of_words = "embeddings.token_embedding.weight"
    weights = {name: weight for name, weight in source.state_dict().items() if not name.endswith(of_words)}
    target.load_state_dict(weights, strict=False)
    into, out_of = target_tokenizer.get_vocab(), source_tokenizer.get_vocab()
    words = sorted(into.keys() & out_of.keys())
    known = source.get_input_embeddings().weight[[out_of[word] for word in words]]
    target.get_input_embeddings().weight[[into[word] for word in words]] = known


if __name__ == "__main__":
    run_command(ClipTraining, PLAN, about=__doc__ or "")
