"""Writes the pairs of a long run in shards, so that whatever ends it costs the shard in work and nothing else.

    OUTPUT/plan.json                  what the shards depend on; where there is one, a run with another plan is refused
    OUTPUT/shards/00000/              a shard: it appears as a whole, by the renaming of a folder
           records.jsonl              a line for each prompt: its candidates, what was said of them, what was dropped
           pairs.parquet              the rows, where there are any
    OUTPUT/pairs-0123456789ab/        what `shards` is called when the run is done

Files are on the disk (fsync) before they get their names.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers_ext.checkpoints import check_same_run
from diffusers_ext.whole_files import sync, write_whole
from unireward_plugins.errors import UniRewardError

if TYPE_CHECKING:
    import pyarrow as pa

Record = dict[str, Any]
"""What is kept of one prompt: see `build_pairs.record`."""

PLAN, AT_WORK, RECORDS, PAIRS = "plan.json", "shards", "records.jsonl", "pairs.parquet"
DROPPED, CARD = "dropped.jsonl", "README.md"
"""What `build_pairs` writes at the end: what does not count, if anything; and last, where there is a pair, the card."""


def open_run(folder: Path, plan: Mapping[str, object]) -> int:
    """Begin a run in a folder, or go on with the one that is there; how many prompts it has done.

    Raises `UniRewardError` where the folder holds something else, or a run with another plan that has finished a shard;
    where it has not, nothing would be gone on with or lost, and this is a new run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = {path.name for path in folder.iterdir()} - {f".{PLAN}.part"}
    if there and PLAN not in there:
        raise UniRewardError(
            f"{str(folder)!r} exists and holds no run to go on with: choose another folder or delete it first"
        )
    if _shards(folder) or there - {PLAN, AT_WORK}:
        check_same_run(folder / PLAN, plan)
    else:
        write_whole(folder / PLAN, json.dumps(plan, indent=2, ensure_ascii=False).encode())
    for draft in [*folder.glob(".*.part"), *folder.glob(f"{AT_WORK}/.*.part")]:  # what an earlier run left unfinished
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink()
    return sum(1 for _ in records(folder))


def write_shard(
    folder: Path, done: Sequence[Record], rows: Sequence[Mapping[str, Any]], columns: pa.Schema, *, at_once: int
) -> None:
    """Add a shard: the records of the prompts that were done, and the rows of those that gave a pair.

    `at_once` is how many rows make a group of the parquet file.
    """
    shards = folder / AT_WORK
    shards.mkdir(exist_ok=True)
    name = f"{len(_shards(folder)):05}"
    growing = shards / f".{name}.part"
    growing.mkdir()
    if rows:  # `datasets` cannot read a file without any
        _write_rows(growing / PAIRS, rows, columns, at_once)
    lines = "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in done)
    write_whole(growing / RECORDS, lines.encode())
    try:
        growing.rename(shards / name)
    except OSError as error:
        raise UniRewardError(
            f"shard {name} of {str(folder)!r} is there already: is another run at work there?"
        ) from error
    sync(shards)


def _write_rows(file: Path, rows: Sequence[Mapping[str, Any]], columns: pa.Schema, at_once: int) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    with ParquetWriter(file, columns) as writer:
        for start in range(0, len(rows), at_once):
            writer.write_table(pa.Table.from_pylist(rows[start : start + at_once], schema=columns))
    sync(file)


def records(folder: Path) -> Iterator[Record]:
    """What is kept of every prompt that was done, in order."""
    for shard in _shards(folder):
        with (shard / RECORDS).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def read_pairs(folder: Path, wanted: set[int]) -> Iterator[tuple[Record, Mapping[str, Any]]]:
    """The records of those prompts, by their numbers, that gave a pair, each with its row."""
    from pyarrow import parquet

    for shard in _shards(folder):
        with (shard / RECORDS).open(encoding="utf-8") as lines:
            paired = [record for record in map(json.loads, lines) if record["chosen"] is not None]
        places = [place for place, record in enumerate(paired) if record["number"] in wanted]
        if places:
            rows = parquet.read_table(shard / PAIRS)
            for place in places:
                yield paired[place], rows.slice(place, 1).to_pylist()[0]


def close_run(folder: Path) -> str:
    """Give the finished shards the name that they keep, and return the pattern of their parquet files.

    The name has a digest of what they hold: `datasets` caches a folder by the pattern in its card, not by its contents.
    """
    digest = hashlib.sha256()
    for shard in _shards(folder):
        if (shard / PAIRS).exists():
            with (shard / PAIRS).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    name = f"pairs-{digest.hexdigest()[:12]}"
    if (folder / AT_WORK).exists():
        (folder / AT_WORK).rename(folder / name)
        sync(folder)
    return f"{name}/*/{PAIRS}"


def _shards(folder: Path) -> list[Path]:
    """The folders of the finished shards, in order."""
    return sorted(shard for shards in (AT_WORK, "pairs-*") for shard in folder.glob(f"{shards}/[0-9]*"))
