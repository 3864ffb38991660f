"""Measures a generator of the shapes world: samples of fixed prompts from fixed noise, read by the exact referee."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hub.clips import frames_of
from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.captions import Caption, Grades, grades
from unireward_plugins.shapes.check import parse_caption
from unireward_plugins.shapes.clip_truth import read_clips
from unireward_plugins.shapes.generator_data import clip_captions, generator_captions
from unireward_plugins.shapes.measures import Share
from unireward_plugins.shapes.render import Pictures
from unireward_plugins.shapes.scene import Subject
from unireward_plugins.shapes.truth import read_scenes
from unireward_plugins.types import Case, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

PictureOrClip: TypeAlias = "Image | list[Image]"
"""What a generator makes: a picture, or the frames of a clip."""

CAPTIONS: Mapping[str, Callable[[], tuple[Caption, ...]]] = MappingProxyType(
    {"shapes": generator_captions, "shapes-clips": clip_captions}
)
"""All that each embedded generator is meant for."""
TOGETHER = 32
"""So many samples are drawn in one call."""
NOTHING = Grades(1, 1, 1)
"""Of a picture or clip that shows nothing of this world."""


@dataclass(frozen=True, slots=True)
class Exam:
    """Samples of one generator, and what the referee says of each."""

    prompts: tuple[str, ...]
    grades: tuple[Grades, ...]
    pictures: tuple[PictureOrClip, ...]
    """Of clips the frames of each."""

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether each sample shows all that its prompt says, and no shape beside it."""
        return tuple(found.alignment == 5 for found in self.grades)

    @property
    def share(self) -> Share:
        """How many are right, with the interval that holds the true share with 95 % confidence."""
        return Share.of(self.right)


def draw_prompts(training: int, held_out: int, generator: str = "shapes") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Captions of an embedded generator for the training and, none of these, for the exam; always the same ones.

    `UniRewardError` where there are not so many.
    """
    texts = sorted(map(str, CAPTIONS[generator]()))
    if training + held_out > len(texts):
        raise UniRewardError(f"the generator {generator!r} has {len(texts)} captions, not {training} + {held_out}")
    Random("prompts").shuffle(texts)  # noqa: S311 - pictures, not secrets
    return tuple(texts[held_out : held_out + training]), tuple(texts[:held_out])


def examine(pipeline: Any, prompts: Sequence[str], *, seed: int, call: Mapping[str, Any]) -> Exam:
    """Draw one sample of each prompt, the first from `seed`, the next from `seed + 1`, and have the referee read it."""
    import torch

    pictures: list[PictureOrClip] = []
    for start in range(0, len(prompts), TOGETHER):
        some = list(prompts[start : start + TOGETHER])
        noises = [torch.Generator().manual_seed(seed + start + index) for index in range(len(some))]
        pictures += pipeline(prompt=some, generator=noises, output_type="pil", **call)[0]
    return Exam(tuple(prompts), tuple(true_grades(prompts, pictures)), tuple(pictures))


def true_grades(prompts: Sequence[str], samples: Sequence[PictureOrClip]) -> list[Grades]:
    """How good samples, all pictures or all clips, truly are for their prompts.

    1 in everything where the referee sees nothing of this world.
    """
    pixels = np.stack([_pixels(sample) for sample in samples])
    shown: Sequence[Subject | None] = read_clips(pixels) if pixels.ndim == 5 else read_scenes(pixels)
    return [
        NOTHING if subject is None else grades(parse_caption(prompt), subject)
        for prompt, subject in zip(prompts, shown, strict=True)
    ]


def oracle(cases: Sequence[Case]) -> list[Verdict]:
    """A judge that knows the truth: the referee's alignment, and where that is equal its whole grade."""
    graded = true_grades([case.prompt for case in cases], [_sample(case) for case in cases])
    return [Verdict(((found.alignment - 1) / 4 * 0.9 + (found.overall - 1) / 4 * 0.1,)) for found in graded]


def at_random(cases: Sequence[Case]) -> list[Verdict]:
    """A judge that knows nothing: a number that depends on the pixels alone."""
    hashes = (hashlib.sha256(_pixels(_sample(case)).tobytes()).hexdigest() for case in cases)
    return [Verdict((int(digest[:12], 16) / 16**12,)) for digest in hashes]


def _sample(case: Case) -> PictureOrClip:
    (candidate,) = case.candidates
    assert not isinstance(candidate, str)
    return candidate.pil() if candidate.kind == "image" else [frame.pil() for frame in frames_of(candidate)]


def _pixels(sample: PictureOrClip) -> Pictures:
    """Of a picture (side, side, 3), of a clip (frames, side, side, 3)."""
    return np.stack([np.asarray(frame) for frame in sample]) if isinstance(sample, list) else np.asarray(sample)
