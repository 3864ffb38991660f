"""Reads the entries of a JSON file, one after the other, and their fields, with errors that say where."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media

CHUNK = 2**20
"""Characters that are read at a time."""
_SPACE = re.compile(r"[\s\ufeff]*")


class LiesElsewhere(UniRewardError):
    """A file that an entry names is not below the folder where it is looked for.

    `told` is the message without its end, which says how the commands and functions of `hub` take another folder.
    """

    def __init__(self, told: str) -> None:
        super().__init__(f"{told}: --media FOLDER, or media= in Python")
        self.told = told


def read_entries(file: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file with a JSON list, or with one object on each line; never all in memory.

    Raises `UniRewardError` with the file, and the entry that is none.
    """
    try:
        with file.open(encoding="utf-8") as content:
            yield from entries(content, str(file))
    except FileNotFoundError as error:
        raise UniRewardError(f"there is no file {str(file)!r}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UniRewardError(f"{str(file)!r} is no JSON file that can be read: {error}") from error


def entries(content: IO[str], name: str) -> Iterator[dict[str, Any]]:
    """The objects in an open file; `name` is what errors call it."""
    values = _Values(content, name)
    is_list = values.skip("[")
    if not is_list and values.peek() != "{":
        raise UniRewardError(
            f"{name} must hold a list of entries, or one on each line; it begins with {values.peek()!r}"
        )
    number = 0
    while values.peek() not in ("", "]"):
        found = values.next()
        if not isinstance(found, dict):
            raise UniRewardError(f"{name}, entry {number} must be an object, got {kind_of(found)}")
        yield found
        number += 1
        if is_list and not values.skip(",") and values.peek() != "]":
            raise UniRewardError(f"{name} is no JSON file that can be read: it breaks off after entry {number - 1}")
    if is_list and values.peek() != "]":
        raise UniRewardError(f"{name} is no JSON file that can be read: its list does not end")


class _Values:
    """JSON values that stand one after the other in a file."""

    def __init__(self, content: IO[str], name: str) -> None:
        self.content, self.name = content, name
        self.text, self.place = "", 0
        self.decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            start = _SPACE.match(self.text, self.place)
            assert start is not None
            self.place = start.end()
            if self.place < len(self.text):
                return self.text[self.place]
            if not self._more():
                return ""

    def skip(self, character: str) -> bool:
        """Go past a character, if it is the next one."""
        if self.peek() != character:
            return False
        self.place += 1
        return True

    def next(self) -> Any:
        """The next value."""
        self.peek()
        while True:
            try:
                value, self.place = self.decoder.raw_decode(self.text, self.place)
            except ValueError as error:
                if not self._more():
                    raise UniRewardError(f"{self.name} is no JSON file that can be read: {error}") from error
                continue
            return value

    def _more(self) -> bool:
        rest = self.text[self.place :]
        # As much again as there is, so that a long value is not looked at over and over.
        chunk = self.content.read(max(CHUNK, len(rest)))
        self.text, self.place = rest + chunk, 0
        return bool(chunk)


def field(entry: Mapping[str, Any], names: Sequence[str], place: str) -> Any:
    """The first of some fields that is there; `UniRewardError` with those that are."""
    for name in names:
        if name in entry:
            return entry[name]
    raise UniRewardError(f"{place} has no field {' or '.join(map(repr, names))}; it has {', '.join(map(repr, entry))}")


def media_of(name: Any, folder: Path, place: str) -> Media:
    """The picture or clip at a path below a folder, or the clip whose frames lie at a list of paths."""
    if isinstance(name, list) and name and all(isinstance(one, str) for one in name):
        return Media.of([_file(one, folder, place) for one in name])
    if not isinstance(name, str):
        raise UniRewardError(f"{place}: a picture or clip is given by its path, got {kind_of(name)}")
    return Media.of(_file(name, folder, place))


def _file(name: str, folder: Path, place: str) -> Path:
    file = folder / name
    if not file.is_file():
        raise LiesElsewhere(f"{place}: there is no file {str(file)!r}. Say where the files are")
    if not file.resolve().is_relative_to(folder.resolve()):
        # What an entry names ends up in a dataset, which may be published: it must not reach for other files.
        raise LiesElsewhere(
            f"{place}: {str(file)!r} lies outside of {str(folder)!r}, or is a link out of it. Put the files below one "
            "folder, and name it"
        )
    return file


def number_of(value: Any, place: str) -> float:
    """The value as a number, which may be written as a text."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise UniRewardError(f"{place} must be a number, got {value!r}") from error


def kind_of(value: object) -> str:
    """What a value is, for errors."""
    return f"a {type(value).__name__}"
