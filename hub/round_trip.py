"""Pushes a folder and loads it back by its name, as anybody would: what comes back is what went there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hub.contents import read_folder
from hub.publish import Pushed, connect, push
from hub.validate import CARD, Kind
from unireward_plugins.errors import BackendError, needs_extra


def there_and_back(folder: str | Path, repo: str, *, kind: Kind, private: bool = False, token: str = "") -> Pushed:
    """Push a folder, load the repository by its name, and compare.

    Pairs are loaded by `datasets`, a row after the other; of a model every file is downloaded. Arguments and errors as
    of `push`; `BackendError` where something else comes back.
    """
    pushed = push(folder, repo, kind=kind, private=private, token=token)
    if kind == "pairs":
        same = all(here == there for here, there in zip_longest(rows(folder), rows(repo, token)))
    else:
        same = files(Path(folder)).items() <= downloaded(repo, kind, token).items()
    if not same:
        raise BackendError(f"{pushed.url} does not give back what {str(folder)!r} holds")
    return pushed


def rows(name: str | Path, token: str = "") -> Iterator[Mapping[str, Any]]:
    """The rows of a folder or of a dataset on the Hub, pictures as their bytes."""
    with needs_extra("loading pairs", "hub"):
        from datasets import load_dataset
    splits = load_dataset(str(name), streaming=True, token=token or None)
    for split in splits.values():
        yield from split.decode(enable=False)


def files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file but the card, by name."""
    return {name: file.sha256 for name, file in read_folder(folder).files.items() if name != CARD}


def downloaded(repo: str, kind: Kind, token: str) -> dict[str, str]:
    """The same of a repository on the Hub."""
    connection = connect(repo, kind, token)
    with tempfile.TemporaryDirectory() as folder:
        connection.download(Path(folder))
        return files(Path(folder))
