"""What the tests of the preference trainer have in common: pairs, marks, and the command in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState, GradientState
from diffusers import DiffusionPipeline
from PIL.Image import fromarray

from diffusers_ext import checkpoints
from diffusers_ext.dpo import DPOTrainer
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair

ROOT = Path(__file__).parents[2]
Make = Callable[..., DPOTrainer]

TRAINING = [
    pytest.mark.usefixtures("fresh_accelerate"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # a scheduler of diffusers
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
    pytest.mark.filterwarnings("ignore::UserWarning:accelerate"),
]
"""The marks of a file whose tests train."""


def media(seed: int, *, frames: int = 0) -> Media:
    shape = (max(frames, 1), 32, 32, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Media.of([fromarray(one) for one in pixels]) if frames else Media.of(fromarray(pixels[0]))


def pairs_of(count: int, *, frames: int = 0) -> list[Pair]:
    return [
        Pair(f"a red cat {n % 4}", media(2 * n, frames=frames), media(2 * n + 1, frames=frames), 1.0, n / 10)
        for n in range(count)
    ]


def forget_accelerate() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def log_of(trainer: DPOTrainer) -> list[dict[str, Any]]:
    return checkpoints.read_log(trainer.output / "log.jsonl")


def loaded(folder: Path) -> Any:
    return DiffusionPipeline.from_pretrained(folder, safety_checker=None)


def launched(data: Path, output: Path, *options: str, processes: int = 1) -> subprocess.Popen[str]:
    """The command; `accelerate launch --cpu` starts a single process whatever it is told, torchrun starts several."""
    if processes == 1:
        launcher = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1"]
        launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    else:
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    words = [sys.executable, "-m", *launcher, "-m", "diffusers_ext.train_dpo", "--pipeline", str(data / "sd")]
    words += ["--pairs", str(data / "pairs"), "--output", str(output), "--cache", str(data / "cache")]
    words += ["--resolution", "32", "--lora_rank", "2", "--learning_rate", "1e-4", "--batch_size", "2", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(words, cwd=ROOT, env=environment, start_new_session=True, **pipes)


def finished(run: subprocess.Popen[str]) -> str:
    said, _ = run.communicate(timeout=600)
    assert run.returncode == 0, said
    return said
