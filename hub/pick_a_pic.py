"""Pairs of pictures in the columns of Pick-a-Pic, read and written.

Columns and types are those of `yuvalkirstain/pickapic_v2` (arXiv 2305.01569): the bytes of two pictures (`jpg_0`,
`jpg_1`), `label_0` and `label_1` (1 and 0, 0.5 each for a tie), `has_label`, `caption`, and who was asked when.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.folders import new_folder, write_rows
from hub.schema import PICTURE_ROWS
from hub.stored_rows import read_rows
from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.media import Media
from unireward_plugins.pairs import Dropped, Pair, Sifted

if TYPE_CHECKING:
    from datasets import Features

NEEDED = ("jpg_0", "jpg_1", "label_0", "caption")
"""Without these columns a set is not in this layout."""

CARD = """\
---
task_categories:
- text-to-image
configs:
- config_name: default
  data_files:
  - split: train
    path: {files}
---

# Pairs of pictures in the columns of Pick-a-Pic

{count:,} pairs. `label_0` is 1: `jpg_0` is preferred.
"""


def is_pick_a_pic(columns: list[str]) -> bool:
    """Whether a set with these columns is in the layout of Pick-a-Pic, and not in that of this project."""
    return set(NEEDED) <= set(columns) and "chosen" not in columns


def read_pick_a_pic(source: str | Path) -> Sifted:
    """The pairs in a folder with the columns of Pick-a-Pic; all of them are held in memory.

    Scores are the labels, 1 and 0. Rows without a label (`has_label` is false), ties, and rows whose pictures are the
    same (`are_different` is false) are dropped and listed. Raises `UniRewardError` where columns are missing.
    """
    rows = read_rows(Path(source))
    if missing := [name for name in NEEDED if name not in (rows.column_names or [])]:
        raise UniRewardError(
            f"{str(source)!r} has no column {', '.join(map(repr, missing))}, so it is not in the layout of Pick-a-Pic"
        )
    read = [pair_of(row) for row in rows]
    pairs = tuple(one for one in read if isinstance(one, Pair))
    return Sifted(pairs, tuple(one for one in read if isinstance(one, Dropped)))


def pair_of(row: Mapping[str, Any]) -> Pair | Dropped:
    """The pair in a row of Pick-a-Pic, or why there is none."""
    pictures = Media.of(row["jpg_0"]), Media.of(row["jpg_1"])
    label = row["label_0"]
    if label is None or row.get("has_label") is False:
        return Dropped(row["caption"], pictures, "unlabelled")
    if label == 0.5:
        return Dropped(row["caption"], pictures, "tie")
    if row.get("are_different") is False:
        return Dropped(row["caption"], pictures, "same")
    chosen, rejected = pictures if label > 0.5 else pictures[::-1]
    return Pair(row["caption"], chosen, rejected, max(label, 1 - label), min(label, 1 - label))


def write_pick_a_pic(pairs: str | Path, target: str | Path) -> Path:
    """Write a folder of pairs of pictures in the columns of Pick-a-Pic, and return the new folder.

    What Pick-a-Pic knows of people and dates is not known here and stays empty. Raises `UniRewardError` where the
    target is taken, or where `pairs` holds no pairs of pictures.
    """
    rows = read_rows(Path(pairs))
    if "jpg_0" not in (rows.column_names or []):
        raise UniRewardError(f"folder {str(pairs)!r} holds no pairs of pictures: it has no column 'jpg_0'")
    count = 0

    def counted() -> Iterator[dict[str, Any]]:
        nonlocal count
        for row in rows.select_columns([*NEEDED]):
            yield _row(row, count)
            count += 1

    with new_folder(target) as growing:
        files = write_rows(counted(), features().arrow_schema, growing, at_once=PICTURE_ROWS)
        (growing / "README.md").write_text(CARD.format(files=files, count=count), encoding="utf-8")
    return Path(target)


def features() -> Features:
    """The columns of `pickapic_v2` that can be filled."""
    with needs_extra("storing pairs", "hub"):
        from datasets import Features, Value

    text, number, flag = Value("string"), Value("float64"), Value("bool")
    return Features(
        {
            "are_different": flag,
            "best_image_uid": text,
            "caption": text,
            "has_label": flag,
            "image_0_uid": text,
            "image_1_uid": text,
            "jpg_0": Value("binary"),
            "jpg_1": Value("binary"),
            "label_0": number,
            "label_1": number,
            "ranking_id": Value("int64"),
        }
    )


def _row(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    uids = [Media.of(row[name]).digest for name in ("jpg_0", "jpg_1")]
    return {
        "are_different": uids[0] != uids[1],
        "best_image_uid": uids[0],
        "caption": row["caption"],
        "has_label": True,
        "image_0_uid": uids[0],
        "image_1_uid": uids[1],
        "jpg_0": row["jpg_0"],
        "jpg_1": row["jpg_1"],
        "label_0": row["label_0"],
        "label_1": 1 - row["label_0"],
        "ranking_id": number,
    }
