"""Random pipelines in the proportions of SDXL and of Wan 2.1, at their size and at about a thirtieth of the arithmetic.

Configurations are those that are published with stabilityai/stable-diffusion-xl-base-1.0 and Wan-AI/Wan2.1-T2V-1.3B.
"""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKL, AutoencoderKLWan, UNet2DConditionModel, WanTransformer3DModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, UMT5Config, UMT5EncoderModel

WIDTH = {"mid": 4, "full": 1}
"""By what the widths are divided; arithmetic and weights by its square."""


def sdxl(size: str, *, vocabulary: int = 49408, end: int = 49407) -> dict[str, Any]:
    """The networks of SDXL by component; `end` is the tokenizer's id of the end of a text."""
    narrow = WIDTH[size]
    channels = tuple(width // narrow for width in (320, 640, 1280))
    clip, big = 768 // narrow, 1280 // narrow
    text = {"vocab_size": vocabulary, "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=channels,
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=tuple(max(1, heads // narrow) for heads in (5, 10, 20)),
        norm_num_groups=32 // narrow,
        cross_attention_dim=clip + big,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256 // narrow,
        projection_class_embeddings_input_dim=6 * 256 // narrow + big,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=tuple(width // narrow for width in (128, 256, 512, 512)),
        layers_per_block=2,
        norm_num_groups=32 // narrow,
        scaling_factor=0.13025,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    one, two = (
        CLIPTextConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            projection_dim=width,
            **text,
        )
        for width, layers in ((clip, 12), (big, 32))
    )
    encoders = {"text_encoder": CLIPTextModel(one), "text_encoder_2": CLIPTextModelWithProjection(two)}
    return {"unet": unet, "vae": vae, **encoders}


def wan(size: str, *, vocabulary: int = 256384) -> dict[str, Any]:
    """The networks of Wan 2.1 1.3B by component; in the middle size with half of its layers.

    The VAE is narrowed by 6 for that, to keep its part in the whole.
    """
    narrow = WIDTH[size]
    shallow = 1 if size == "full" else 2
    width = 4096 // narrow
    text = UMT5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=64,
        d_ff=10240 // narrow,
        num_layers=24 // shallow,
        num_heads=64 // narrow,
    )
    transformer = WanTransformer3DModel(
        num_attention_heads=12 // narrow,
        attention_head_dim=128,
        text_dim=width,
        freq_dim=256,
        ffn_dim=8960 // narrow,
        num_layers=30 // shallow,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
    )
    vae = AutoencoderKLWan(base_dim=96 if size == "full" else 16, z_dim=16)
    return {"transformer": transformer, "vae": vae, "text_encoder": UMT5EncoderModel(text)}
