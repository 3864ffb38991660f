"""What must not be published is refused before anything is sent, with the file, the reason and the way out."""

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub.contents import read_folder
from hub.publish import push
from hub.validate import check
from tests.hub.conftest import TOKEN
from tests.hub.hub_server import HubServer
from tests.hub.unfit import CARD, complaints, safetensors, write
from unireward_plugins.errors import UniRewardError


def test_what_is_fit_passes(pairs: Path, judge: Path, adapter: Path, pipeline: Path) -> None:
    check(read_folder(pairs), "pairs")
    check(read_folder(judge), "judge")
    check(read_folder(adapter), "adapter")
    check(read_folder(pipeline), "pipeline")


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


def zipped(content: bytes, name: str = "archive/data.pkl") -> bytes:
    """A file as `torch.save` writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytorch_model.bin", pickle.dumps(Bomb())),
        ("pytorch_model.bin", pickle.dumps(Bomb(), protocol=0)),
        ("training_args.bin", zipped(pickle.dumps(Bomb()))),
        ("weights.dat", zipped(pickle.dumps(Bomb()))),
        ("shouting.dat", zipped(pickle.dumps(Bomb()), "archive/DATA.PKL")),
        ("innocent.txt", pickle.dumps(Bomb(), protocol=2)),
        ("optimizer.pt", b"anything"),
        ("deep/er/state.pkl", b"anything"),
    ],
)
def test_pickles_are_refused_and_never_loaded(judge: Path, name: str, content: bytes) -> None:
    write(judge, {name: content})
    told = complaints(judge, "judge")
    assert f"{name} is a pickle, which runs whatever is in it when it is loaded: save weights as safetensors" in told


def test_a_bin_file_that_is_no_pickle_is_none(judge: Path) -> None:
    write(judge, {"table.bin": struct.pack("<64f", *range(64)), "data.zip": b"PK\x03\x04 and no archive"})
    check(read_folder(judge), "judge")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda folder: (folder / "config.json").unlink(),
            "config.json is missing: this is no folder of a transformers",
        ),
        (lambda folder: write(folder, {"config.json": "[]"}), "config.json has no 'model_type'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "the folder holds no safetensors file"),
        (lambda folder: (folder / "processor_config.json").unlink(), "processor_config.json is missing: save the proc"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "tokenizer_config.json is missing"),
        (
            lambda folder: write(folder, {"model.safetensors": safetensors()[:-1]}),
            "model.safetensors has 71 bytes and should have 72: save it again",
        ),
        (
            lambda folder: write(folder, {"model.safetensors": b"{}"}),
            "model.safetensors is no safetensors file, or cut",
        ),
        (
            lambda folder: write(
                folder, {"model.safetensors.index.json": '{"weight_map": {"a": "model-2.safetensors"}}'}
            ),
            "model.safetensors.index.json names model-2.safetensors, and there is no such file",
        ),
        (
            lambda folder: write(folder, {"model.safetensors.index.json": "[]"}),
            "model.safetensors.index.json is no index of weights: save the model again",
        ),
        (
            lambda folder: write(folder, {"README.md": "---\na: [\n---\n"}),
            "README.md begins with metadata that are no YAML",
        ),
        (
            lambda folder: write(folder, {"README.md": "---\n- a\n---\n"}),
            "README.md begins with metadata that are no YAML",
        ),
    ],
)
def test_a_judge_that_nobody_could_load_is_refused(judge: Path, change: Callable[[Path], Any], told: str) -> None:
    change(judge)
    assert told in complaints(judge, "judge")


@pytest.mark.parametrize("base", ["/home/me/base", "./base", "~/base", "runs/3/base", "", None])
def test_an_adapter_whose_base_nobody_else_has_is_refused(adapter: Path, base: str | None) -> None:
    settings = {"peft_type": "LORA", "base_model_name_or_path": base}
    write(adapter, {"adapter_config.json": json.dumps(settings)})
    assert "from which nobody else can load the model: write its Hub id there" in complaints(adapter, "adapter")


def test_a_diffusers_lora_needs_no_configuration(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"README.md": CARD, "pytorch_lora_weights.safetensors": safetensors()}
    check(read_folder(write(tmp_path / "lora", files)), "adapter")


def test_a_pipeline_that_lacks_a_part_is_refused(pipeline: Path) -> None:
    (pipeline / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    shutil.rmtree(pipeline / "scheduler")
    told = complaints(pipeline, "pipeline")
    assert "unet/ holds no safetensors file" in told
    assert "scheduler/ is missing, which model_index.json names" in told


def test_all_complaints_are_told_at_once_and_nothing_is_sent(server: HubServer, pairs: Path) -> None:
    write(pairs, {"optimizer.pt": b"x", ".env": "x", "notes.txt": f"it is {TOKEN}"})
    with pytest.raises(UniRewardError) as caught:
        push(pairs, "org/pairs", kind="pairs")
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [".env", "notes.txt", "optimizer.pt"]
    assert server.requests == []
    assert TOKEN not in str(caught.value)


def test_an_empty_folder_and_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "config.json is missing" in complaints(tmp_path / "empty", "judge")
    with pytest.raises(UniRewardError, match="is no folder: give the one that holds the pairs"):
        push(tmp_path / "none", "org/pairs", kind="pairs")
