"""Pictures and clips from numpy arrays and torch tensors, where shape and range leave no doubt what they show.

A picture is `H x W` (grey), `H x W x C` or `C x H x W`; a clip has one more dimension in front. `C` is 1, 3 or 4 (the
fourth is opacity). Values are `uint8`, or floats from 0 to 1. Everything else is an error that says how to convert it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unireward_plugins.errors import MediaError
from unireward_plugins.media.pictures import Pixels, from_pil

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

CHANNELS = (1, 3, 4)


def from_tensor(tensor: torch.Tensor) -> NDArray[Any]:
    """The array with a tensor's values, wherever it lives."""
    tensor = tensor.detach().cpu()
    # numpy has no bfloat16.
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def pixels(array: NDArray[Any], *, name: str) -> Pixels:
    """The picture that an array shows; raises `MediaError` where its shape, type or range leaves that open."""
    from PIL import Image

    values = _bytes(array, name=name)
    if values.ndim == 2:
        return from_pil(Image.fromarray(values), name=name)
    if values.ndim != 3:
        raise MediaError(
            f"{name} has {values.ndim} dimensions; a picture has 2 (HxW) or 3 (HxWxC, CxHxW), a clip has 4. "
            "Index a batch and pass its pictures one by one"
        )
    first, last = values.shape[0] in CHANNELS, values.shape[2] in CHANNELS
    if first == last:
        raise MediaError(
            f"{name} could be HxWxC or CxHxW: {'both its first and its last' if first else 'neither its first nor its last'} "
            f"dimension is 1, 3 or 4. Pass a PIL image instead"
        )
    if first:
        values = values.transpose(1, 2, 0)
    return from_pil(Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values), name=name)


def eight_bits(array: NDArray[Any], *, name: str) -> NDArray[Any]:
    """Scale the integers of a 16-bit picture from 0..65535 to 0..255; floats pass through."""
    import numpy as np

    if array.dtype.kind == "f":
        return array
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise MediaError(
            f"{name} has values from {low} to {high}; a picture of integers goes from 0 to 65535. Convert it to RGB first"
        )
    return np.rint(array / 257).astype(np.uint8)


def _bytes(array: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
    """The values as 0..255; a float that rounds to a value outside is refused rather than clipped."""
    import numpy as np

    if array.size == 0:
        raise MediaError(f"{name} is empty")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f":
        raise MediaError(
            f"{name} holds {array.dtype}; pictures are uint8 from 0 to 255 or floats from 0 to 1. Convert it first"
        )
    scaled = np.rint(array.astype(np.float32) * 255)
    low, high = float(scaled.min()), float(scaled.max())
    if not (low >= 0 and high <= 255):
        raise MediaError(
            f"{name} holds floats from {float(array.min()):.4g} to {float(array.max()):.4g}; they must go from 0 to 1. "
            "Scale -1..1 with (x + 1) / 2, cast 0..255 to uint8"
        )
    return scaled.astype(np.uint8)
