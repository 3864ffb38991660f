"""Reads a folder of pairs back, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unireward_plugins.errors import UniRewardError, needs_extra


def read_rows(folder: Path) -> Any:
    """The rows of a folder of pairs, streamed, clips undecoded; `UniRewardError` where there are none."""
    with needs_extra("reading pairs", "hub"):
        from datasets import Video, load_dataset
    try:
        rows = load_dataset(str(folder), split="train", streaming=True)
    except (FileNotFoundError, ValueError) as error:
        raise UniRewardError(f"folder {str(folder)!r} holds no pairs that can be loaded: {error}") from error
    # A folder of files ignores what its columns are cast to when it is streamed, and obeys this.
    has_clips = any(isinstance(one, Video) for one in (rows.features or {}).values())
    return rows.decode(enable=False) if has_clips else rows


def text_of(turns: Any) -> str:
    """The text of a conversation; a text as it is. `UniRewardError` where there is not exactly one turn."""
    if isinstance(turns, str):
        return turns
    if len(turns) != 1:
        raise UniRewardError(f"a conversation with one turn was expected, got {len(turns)} turns")
    text: str = turns[0]["content"]
    return text
