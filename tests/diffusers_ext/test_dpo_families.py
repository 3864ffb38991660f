"""A whole training run for every family: settings from a file, pairs from a folder, and a result that loads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL.Image import fromarray

from diffusers_ext import checkpoints
from diffusers_ext.dpo import DPOTrainer
from diffusers_ext.train_dpo import config_of
from hub import save_pairs
from hub.schema import frames_of
from tests.diffusers_ext.tiny_pipelines import TINY, Tiny
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Case, Verdict

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # a scheduler of diffusers
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore::UserWarning:accelerate"),
]

QUICK = ("sdxl", "sd3", "flux", "cogvideox")
"""The families of the fast suite; Stable Diffusion and Wan are trained in `test_dpo.py`."""
WHOLE = ("text-to-video-sd",)
"""Families that take no LoRA."""


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Each trainer of a test is the first of its process."""
    diffusers_logging.disable_progress_bar()
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def media(tiny: Tiny, seed: int) -> Media:
    shape = (max(tiny.frames, 1), tiny.side, tiny.side, 3)
    frames = [fromarray(one) for one in np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)]
    return Media.of(frames) if tiny.frames else Media.of(frames[0])


def call_of(tiny: Tiny) -> dict[str, Any]:
    """Arguments for a small sample."""
    frames = {"num_frames": tiny.frames} if tiny.frames else {}
    return {"num_inference_steps": 2, "height": tiny.side, "width": tiny.side, **frames, **tiny.call}


def settings_file(name: str, folder: Path, **more: Any) -> str:
    """The pipeline, the pairs and the settings of a family, in a folder."""
    tiny = TINY[name]
    tiny.build().save_pretrained(folder / "pipeline")
    pairs = [Pair(f"a red cat {n}", media(tiny, 2 * n), media(tiny, 2 * n + 1), 1.0, n / 10) for n in range(12)]
    save_pairs(pairs, folder / "pairs", judge="none")
    settings = {
        "pipeline": str(folder / "pipeline"),
        "pairs": str(folder / "pairs"),
        "output": str(folder / "run"),
        "resolution": tiny.side,
        "held_out": 0.3,
        "batch_size": 2,
        "steps": 2,
        "lora_rank": 0 if name in WHOLE else 2,
        "learning_rate": 1e-2,
        "mixed_precision": "no",
        "evaluate_every": 2,
        "evaluation_count": 1,
        "call": call_of(tiny),
        **more,
    }
    (folder / "dpo.yaml").write_text(yaml.safe_dump(settings))
    return str(folder / "dpo.yaml")


def brightness(cases: Sequence[Case]) -> list[Verdict]:
    """A judge that likes bright pictures and clips."""
    return [Verdict((float(np.mean([np.asarray(frame.pil()) for frame in frames(case)]) / 255),)) for case in cases]


def frames(case: Case) -> Sequence[Media]:
    shown = case.candidates[0]
    return frames_of(shown) if shown.kind == "video" else [shown]


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in TINY])
def test_a_family_is_trained_from_a_file_of_settings_to_a_result_that_loads(name: str, tmp_path: Path) -> None:
    trainer = DPOTrainer(config_of(settings_file(name, tmp_path), {}), judge=brightness)
    final = trainer.train()
    sampled = trainer.model.sampling_pipeline(trainer.folder)
    assert getattr(sampled, trainer.adapter.denoiser_name) is trainer.model.denoiser
    first, second = checkpoints.read_log(tmp_path / "run" / "log.jsonl")
    assert first["loss"] == torch.tensor(math.log(2)).item()
    assert first["margin"] == 0
    assert second["margin"] != 0
    evaluations = checkpoints.read_log(tmp_path / "run" / "evaluation.jsonl")
    assert [line["step"] for line in evaluations] == [0, 2]
    assert evaluations[0]["reward"] != evaluations[1]["reward"]
    assert all(line["unread"] == 0 for line in evaluations)
    load = TINY[name].load
    pipeline = DiffusionPipeline.from_pretrained(final if name in WHOLE else tmp_path / "pipeline", **load)
    if name not in WHOLE:
        pipeline.load_lora_weights(final)
    loaded = dict(getattr(pipeline, trainer.adapter.denoiser_name).named_parameters())
    trained = [weight for weight in trainer.trained if weight.abs().sum() > 0]
    assert len(trained) > 0
    assert sum(any(torch.equal(weight, one) for one in loaded.values()) for weight in trained) == len(trained)
