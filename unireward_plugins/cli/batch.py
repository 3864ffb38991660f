"""Judges a whole file of cases, writing each answer as it comes: a run that was cut off goes on where it stopped."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.cases import Files, Row, Unreadable, check_judged, read_rows
from unireward_plugins.cli.options import JudgeChoice
from unireward_plugins.cli.output import duration, note, progress, show_json
from unireward_plugins.errors import BackendError, MediaError, UniRewardError
from unireward_plugins.types import Case, Judge, Verdict

Thing = TypeVar("Thing")

Answer = Mapping[str, object]
"""What one row came to, as it stands in the output."""

Answerer = Callable[[Sequence[Row]], list[Answer]]
"""Judges rows together, and gives one answer for each."""

SECONDS_A_CHUNK = (3.0, 20.0)
"""About how long a chunk of rows takes: large enough to keep a server busy, small enough to lose little."""


BEGINNING = b'{"row": '
"""How every line of the output begins."""

NOT_OURS = "{place} is not an answer of this command: give --output a file of its own"


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run over a file of cases ended."""

    rows: int
    answered_before: int
    unread: int
    failed: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether every row has its verdict."""
        return not self.unread and not self.failed


def judge_file(
    choice: JudgeChoice,
    files: Files,
    answer: Callable[[Judge, Sequence[Row]], list[Answer]],
    *,
    arity: int,
    settings: Mapping[str, object],
    as_json: bool,
) -> int:
    """Answer every row of a file, and return the exit code; the judge is shown `arity` candidates at a time."""
    rows = read_rows(files.input)
    judge = choice.load()
    check_judged(judge, [row for row in rows if isinstance(row, Row)], arity=arity)
    summary = run_batch(rows, files.output, functools.partial(answer, judge), settings=settings)
    if as_json:
        show_json({"output": str(files.output), **asdict(summary)})
    else:
        report(summary, files.output)
    return OK if summary.complete else INCOMPLETE


def run_batch(
    rows: Sequence[Row | Unreadable], output: Path, answer: Answerer, *, settings: Mapping[str, object]
) -> Summary:
    """Answer every row that `output` does not hold yet, appending one line a row; a run that was cut off goes on.

    A row whose picture or clip cannot be decoded gets a line with `error`, and the others go on. Raises
    `UniRewardError` where `output` holds answers to other cases, or to these by another judge or other `settings`.
    """
    keys = [_key(row, settings) for row in rows]
    done = _read_answered(output, keys)
    waiting = [index for index in range(len(rows)) if index not in done]
    started = time.monotonic()
    try:
        with output.open("ab") as lines, progress("judged", total=len(rows), done=len(done)) as advance:
            for chunk in chunks(waiting):
                answers = _answer_each([rows[index] for index in chunk], answer)
                for index, result in zip(chunk, answers, strict=True):
                    done[index] = {"row": index, "key": keys[index], **_id(rows[index]), **result}
                    lines.write(json.dumps(done[index], ensure_ascii=False, allow_nan=False).encode() + b"\n")
                    lines.flush()  # so that only the last line can be cut off, whatever happens
                advance(len(chunk))
    except (BackendError, KeyboardInterrupt):
        note(f"{len(done)} of {len(rows)} rows are in {output}; the same command goes on from there")
        raise
    return Summary(
        rows=len(rows),
        answered_before=len(rows) - len(waiting),
        unread=sum(bool(line.get("unread")) for line in done.values()),
        failed=sum("error" in line for line in done.values()),
        seconds=time.monotonic() - started,
    )


def report(summary: Summary, output: Path) -> None:
    """Say on standard error how a run ended."""
    before = f", {summary.answered_before} of them before this run" if summary.answered_before else ""
    note(f"{summary.rows} rows{before}, in {output} after {duration(summary.seconds)}")
    if summary.unread:
        note(f"{summary.unread} rows hold a reply without a verdict: see `unread` in their verdicts")
    if summary.failed:
        note(f"{summary.failed} rows could not be judged: see `error`; delete their lines and run again to retry")


def _answer_each(rows: Sequence[Row | Unreadable], answer: Answerer) -> list[Answer]:
    """Answers for all rows, in order: those that cannot be decoded get an `error`."""
    answers = iter(_answer_decodable([row for row in rows if isinstance(row, Row)], answer))
    return [next(answers) if isinstance(row, Row) else {"error": row.problem} for row in rows]


def _answer_decodable(rows: Sequence[Row], answer: Answerer) -> list[Answer]:
    """Answers for all rows; where a picture turns out to be broken inside, the other rows are judged without it."""
    if not rows:
        return []
    try:
        return answer(rows)
    except MediaError as error:
        if len(rows) == 1:
            return [{"error": f"{rows[0].place}: {error}"}]
        middle = len(rows) // 2
        return [*_answer_decodable(rows[:middle], answer), *_answer_decodable(rows[middle:], answer)]


def _id(row: Row | Unreadable) -> dict[str, object]:
    return {} if row.id is None else {"id": row.id}


def watched(judge: Judge, advance: Callable[[int], None]) -> Judge:
    """The same judge, which tells how many cases it has judged while it is at it."""

    def judge_in_chunks(cases: Sequence[Case]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        for chunk in chunks(cases):
            verdicts += judge(chunk)
            advance(len(chunk))
        return verdicts

    return judge_in_chunks


def chunks(things: Sequence[Thing]) -> Iterator[Sequence[Thing]]:
    """The things in pieces whose size follows how long the one before took."""
    size, start = 8, 0
    while start < len(things):
        began = time.monotonic()
        yield things[start : start + size]
        seconds = time.monotonic() - began
        start += size
        shortest, longest = SECONDS_A_CHUNK
        if seconds < shortest:
            size *= 2
        elif seconds > longest:
            size = max(size // 2, 1)


def _key(row: Row | Unreadable, settings: Mapping[str, object]) -> str:
    """What a row's answer depends on: what is written there, and how the judge is asked."""
    content = json.dumps([row.written, settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _read_answered(output: Path, keys: Sequence[str]) -> dict[int, Answer]:
    """The answers that an earlier run left, by row; a last line that was cut off is removed from the file."""
    if not output.exists():
        return {}
    *lines, rest = output.read_bytes().split(b"\n")
    answered = dict(_read_answer(line, keys, place=f"{output}:{number}") for number, line in enumerate(lines, start=1))
    if rest[: len(BEGINNING)] != BEGINNING[: len(rest)]:
        raise UniRewardError(NOT_OURS.format(place=f"{output}:{len(lines) + 1}"))
    if rest:
        os.truncate(output, output.stat().st_size - len(rest))
    return answered


def _read_answer(line: bytes, keys: Sequence[str], *, place: str) -> tuple[int, Answer]:
    try:
        answer = json.loads(line)
        index, key = answer["row"], answer["key"]
    except (ValueError, KeyError, TypeError) as error:
        raise UniRewardError(NOT_OURS.format(place=place)) from error
    if not (isinstance(index, int) and 0 <= index < len(keys) and keys[index] == key):
        raise UniRewardError(
            f"{place} answers another case, or was asked of another judge or with other settings than now: "
            "give --output another file, or delete this one"
        )
    return index, answer
