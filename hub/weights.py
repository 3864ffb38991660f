"""Weights that are safe to load: safetensors that are whole, and no pickles, which are looked into and never loaded."""

from __future__ import annotations

import json
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath

from hub.contents import Content

PICKLES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill"})
"""The names that pickles have."""
SAMPLE = 2**20
"""Bytes that are looked at where a name says nothing."""
TELLING = 20
"""So many instructions of a pickle in a row are no accident."""

UNSAFE = (
    "is a pickle, which runs whatever is in it when it is loaded: save weights as safetensors (`save_pretrained` "
    "does), and delete what only a training run needs, such as optimizer.pt and training_args.bin"
)


def unsafe(content: Content) -> str:
    """Why loading a file could run code; nothing where it could not."""
    suffix = PurePosixPath(content.name).suffix.lower()
    if suffix in PICKLES:
        return UNSAFE
    head = content.head(4)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return UNSAFE
    if head == b"PK\x03\x04" and isinstance(content.source, Path) and _holds_pickles(content.source):
        return UNSAFE
    return UNSAFE if suffix == ".bin" and _reads_as_pickle(content.head(SAMPLE)) else ""


def _holds_pickles(archive: Path) -> bool:
    """Whether a zip archive, as PyTorch writes them, has a pickle in it; it is not unpacked."""
    try:
        with zipfile.ZipFile(archive) as members:
            return any(PurePosixPath(name).suffix in PICKLES for name in members.namelist())
    except zipfile.BadZipFile:
        return False


def _reads_as_pickle(sample: bytes) -> bool:
    """Whether bytes are instructions of a pickle of the first protocols, which have no mark at their beginning."""
    count = 0
    try:
        for operation, _, _ in pickletools.genops(BytesIO(sample)):
            count += 1
            if operation.name == "STOP":
                return True
    except (ValueError, UnicodeDecodeError, OverflowError):
        pass
    return count >= TELLING


def broken_safetensors(file: Path) -> str:
    """Why a safetensors file cannot be read; nothing where it is whole.

    The format: eight bytes with the length of a JSON header, the header, then the numbers of all tensors without gaps
    (https://huggingface.co/docs/safetensors).
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        try:
            header = json.loads(opened.read(length)) if 8 + length <= size else None
        except ValueError:
            header = None
    if not isinstance(header, dict):
        return "is no safetensors file, or cut off: save it again"
    try:
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except (TypeError, KeyError, IndexError):
        return "has a header that makes no sense: save it again"
    return "" if size == expected else f"has {size:,} bytes and should have {expected:,}: save it again"


def missing_shards(index: Content, files: Mapping[str, Content]) -> str:
    """Why the files that an index of weights names are not all there; nothing where they are."""
    folder = PurePosixPath(index.name).parent
    try:
        named = {str(folder / shard) for shard in json.loads(index.text())["weight_map"].values()}
    except (ValueError, KeyError, AttributeError):
        return "is no index of weights: save the model again"
    missing = sorted(named - set(files))
    return f"names {', '.join(missing)}, and there is no such file: save the model again" if missing else ""
