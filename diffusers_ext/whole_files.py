"""Files that are there as a whole or not at all, whenever the machine stops."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Write a file in the place of one that may be there."""
    growing = file.with_name(f".{file.name}.part")
    with growing.open("wb") as draft:
        draft.write(content)
        draft.flush()
        os.fsync(draft.fileno())
    growing.replace(file)
    sync(file.parent)


def sync(path: Path) -> None:
    """Have a file's contents, or the names in a folder, on the disk before anything else is done."""
    if os.name == "nt" and path.is_dir():
        return  # folders cannot be opened there
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
