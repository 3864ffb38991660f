"""Complete diffusers pipelines of real classes with random weights, small enough to sample in a tenth of a second."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLWan,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    WanPipeline,
    WanTransformer3DModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

PICTURE = {"num_inference_steps": 2, "height": 32, "width": 32}
CLIP = {"num_inference_steps": 2, "height": 32, "width": 32, "num_frames": 5, "max_sequence_length": 16}
"""Call arguments that keep a sample small."""


def picture_pipeline(**components: Any) -> StableDiffusionPipeline:
    """Stable Diffusion 1.5 in miniature: CLIP text encoder, UNet, VAE; `components` replace or add to them."""
    torch.manual_seed(0)
    letters = [*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase)]
    vocabulary = {piece: index for index, piece in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    ends = {"bos_token_id": len(letters), "eos_token_id": len(letters) + 1, "pad_token_id": len(letters) + 1}
    text = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        **ends,
    )
    whole = {
        "unet": UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=32,
            attention_head_dim=4,
        ),
        "scheduler": DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1),
        "vae": AutoencoderKL(
            block_out_channels=(8, 16),
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        "text_encoder": CLIPTextModel(text).eval(),
        "tokenizer": CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77),
        "safety_checker": None,
        "feature_extractor": None,
    }
    return _quiet(StableDiffusionPipeline(**(whole | components), requires_safety_checker=False))


def clip_pipeline() -> WanPipeline:
    """Wan text-to-video in miniature: UMT5 text encoder, transformer, causal video VAE."""
    torch.manual_seed(0)
    pieces = ["<pad>", "</s>", "<unk>", "▁", *ascii_lowercase]
    text = UMT5Config(vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    return _quiet(
        WanPipeline(
            tokenizer=T5Tokenizer(vocab=[(piece, -float(index)) for index, piece in enumerate(pieces)], extra_ids=0),
            text_encoder=UMT5EncoderModel(text).eval(),
            transformer=WanTransformer3DModel(
                patch_size=(1, 2, 2),
                num_attention_heads=2,
                attention_head_dim=12,
                text_dim=32,
                freq_dim=64,
                ffn_dim=32,
                num_layers=2,
                cross_attn_norm=True,
                rope_max_seq_len=32,
            ),
            vae=AutoencoderKLWan(base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        )
    )


def _quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def safety_checker() -> dict[str, Any]:
    """The components with which a picture pipeline checks what it made; this checker finds nothing yet."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
    vision = {**sizes, "image_size": 32, "patch_size": 8, "projection_dim": 16}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=16))
    with torch.no_grad():
        checker.concept_embeds.normal_()
        checker.special_care_embeds_weights.fill_(2)
        checker.concept_embeds_weights.fill_(2)
    size = {"height": 32, "width": 32}
    return {
        "safety_checker": checker.eval(),
        "feature_extractor": CLIPImageProcessor(size=size, crop_size=size),
    }
