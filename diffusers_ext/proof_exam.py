"""Measures a generator of the shapes world: samples of fixed prompts from fixed noise, read by the exact referee."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.captions import Grades, grades
from unireward_plugins.shapes.check import parse_caption
from unireward_plugins.shapes.generator_data import generator_captions
from unireward_plugins.shapes.measures import Share
from unireward_plugins.shapes.render import Pictures
from unireward_plugins.shapes.truth import read_scenes
from unireward_plugins.types import Case, Verdict

if TYPE_CHECKING:
    from PIL.Image import Image

TOGETHER = 32
"""So many samples are drawn in one call."""
NOTHING = Grades(1, 1, 1)
"""Of a picture that shows nothing of this world."""


@dataclass(frozen=True, slots=True)
class Exam:
    """Samples of one generator, and what the referee says of each."""

    prompts: tuple[str, ...]
    grades: tuple[Grades, ...]
    pictures: tuple[Image, ...]

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether each sample shows all that its prompt says, and no other shape."""
        return tuple(found.alignment == 5 for found in self.grades)

    @property
    def share(self) -> Share:
        """How many are right, with the interval that holds the true share with 95 % confidence."""
        return Share.of(self.right)


def draw_prompts(training: int, held_out: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Captions of the generator for the training and, none of these, for the exam; always the same ones.

    `UniRewardError` where there are not so many.
    """
    texts = sorted(map(str, generator_captions()))
    if training + held_out > len(texts):
        raise UniRewardError(f"the generator has {len(texts)} captions, not {training} + {held_out}")
    Random("prompts").shuffle(texts)  # noqa: S311 - pictures, not secrets
    return tuple(texts[held_out : held_out + training]), tuple(texts[:held_out])


def examine(pipeline: Any, prompts: Sequence[str], *, seed: int, call: Mapping[str, Any]) -> Exam:
    """Draw one sample of each prompt, the first from `seed`, the next from `seed + 1`, and have the referee read it."""
    import torch

    pictures: list[Image] = []
    for start in range(0, len(prompts), TOGETHER):
        some = list(prompts[start : start + TOGETHER])
        noises = [torch.Generator().manual_seed(seed + start + index) for index in range(len(some))]
        pictures += pipeline(prompt=some, generator=noises, output_type="pil", **call).images
    return Exam(tuple(prompts), tuple(true_grades(prompts, pictures)), tuple(pictures))


def true_grades(prompts: Sequence[str], pictures: Sequence[Image]) -> list[Grades]:
    """How good pictures truly are for their prompts; 1 in everything where the referee sees nothing of this world."""
    shown = read_scenes(np.stack([np.asarray(picture) for picture in pictures]))
    return [
        NOTHING if scene is None else grades(parse_caption(prompt), scene)
        for prompt, scene in zip(prompts, shown, strict=True)
    ]


def oracle(cases: Sequence[Case]) -> list[Verdict]:
    """A judge that knows the truth: the referee's alignment, and where that is equal its whole grade."""
    graded = true_grades([case.prompt for case in cases], [_picture(case) for case in cases])
    return [Verdict(((found.alignment - 1) / 4 * 0.9 + (found.overall - 1) / 4 * 0.1,)) for found in graded]


def at_random(cases: Sequence[Case]) -> list[Verdict]:
    """A judge that knows nothing: a number that depends on the pixels alone."""
    hashes = (hashlib.sha256(_pixels(case).tobytes()).hexdigest() for case in cases)
    return [Verdict((int(digest[:12], 16) / 16**12,)) for digest in hashes]


def _picture(case: Case) -> Image:
    (candidate,) = case.candidates
    assert not isinstance(candidate, str)
    return candidate.pil()


def _pixels(case: Case) -> Pictures:
    return np.asarray(_picture(case))
