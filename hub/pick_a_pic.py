"""Pairs of pictures in the columns of Pick-a-Pic, read and written.

Columns and types are those of `yuvalkirstain/pickapic_v2` (arXiv 2305.01569): the bytes of two pictures (`jpg_0`,
`jpg_1`), `label_0` and `label_1` (1 and 0, 0.5 each for a tie), `has_label`, `caption`, and who was asked when.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.card_pictures import SHOWN, Example, draw_examples
from hub.cards import TRAINERS, card, code, counted, table_of
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

COLUMNS: Mapping[str, str] = {
    "are_different": "whether the two pictures differ",
    "best_image_uid": "the hash of the preferred picture",
    "caption": "the prompt",
    "has_label": "true: one of the two is preferred",
    "image_0_uid": "the hash of the first picture",
    "image_1_uid": "the hash of the second picture",
    "jpg_0": "the first picture, as the bytes of a file",
    "jpg_1": "the second picture, likewise",
    "label_0": "1: the first picture is preferred",
    "label_1": "1 - `label_0`",
    "ranking_id": "the number of the row",
}
"""The columns of `pickapic_v2` that can be filled, and what they hold."""


def is_pick_a_pic(columns: Collection[str]) -> bool:
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
    judges = Counter[str]()
    shown: list[Pair] = []

    def seen() -> Iterator[dict[str, Any]]:
        names = [name for name in (*NEEDED, "judge") if name in rows.column_names]
        for number, row in enumerate(rows.select_columns(names)):
            judges[row.get("judge", "")] += 1
            if len(shown) < SHOWN and isinstance(pair := pair_of(row), Pair):
                shown.append(pair)
            yield _row(row, number)

    with new_folder(target) as growing:
        files = write_rows(seen(), features().arrow_schema, growing, at_once=PICTURE_ROWS)
        examples = draw_examples(shown, growing)
        text = pick_a_pic_card(files=files, count=judges.total(), judges=[*filter(None, judges)], examples=examples)
        (growing / "README.md").write_text(text, encoding="utf-8")
    return Path(target)


def pick_a_pic_card(*, files: str, count: int, judges: Sequence[str], examples: Sequence[Example]) -> str:
    """The README of such a folder."""
    by = f", preferred by {', '.join(map(code, judges))}" if judges else ""
    about = [f"{counted(count, 'pair')} of pictures in the columns of Pick-a-Pic{by}.", TRAINERS["image_generation"]]
    about += [table_of(examples)] if examples else []
    return card(
        "image_generation",
        title="Preference pairs in the columns of Pick-a-Pic",
        rows="pairs",
        about=about,
        columns=COLUMNS,
        files=files,
        count=count,
        licence="",
    )


def features() -> Features:
    """The columns of `pickapic_v2` that can be filled."""
    with needs_extra("storing pairs", "hub"):
        from datasets import Features, Value

    flags, numbers = ("are_different", "has_label"), ("label_0", "label_1")
    types = dict.fromkeys(flags, Value("bool")) | dict.fromkeys(numbers, Value("float64"))
    types |= {"jpg_0": Value("binary"), "jpg_1": Value("binary"), "ranking_id": Value("int64")}
    return Features({name: types.get(name, Value("string")) for name in COLUMNS})


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
