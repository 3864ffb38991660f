"""Pairs in the JSON files of CodeGoat24/UnifiedReward's training code, read and written.

Pictures, as `DiffusionDPO` has them, clips, as `VideoDPO` has them, and answers about a picture or a clip, as
`preference_data_construction` writes them for the DPO of LLaVA (a clip is a list of frame files there):

    {"id": "image_dpo_0", "caption": "...", "jpg_0": "image_0_chosen.png", "jpg_1": "image_0_rejected.png",
     "label_0": 1, "chosen_score": 9, "rejected_score": 4}
    {"id": "000000", "caption": "...", "chosen": "videos/a.mp4", "rejected": "videos/b.mp4",
     "chosen_score": 9, "rejected_score": 4}
    {"id": "000000", "prompt": "...", "image": "images/000000-0.png", "chosen": "It is red.", "rejected": "It is blue.",
     "chosen_score": 90, "rejected_score": 40}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hub.clips import suffix_of, write_clip
from hub.entries import field, kind_of, media_of, number_of, read_entries
from hub.folders import new_folder
from hub.stored_rows import read_rows, text_of
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Dropped, Pair, Sifted
from unireward_plugins.types import Candidate


def read_upstream(file: str | Path, *, media: str | Path | None = None) -> Sifted:
    """The pairs in a JSON file; `save_pairs(read_upstream(file).pairs, ...)` makes them a dataset.

    Paths are looked up from the folder `media`, by default from the file's own. Scores are kept on their own scale; the
    upstream scripts wrote them as texts, which are read as numbers. Where there are none, the label counts: 1 and 0. A
    tie, or a pair whose chosen score is not the higher number, is dropped and listed. Raises `UniRewardError` with the
    entry and the field where something is missing or not what it should be.
    """
    path = Path(file)
    pairs: list[Pair] = []
    dropped: list[Dropped] = []
    for number, entry in enumerate(read_entries(path)):
        read = _read_entry(entry, Path(media or path.parent), place=f"{path}, entry {number}")
        if isinstance(read, Pair):
            pairs.append(read)
        else:
            dropped.append(read)
    return Sifted(tuple(pairs), tuple(dropped))


def write_upstream(pairs: str | Path, target: str | Path) -> Path:
    """Write a folder of pairs of pictures, clips or answers as `dpo_data.json` with its files, and return its path.

    Pictures become PNG files; clips that are stored as frames become MP4 files, which loses a little. The folder
    `target` appears as a whole or not at all. Raises `UniRewardError` where it is taken, or where `pairs` holds no such
    pairs.
    """
    with new_folder(target) as growing:
        entries = [_write_entry(row, number, growing) for number, row in enumerate(_rows(Path(pairs)))]
        (growing / "dpo_data.json").write_text(json.dumps(entries, indent=2, ensure_ascii=False), encoding="utf-8")
    return Path(target) / "dpo_data.json"


def _read_entry(entry: Mapping[str, Any], folder: Path, *, place: str) -> Pair | Dropped:
    caption = field(entry, ("caption", "prompt"), place)
    if not isinstance(caption, str):
        raise UniRewardError(f"{place}: the caption must be a text, got {kind_of(caption)}")
    label = 1.0
    context: tuple[Media, ...] = ()
    candidates: tuple[Candidate, Candidate]
    if "jpg_0" in entry:
        label = number_of(field(entry, ("label_0",), place), f"{place}, label_0")
        names = [field(entry, ("jpg_0",), place), field(entry, ("jpg_1",), place)]
        names = names if label >= 0.5 else names[::-1]
    else:
        names = [field(entry, ("chosen", "jpg_0"), place), field(entry, ("rejected",), place)]
    if "image" in entry:
        context = (media_of(entry["image"], folder, place),)
        candidates = (_text(names[0], place), _text(names[1], place))
    else:
        candidates = (media_of(names[0], folder, place), media_of(names[1], folder, place))
    high, low = (number_of(entry.get(name, share), f"{place}, {name}") for name, share in _SCORES.items())
    if label == 0.5 or high <= low:
        return Dropped(caption, candidates, "tie" if label == 0.5 or high == low else "not_better")
    return Pair(caption, candidates[0], candidates[1], high, low, context)


_SCORES: Mapping[str, float] = {"chosen_score": 1.0, "rejected_score": 0.0}
"""The fields with the scores, and what stands for them where there is only a label."""


def _write_entry(row: Mapping[str, Any], number: int, folder: Path) -> dict[str, Any]:
    scores = {name: row[name] for name in _SCORES}
    if "jpg_0" in row:
        names = [f"image_{number}_chosen.png", f"image_{number}_rejected.png"]
        for name, column in zip(names, ("jpg_0", "jpg_1"), strict=True):
            (folder / name).write_bytes(row[column])
        pictures = {"jpg_0": names[0], "jpg_1": names[1], "label_0": 1}
        return {"id": f"image_dpo_{number}", "caption": row["caption"], **pictures, **scores}
    if "images" in row:
        texts = {role: text_of(row[role]) for role in ("prompt", "chosen", "rejected")}
        names = write_pictures(row["images"], folder, number)
        return {"id": f"{number:06}", "image": names[0] if len(names) == 1 else names, **texts, **scores}
    clips = {role: write_clip_cell(row[role], folder, f"{number:06}-{role}") for role in ("chosen", "rejected")}
    return {"id": f"{number:06}", "caption": row["caption"], **clips, **scores}


def write_pictures(pictures: Sequence[Any], folder: Path, number: int) -> list[str]:
    """Write what an entry is about as PNG files, and return their paths below the folder."""
    (folder / "images").mkdir(exist_ok=True)
    names = [f"images/{number:06}-{place}.png" for place in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        Media.of(picture).pil().save(folder / name)
    return names


def write_clip_cell(cell: Any, folder: Path, name: str) -> str:
    """Write a clip of any of the stored forms as a file, and return its path below the folder."""
    (folder / "videos").mkdir(exist_ok=True)
    if isinstance(cell, list):
        write_clip(cell, folder / "videos" / f"{name}.mp4")
        return f"videos/{name}.mp4"
    content = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
    file = f"videos/{name}{suffix_of(content)}"
    (folder / file).write_bytes(content)
    return file


def _rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    rows = read_rows(folder)
    columns = rows.column_names or []
    if "images" in columns and "prompt" in columns:
        wanted = ["prompt", "images", "chosen", "rejected", *_SCORES]
        if not isinstance(rows.features["chosen"], Mapping | list) and not hasattr(rows.features["chosen"], "feature"):
            raise UniRewardError(
                f"folder {str(folder)!r} holds pairs of edits, for which UnifiedReward's training code has no format"
            )
    else:
        wanted = ["caption", *(["jpg_0", "jpg_1"] if "jpg_0" in columns else ["chosen", "rejected"]), *_SCORES]
    if missing := [name for name in wanted if name not in columns]:
        raise UniRewardError(
            f"folder {str(folder)!r} holds no pairs of pictures, clips or answers: it has no column "
            f"{', '.join(map(repr, missing))}"
        )
    yield from rows.select_columns(wanted)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise UniRewardError(f"{place}: an answer must be a text, got {kind_of(value)}")
    return value
