"""Folders to be published, fit but for what a test does to them, and what is said of those that are not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from hub.contents import read_folder
from hub.validate import Kind, check
from unireward_plugins.errors import UniRewardError

CARD = "---\nlicense: mit\n---\n# A model\n"
SECRET = "hf_" + "aB3dE6gH9jK2" * 3


def safetensors(numbers: int = 4, **notes: str) -> bytes:
    """A safetensors file by its specification."""
    tensors = {"x": {"dtype": "U8", "shape": [numbers], "data_offsets": [0, numbers]}}
    header = json.dumps(({"__metadata__": notes} if notes else {}) | tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(numbers)


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def complaints(folder: Path, kind: Kind, **given: str) -> str:
    with pytest.raises(UniRewardError, match="is not fit to be published, and nothing was sent") as caught:
        check(read_folder(folder), kind, **given)
    return str(caught.value)
