"""What a folder would put into a repository: the names, sizes and hashes of its files, read and never followed out."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LARGE_BYTES = 10 * 1024**2
"""A larger file is never kept by git itself (https://huggingface.co/docs/hub/repositories-getting-started)."""
LARGE_NAMES = re.compile(
    r".*\.(7z|arrow|bin|bz2|ckpt|ftz|gz|h5|joblib|lz4|mlmodel|model|msgpack|npy|npz|onnx|ot|parquet|pb|pickle|pkl|pt|pth|"
    r"rar|safetensors|tar|tflite|tgz|wasm|xz|zip|zst|aac|flac|mp3|ogg|pcm|wav|bmp|gif|jpeg|jpg|mp4|png|tiff|webm|webp)"
)
"""What the `.gitattributes` that the Hub puts into new repositories sends to large file storage."""
LEFT_OUT = re.compile(
    r"(.*/)?(\.git|\.cache|__pycache__|\.ipynb_checkpoints)(/.*)?|(.*/)?(\.DS_Store|\.gitignore|\.gitattributes|\.unireward\.json)"
)
"""Traces of tools, which nobody loads, and what repositories keep for themselves: not sent. A `.gitignore`
would make the Hub leave out files without a word."""


@dataclass(frozen=True)
class Content:
    """A file as it is to be in the repository."""

    name: str
    """Its path in the repository."""
    source: Path | bytes

    @cached_property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def large(self) -> bool:
        """Whether the Hub will keep it in large file storage: it has the last word, these are its rules for new
        repositories."""
        if self.size > LARGE_BYTES or LARGE_NAMES.fullmatch(self.name):
            return self.size > 0
        return b"\0" in self.head(512)

    @cached_property
    def sha256(self) -> str:
        """By which large file storage knows it."""
        if isinstance(self.source, bytes):
            return hashlib.sha256(self.source).hexdigest()
        with self.source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def git(self) -> str:
        """By which git knows it; nothing for a file that is too large for git."""
        if self.size > LARGE_BYTES:
            return ""
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()

    def head(self, size: int) -> bytes:
        """Its first bytes."""
        if isinstance(self.source, bytes):
            return self.source[:size]
        with self.source.open("rb") as file:
            return file.read(size)

    def text(self) -> str:
        """All of it, as text."""
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return content.decode("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of a folder, and what is in it and cannot be sent."""

    path: Path
    files: Mapping[str, Content]
    refused: Mapping[str, str]
    """The reason, by name."""


def read_folder(folder: Path) -> Folder:
    """List a folder, by name; links that stay inside are read as what they point to."""
    files: dict[str, Content] = {}
    refused: dict[str, str] = {}
    home = folder.resolve()
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        for name in sorted(names + [one for one in folders if (Path(place) / one).is_symlink()]):
            path = Path(place) / name
            known = (below / name).as_posix()
            if LEFT_OUT.fullmatch(known):
                continue
            if reason := _why_not(path, home):
                refused[known] = reason
            else:
                files[known] = Content(known, path)
        folders[:] = [one for one in sorted(folders) if not LEFT_OUT.fullmatch((below / one).as_posix())]
    return Folder(folder, dict(sorted(files.items())), refused)


def _why_not(path: Path, home: Path) -> str:
    """Why a file cannot be sent; nothing where it can."""
    if path.is_symlink():
        target = path.resolve()
        if not target.exists():
            return "is a link to nothing: delete it"
        if not target.is_relative_to(home):
            return "is a link that leaves the folder: put the file itself there (cp -L), if it is meant to be published"
        if LEFT_OUT.fullmatch(target.relative_to(home).as_posix()):
            return "is a link to what is never sent, such as .git: delete it"
        if target.is_dir():
            return "is a link to a folder: put the files themselves there (cp -rL)"
    if not path.is_file():
        return "is no ordinary file: delete it"
    return ""
