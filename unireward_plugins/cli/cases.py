"""Turns what users write, on the command line or in JSON Lines, into cases.

A candidate or a context is a path where it ends like a picture or a clip (`cat.png`) or is a `data:` URL, and a text
otherwise; what could be both is an error that says how to say which.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unireward_plugins.errors import MediaError, UniRewardError, UnsupportedCase
from unireward_plugins.judges import ModelJudge, in_one_order
from unireward_plugins.media import Media
from unireward_plugins.types import Candidate, Case, Judge

PICTURES = {".apng", ".avif", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
CLIPS = {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"}
MEDIA_SUFFIXES = PICTURES | CLIPS
"""Endings by which a word is taken for the path of a picture or a clip."""

ROW_FIELDS = ("prompt", "candidates", "context", "id")


@dataclass(frozen=True, slots=True)
class Row:
    """One question of the user: a case of any number of candidates, and how its candidates are called in the output."""

    case: Case
    labels: tuple[str, ...]
    place: str = ""
    """Where it was read, for messages: `cases.jsonl:7`."""
    written: str = ""
    """The line itself."""
    id: str | int | None = None
    """What the user calls it."""

    def alone(self) -> list[Case]:
        """One case for each candidate by itself."""
        return [Case(self.case.prompt, (candidate,), self.case.context) for candidate in self.case.candidates]

    def of(self, *players: int) -> Case:
        """The case of only these candidates, in this order."""
        return Case(self.case.prompt, tuple(self.case.candidates[player] for player in players), self.case.context)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row with a picture or clip that is there and cannot be decoded."""

    problem: str
    place: str
    written: str
    id: str | int | None


@dataclass(frozen=True, slots=True)
class Files:
    """A file of rows, and the file that their answers go to."""

    input: Path
    output: Path


def check_judged(judge: Judge, rows: Sequence[Row], *, arity: int) -> None:
    """Find, before the first row is asked, the one that cannot be judged with `arity` candidates at a time.

    Raises an error that names the row: `UniRewardError` where it has too few candidates, `UnsupportedCase` where the
    judge has no rubric for it.
    """
    asking = in_one_order(judge)
    for row in rows:
        where = f"{row.place}: " if row.place else ""
        if len(row.labels) < arity:
            raise UniRewardError(
                f"{where}ranking compares at least two candidates; `unireward score` judges one by itself"
            )
        if isinstance(asking, ModelJudge):
            try:
                asking.rubric_for(row.of(*[0] * arity))
            except UnsupportedCase as error:
                raise UnsupportedCase(f"{where}{error}") from error


def from_arguments(prompt: str, candidates: Sequence[str], context: Sequence[Path], *, as_text: bool) -> Row:
    """The row that the arguments of a command describe; `as_text` takes every candidate for a text."""
    read = tuple(candidate if as_text else read_candidate(candidate, Path()) for candidate in candidates)
    case = Case(prompt, read, tuple(read_media(str(path), Path()) for path in context))
    _ = case.task  # raises where the pieces do not fit together
    return Row(case, tuple(candidates))


def read_rows(path: Path) -> list[Row | Unreadable]:
    """The rows of a JSON Lines file, every one checked before anything is judged.

    A line is `{"prompt": "...", "candidates": [...], "context": [...]}`. A candidate is a string, told apart as on the
    command line, or `{"text": "..."}` or `{"path": "..."}`. Paths are relative to the folder of the file.
    Raises `UniRewardError` with the file, the line and the field.
    """
    rows: list[Row | Unreadable] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UniRewardError(f"{path} is not UTF-8: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}:{number}"
            try:
                rows.append(_read_row(line, path.parent, place))
            except UniRewardError as error:
                raise UniRewardError(f"{place}: {error}") from error
    if not rows:
        raise UniRewardError(
            f"{path} holds no case: a line is " + '{"prompt": "...", "candidates": ["a.png", "b.png"]}'
        )
    return rows


def _read_row(line: str, folder: Path, place: str) -> Row | Unreadable:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UniRewardError(f"not JSON: {error}") from error
    if not isinstance(row, dict) or not isinstance(row.get("prompt"), str):
        raise UniRewardError("a line must be an object with a text as `prompt`")
    if unknown := sorted(row.keys() - set(ROW_FIELDS)):
        raise UniRewardError(f"unknown field {unknown[0]!r}; a row has {', '.join(ROW_FIELDS)}")
    if not isinstance(row.get("id"), str | int | None):
        raise UniRewardError(f"`id` must be a text or a whole number, got {row['id']!r}")
    candidates = _list_of(row, "candidates")
    if not candidates:
        raise UniRewardError("`candidates` is missing or empty")
    written, name = line.strip(), row.get("id")
    try:
        case = Case(
            row["prompt"],
            tuple(_read_json_candidate(candidate, folder) for candidate in candidates),
            tuple(read_media(_path_of(media), folder) for media in _list_of(row, "context")),
        )
    except MediaError as error:
        return Unreadable(f"{place}: {error}", place, written, name)
    _ = case.task  # raises where the pieces do not fit together
    return Row(case, tuple(map(_label, candidates)), place, written, name)


def _list_of(row: Mapping[str, object], name: str) -> list[object]:
    value = row.get(name, [])
    if not isinstance(value, list):
        raise UniRewardError(f"`{name}` must be a list, got {value!r}")
    return value


def _read_json_candidate(value: object, folder: Path) -> Candidate:
    match value:
        case str():
            return read_candidate(value, folder)
        case {"text": str(text), **rest} if not rest:
            return text
        case {"path": str(path), **rest} if not rest:
            return read_media(path, folder)
    raise UniRewardError(f'a candidate is a string, {{"text": "..."}} or {{"path": "..."}}, got {value!r}')


def _path_of(value: object) -> str:
    match value:
        case str(path) | {"path": str(path)}:
            return path
    raise UniRewardError(f"a context is the path of a picture or clip, got {value!r}")


def _label(value: object) -> str:
    match value:
        case {"text": str(label)} | {"path": str(label)} | str(label):
            return label if not label.startswith("data:") else f"{label[:30]}..."
    raise UniRewardError(f"not a candidate: {value!r}")


def read_candidate(text: str, folder: Path) -> Candidate:
    """A picture or clip where the text names one, the text itself otherwise.

    Raises `UniRewardError` where it ends like media and no such file exists, and where it names a file that does not.
    """
    if text.startswith(("data:image/", "data:video/")):
        return Media.of(text)
    if text.startswith(("http://", "https://")) and text.split("?", maxsplit=1)[0].lower().endswith(
        tuple(MEDIA_SUFFIXES)
    ):
        raise UniRewardError(f"{text} is on the network, and nothing is fetched: download it and give the file")
    one_line = len(text) < 1024 and text.isprintable()
    suffix = Path(text).suffix.lower() if one_line else ""
    if suffix in MEDIA_SUFFIXES and (" " not in text or _is_file(folder / text)):
        return read_media(text, folder)
    if suffix and _is_file(folder / text):
        raise UniRewardError(
            f"{text!r} is a file, but its ending is not one of a picture or clip. Should the candidate be these very "
            'words, say so with --text or, in JSON, {"text": "..."}; should it be the content, give that'
        )
    return text


def read_media(path: str, folder: Path) -> Media:
    """The picture or clip at a path relative to `folder`, or in a `data:` URL."""
    if path.startswith("data:"):
        return Media.of(path)
    file = folder / path
    if not _is_file(file):
        raise UniRewardError(
            f"there is no file {str(file)!r}. (If it is a text that only looks like a path, say so with --text or, in "
            'JSON, {"text": "..."})'
        )
    return Media.of(file)


def _is_file(path: Path) -> bool:
    """Whether there is such a file; what is too long for a path is none."""
    return os.path.isfile(path)  # noqa: PTH113 - before Python 3.14, `Path.is_file` raises where a name is too long
