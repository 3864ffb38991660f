"""The preference trainer with a denoiser cut up by FSDP, in two processes; slow, but for the refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

from diffusers_ext import checkpoints
from diffusers_ext.training_sharded import check_launch
from hub import save_pairs
from tests.diffusers_ext.tiny_pipelines import picture_pipeline
from tests.diffusers_ext.tiny_trainer import ROOT, finished, launched, pairs_of
from unireward_plugins.errors import UniRewardError

SCRIPT = Path(__file__).with_name("fsdp_on_cpu.py")
CONFIGURATION = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "FSDP",
    "num_machines": 1,
    "num_processes": 2,
    "mixed_precision": "no",
    "fsdp_config": {
        "fsdp_version": 2,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_transformer_layer_cls_to_wrap": "BasicTransformerBlock",
        "fsdp_cpu_ram_efficient_loading": True,
        "fsdp_sync_module_states": True,
    },
}
"""What `accelerate config` writes, but for the wrapped class."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    picture_pipeline().save_pretrained(folder / "sd")
    save_pairs(pairs_of(7), folder / "pairs", judge="x")
    return folder


def cut_up(data: Path, output: Path, kind: str, *options: str) -> subprocess.Popen[str]:
    """The command under FSDP, whose checkpoints are of a kind."""
    fsdp = {**CONFIGURATION["fsdp_config"], "fsdp_state_dict_type": kind}  # type: ignore[dict-item]
    (data / f"{kind}.yaml").write_text(yaml.safe_dump({**CONFIGURATION, "fsdp_config": fsdp}))
    words = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(data / f"{kind}.yaml")]
    words += ["--main_process_port", "0", str(SCRIPT), "--pipeline", str(data / "sd"), "--pairs", str(data / "pairs")]
    words += ["--output", str(output), "--cache", str(output.parent / "cache"), "--resolution", "32"]
    words += ["--lora_rank", "2", "--learning_rate", "1e-4", "--batch_size", "2", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = [*folder.glob("pytorch_lora_weights.safetensors"), *folder.glob("unet/*.safetensors")]
    return load_file(file)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("FULL_STATE_DICT", ("--mixed_precision", "bf16")),
        ("SHARDED_STATE_DICT", ("--lora_rank", "0", "--ema_decay", "0.5", "--mixed_precision", "bf16")),
    ],
    ids=["lora", "whole"],
)
def test_a_model_cut_up_trains_resumes_and_is_saved_as_one_that_is_not(
    data: Path, tmp_path: Path, kind: str, settings: tuple[str, ...]
) -> None:
    options = ("--steps", "2", "--checkpoint_every", "1", *settings)
    finished(cut_up(data, tmp_path / "cut", kind, *options))
    # The other way round text encoders that were loaded in the first process alone would fill the cache unseen.
    finished(launched(data, tmp_path / "copies", *options, processes=2))
    cut, copies = (checkpoints.read_log(tmp_path / name / "log.jsonl") for name in ("cut", "copies"))
    assert len(cut) == len(copies) == 2
    for ours, theirs in zip(cut, copies, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)
    expected = weights_of(tmp_path / "copies" / "final")
    for name, weight in weights_of(tmp_path / "cut" / "final").items():
        torch.testing.assert_close(weight, expected[name], atol=1e-6, rtol=1e-4)

    shutil.copytree(tmp_path / "cut", tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "final")
    shutil.rmtree(tmp_path / "stopped" / "checkpoints" / "step-00000002")
    finished(cut_up(data, tmp_path / "stopped", kind, *options))
    assert checkpoints.read_log(tmp_path / "stopped" / "log.jsonl") == cut
    straight = weights_of(tmp_path / "cut" / "final")
    assert all(torch.equal(weight, straight[name]) for name, weight in weights_of(tmp_path / "stopped/final").items())

    if "0" in settings:
        DiffusionPipeline.from_pretrained(tmp_path / "cut" / "final", safety_checker=None)
    else:
        pipeline = DiffusionPipeline.from_pretrained(data / "sd", safety_checker=None)
        pipeline.load_lora_weights(tmp_path / "cut" / "final")
        assert pipeline.get_active_adapters()


@pytest.mark.parametrize(
    ("environment", "found", "message"),
    [
        (
            {"WORLD_SIZE": "2"},
            {"num_processes": 1, "kind": "NO"},
            "2 processes were started, but .* ACCELERATE_USE_CPU=true",
        ),
        (
            {"WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true"},
            {"num_processes": 2, "kind": "MULTI_CPU"},
            "would train with MULTI_CPU",
        ),
        (
            {"WORLD_SIZE": "2", "ACCELERATE_USE_FSDP": "true"},
            {"num_processes": 2, "kind": "FSDP"},
            "set fsdp_version: 2",
        ),
    ],
)
def test_what_accelerate_would_quietly_do_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: dict[str, object], message: str
) -> None:
    """A stand-in for the accelerator: several accelerators would be needed to meet FSDP 1."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    kind = SimpleNamespace(name=found["kind"])
    accelerator = SimpleNamespace(num_processes=found["num_processes"], distributed_type=kind, is_fsdp2=False)
    with pytest.raises(UniRewardError, match=message):
        check_launch(accelerator)
