"""Reads files of prompts: texts in order, or a text for each file that they name."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unireward_plugins.errors import UniRewardError

FILE_KEYS = ("file_name", "file", "image", "video")
PROMPT_KEYS = ("prompt", "caption", "text")
"""What tables call the two columns that matter here."""


def prompt_lines(file: Path) -> list[str]:
    """The prompts of a `.txt`, one a line; `UniRewardError` where it cannot be read."""
    return _text(file).rstrip().split("\n")


def named_prompts(file: Path) -> dict[str, tuple[str, str]]:
    """Where each prompt stands, and the prompt, by the file that it is for; of a `.jsonl`, `.json` or `.csv`.

    Raises `UniRewardError`, which names the place, for what is no such table, or where a file has two prompts.
    """
    prompts: dict[str, tuple[str, str]] = {}
    for place, path, text in _rows(file):
        name = Path(path).as_posix()
        if prompts.get(name, ("", text))[1] != text:
            raise UniRewardError(f"{place}: there is another prompt for {name!r} at {prompts[name][0]}")
        prompts[name] = place, text
    return prompts


def _rows(file: Path) -> Iterator[tuple[str, str, str]]:
    """The place, the file name and the prompt of each row."""
    text = _text(file)
    match file.suffix.lower():
        case ".jsonl":
            lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
            rows = [(f"{file}:{number}", _json(line, f"{file}:{number}")) for number, line in lines]
        case ".csv":
            rows = [(f"{file}:{number}", row) for number, row in enumerate(csv.DictReader(text.splitlines()), 2)]
        case ".json":
            content = _json(text, str(file))
            if isinstance(content, dict):
                content = [{"file": name, "prompt": prompt} for name, prompt in content.items()]
            if not isinstance(content, list):
                raise UniRewardError(
                    f"{file}: prompts are a list of objects, or one object of names and prompts, got {content!r}"
                )
            rows = [(f"{file}, entry {number}", row) for number, row in enumerate(content, 1)]
        case _:
            raise UniRewardError(f"{file}: prompts are read from .txt, .json, .jsonl and .csv files")
    for place, row in rows:
        yield place, _value(row, FILE_KEYS, place), _value(row, PROMPT_KEYS, place)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UniRewardError(f"the prompts in {file} cannot be read: {error}") from error


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UniRewardError(f"{place}: not JSON: {error}") from error


def _value(row: object, keys: Sequence[str], place: str) -> str:
    """The text under the first of the keys that the row has."""
    found = row if isinstance(row, dict) else {}
    value = next((found[key] for key in keys if found.get(key) is not None), None)
    if not isinstance(value, str):
        raise UniRewardError(f"{place}: a row needs a text under one of {', '.join(keys)}, got {row!r}")
    return value
