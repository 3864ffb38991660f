"""Picture and clip files: what their first bytes say they are, and where their bytes come from.

Only the formats listed here are ever handed to a decoder, and each by name: none of them can point to other files or
addresses, as playlists, concatenation scripts, SVG or EPS can.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from unireward_plugins.errors import MediaError

FORMATS = "PNG, JPEG, WebP, GIF, BMP, AVIF; MP4, MOV, WebM, MKV, AVI, FLV, MPEG, Ogg, WMV"

ANIMATED = {"PNG", "WEBP", "GIF", "AVIF"}
"""The picture formats that may hold a clip."""

_SIGNATURES: tuple[tuple[int, bytes, str, Literal["image", "video"]], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG", "image"),
    (0, b"\xff\xd8\xff", "JPEG", "image"),
    (0, b"GIF87a", "GIF", "image"),
    (0, b"GIF89a", "GIF", "image"),
    (0, b"BM", "BMP", "image"),
    (8, b"WEBP", "WEBP", "image"),
    (4, b"ftypavif", "AVIF", "image"),
    (4, b"ftypavis", "AVIF", "image"),
    (4, b"ftyphei", "", "image"),
    (4, b"ftypmif1", "", "image"),
    (4, b"ftyp", "mov", "video"),
    (4, b"moov", "mov", "video"),
    (4, b"mdat", "mov", "video"),
    (4, b"wide", "mov", "video"),
    (4, b"free", "mov", "video"),
    (4, b"skip", "mov", "video"),
    (0, b"\x1a\x45\xdf\xa3", "matroska", "video"),
    (8, b"AVI ", "avi", "video"),
    (0, b"FLV\x01", "flv", "video"),
    (0, b"\x00\x00\x01\xba", "mpeg", "video"),
    (0, b"OggS", "ogg", "video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf", "video"),
    (188, b"\x47", "mpegts", "video"),
)
"""Offset, bytes there, the decoder's name for the format (Pillow's for pictures, FFmpeg's for clips), and the kind."""

HEAD = 512


@dataclass(frozen=True, slots=True)
class File:
    """An encoded picture or clip: its bytes, or the path where they lie."""

    content: bytes | Path
    name: str
    """What errors call it."""
    format: str
    """The decoder's name for the format."""
    kind: Literal["image", "video"]
    """What the format is made for; an animated picture is a clip all the same."""

    def open(self) -> IO[bytes]:
        """The bytes as a file, from their beginning."""
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        return _open(self.content, name=self.name)

    def digest(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        with self.open() as file:
            digest = hashlib.file_digest(file, "sha256")
        return hashlib.sha256(b"clip file\n" + digest.digest()).hexdigest()


def from_path(path: Path) -> File:
    """The file at a path; raises `MediaError` where there is none or it is no picture or clip that we read."""
    name = f"'{path}'"
    with _open(path, name=name) as file:
        return _recognised(path, file.read(HEAD), name=name)


def from_bytes(content: bytes, *, name: str) -> File:
    """The bytes of a file; raises `MediaError` where they are no picture or clip that we read."""
    return _recognised(content, content[:HEAD], name=name)


def _open(path: Path, *, name: str) -> IO[bytes]:
    if path.is_dir():
        raise MediaError(
            f"{name} is a folder. For a clip of frame files pass their list: sorted(Path({name}).iterdir())"
        )
    if not path.is_file():
        # Pipes and devices would block or never end.
        raise MediaError(f"{name} is not a regular file" if path.exists() else f"there is no file {name}")
    try:
        return path.open("rb")
    except OSError as error:
        raise MediaError(f"{name} cannot be opened: {error}") from error


def _recognised(content: bytes | Path, head: bytes, *, name: str) -> File:
    if not head:
        raise MediaError(f"{name} is empty")
    for offset, signature, format_, kind in _SIGNATURES:
        if format_ and head.startswith(signature, offset) and (format_ != "mpegts" or head.startswith(b"\x47")):
            return File(content, name, format_, kind)
        if not format_ and head.startswith(signature, offset):
            break
    raise MediaError(
        f"{name} is no picture or clip of a known format (it starts with {head[:12]!r}). Known are {FORMATS}. "
        "Open others yourself and pass a PIL image or a list of frames"
    )
