"""Preference pairs to a folder that anyone loads with `datasets.load_dataset(folder)`, and that can be pushed as it is.

sifted = pairs_from(cases, judge(cases))
save_pairs(sifted.pairs, "pairs", judge="shapes", dropped=sifted.counts)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hub import schema
from hub.asked import Known, Making
from hub.card_pictures import draw_examples, draw_histogram
from hub.cards import pairs_card
from hub.clips import suffix_of
from hub.folders import digest_of, new_folder, write_rows
from unireward_plugins.errors import UniRewardError
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Task


def save_pairs(
    pairs: Sequence[Pair],
    folder: str | Path,
    *,
    judge: str,
    rubric: str = "",
    dropped: Mapping[str, int] | None = None,
    known: Sequence[Known] | None = None,
    making: Making | None = None,
    clips: schema.Clips = "frames",
) -> Path:
    """Write pairs of one task as a dataset with a card, and return the folder.

    `judge` and `rubric` say who preferred and by what; both become columns. `dropped` counts what gave no pair, by
    reason (`Sifted.counts`), for the card. `known` holds for each pair what else is known of it (aspects, seeds, ...;
    `Asked.known`), `making` what is known of them all (`Asked.making`). `clips` says how generated clips are stored
    (see `hub.schema`). The folder appears as a whole or not at all, and what is there is never overwritten. Raises
    `UniRewardError` where the folder is taken, there is no pair or there are several tasks, and `MediaError` where a
    picture or clip cannot be read.
    """
    task = _task(pairs)
    facts = list(known) if known is not None else [None] * len(pairs)
    if len(facts) != len(pairs):
        raise UniRewardError(f"there must be one Known for each pair, got {len(facts)} for {len(pairs)} pairs")
    extra = schema.known_columns([fact for fact in facts if fact is not None])
    with new_folder(folder) as growing:
        rows: Iterator[dict[str, Any]] = (
            schema.row(pair, judge=judge, rubric=rubric, known=fact, clips=clips)
            for pair, fact in zip(pairs, facts, strict=True)
        )
        columns = schema.features(task, known=extra, clips=clips).arrow_schema
        if clips == "beside":
            rows = _files_beside(rows, growing)
            files = _write_beside(rows, columns, growing)
        else:
            files = write_rows(rows, columns, growing, at_once=schema.rows_at_once(task))
        card = pairs_card(
            task,
            files=files,
            count=len(pairs),
            judge=judge,
            rubric=rubric,
            dropped=dropped,
            more={name: schema.KNOWN[name] for name in extra},
            making=making,
            histogram=draw_histogram(
                {
                    "chosen": [pair.chosen_score for pair in pairs],
                    "rejected": [pair.rejected_score for pair in pairs],
                },
                growing,
            ),
            examples=draw_examples(pairs, growing),
            clips=clips,
        )
        (growing / "README.md").write_text(card, encoding="utf-8")
    return Path(folder)


def _task(pairs: Sequence[Pair]) -> Task:
    tasks = {pair.case.task for pair in pairs}
    if len(tasks) != 1:
        raise UniRewardError(f"a folder holds pairs of one task, got {', '.join(sorted(tasks)) or 'no pair'}")
    return tasks.pop()


def _files_beside(rows: Iterator[dict[str, Any]], folder: Path) -> Iterator[dict[str, Any]]:
    """The rows with the names of files in place of the clips, the files written one after the other."""
    (folder / "data" / "train").mkdir(parents=True)
    for number, row in enumerate(rows):
        for role in ("chosen", "rejected"):
            content = row.pop(role)["bytes"]
            name = f"{number:06}-{role}{suffix_of(content)}"
            (folder / "data" / "train" / name).write_bytes(content)
            row[f"{role}_file_name"] = name
        yield row


def _write_beside(rows: Iterator[dict[str, Any]], columns: Any, folder: Path) -> str:
    """Write the table of a videofolder beside its clips, and return the pattern that finds both."""
    import pyarrow as pa
    from pyarrow import parquet

    names = [pa.field(f"{role}_file_name", pa.string()) for role in ("chosen", "rejected")]
    # The names become columns of clips, so the types that `datasets` notes in a schema would not be those it finds.
    table = pa.Table.from_pylist(list(rows), schema=pa.schema([*names, *columns], metadata=None))
    data = folder / "data" / "train"
    parquet.write_table(table, data / "metadata.parquet")
    # The folder's name changes with its content: see `folders._name_by_content`.
    named = data.with_name(f"train-{digest_of(sorted(data.iterdir()))}")
    data.rename(named)
    return f"data/{named.name}/*"
