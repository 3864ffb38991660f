"""The files of a dataset, in a folder or in a repository on the Hub, also inside its zip archives; nothing is unpacked.

Of a repository only what is asked for is fetched: a picture in an archive costs its own bytes and the archive's index.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.media import Media

MAX_BYTES = 2**28
"""The largest file that is read from an archive: as much as is fetched from any address."""
BLOCK = 2**18
"""Bytes of an archive that are fetched at a time: about a picture. (The client's 5 MB are for reading on and on.)"""
ROWS = 16
"""Rows of a table that are in memory at a time: they may hold their pictures."""
UNREADABLE = (".tar", ".tar.gz", ".tgz", ".7z", ".rar")
"""Archives that have to be read from their beginning, so that they cannot be looked into from afar."""


class MediaFiles:
    """The files below a folder, or of a repository (`hf://datasets/org/name`), by their paths."""

    def __init__(self, root: str, *, folders: Sequence[str] = ("",)) -> None:
        with needs_extra("reading datasets", "hub"):
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        self.root, self.folders = root, folders
        self.system: Any
        self.home: str
        # An instance of its own, since the shared one goes on showing the listing that it saw first.
        self.system, self.home = url_to_fs(root, skip_instance_cache=True)
        self._archives: dict[str, zipfile.ZipFile] = {}

    @cached_property
    def names(self) -> frozenset[str]:
        """All files, by their paths below the root; links are left out."""
        found = self.system.find(self.home, detail=True)
        prefix = self.home.rstrip("/") + "/"
        return frozenset(name.removeprefix(prefix) for name, info in found.items() if not info.get("islink"))

    def open(self, name: str) -> IO[str]:
        """A text file."""
        opened: IO[str] = self.system.open(f"{self.home}/{name}", "rt", encoding="utf-8")
        return opened

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a Parquet file, a few in memory at a time; `UniRewardError` where it cannot be read."""
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        with self.system.open(f"{self.home}/{name}", "rb") as file:
            try:
                for batch in ParquetFile(file).iter_batches(batch_size=ROWS):
                    yield from batch.to_pylist()
            except pa.ArrowException as error:
                raise UniRewardError(f"{name} in {self.root!r} is no Parquet file, or cut off: {error}") from error

    def media(self, name: str, place: str) -> Media:
        """A picture or clip; `UniRewardError` where there is none, with what was looked into."""
        path = str(PurePosixPath(name))
        for folder in self.folders:
            if (found := str(PurePosixPath(folder) / path)) in self.names:
                # A file on this machine stays where it is; of one on the Hub there are only its bytes.
                is_here = "://" not in self.root
                return Media.of(Path(self.home) / found if is_here else self.system.cat_file(f"{self.home}/{found}"))
        if member := self._member(path):
            archive, inside = member
            return Media.of(self._read(archive, inside))
        raise UniRewardError(self._missing(name, place))

    def _member(self, path: str) -> tuple[str, str] | None:
        """The archive with a file, and its name in it: the very path, or the only one that ends with it."""
        places = self._members.get(PurePosixPath(path).name, [])
        exact = [place for place in places if place[1] in {path, *(f"{folder}/{path}" for folder in self.folders)}]
        ending = exact or [place for place in places if f"/{place[1]}".endswith(f"/{path}")]
        return ending[0] if len(ending) == 1 else None

    @cached_property
    def _members(self) -> dict[str, list[tuple[str, str]]]:
        """Every file in an archive, by the last part of its name."""
        members: dict[str, list[tuple[str, str]]] = {}
        for archive in sorted(name for name in self.names if name.endswith(".zip")):
            try:
                opened = self.system.open(f"{self.home}/{archive}", "rb", block_size=BLOCK)
                self._archives[archive] = zipfile.ZipFile(opened)
            except zipfile.BadZipFile as error:
                raise UniRewardError(f"{archive} in {self.root!r} is no zip archive, or cut off: {error}") from error
            for inside in self._archives[archive].namelist():
                if not inside.startswith("__MACOSX/"):
                    members.setdefault(PurePosixPath(inside).name, []).append((archive, inside))
        return members

    def _read(self, archive: str, inside: str) -> bytes:
        member = self._archives[archive].getinfo(inside)
        if member.file_size > MAX_BYTES:
            raise UniRewardError(
                f"{inside} in {archive} has {member.file_size:,} bytes, at most {MAX_BYTES:,} are read"
            )
        return self._archives[archive].read(member)

    def _missing(self, name: str, place: str) -> str:
        archives = sorted(one for one in self.names if one.endswith((".zip", *UNREADABLE)))
        looked = f"looked into {', '.join(one for one in archives if one.endswith('.zip')) or 'no archive'}"
        closed = [one for one in archives if one.endswith(UNREADABLE)]
        more = f"; {', '.join(closed)} cannot be looked into" if closed else ""
        return (
            f"{place}: there is no file {name!r} in {self.root!r} ({looked}{more}). Get the set with its pictures and "
            "clips onto this machine, unpack them as its card says, and name that folder with folder="
        )
