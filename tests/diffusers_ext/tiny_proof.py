"""The proof and the demonstration's generator with the real parts, and so few of everything that they take seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from diffusers_ext.proof_plan import CLIPS, GeneratorAlignment, Plan
from diffusers_ext.prove import align_generator

CALL = {"num_inference_steps": 2, "guidance_scale": 1.0}
TINY = replace(
    Plan(), training=6, held_out=8, candidates=4, exams=1, call=CALL,
    settings={**Plan().settings, "steps": 2, "batch_size": 2, "checkpoint_every": 1},
)  # fmt: skip
CLIP_CALL = {**CALL, "num_frames": 8}
TINY_CLIPS = replace(CLIPS, training=4, held_out=4, candidates=3, call=CLIP_CALL, settings=TINY.settings)


def align_a_little(folder: Path, **settings: Any) -> GeneratorAlignment:
    """`align_generator` by that plan."""
    return align_generator(folder, plan=TINY, **settings)
