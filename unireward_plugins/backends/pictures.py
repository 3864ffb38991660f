"""Encodes each distinct picture of a batch once, however many of its prompts show it.

A group of answers to one question, a pair in both orders and a tournament show the same pictures again and again, and
the vision encoder is a large part of the work. Exact: the features of a picture depend on nothing else in the batch.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

from unireward_plugins.backends.prompts import Prompt

if TYPE_CHECKING:
    import torch


def encoded_once(prompts: Sequence[Prompt], tensors: dict[str, torch.Tensor], model: Any) -> dict[str, Any]:
    """What the model is given for a batch: `tensors`, with its pictures already encoded where one comes up twice.

    For models that tell the patches of their pictures apart by `image_grid_thw` (all of Qwen's), in a transformers that
    takes encoded pictures; others get `tensors` as they are.
    """
    import torch

    shown = [media for prompt in prompts for media in prompt.query.media]
    place = {media: index for index, media in reversed(list(enumerate(shown)))}  # where each comes up first
    takes_encoded = "mm_encoder_outputs" in signature(model.forward).parameters
    if len(place) == len(shown) or "image_grid_thw" not in tensors or not takes_encoded:
        return tensors
    grid, first = tensors["image_grid_thw"], sorted(place.values())
    patches = torch.split(tensors["pixel_values"], grid.prod(-1).tolist())
    encoded = _encode([patches[index] for index in first], grid[first], model)
    given = {name: tensor for name, tensor in tensors.items() if name != "pixel_values"}
    return given | {"mm_encoder_outputs": {"image": _pick(encoded, [first.index(place[media]) for media in shown])}}


def _encode(patches: Sequence[torch.Tensor], grid: torch.Tensor, model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model.model.get_image_features(torch.cat(list(patches)), grid)


def _pick(encoded: Any, indices: Sequence[int]) -> Any:
    """The features of several pictures, repeated as the `indices` say; Qwen3-VL has some for deeper layers, too."""
    picked = copy.copy(encoded)
    picked["pooler_output"] = tuple(encoded.pooler_output[index] for index in indices)
    if "deepstack_features" in encoded:
        picked["deepstack_features"] = [
            tuple(layer[index] for index in indices) for layer in encoded.deepstack_features
        ]
    return picked
