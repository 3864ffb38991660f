"""Seeded samples from any diffusers pipeline, each with a generator of its own, so that every one can be made again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.media import Media

if TYPE_CHECKING:
    from PIL.Image import Image

Pipeline: TypeAlias = Callable[..., Any]
"""A diffusers pipeline for pictures or clips, or anything that is called and answers like one."""

OWN_ARGUMENTS = ("generator", "output_type", "return_dict", "num_images_per_prompt", "num_videos_per_prompt")
"""What `samples` itself says to a pipeline, or must not be said for one sample a seed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pipeline made from one seed."""

    output: Image | list[Image]
    """The picture, or the frames of the clip, as the pipeline gave it."""
    seed: int
    blanked: bool
    """Whether the pipeline's safety checker found something and, as it does then, replaced the picture by a black
    one."""

    @property
    def media(self) -> Media:
        """The sample for a judge."""
        return Media.of(self.output)


def samples(
    pipeline: Pipeline, prompt: str, *, count: int, seed: int, call: Mapping[str, Any], together: int = 1
) -> list[Sample]:
    """Draw `count` samples of one prompt, from `seed`, `seed + 1`, ... and with the call arguments in `call`.

    Each is `pipeline(prompt=prompt, generator=torch.Generator().manual_seed(its_seed), **call)`; the generator lives on
    the CPU whatever the pipeline runs on, so that a seed means the same noise everywhere. With `together` above 1 so
    many are drawn in one call, as `pipeline(prompt=[prompt, ...], generator=[...], **call)`: faster, from the same
    noise, and the same as alone but for the rounding of a batch. `call` is completed by `full_call`. Raises
    `UniRewardError` where it sets what is set here, asks for more frames than there can be, or where the pipeline's
    answer does not hold one picture or clip for each.
    """
    with needs_extra("sampling from a diffusers pipeline", "diffusers"):
        import torch
    if not isinstance(prompt, str):
        raise UniRewardError(f"samples are drawn for one prompt, a string, at a time; got {prompt!r}")
    if taken := [name for name in OWN_ARGUMENTS if name in call]:
        raise UniRewardError(
            f"{', '.join(taken)} cannot be passed on to the pipeline: candidates are drawn one by one, from "
            "seed, seed + 1, ..., as pictures. Say how many with candidates= and where to begin with seed="
        )
    call, drawn = full_call(pipeline, call), []
    for first in range(seed, seed + count, together):
        seeds = range(first, min(first + together, seed + count))
        noises = [torch.Generator("cpu").manual_seed(own_seed) for own_seed in seeds]
        asked = (prompt, noises[0]) if len(seeds) == 1 else ([prompt] * len(seeds), noises)
        # By name: some pipelines, as that of FLUX.2 klein, take a picture first.
        answer = pipeline(prompt=asked[0], generator=asked[1], output_type="pil", **call)
        outputs, blanked = _outputs(answer, len(seeds)), _blanked(answer, len(seeds))
        drawn += [Sample(*one) for one in zip(outputs, seeds, blanked, strict=True)]
    return drawn


def full_call(pipeline: Pipeline, call: Mapping[str, Any]) -> dict[str, Any]:
    """The call arguments, with `num_frames` where the pipeline would make more frames than its model takes.

    AnimateDiff makes 16 unless it is told otherwise; the motion layers of the embedded clip generator have places for
    eight. `UniRewardError` where `call` asks for more than there are places.
    """
    denoiser = getattr(pipeline, "unet", None)
    places: int | None = getattr(getattr(denoiser, "config", None), "motion_max_seq_length", None)
    usual = inspect.signature(type(pipeline).__call__).parameters.get("num_frames") if places else None
    if places is None or usual is None:
        return dict(call)
    wanted = call.get("num_frames")
    if isinstance(wanted, int) and wanted > places:
        raise UniRewardError(
            f"num_frames={wanted} is more than this {type(pipeline).__name__} takes: the motion layers of "
            f"its {type(denoiser).__name__} have places for {places} frames"
        )
    return {"num_frames": places, **call} if usual.default > places else dict(call)


def _outputs(answer: Any, count: int) -> list[Image | list[Image]]:
    """The pictures or clips in a pipeline's answer, whose first entry lists what was asked for."""
    found = answer[0]
    if isinstance(found, list) and len(found) == count and all(map(_is_sample, found)):
        return [list(one) if isinstance(one, list) else one for one in found]
    expected = "one picture or one list of frames was" if count == 1 else f"{count} pictures or lists of frames were"
    raise UniRewardError(
        f"the pipeline gave {_described(found)} where {expected} expected. "
        "Pass a pipeline for pictures or clips that decodes them (no latents) and makes one for one prompt"
    )


def _is_sample(one: Any) -> bool:
    from PIL.Image import Image

    match one:
        case Image():
            return True
        case [Image(), *_]:
            return all(isinstance(frame, Image) for frame in one)
    return False


def _described(given: Any) -> str:
    name = type(given).__name__
    if not isinstance(given, list):
        return f"a {name}"
    return f"a {name} of {len(given)} ({', '.join(sorted({type(one).__name__ for one in given})) or 'empty'})"


def _blanked(answer: Any, count: int) -> list[bool]:
    """For each sample whether the safety checker blanked it."""
    found = answer.get("nsfw_content_detected") if isinstance(answer, Mapping) else None
    return [bool(one) for one in found] if found else [False] * count
