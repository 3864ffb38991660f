"""Pictures and clips from numpy arrays and torch tensors whose shape and range leave no doubt what they show.

A picture is `H x W` (grey), `H x W x C` or `C x H x W`; a clip has one more dimension in front. `C` is 1, 3 or 4 (the
fourth is opacity). Values are `uint8`, or floats from 0 to 1. Everything else is an error that says how to convert it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unireward_plugins.errors import MediaError
from unireward_plugins.media.pictures import Pixels, eight_bits, from_pil

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


def decode(array: NDArray[Any]) -> Pixels | list[Pixels]:
    """The picture that an array shows, or the frames of the clip; raises `MediaError` where the array leaves that open.

    The values are copied: the array may change afterwards.
    """
    name = f"an array of shape {'x'.join(map(str, array.shape))} and type {array.dtype}"
    if array.size == 0:
        raise MediaError(f"{name} is empty")
    if array.ndim == 4:
        return [_picture(frame, name=name) for frame in array]
    if array.ndim in (2, 3):
        return _picture(array, name=name)
    raise MediaError(
        f"{name} is no picture (HxW, HxWxC, CxHxW) and no clip (one dimension more). Pass a batch's items one by one"
    )


def _picture(array: NDArray[Any], *, name: str) -> Pixels:
    from PIL import Image

    return from_pil(Image.fromarray(_channels_last(_values(array, name=name), name=name)), name=name)


def _values(array: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
    if array.dtype == "uint8":
        return array
    if array.dtype.kind != "f":
        raise MediaError(f"{name} cannot be a picture: pass uint8 from 0 to 255, or floats from 0 to 1")
    return eight_bits(array, name=name)


def _channels_last(values: NDArray[np.uint8], *, name: str) -> NDArray[np.uint8]:
    """`H x W`, `H x W x 3` or `H x W x 4`, in one piece."""
    import numpy as np

    if values.ndim == 3:
        first, last = values.shape[0] in CHANNELS, values.shape[2] in CHANNELS
        if first == last:
            which = (
                "both its first and its last dimension are" if first else "neither its first nor its last dimension is"
            )
            raise MediaError(
                f"{name} could be HxWxC or CxHxW: {which} 1, 3 or 4. Pass a PIL image instead, which leaves no doubt"
            )
        values = values.transpose(1, 2, 0) if first else values
        values = values[:, :, 0] if values.shape[2] == 1 else values
    return np.ascontiguousarray(values)
