"""The command of the preference trainer: its processes, its words and its exit codes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from datasets.utils import logging as datasets_logging
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from diffusers_ext import checkpoints
from diffusers_ext.dpo import DPOTrainer
from diffusers_ext.train_dpo import command
from tests.diffusers_ext.tiny_trainer import ROOT, TRAINING, finished, launched
from unireward_plugins.cli import main as unireward
from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError

pytestmark = TRAINING


def test_the_command_draws_no_bars_into_the_log(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(data / "pairs", tmp_path / "pairs")  # a folder that `datasets` has not seen yet
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    words = ["--pipeline", str(data / "sd"), "--pairs", str(tmp_path / "pairs"), "--output", str(tmp_path / "run")]
    words += ["--resolution", "32", "--batch_size", "2", "--lora_rank", "0", "--mixed_precision", "no", "--steps", "1"]
    for shown in (transformers_logging, diffusers_logging, datasets_logging):
        shown.enable_progress_bar()
    try:
        done = CliRunner().invoke(command, words)
    finally:
        diffusers_logging.disable_progress_bar()  # as the fixture has it
    assert done.exit_code == 0, done.stderr
    assert "step 1/1" in done.stderr
    assert not re.findall(r"it/s|examples/s|%\|", done.stderr)


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(data: Path, tmp_path: Path) -> None:
    finished(launched(data, tmp_path / "one", "--steps", "3", "--accumulation", "2"))
    finished(launched(data, tmp_path / "two", "--steps", "3", processes=2))
    one, two = (checkpoints.read_log(tmp_path / name / "log.jsonl") for name in ("one", "two"))
    assert len(one) == len(two) == 3
    for ours, theirs in zip(two, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)
    assert (tmp_path / "two" / "final" / "pytorch_lora_weights.safetensors").is_file()


@pytest.mark.slow
def test_the_command_ends_with_a_message_where_settings_are_wrong(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "diffusers_ext.train_dpo", "--config", "sd15.yaml", "--output", str(tmp_path)]
    done = subprocess.run([*words, "--bta", "5"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such option" in done.stderr
    assert "--beta" in done.stderr
    done = subprocess.run([*words, "--beta", "high"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "Error: beta must be a number or nothing, got 'high'\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UniRewardError("the loss is nan"), 2),
        (FileNotFoundError(2, "No such file", "pairs"), 2),
        (BackendError("the judge cannot be reached"), 3),
        (MissingExtra("pip install 'unireward-plugins[diffusers]'"), 4),
    ],
)
def test_errors_have_the_exit_codes_of_unireward(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training itself is cut out: any of these may come from anywhere in it."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(DPOTrainer, "__init__", fail)
    done = CliRunner().invoke(command, ["--pipeline", "shapes", "--output", str(tmp_path)])
    assert (done.exit_code, done.stderr) == (code, f"Error: {error}\n")
    monkeypatch.setattr("unireward_plugins.cli.score.score.callback", fail)
    assert unireward(["score", "--judge", "shapes", "--prompt", "a", "b"]) == code
