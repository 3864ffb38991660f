"""Verdicts on disk, so that no question is asked twice: one SQLite file that many processes may share.

The key of a verdict is everything that it depends on, so an entry never goes stale and nothing ever needs to be
invalidated. Unread verdicts are kept too: judges decode greedily, so asking again costs the same and gives the same
reply, and the share of unread replies stays what it was when a run is resumed. Delete the file to ask afresh. Only
what a model had no room for is no entry: nothing was asked.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from unireward_plugins.errors import UniRewardError
from unireward_plugins.types import Candidate, Case, Verdict

if TYPE_CHECKING:
    from unireward_plugins.rubrics import Readout, Rubric

APPLICATION_ID = 0x55525643
"""Marks an SQLite file as a verdict cache: "URVC" in ASCII."""
SCHEMA_VERSION = 1
WAIT_SECONDS = 60.0
"""How long a process waits for another one that is writing."""
KEYS_AT_ONCE = 500
"""Older builds of SQLite take at most 999 parameters in a statement."""


def verdict_key(case: Case, *, rubric: Rubric, readout: Readout, revision: str) -> str:
    """What identifies a verdict: a SHA-256 over all that it depends on.

    That is the case (its texts, and its pictures and clips by content; the order of candidates and of context
    matters), the rubric (name, template, frames, token limit, answer slot), the readout, the revision of the model, and
    the version of this package, because a release may repair the way a reply is read. The code of a rubric's reader
    has no identity: give your own rubric a new name when you change its reader.
    """
    dependencies = [
        case.prompt,
        [_identity(candidate) for candidate in case.candidates],
        [_identity(media) for media in case.context],
        [rubric.name, rubric.task, rubric.template, rubric.shows_context, repr(rubric.frames), rubric.max_tokens],
        repr(rubric.slot),
        readout,
        revision,
        _package_version(),
    ]
    return hashlib.sha256(json.dumps(dependencies).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class VerdictCache:
    """A file of verdicts by key.

    Nothing is opened or created before the first use, and no connection outlives a call: the object can be pickled,
    and used from any thread and after a fork. A call either stores all of its verdicts or, if the process dies, none.
    The file belongs on a local disk: SQLite's write-ahead log does not work over network file systems.
    """

    path: Path
    """The SQLite file; it and its folder are made when first needed."""

    def __post_init__(self) -> None:
        # Workers may run in another folder.
        object.__setattr__(self, "path", Path(self.path).absolute())

    def get(self, keys: Iterable[str]) -> dict[str, Verdict]:
        """The verdicts that are known, by key; raises `UniRewardError` where the file is damaged or something else."""
        wanted = list(dict.fromkeys(keys))
        found: dict[str, Verdict] = {}
        with self._connection() as connection:
            for start in range(0, len(wanted), KEYS_AT_ONCE):
                chunk = wanted[start : start + KEYS_AT_ONCE]
                marks = ", ".join("?" * len(chunk))
                rows = connection.execute(f"SELECT key, verdict FROM verdicts WHERE key IN ({marks})", chunk)  # noqa: S608
                found.update((key, _decoded(text)) for key, text in rows)
        return found

    def put(self, verdicts: Mapping[str, Verdict]) -> None:
        """Store verdicts by key, all or none; a key that is already there keeps its verdict."""
        rows = [(key, _encoded(verdict)) for key, verdict in verdicts.items()]
        with self._connection() as connection, _transaction(connection):
            connection.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", rows)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection to the file, made ready; whatever goes wrong with it names the file and the way out."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are written out below: `isolation_level=None` keeps the module from adding its own.
            with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
                _prepare(connection, self.path)
                yield connection
        except (sqlite3.Error, OSError, json.JSONDecodeError) as error:
            raise UniRewardError(
                f"the verdict cache '{self.path}' cannot be used: {error}. Name another file, or delete this one if it "
                "is a damaged cache"
            ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make a new file a verdict cache, and refuse one that is something else."""
    if not _is_ready(connection, path):
        with _transaction(connection):
            # Another process may have made the file ready while this one waited.
            if not _is_ready(connection, path):
                connection.execute("CREATE TABLE verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL) WITHOUT ROWID")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    # Readers go on while one process writes. The file remembers it; where another process is in the way just now, the
    # next connection sets it.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")


def _is_ready(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is a verdict cache already; it may still be empty, and is an error if it is anything else."""
    # In this order: a file that another process makes ready between two of these lines is never taken for a stranger,
    # because its mark is written together with its table.
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID and schema != SCHEMA_VERSION:
        raise UniRewardError(
            f"the verdict cache '{path}' has schema {schema}, this release reads schema {SCHEMA_VERSION}. Name another "
            "file, or use the release that wrote this one"
        )
    if application != APPLICATION_ID and (application or objects):
        raise UniRewardError(f"'{path}' is an SQLite file of something else, not a verdict cache. Name another file")
    return bool(application)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block's changes, or none; only one process at a time is inside."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _encoded(verdict: Verdict) -> str:
    fields = {
        "scores": verdict.scores,
        "aspects": dict(verdict.aspects),
        "reply": verdict.reply,
        "unread": verdict.unread,
    }
    return json.dumps(fields)


def _decoded(text: str) -> Verdict:
    fields = json.loads(text)
    return Verdict(
        scores=None if fields["scores"] is None else tuple(fields["scores"]),
        aspects={name: tuple(values) for name, values in fields["aspects"].items()},
        reply=fields["reply"],
        unread=fields["unread"],
    )


def _identity(candidate: Candidate) -> list[str]:
    return ["text", candidate] if isinstance(candidate, str) else [candidate.kind, candidate.digest]


@cache
def _package_version() -> str:
    return version("unireward-plugins")
