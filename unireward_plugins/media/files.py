"""Picture and clip files: what their first bytes say they are, and how to get at the rest.

A decoder is only ever asked for a format of the list below, by name. None of these can refer to other files or
addresses, as playlists, concatenation scripts, SVG and EPS can.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from unireward_plugins.errors import MediaError

Kind: TypeAlias = Literal["image", "video"]

FORMATS = "PNG, JPEG, WebP, GIF, BMP, AVIF (pictures); MP4, MOV, WebM, MKV, AVI, MPEG, FLV, Ogg, WMV (clips)"

ANIMATED = {"PNG", "WEBP", "GIF", "AVIF"}
"""The picture formats that may hold a clip."""

_SIGNATURES: tuple[tuple[int, bytes, str, Kind], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG", "image"),
    (0, b"\xff\xd8\xff", "JPEG", "image"),
    (0, b"GIF87a", "GIF", "image"),
    (0, b"GIF89a", "GIF", "image"),
    (0, b"BM", "BMP", "image"),
    (8, b"WEBP", "WEBP", "image"),
    (4, b"ftypavif", "AVIF", "image"),
    (4, b"ftypavis", "AVIF", "image"),
    (4, b"ftyp", "mov", "video"),
    (4, b"moov", "mov", "video"),
    (4, b"mdat", "mov", "video"),
    (4, b"wide", "mov", "video"),
    (4, b"free", "mov", "video"),
    (0, b"\x1a\x45\xdf\xa3", "matroska", "video"),
    (8, b"AVI ", "avi", "video"),
    (0, b"FLV\x01", "flv", "video"),
    (0, b"\x00\x00\x01\xba", "mpeg", "video"),
    (0, b"OggS", "ogg", "video"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf", "video"),
    # A transport stream is packets of 188 bytes that start with "G".
    (188, b"G", "mpegts", "video"),
)
"""Where which bytes are, the decoder's name for the format (Pillow's or FFmpeg's), and what it is made for."""

HEAD = 512
"""How many bytes the signatures need, and then some."""


@dataclass(frozen=True, slots=True)
class File:
    """An encoded picture or clip: its bytes, or the path where they lie."""

    content: bytes | Path
    name: str
    """What errors call it."""
    decoder: str
    """The decoder's name for the format."""
    kind: Kind
    """What the format is made for; an animated picture is a clip all the same."""

    def open(self) -> BinaryIO:
        """The bytes as a file, from their beginning; raises `MediaError` where they cannot be had (any more)."""
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        return _open(self.content, name=self.name)

    def digest(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""
        digest = hashlib.sha256(b"clip file\n")
        with self.open() as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()


def from_path(path: Path) -> File:
    """The file at a path; raises `MediaError` where there is none, or none that is a picture or a clip."""
    name = repr(_shortened(str(path)))
    with _open(path, name=name) as file:
        # Workers may run in another folder.
        return _recognised(path.absolute(), file.read(HEAD), name=name)


def from_bytes(content: bytes, *, name: str) -> File:
    """The file with these bytes; raises `MediaError` where they are no picture and no clip."""
    return _recognised(content, content[:HEAD], name=name)


def _open(path: Path, *, name: str) -> BinaryIO:
    try:
        if path.is_dir():
            raise MediaError(f"{name} is a folder. For a clip of frame files, pass their sorted list")
        if path.exists() and not path.is_file():
            # A pipe or a device could block, or never end.
            raise MediaError(f"{name} is not a regular file. Read it yourself and pass the bytes")
        return path.open("rb")
    except FileNotFoundError as error:
        raise MediaError(f"there is no file {name}. Check the path; it is looked up from {Path.cwd()}") from error
    except (OSError, ValueError) as error:
        raise MediaError(f"the file {name} cannot be opened: {error}") from error


def _recognised(content: bytes | Path, head: bytes, *, name: str) -> File:
    if not head:
        raise MediaError(f"{name} is empty: replace it or leave it out")
    for offset, signature, decoder, kind in _SIGNATURES:
        if head.startswith(signature, offset) and (decoder != "mpegts" or head.startswith(signature)):
            return File(content, name, decoder, kind)
    raise MediaError(
        f"{name} is no picture and no clip of a known format: it starts with {head[:12]!r}. Known are {FORMATS}. Open "
        "another format yourself and pass a PIL image, or a list of frames"
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else text[:200] + "..."
