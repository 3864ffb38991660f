"""What several files of tests share: tiny pipelines, trainers of them, and pairs read as a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from diffusers.utils import logging as diffusers_logging

from diffusers_ext.dpo import DPOTrainer
from diffusers_ext.dpo_config import DPOConfig
from hub import save_pairs
from tests.diffusers_ext.tiny_pipelines import clip_pipeline, picture_pipeline
from tests.diffusers_ext.tiny_trainer import Make, forget_accelerate, pairs_of


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """A tiny Stable Diffusion, the same for all tests of a file."""
    return picture_pipeline()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """`datasets.load_dataset` on a folder, with its cache in a temporary folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    return lambda folder: datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pipelines, pairs and the cache that all tests share."""
    diffusers_logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("data")
    picture_pipeline().save_pretrained(folder / "sd")
    clip_pipeline().save_pretrained(folder / "wan")
    save_pairs(pairs_of(7), folder / "pairs", judge="x")
    return folder


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Each trainer of a test is the first of its process."""
    yield
    forget_accelerate()


@pytest.fixture
def make(data: Path, tmp_path: Path) -> Make:
    """A trainer on the tiny pipeline, with settings that make it quick."""

    def trainer(output: str = "run", *, pairs: Any = None, judge: Any = None, **settings: Any) -> DPOTrainer:
        forget_accelerate()
        quick: dict[str, Any] = {
            "pipeline": str(data / "sd"),
            "pairs": str(data / "pairs"),
            "output": str(tmp_path / output),
            "cache": str(data / "cache"),
            "resolution": 32,
            "batch_size": 2,
            "steps": 3,
            "lora_rank": 2,
            "learning_rate": 1e-4,
            "mixed_precision": "no",
        }
        return DPOTrainer(DPOConfig(**(quick | settings)), pairs=pairs, judge=judge)

    return trainer
