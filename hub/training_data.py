"""Files of conversations that UnifiedReward's reward models are trained on, from and to pairs.

See `hub.conversations` for what an entry holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub.conversations import case_of, conversation, parse, part_of
from hub.entries import media_of, read_entries
from hub.folders import new_folder
from hub.stored_rows import read_rows, text_of
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Sifted, pairs_from
from unireward_plugins.rubrics import BUILTIN
from unireward_plugins.types import TASKS, Case, Task, Verdict

REPLIES: Mapping[Task, tuple[str, str]] = {
    "image_generation": ("image_gen.pair_rank.llava", "Image {} is better than Image {}."),
    "video_generation": ("video_gen.pair_rank.llava", "Video {} is better than Video {}."),
    "image_understanding": ("image_und.pair_rank.qwen", "Answer {} is better than Answer {}."),
    "video_understanding": ("video_und.pair_rank.qwen", "Overall Judgment: Answer {} is better than Answer {}."),
    "image_editing": ("edit.pair_rank", "Edited image {} is better than edited image {}."),
}
"""The rubric that asks about pairs of each task, and the reply that names the better and the other."""


def is_conversations(file: str | Path) -> bool:
    """Whether the first entry of a JSON file is a conversation."""
    first = next(read_entries(Path(file)), {})
    return "conversations" in first or "messages" in first


def read_conversations(file: str | Path, *, media: str | Path | None = None) -> tuple[list[Case], list[Verdict]]:
    """The cases and verdicts in a file of conversations, which `pairs_from` or `save_scores` take.

    Paths are looked up from the folder `media`, by default from the file's own. All entries must be of one task and
    number of candidates, which the first one decides. Raises `UniRewardError` with the entry where one is of another,
    or cannot be taken apart.
    """
    path = Path(file)
    home = Path(media or path.parent)
    cases: list[Case] = []
    verdicts: list[Verdict] = []
    every: list[tuple[Task, int]] = [(task, arity) for arity in (2, 1) for task in TASKS]
    first: tuple[Task, int] | None = None
    for number, entry in enumerate(read_entries(path)):
        place = f"{path}, entry {number}"
        part = part_of(entry, every, place)
        first = first or part
        if part != first:
            raise UniRewardError(
                f"{place} is about {part[1]} candidate(s) of {part[0]}, and the entries before it are about {first[1]} "
                f"of {first[0]}: split the file"
            )
        told = parse(entry, *part, place=place)
        cases.append(case_of(told, part[1], [media_of(name, home, place) for name in told.files], place))
        verdicts.append(told.verdict)
    return cases, verdicts


def pairs_in(file: str | Path, *, media: str | Path | None = None) -> Sifted:
    """The pairs in a file of conversations, and what gave none; `UniRewardError` for conversations on one candidate."""
    cases, verdicts = read_conversations(file, media=media)
    if cases and len(cases[0].candidates) == 1:
        raise UniRewardError(
            f"{str(file)!r} holds scores of single candidates and no pairs: take them with "
            "hub.training_data.read_conversations, and keep them with hub.save_scores"
        )
    return pairs_from(cases, verdicts)


def write_conversations(pairs: str | Path, target: str | Path) -> Path:
    """Write a folder of pairs as `train_data.json` with its pictures, for reward-model training; return its path.

    Each pair becomes a question in the words of its task's rubric (`REPLIES`). Which candidate stands first depends on
    the pair's content, as by the toss of a coin, so that a model cannot learn to prefer a place. Clips become as many
    frames as the rubric shows. The folder `target` appears as a whole or not at all.
    """
    with new_folder(target) as growing:
        (growing / "images").mkdir()
        entries = [_entry(row, number, growing) for number, row in enumerate(read_rows(Path(pairs)))]
        (growing / "train_data.json").write_text(json.dumps(entries, indent=2, ensure_ascii=False), encoding="utf-8")
    return Path(target) / "train_data.json"


def _entry(row: Mapping[str, Any], number: int, folder: Path) -> dict[str, Any]:
    straight = _case(row, number)
    seen = hashlib.sha256(straight.prompt.encode())
    for candidate in straight.candidates:
        seen.update(candidate.encode() if isinstance(candidate, str) else candidate.digest.encode())
    is_swapped = seen.digest()[0] % 2
    case = straight.reversed() if is_swapped else straight
    name, reply = REPLIES[case.task]
    query = BUILTIN[name].query(case)
    names = [f"images/{number:06}-{place}.png" for place in range(len(query.media))]
    for path, picture in zip(names, query.media, strict=True):
        picture.pil().save(folder / path)
    return conversation(BUILTIN[name], query.text, reply.format(*((2, 1) if is_swapped else (1, 2))), names)


def _case(row: Mapping[str, Any], number: int) -> Case:
    """The pair in a row, the chosen candidate first."""
    if missing := [name for name in ("prompt", "chosen", "rejected") if name not in row]:
        raise UniRewardError(f"row {number} has no column {missing[0]!r}, so it is no pair")
    prompt, pictures = text_of(row["prompt"]), tuple(Media.of(picture) for picture in row.get("images", ()))
    if isinstance(row["prompt"], str):
        return Case(prompt, (Media.of(row["chosen"]), Media.of(row["rejected"])), pictures)
    # A clip that a question is about is stored as its frames.
    context = pictures if len(pictures) < 2 else (Media.of(list(pictures)),)
    return Case(prompt, (text_of(row["chosen"]), text_of(row["rejected"])), context)
