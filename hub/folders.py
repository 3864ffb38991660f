"""Writes dataset folders: each appears as a whole or not at all, and what is there is never overwritten."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unireward_plugins.errors import UniRewardError

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_BYTES = 500_000_000
"""A file of this size is closed and the next one begun: the shard size of `datasets.push_to_hub`."""


@contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """A folder to fill, which gets the name `target` when the block ends well and is deleted when it does not.

    Raises `UniRewardError` where the target is taken by a file or by a folder that holds something.
    """
    folder = Path(target)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UniRewardError(f"{str(folder)!r} exists and is not empty: choose another folder or delete it first")
    folder.parent.mkdir(parents=True, exist_ok=True)
    growing = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
    try:
        growing.mkdir()
        yield growing
        if folder.exists():
            folder.rmdir()
        growing.rename(folder)
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def write_rows(rows: Iterator[Mapping[str, Any]], columns: pa.Schema, folder: Path, *, at_once: int) -> str:
    """Write rows as parquet files below `folder / "data"`, and return the pattern that finds them from the folder.

    `at_once` is how many rows are encoded and written at a time.
    """
    (folder / "data").mkdir()
    _write_shards(rows, columns, folder / "data", at_once)
    return f"data/{_name_by_content(folder / 'data')}"


def _write_shards(rows: Iterator[Mapping[str, Any]], columns: pa.Schema, folder: Path, at_once: int) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    names = (folder / f"{number:05}.parquet" for number in count())
    written = SHARD_BYTES
    with ExitStack() as shard:
        while group := list(islice(rows, at_once)):
            if written >= SHARD_BYTES:
                shard.close()
                writer = shard.enter_context(ParquetWriter(next(names), columns))
                written = 0
            table = pa.Table.from_pylist(group, schema=columns)
            writer.write_table(table)
            written += table.nbytes


def _name_by_content(folder: Path) -> str:
    """Put a digest of the shards into their names, and return the pattern that finds them all.

    `datasets` caches a folder by its path and by the patterns in its card, not by what the files hold: without this,
    whoever makes another set of pairs at the same path would go on loading the first one from their cache.
    """
    shards = sorted(folder.iterdir())
    name = f"train-{digest_of(shards)}"
    for shard in shards:
        shard.rename(folder / f"{name}-{shard.name}")
    return f"{name}-*.parquet"


def digest_of(files: list[Path]) -> str:
    """Twelve hexadecimal digits that change with what the files hold."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
