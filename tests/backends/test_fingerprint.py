"""What identifies the weights of a checkpoint."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from huggingface_hub import constants

from unireward_plugins.backends import fingerprint as module
from unireward_plugins.backends.fingerprint import fingerprint
from unireward_plugins.errors import BackendError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module._hash_of_files.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "config.json").write_text("{}")
    (made / "README.md").write_text("hello")
    return made


def test_a_folder_is_its_content_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    first = fingerprint(str(folder), None)
    assert first.startswith("sha256:")
    assert fingerprint(str(folder.rename(tmp_path / "elsewhere")), None) == first


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "modeling.py"]
)
def test_what_the_model_says_depends_on_is_part_of_it(folder: Path, name: str) -> None:
    first = fingerprint(str(folder), None)
    (folder / name).write_bytes(b"changed")
    assert fingerprint(str(folder), None) != first


def test_what_people_read_is_not(folder: Path) -> None:
    first = fingerprint(str(folder), None)
    (folder / "README.md").write_text("changed")
    assert fingerprint(str(folder), None) == first


def test_files_are_hashed_once_and_again_when_they_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        hashed.append(name)
        return digest(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counted)
    first = fingerprint(str(folder), None)
    assert fingerprint(str(folder), None) == first
    module._hash_of_files.cache_clear()  # as in another process
    assert fingerprint(str(folder), None) == first
    assert len(hashed) == 2
    (folder / "model.safetensors").write_bytes(b"longer weights")
    fingerprint(str(folder), None)
    assert len(hashed) == 3, "only the file that changed"


def test_a_cache_folder_that_cannot_be_written_or_read_only_costs_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fingerprint(str(folder), None)
    module._hash_of_files.cache_clear()
    (memory,) = (Path(os.environ["XDG_CACHE_HOME"]) / "unireward-plugins" / "checkpoints").iterdir()
    memory.write_text('{"model.safetens')
    assert fingerprint(str(folder), None) == first
    module._hash_of_files.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "config.json"))
    assert fingerprint(str(folder), None) == first


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=f"folder {tmp_path} holds no weights"):
        fingerprint(str(tmp_path), None)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache on this machine, with one snapshot of one model, and the Hub out of reach."""
    cache = tmp_path / "hub"
    snapshot = cache / "models--org--model" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (cache / "models--org--model" / "refs").mkdir()
    (cache / "models--org--model" / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_hub_id_is_the_commit_of_its_snapshot(hub_cache: Path, revision: str | None) -> None:
    assert fingerprint("org/model", revision) == COMMIT


@pytest.mark.parametrize(("model", "revision"), [("org/other", None), ("org/model", "v2"), ("not an id at all", None)])
def test_what_is_neither_here_nor_on_the_hub_is_an_error_that_names_it(
    hub_cache: Path, model: str, revision: str | None
) -> None:
    with pytest.raises(BackendError, match=f"checkpoint {model}.* is neither a folder here nor a model"):
        fingerprint(model, revision)
