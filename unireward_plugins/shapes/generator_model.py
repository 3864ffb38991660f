"""The tiny generators, built and saved: Stable Diffusion and AnimateDiff of the real classes, for two CPU cores."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UNetMotionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from unireward_plugins.shapes.render import FRAMES, SIDE, Pictures

START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 16
"""Every caption is padded to so many tokens; the longest of pictures and clips takes twelve."""
TEXT_WIDTH = 96
LEVELS = 4
"""Of the codec: each but the last halves width and height."""
LATENT_CHANNELS = 12
LATENT_SIDE = SIDE // 2 ** (LEVELS - 1)


def build_tokenizer(captions: Iterable[str]) -> Any:
    """A CLIP tokenizer that was fitted to the captions: every word of theirs is one token."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=[START, END], end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    learned = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in learned["merges"]]
    # The trainer numbers letters in an order of chance, and the text encoder must find the same ones next time.
    known = sorted(learned["vocab"], key=learned["vocab"].__getitem__)
    letters = sorted(token for token in known if len(token.removesuffix("</w>")) == 1)
    others = [token for token in known if token not in letters]
    ordered = [*others[:2], *letters, *others[2:]]
    vocabulary = {token: number for number, token in enumerate(ordered)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS)


def build_text_encoder(tokenizer: Any) -> Any:
    """A CLIP text encoder of two layers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_codec() -> Any:
    """A VAE with a plain convolution where others have blocks on the way down, and one block a level on the way up."""
    return AutoencoderKL(
        sample_size=SIDE,
        block_out_channels=(32,) * LEVELS,
        down_block_types=("DownEncoderBlock2D",) * LEVELS,
        up_block_types=("UpDecoderBlock2D",) * LEVELS,
        layers_per_block=0,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        scaling_factor=1.0,
    )


def build_denoiser() -> Any:
    """A UNet of two levels, with attention to the caption on the lower one."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(48, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def add_motion(denoiser: Any) -> Any:
    """The denoiser of pictures with motion modules, which at first change nothing (AnimateDiff, arXiv:2307.04725)."""
    levels = denoiser.config.block_out_channels
    modules: Any = MotionAdapter(
        block_out_channels=levels,
        motion_layers_per_block=1,
        motion_num_attention_heads=4,
        motion_norm_num_groups=denoiser.config.norm_num_groups,
        motion_max_seq_length=FRAMES,
    )
    for name, weight in modules.named_parameters():
        if ".proj_out." in name:
            torch.nn.init.zeros_(weight)
    return UNetMotionModel.from_unet2d(denoiser, modules)


def build_scheduler() -> Any:
    """The noise of Stable Diffusion, learned as v, and a sampler that begins at pure noise."""
    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,  # of no effect here, but the pipeline warns of another
        clip_sample=False,
        set_alpha_to_one=False,
    )


def build_clip_scheduler() -> Any:
    """The same, but at the highest level nothing is left of a clip (arXiv:2305.08891, algorithm 1).

    Of a single picture what is left there tells next to nothing. Eight frames together tell which way it goes, so that
    a denoiser never learns to go by the caption for that.
    """
    return DDIMScheduler.from_config(build_scheduler().config, rescale_betas_zero_snr=True)


def assemble(codec: Any, text_encoder: Any, tokenizer: Any, denoiser: Any) -> Any:
    """The pipeline of these parts."""
    return StableDiffusionPipeline(
        vae=codec,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=denoiser,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def assemble_clips(codec: Any, text_encoder: Any, tokenizer: Any, denoiser: Any) -> Any:
    """The pipeline of these parts, whose denoiser holds the motion modules."""
    return AnimateDiffPipeline(
        vae=codec,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=denoiser,
        motion_adapter=None,  # they are in the denoiser
        scheduler=build_clip_scheduler(),
    )


def save_pipeline(pipeline: Any, folder: Path) -> None:
    """Write denoiser and codec in half precision; the text encoder whole, as transformers loads it as it is stored."""
    for part in (pipeline.unet, pipeline.vae):
        part.half()
    pipeline.save_pretrained(folder)


def pixel_values(pictures: Pictures) -> torch.Tensor:
    """Pictures (n, side, side, 3) as the codec takes them: (n, 3, side, side) in -1..1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
