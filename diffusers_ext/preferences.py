"""Reads preference pairs for training: pictures or clips as rows of any dataset, never all of them in memory.

preferences = read_preferences("pairs")
chosen, rejected = preferences.pair(0)
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffusers_ext.shards import AT_WORK, CARD, DROPPED, PAIRS, PLAN
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair, Sifted

PROMPTS = ("prompt", "caption")
"""The columns that hold the prompt; the first that is there counts."""
LAYOUTS = (("chosen", "rejected"), ("jpg_0", "jpg_1", "label_0"))
"""The columns of a pair; `label_0` is 1 where `jpg_0` is preferred, 0 where `jpg_1` is, 0.5 for a tie."""
REASONS: Mapping[str, str] = {
    "tie": "label_0 is 0.5: neither is better",
    "unlabelled": "there is no label, or has_label is false",
    "same": "both files are the same",
}
"""Why rows are left out."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs to learn from."""

    prompts: tuple[str, ...]
    """The prompt of each pair."""
    digests: tuple[str, ...]
    """A hash of each pair's prompt and files."""
    gaps: tuple[float, ...] | None
    """Chosen score minus rejected score of each pair, where the rows say them."""
    dropped: Mapping[str, int]
    """How many rows were left out, by reason: a key of `REASONS`."""
    read: Callable[[int], tuple[Any, Any]] = field(repr=False)
    """The chosen and the rejected file of a pair, undecoded."""

    def __len__(self) -> int:
        return len(self.prompts)

    def pair(self, index: int) -> tuple[Media, Media]:
        """The chosen and the rejected picture or clip; `UniRewardError` where one is a picture and one a clip."""
        chosen, rejected = (Media.of(cell) for cell in self.read(index))
        if chosen.kind != rejected.kind:
            raise UniRewardError(f"pair {index} ({self.prompts[index]!r}) is of a picture and a clip")
        return chosen, rejected

    @property
    def digest(self) -> str:
        """A hash of all pairs, in their order."""
        return hashlib.sha256("\n".join(self.digests).encode()).hexdigest()

    def select(self, indices: Sequence[int]) -> Preferences:
        """Some of the pairs."""
        chosen = list(indices)
        return Preferences(
            tuple(self.prompts[index] for index in chosen),
            tuple(self.digests[index] for index in chosen),
            None if self.gaps is None else tuple(self.gaps[index] for index in chosen),
            self.dropped,
            lambda index: self.read(chosen[index]),
        )

    def hold_out(self, share: float) -> tuple[Preferences, Preferences]:
        """The pairs to train on, and those held out.

        The share is of the distinct prompts, rounded, and at least one where it is above 0. Held out are those with
        the smallest hashes: no prompt is in both, the order of the pairs does not matter, and few prompts change sides
        when pairs are added. `UniRewardError` where nothing would be left to train on.
        """
        distinct = sorted(set(self.prompts), key=lambda prompt: hashlib.sha256(prompt.encode()).digest())
        chosen = set(distinct[: max(1, round(share * len(distinct)))] if share else ())
        train = self.select([index for index, prompt in enumerate(self.prompts) if prompt not in chosen])
        held = self.select([index for index, prompt in enumerate(self.prompts) if prompt in chosen])
        if share and not len(train):
            raise UniRewardError(
                f"held_out={share:g} leaves no pair to train on: there are too few prompts ({len(distinct)}) for that. "
                "Give evaluation_prompts and no held_out"
            )
        return train, held


def read_preferences(source: str | Path | Sequence[Pair] | Any, *, split: str = "train") -> Preferences:
    """The pairs in a folder, in a dataset on the Hub, in upstream JSON, in a `datasets.Dataset`, or of `Pair`s.

    Reads every file once, to hash it; nothing is decoded. Ties, unlabelled rows and rows with twice the same file are
    left out and counted. Raises `UniRewardError` where columns are missing, with those that are there, and where no
    pair is left.
    """
    rows, counted = _rows_of(source, split)
    prompts, digests, gaps, places = [], [], [], []
    dropped = Counter(counted)
    for place, row in enumerate(rows):
        reason, is_swapped = _sifted(row)
        files = _files(row, is_swapped=is_swapped)
        hashes = [_hash(cell, place) for cell in files]
        reason = reason or ("same" if hashes[0] == hashes[1] else "")
        if reason:
            dropped[reason] += 1
            continue
        prompts.append(_prompt(row, place))
        digests.append(hashlib.sha256(f"{prompts[-1]}\n{hashes[0]}\n{hashes[1]}".encode()).hexdigest())
        gaps.append(_gap(row))
        places.append((place, is_swapped))
    if not prompts:
        raise UniRewardError(f"there is no pair to learn from in {_named(source)}; left out: {dict(dropped) or 'none'}")

    def read(index: int) -> tuple[Any, Any]:
        place, is_swapped = places[index]
        return _files(rows[place], is_swapped=is_swapped)

    known = tuple(gap for gap in gaps if gap is not None)
    return Preferences(tuple(prompts), tuple(digests), known if len(known) == len(gaps) else None, dict(dropped), read)


class _Table:
    """The rows of a `datasets.Dataset`, files undecoded, one in memory at a time."""

    def __init__(self, dataset: Any) -> None:
        names = dataset.column_names
        columns = [name for name in PROMPTS if name in names][:1]
        columns += next((layout for layout in LAYOUTS if set(layout) <= set(names)), ())
        if len(columns) < 3:
            raise UniRewardError(
                f"pairs need a column 'prompt' or 'caption', and 'chosen' and 'rejected', or 'jpg_0', 'jpg_1' and "
                f"'label_0'; there are {', '.join(names)}"
            )
        columns += [name for name in ("has_label", "chosen_score", "rejected_score") if name in names]
        self.table = dataset.select_columns(columns).with_format("arrow")

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, place: int) -> Mapping[str, Any]:
        (row,) = self.table[place : place + 1].to_pylist()
        found: Mapping[str, Any] = row
        return found

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (self[place] for place in range(len(self)))


def _rows_of(source: Any, split: str) -> tuple[Any, Mapping[str, int]]:
    """The rows, and what was left out before they were rows."""
    if isinstance(source, str | Path) and str(source).endswith((".json", ".jsonl")):
        sifted = _upstream(Path(source))
        return [_row_of(pair) for pair in sifted.pairs], sifted.counts
    if isinstance(source, str | Path):
        from hub.stored_rows import open_rows

        _check_place(str(source))
        return _Table(open_rows(str(source), split=split)), {}
    if hasattr(source, "column_names"):
        return _Table(source), {}
    return [_row_of(pair) for pair in source], {}


def _upstream(file: Path) -> Sifted:
    """The pairs in an upstream file; where the files that it names lie elsewhere, the error says what takes them."""
    from hub.entries import LiesElsewhere
    from hub.upstream import read_upstream

    try:
        return read_upstream(file)
    except LiesElsewhere as error:
        convert = f"unireward pairs convert {shlex.quote(str(file))} PAIRS --media FOLDER, and train on PAIRS"
        raise UniRewardError(f"{error.told}: {convert}") from error


def _check_place(source: str) -> None:
    """Raise `UniRewardError` for a file, a folder that is not there, or a `build_pairs` without an end or a pair."""
    folder = Path(source)
    if folder.is_file():
        raise UniRewardError(
            f"{source!r} is a file that pairs are not read from: give a .json or .jsonl file with an entry for each "
            "pair, a folder with pairs, or the name of a dataset on the Hub, owner/name"
        )
    if not folder.exists() and not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise UniRewardError(
            f"there is no folder {source!r} with pairs; a dataset on the Hub is named owner/name, an upstream file "
            "ends in .json or .jsonl"
        )
    if not (folder / PLAN).is_file():
        return
    has_pair = next(folder.glob(f"*/*/{PAIRS}"), None) is not None
    if (folder / AT_WORK).exists() or not (folder / (CARD if has_pair else DROPPED)).exists():
        raise UniRewardError(
            f"the run that makes the pairs in {source!r} is not finished: give the command that began it again, and it "
            "goes on to the end"
        )
    if not has_pair:
        raise UniRewardError(
            f"{source!r} holds no pair: none of its prompts gave one. {folder / DROPPED} says why of each"
        )


def _row_of(pair: Pair) -> dict[str, Any]:
    scores = {"chosen_score": pair.chosen_score, "rejected_score": pair.rejected_score}
    return {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected, **scores}


def _sifted(row: Mapping[str, Any]) -> tuple[str, bool]:
    """Why the row is left out, if it is, and whether its second file is the chosen one."""
    if "chosen" in row:
        return "", False
    label = row["label_0"]
    if label is None or row.get("has_label") is False:
        return "unlabelled", False
    return "tie" if label == 0.5 else "", label < 0.5


def _files(row: Mapping[str, Any], *, is_swapped: bool) -> tuple[Any, Any]:
    pair = (row["chosen"], row["rejected"]) if "chosen" in row else (row["jpg_0"], row["jpg_1"])
    return pair[::-1] if is_swapped else pair


def _prompt(row: Mapping[str, Any], place: int) -> str:
    prompt = next(row[name] for name in PROMPTS if name in row)
    if not isinstance(prompt, str):
        raise UniRewardError(f"row {place}: the prompt must be a text, got a {type(prompt).__name__}")
    return prompt


def _gap(row: Mapping[str, Any]) -> float | None:
    high, low = row.get("chosen_score"), row.get("rejected_score")
    return None if high is None or low is None else float(high) - float(low)


def _hash(cell: Any, place: int) -> str:
    """The hash of a file's bytes, or of those of a clip's frames."""
    match cell:
        case Media():
            return cell.digest
        case bytes():
            return hashlib.sha256(cell).hexdigest()
        case {"bytes": bytes(content)}:
            return hashlib.sha256(content).hexdigest()
        case {"path": str(path)}:
            with Path(path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        case str() | {"content": _}:
            raise UniRewardError(
                f"row {place} holds texts, not pictures or clips: pairs of answers are for TRL's DPOTrainer, which "
                "takes them as they are; a column of file names is read after cast_column(name, datasets.Image())"
            )
        case [_, *_]:
            return hashlib.sha256("".join(_hash(frame, place) for frame in cell).encode()).hexdigest()
    raise UniRewardError(f"row {place}: a picture or a list of frames was expected, got a {type(cell).__name__}")


def _named(source: Any) -> str:
    return repr(str(source)) if isinstance(source, str | Path) else f"the {type(source).__name__} of pairs"
