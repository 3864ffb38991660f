"""Seeded samples from any diffusers pipeline, one call each, so that every one can be made again alone."""

from __future__ import annotations

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
"""What `samples` itself says to a pipeline, or must not be said for one sample a call."""


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


def samples(pipeline: Pipeline, prompt: str, *, count: int, seed: int, call: Mapping[str, Any]) -> list[Sample]:
    """Draw `count` samples of one prompt, from `seed`, `seed + 1`, ... and with the call arguments in `call`.

    Each is `pipeline(prompt, generator=torch.Generator().manual_seed(its_seed), **call)`. The generator lives on the
    CPU whatever the pipeline runs on, so that a seed means the same noise everywhere. Raises `UniRewardError` where
    `call` sets what is set here, or where the pipeline's answer holds no picture and no clip.
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
    drawn = []
    for own_seed in range(seed, seed + count):
        generator = torch.Generator("cpu").manual_seed(own_seed)
        answer = pipeline(prompt, generator=generator, output_type="pil", **call)
        drawn.append(Sample(_only_sample(answer), own_seed, blanked=_is_blanked(answer)))
    return drawn


def _only_sample(answer: Any) -> Image | list[Image]:
    """The picture or clip in a pipeline's answer, whose first entry lists what was asked for."""
    from PIL.Image import Image

    match answer[0]:
        case [Image() as picture]:
            return picture
        case [[Image(), *_] as frames] if all(isinstance(frame, Image) for frame in frames):
            return list(frames)
    raise UniRewardError(
        f"the pipeline gave {_described(answer[0])} where one picture or one list of frames was expected. "
        "Pass a pipeline for pictures or clips that decodes them (no latents) and makes one for one prompt"
    )


def _described(given: Any) -> str:
    name = type(given).__name__
    if not isinstance(given, list):
        return f"a {name}"
    return f"a {name} of {len(given)} ({', '.join(sorted({type(one).__name__ for one in given})) or 'empty'})"


def _is_blanked(answer: Any) -> bool:
    return isinstance(answer, Mapping) and any(answer.get("nsfw_content_detected") or ())
