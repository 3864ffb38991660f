"""Says which weights a checkpoint id or folder stands for: the commit on the Hub, or a hash of the folder's files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from unireward_plugins.errors import BackendError

WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".gguf"}
SETTINGS = {".json", ".jinja", ".txt", ".model", ".tiktoken", ".py"}
"""Endings of the files that decide what a model says, code of its own included; a README does not."""

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: while both stay, a file is taken to be the same."""


def fingerprint(model: str, revision: str | None) -> str:
    """What identifies the weights, the configuration and the tokenizer of a checkpoint.

    For a folder `sha256:` and a hash of its files, remembered in the user's cache folder, so that hashing gigabytes is
    paid once. For a Hub id the commit that `revision` (a branch, tag or commit; `None` is the default branch) stands
    for: asks the Hub, or where it is out of reach the local Hub cache. Raises `BackendError` where there is neither.
    """
    folder = Path(model)
    return folder_hash(folder.resolve()) if folder.is_dir() else hub_commit(model, revision)


def with_template(revision: str, chat_template_kwargs: Mapping[str, object]) -> str:
    """A revision together with what the chat template is told: both decide what a model replies."""
    return f"{revision} {json.dumps(chat_template_kwargs, sort_keys=True)}" if chat_template_kwargs else revision


def hub_commit(model: str, revision: str | None) -> str:
    """The commit of a Hub repository's snapshot, whose configuration this downloads where it is not in the cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        config = hf_hub_download(model, "config.json", revision=revision)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        where = model if revision is None else f"{model} at revision {revision}"
        raise BackendError(
            f"checkpoint {where} is neither a folder here nor a model that could be had from the Hub: {error}. Check "
            "the name, sign in with `hf auth login` if the model is gated, or download it and give the folder"
        ) from error
    return Path(config).parent.name  # the cache keeps each commit in a folder of that name


def folder_hash(folder: Path) -> str:
    """`sha256:` and the hash of the names and contents of the files in a folder that decide what its model says."""
    files = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS | SETTINGS and path.is_file())
    if not any(path.suffix in WEIGHTS for path in files):
        raise BackendError(
            f"folder {folder} holds no weights: there is no file with one of the endings {sorted(WEIGHTS)}"
        )
    return _hash_of_files(folder, tuple((path.name, _stamp(path)) for path in files))


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _hash_of_files(folder: Path, files: tuple[tuple[str, Stamp], ...]) -> str:
    memory = _memory_of(folder)
    known = _recall(memory)
    hashes = {}
    for name, stamp in files:
        remembered = known.get(name, {})
        if remembered.get("stamp") != list(stamp):
            with (folder / name).open("rb") as file:
                remembered = {"stamp": list(stamp), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
        hashes[name] = remembered
    if hashes != known:
        _remember(memory, hashes)
    joined = "\n".join(f"{name} {entry['sha256']}" for name, entry in sorted(hashes.items()))
    return f"sha256:{hashlib.sha256(joined.encode()).hexdigest()}"


def _memory_of(folder: Path) -> Path:
    from platformdirs import user_cache_path

    name = hashlib.sha256(str(folder).encode()).hexdigest()[:32]
    return user_cache_path("unireward-plugins") / "checkpoints" / f"{name}.json"


def _recall(memory: Path) -> dict[str, dict[str, object]]:
    try:
        known: dict[str, dict[str, object]] = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}  # never hashed before, or a file cut off: hash anew
    return known


def _remember(memory: Path, hashes: dict[str, dict[str, object]]) -> None:
    with suppress(OSError):  # a cache folder that cannot be written costs time at the next start, nothing else
        memory.parent.mkdir(parents=True, exist_ok=True)
        draft = memory.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(hashes))
        draft.replace(memory)
