"""Reads datasets of pairs, in a folder or on the Hub, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unireward_plugins.errors import UniRewardError, needs_extra


def read_rows(folder: Path) -> Any:
    """The rows of a folder of pairs, streamed, clips undecoded; `UniRewardError` where there are none."""
    rows = open_rows(str(folder), streaming=True)
    from datasets import Video  # `open_rows` has said what to install where it is not there

    # A folder of files ignores what its columns are cast to when it is streamed, and obeys this.
    has_clips = any(isinstance(one, Video) for one in (rows.features or {}).values())
    return rows.decode(enable=False) if has_clips else rows


def open_rows(source: str, *, split: str = "train", streaming: bool = False) -> Any:
    """One split of a folder, of what `save_to_disk` wrote, or of a dataset on the Hub, as `datasets` gives it.

    Raises `UniRewardError` where there is none, with the splits that there are.
    """
    with needs_extra("reading pairs", "hub"):
        from datasets import load_dataset
        from datasets.exceptions import DatasetGenerationError
    folder = Path(source)
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            saved = _saved(source, split)
            return saved.to_iterable_dataset() if streaming else saved
        return load_dataset(source, split=split, streaming=streaming)
    except UniRewardError:
        raise
    except (FileNotFoundError, ValueError, ConnectionError, DatasetGenerationError) as error:
        raise UniRewardError(f"no pairs can be loaded from {source!r}, split {split!r}: {error}") from error


def _saved(source: str, split: str) -> Any:
    """A split of what `save_to_disk` wrote; a set that was never a split of anything is whichever is asked for."""
    from datasets import DatasetDict, load_from_disk

    saved = load_from_disk(source)
    splits = saved if isinstance(saved, DatasetDict) else {str(saved.split or split): saved}
    if split not in splits:
        there = ", ".join(map(repr, splits))
        raise UniRewardError(f"{source!r} has no split {split!r}; there is {there}. Say which: split=")
    return splits[split]


def text_of(turns: Any) -> str:
    """The text of a conversation; a text as it is. `UniRewardError` where there is not exactly one turn."""
    if isinstance(turns, str):
        return turns
    if len(turns) != 1:
        raise UniRewardError(f"a conversation with one turn was expected, got {len(turns)} turns")
    text: str = turns[0]["content"]
    return text
