"""Measures a judge of shapes where the truth is known: the table of its four cells.

    python -m unireward_plugins.shapes.evaluate        # the embedded judge, 1,000 fresh items a cell

The judge is asked as anyone asks it: cases go in, verdicts come out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.shapes import load_from
from unireward_plugins.shapes.data import CELLS, AnswerItem, Item, draw_items
from unireward_plugins.shapes.questions import read_answer
from unireward_plugins.shapes.render import render
from unireward_plugins.types import Case, Judge, Verdict

ASKED_AT_ONCE = 250
FRESH_SEED = 20_000
"""The seed of the table. No training draws from the fresh items of any seed."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a number of trials came out so."""

    hits: int
    trials: int

    @property
    def value(self) -> float:
        """The share, 0 to 1; not a number without trials."""
        return self.hits / self.trials if self.trials else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson interval that holds the true share with 95 % confidence."""
        if not self.trials:
            return 0.0, 1.0
        z, n, p = 1.96, self.trials, self.value
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})" if self.trials else "-"


@dataclass(frozen=True, slots=True)
class Row:
    """What a judge does in one cell."""

    cell: str
    right: Share
    """Alone: the score, brought to 1..5, lies within a half of the true grade (1, 3 or 5). A pair: the better one, as
    the pair stands, has the larger share. A reply that cannot be read is not right."""
    held_out: Share
    """The same among the items with a combination that no training item held."""
    unread: Share
    """Replies without a verdict, of both orders of a pair."""
    flips: Share
    """Pairs whose winner changes with the order, of those read in both; no trials where a candidate is judged alone."""
    first: Share
    """Verdicts for the candidate that stands first, of all pairs read, in both orders: without position bias a half."""


def evaluate(
    judge: Judge,
    *,
    items: int = 1000,
    seed: int = FRESH_SEED,
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Row]:
    """One row per cell, each over so many fresh items; pairs are asked in both orders.

    The judge must take cases with one and with two candidates, and must not itself ask both orders. `watch` is told
    after every few hundred questions how many of how many are done.
    """
    asked, total = 0, 6 * items
    rows = []
    for number, (name, cell) in enumerate(CELLS.items()):
        drawn = draw_items(cell, items, seed=seed)
        cases = cases_of(drawn, seed=[seed, number])
        questions = [*cases, *(case.reversed() for case in cases)] if cell[1] == 2 else cases
        verdicts: list[Verdict] = []
        for start in range(0, len(questions), ASKED_AT_ONCE):
            verdicts += judge(questions[start : start + ASKED_AT_ONCE])
            watch(asked + len(verdicts), total)
        asked += len(verdicts)
        rows.append(row(name, drawn, verdicts))
    return rows


def cases_of(items: Sequence[Item], *, seed: Sequence[int]) -> list[Case]:
    """The items as cases, with freshly drawn pictures."""
    pictures = iter(render([scene for item in items for scene in item.scenes], seed=seed))
    return [item.case([Media.of(next(pictures)) for _ in item.scenes]) for item in items]


def row(cell: str, items: Sequence[Item], verdicts: Sequence[Verdict]) -> Row:
    """A cell's row from its items and their verdicts; those of the reversed pairs come after the others."""
    right = [is_right(verdict, item) for item, verdict in zip(items, verdicts, strict=False)]
    swapped = [verdict.reversed() for verdict in verdicts[len(items) :]]
    winners = [
        (winner(verdict), winner(other))
        for verdict, other in zip(verdicts, swapped, strict=False)
        if verdict.scores and other.scores
    ]
    firsts = [winner(verdict) == 0 for verdict in verdicts if verdict.scores and len(verdict.scores) == 2]
    return Row(
        cell,
        right=_share(right),
        held_out=_share(hit for hit, item in zip(right, items, strict=True) if item.held_out),
        unread=_share(verdict.scores is None for verdict in verdicts),
        flips=_share(one != other for one, other in winners),
        first=_share(firsts),
    )


def is_right(verdict: Verdict, item: Item) -> bool:
    """Whether a verdict on `item.case(...)` agrees with the item's grades, as `Row.right` says."""
    if verdict.scores is None:
        return False
    if len(item.grades) == 1:
        return abs(1 + 4 * verdict.scores[0] - item.grades[0]) < 0.5
    return winner(verdict) == item.grades.index(max(item.grades))


def winner(verdict: Verdict) -> int | None:
    """Which candidate of a pair has the larger share; `None` in a tie."""
    assert verdict.scores is not None
    first, second = verdict.scores
    return None if first == second else int(second > first)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, with 95 % intervals."""
    lines = [
        "| cell | right | right, held-out combinations | order flips | first preferred | unread |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {line.cell} | {line.right} | {line.held_out} | {line.flips} | {line.first} | {line.unread.value:.1%} |"
        for line in rows
    ]
    return "\n".join(lines)


def answers_by_kind(judge: Judge, *, items: int = 2000, seed: int = 31) -> dict[str, dict[int, Share]]:
    """What matters in a reward: how often each kind of answer to a question is scored 1, 3 and 5, judged alone.

    The kinds are right, half right (a false detail), well-formed and wrong, and junk, which no reading makes sense of.
    """
    drawn = draw_items(CELLS["image understanding, point"], items, seed=seed)
    scored: dict[str, list[int | None]] = {}
    for item, verdict in zip(drawn, judge(cases_of(drawn, seed=[seed, 0])), strict=True):
        assert isinstance(item, AnswerItem)
        well_formed = read_answer(item.answers[0]) is not None
        kind = {5: "right", 3: "half right"}.get(item.grades[0], "well-formed and wrong" if well_formed else "junk")
        scored.setdefault(kind, []).append(None if verdict.scores is None else round(1 + 4 * verdict.scores[0]))
    return {
        kind: {score: _share(one == score for one in scores) for score in (5, 3, 1)} for kind, scores in scored.items()
    }


def _share(hits: Iterable[bool]) -> Share:
    counted = list(hits)
    return Share(sum(counted), len(counted))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, help="a folder that train_judge left (default: the embedded judge)")
    parser.add_argument("--items", type=int, default=1000, help="fresh items in each cell (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=FRESH_SEED, help="another seed, other items")
    parser.add_argument("--answers", action="store_true", help="how answers of each kind are scored, instead")
    arguments = parser.parse_args()
    judge = load_from(arguments.judge, name=str(arguments.judge)) if arguments.judge else load_judge("shapes")
    if arguments.answers:
        for kind, shares in answers_by_kind(judge).items():
            counts = ", ".join(f"{share.value:.1%} scored {score}" for score, share in shares.items())
            print(f"{kind} ({shares[5].trials}): {counts}")
    else:
        print(table(evaluate(judge, items=arguments.items, seed=arguments.seed)))


if __name__ == "__main__":
    main()
