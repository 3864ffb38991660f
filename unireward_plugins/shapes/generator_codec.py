"""How the codec of the tiny generators learns: its loss, and how its latents are centred once it is done."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

CODEC_NOISE = 0.1
"""Standard deviation of the noise that is put on latents while the codec learns, so that it bears those that a denoiser
gets a little wrong."""
CODEC_SIZE = 1e-3
"""The weight of the latents' size, which keeps them from growing beyond that noise."""


def codec_loss(codec: Any, pictures: Tensor, draws: torch.Generator) -> Tensor:
    """How far pictures are from what comes back of them, and how large their latents are."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        latents = codec.encode(pictures).latent_dist.mode()
        noise = torch.randn(latents.shape, generator=draws)
        back = codec.decode(latents + CODEC_NOISE * noise).sample
    loss: Tensor = 10 * mse_loss(back.float(), pictures) + CODEC_SIZE * latents.float().square().mean()
    return loss


@torch.no_grad()
def centre_latents(codec: Any, pictures: Tensor) -> None:
    """Shift and scale each channel of the latents to mean 0 and deviation 1, within the codec's own weights.

    So the pipeline needs no shift of its own, which that of Stable Diffusion does not know. The codec then says, too,
    how much noise its latents bear.
    """
    latents = torch.cat([codec.encode(some).latent_dist.mode() for some in torch.split(pictures, 100)])
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    channels, outwards, inwards = len(mean), codec.quant_conv, codec.post_quant_conv
    inwards.bias += inwards.weight[..., 0, 0] @ mean
    inwards.weight *= deviation[:, None, None]
    outwards.weight[:channels] /= deviation[:, None, None, None]
    outwards.bias[:channels] = (outwards.bias[:channels] - mean) / deviation
    outwards.weight[channels:] = 0
    outwards.bias[channels:] = 2 * (CODEC_NOISE / deviation).log()
