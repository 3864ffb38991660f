"""The published preference sets of UnifiedReward by name, in the columns of this project, streamed.

    import hub

    for row in hub.load("HPD").take(3):
        print(row["prompt"], row["margin"])

`hub.catalogue` says which there are.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub import schema, scores
from hub.asked import Known
from hub.catalogue import Collection, Layout, Part, find
from hub.conversations import FILES, TURNS, case_of, parse, part_of
from hub.entries import entries, field
from hub.media_files import MediaFiles
from hub.pick_a_pic import NEEDED, pair_of
from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.families import FAMILIES
from unireward_plugins.media import Media
from unireward_plugins.pairs import Dropped, Pair, pairs_from
from unireward_plugins.types import Case, Task, Verdict

if TYPE_CHECKING:
    from datasets import Features, IterableDataset

_log = logging.getLogger("hub")
LISTS = (".json", ".jsonl")
TABLES = (".parquet",)
COLUMNS: Mapping[Layout, Mapping[str, Sequence[str]]] = {
    "conversations": {TURNS[0]: TURNS, FILES[0]: FILES},
    "pick-a-pic": {name: (name,) for name in NEEDED},
}
"""What an entry of each layout must have: by the name that `columns` takes, the names that it may have in a set."""
OTHERWISE = (
    "Where the set has the same under other names, give them: columns={'conversations': ..., 'images': ...}, or for "
    f"labelled pictures columns={{{', '.join(f'{name!r}: ...' for name in NEEDED)}}}. Anything else becomes pairs with "
    "datasets.load_dataset, unireward_plugins.pairs.Pair and hub.save_pairs"
)
"""The way out of a layout that is not known."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What is read, and from where."""

    collection: Collection
    part: Part
    columns: Mapping[str, str]
    """What the set calls the columns of its layout, where it calls them otherwise."""
    folder: str | None
    revision: str | None

    @property
    def layout(self) -> Layout:
        """That of the columns that were named; the collection's where none were."""
        if not self.columns:
            return self.collection.layout
        for layout, names in COLUMNS.items():
            if set(self.columns) <= set(names):
                return layout
        told = " or ".join(", ".join(map(repr, names)) for names in COLUMNS.values())
        raise UniRewardError(f"columns can name {told}, got {', '.join(map(repr, self.columns))}")

    @property
    def address(self) -> str:
        """The folder, or the repository on the Hub."""
        revision = f"@{self.revision}" if self.revision else ""
        return self.folder or f"hf://datasets/{self.collection.repo}{revision}"

    def known(self, entry: Mapping[str, Any], place: str) -> Mapping[str, Any]:
        """An entry by the names of its layout; `UniRewardError` with its own, and the way out, where one is missing."""
        try:
            renamed = {name: field(entry, (own,), place) for name, own in self.columns.items()}
            for names in COLUMNS[self.layout].values():
                if not renamed.keys() & set(names):
                    field(entry, names, place)
        except UniRewardError as error:
            raise UniRewardError(f"{error}. {OTHERWISE}") from None
        return {**entry, **renamed}


def checkpoints() -> tuple[str, ...]:
    """The ids of all published judges on the Hub; `unireward_plugins.families` says more of each."""
    return tuple(checkpoint for family in FAMILIES for checkpoint in family.checkpoints)


def load(
    name: str,
    *,
    task: Task | None = None,
    arity: int | None = None,
    folder: str | Path | None = None,
    revision: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> IterableDataset:
    """A published set in the columns of `hub.schema` (pairs) or `hub.scores` (one candidate), streamed.

    `name` is that of a collection (`HPD`, `CodeGoat24/HPD`); of one with several parts, `task` and `arity` choose (by
    default its first). `folder` is a copy on this machine, with its archives or unpacked. `columns` says what the set
    calls the columns that are read, where that is not what is known: `conversations` and `images`, or those of
    Pick-a-Pic (`COLUMNS`). Every row has the column `aspects`, so that sets can be put together. Ties, replies without
    a verdict and entries that cannot be understood give no row; what was left out is counted in the log when the stream
    ends. No code of a repository is run, and no archive is unpacked.

    Raises `UniRewardError` for an unknown name, part or column or a missing folder, and, when rows are taken, where the
    files have another layout than is known (more entries that cannot be understood than others), with what was found.
    """
    collection = find(name)
    part = collection.part(task, arity)
    here = None if folder is None else str(folder)
    if _Source(collection, part, columns or {}, here, revision).layout == "pick-a-pic":
        _check_pictures(collection, part)
    if folder is not None and not Path(folder).is_dir():
        raise UniRewardError(f"{collection.name}: there is no folder {here!r}")
    with needs_extra("loading datasets", "hub"):
        from datasets import IterableDataset

    options = {"name": collection.name, "task": part.task, "arity": part.arity, "revision": revision}
    return IterableDataset.from_generator(
        rows, features=features(part), gen_kwargs={**options, "folder": here, "columns": dict(columns or {})}
    )


def features(part: Part) -> Features:
    """The columns of a part's rows."""
    return scores.features(part.task) if part.arity == 1 else schema.features(part.task, known=("aspects",))


def rows(
    name: str, task: Task, arity: int, revision: str | None, folder: str | None, columns: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    """The rows of a part, one after the other."""
    collection = find(name)
    source = _Source(collection, collection.part(task, arity), columns, folder, revision)
    left_out: Counter[str] = Counter()
    for one in READERS[source.layout](source):
        if isinstance(one, str):
            left_out[one] += 1
        else:
            yield one
    if left_out:
        told = ", ".join(f"{number:,} x {reason}" for reason, number in left_out.most_common())
        _log.warning("%s: %s entries gave no row: %s", name, f"{left_out.total():,}", told)


def _check_pictures(collection: Collection, part: Part) -> None:
    """Raise `UniRewardError` for a part that is none of pairs of pictures: Pick-a-Pic's columns hold nothing else."""
    if (part.task, part.arity) != ("image_generation", 2):
        raise UniRewardError(
            f"{collection.name}: the columns of Pick-a-Pic hold pairs of pictures, and {part.arity} candidate(s) of "
            f"{part.task} are asked for: give task='image_generation' and arity=2"
        )


def _told(source: _Source) -> Iterator[dict[str, Any] | str]:
    """The rows in a collection of conversations, and why others are none."""
    store = MediaFiles(source.address, folders=source.part.folders)
    good = bad = 0
    for file in _files(source, store):
        for number, entry in enumerate(_entries(source, store, file)):
            place = f"{source.collection.name}, {file}, entry {number}"
            try:
                row = _row(source.known(entry, place), source, store, place)
            except UniRewardError as error:
                bad += 1
                if bad > good:  # from the first entry on: the layout is another one
                    raise
                _log.info("left out: %s", error)
                row = "it cannot be understood"
            else:
                good += 1
            if row is not None:
                yield row


def _entries(source: _Source, store: MediaFiles, file: str) -> Iterator[dict[str, Any]]:
    if file.endswith(TABLES):
        yield from store.rows(file)
        return
    with store.open(file) as content:
        yield from entries(content, f"{source.collection.name}, {file}")


def _row(entry: Mapping[str, Any], source: _Source, store: MediaFiles, place: str) -> dict[str, Any] | str | None:
    """The row of an entry, or why it has none; `None` where it belongs to another part."""
    part, judge = source.part, source.collection.judge
    same = [(one.task, one.arity) for one in source.collection.parts if one.files == part.files]
    if part_of(entry, same, place) != (part.task, part.arity):
        return None
    said = parse(entry, part.task, part.arity, place=place)
    if said.verdict.scores is None:
        return str(said.verdict.unread)
    if len(set(said.verdict.scores)) == 1 and part.arity > 1:
        return "tie"  # before its pictures are fetched
    media = [store.media(one, place) if isinstance(one, str) else Media.of(one) for one in said.files]
    case = case_of(said, part.arity, media, place)
    if part.arity == 1:
        return scores.row(case, said.verdict, judge=judge, rubric=said.rubric)
    return _pair_row(case, said.verdict, judge, said.rubric)


def _pair_row(case: Case, verdict: Verdict, judge: str, rubric: str) -> dict[str, Any] | str:
    sifted = pairs_from([case], [verdict])
    if not sifted.pairs:
        return sifted.dropped[0].reason
    (pair,) = sifted.pairs
    chosen = case.candidates.index(pair.chosen)
    known = Known({name: (both[chosen], both[1 - chosen]) for name, both in verdict.aspects.items()})
    return _with_aspects(pair, known, judge, rubric)


def _with_aspects(pair: Pair, known: Known, judge: str, rubric: str) -> dict[str, Any]:
    aspects = schema.known_cells(known)["aspects"]
    return schema.row(pair, judge=judge, rubric=rubric) | {"aspects": aspects}


def _labelled(source: _Source) -> Iterator[dict[str, Any] | str]:
    """The rows in a set with the columns of Pick-a-Pic, and why others are none."""
    from datasets import load_dataset

    where = source.folder or source.collection.repo
    rows = load_dataset(where, split="train", streaming=True, revision=source.revision)
    for number, row in enumerate(rows):
        pair = pair_of(source.known(row, f"{source.collection.name}, row {number}"))
        yield pair.reason if isinstance(pair, Dropped) else _with_aspects(pair, Known(), source.collection.judge, "")


READERS: Mapping[Layout, Callable[[_Source], Iterator[dict[str, Any] | str]]] = {
    "conversations": _told,
    "pick-a-pic": _labelled,
}
"""What reads each layout: rows, and reasons why there is none."""


def _files(source: _Source, store: MediaFiles) -> Sequence[str]:
    """The files with a part's entries: those that are known, or all that are there; `UniRewardError` with what was
    found."""
    name, wanted = source.collection.name, source.part.files
    try:
        there = store.names
    except FileNotFoundError:
        there = frozenset()
    if not there:
        raise UniRewardError(f"{name}: there is nothing at {store.root!r}, or it may not be read")
    found = [file for file in wanted if file in there]
    if not found and (source.columns or not wanted):
        found = _all(there, LISTS) or _all(there, TABLES)
    if not found:
        told = f"the file {wanted[0]}" if wanted else "a JSON or Parquet file with conversations"
        listed = ", ".join(sorted(there)[:20])
        raise UniRewardError(
            f"the layout of {name} is not known: {told} was expected in {store.root!r}, and there are {listed}. "
            f"{OTHERWISE}"
        )
    return found


def _all(names: frozenset[str], endings: tuple[str, ...]) -> list[str]:
    """All files that end so, but for what `datasets` and tools note."""
    return sorted(
        name for name in names if name.endswith(endings) and not Path(name).name.startswith(("dataset_info", "."))
    )
