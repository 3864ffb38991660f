"""Tiny real policies and the settings that train them for two steps on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_models import build

torch.set_num_threads(1)

Policy = tuple[Any, Any]
"""A model and its processor."""


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny policy of one kind, built once."""
    built: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in built:
            built[kind] = build(kind, tmp_path_factory.mktemp(kind))
        return built[kind]

    return folder


@pytest.fixture
def policy(policy_folder: Callable[[str], Path]) -> Callable[[str], Policy]:
    """A freshly loaded tiny policy of one kind, with its processor."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    def load(kind: str) -> Policy:
        folder = policy_folder(kind)
        processor = AutoProcessor.from_pretrained(folder)
        processor.tokenizer.padding_side = "left"
        return AutoModelForImageTextToText.from_pretrained(folder), processor

    return load


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """What every trainer needs to run two steps on a CPU, quietly."""
    return {
        "output_dir": str(tmp_path),
        "use_cpu": True,
        "bf16": False,
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "disable_tqdm": True,
    }
