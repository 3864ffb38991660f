"""`unireward rank`: which of several candidates is best, from comparisons of two at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import click

from unireward_plugins import tournament
from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.batch import Answer, judge_file, watched
from unireward_plugins.cli.cases import Files, Row, check_judged
from unireward_plugins.cli.options import JudgeChoice, case_options, judge_options, output_options
from unireward_plugins.cli.output import Table, number, progress, show_json, show_table
from unireward_plugins.cli.verdicts import as_record, explain_unread
from unireward_plugins.games import Game, equals_draw
from unireward_plugins.types import Judge

Format = Literal["round-robin", "swiss", "knockout"]

FORMATS: tuple[Format, ...] = ("round-robin", "swiss", "knockout")


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a tournament says of its candidates, each list in the order in which they were given."""

    win_rates: list[float | None]
    strengths: list[float | None]
    order: list[int]
    """The candidates' numbers, best first; those without a game that was read come last."""


@click.command()
@judge_options
@case_options
@click.option(
    "--tournament",
    "format_",
    type=click.Choice(FORMATS),
    default="round-robin",
    show_default=True,
    help="Who meets whom: everyone (n(n-1)/2 comparisons), neighbours in the standings (about n/2 log n), or winners "
    "only (n-1).",
)
@output_options
def rank(choice: JudgeChoice, asked: Row | Files, *, format_: Format, as_json: bool) -> int:
    """Rank candidates, best first, by comparing two at a time.

    A CANDIDATE is the path of a picture or clip, or a text that answers a question about --context. The win rate is the
    share of points; the strength is by Bradley and Terry, which takes account of the rivals and orders a tournament in
    which not everyone meets.

    \b
    unireward rank --judge shapes --prompt "a red circle" one.png two.png three.png
    unireward rank --judge shapes --prompt "What colour is the circle?" --context one.png red blue
    unireward rank --judge http://localhost:8000/v1 --input cases.jsonl --output verdicts.jsonl
    """
    if isinstance(asked, Files):
        settings = {"command": "rank", "tournament": format_, **choice.settings()}
        answer = functools.partial(_answers, format_=format_)
        return judge_file(choice, asked, answer, arity=2, settings=settings, as_json=as_json)
    judge = choice.load()
    check_judged(judge, [asked], arity=2)
    with progress("compared", total=count_games(len(asked.labels), format_)) as advance:
        [games] = play(watched(equals_draw(judge), advance), [asked], format_)
    ranking = ranked(len(asked.labels), games, format_)
    if as_json:
        show_json(_answer(asked, games, ranking))
    else:
        show_table(_table(asked.labels, games, ranking))
        pairs = [f"{asked.labels[game.first]} against {asked.labels[game.second]}" for game in games]
        explain_unread(pairs, [game.verdict for game in games])
    return INCOMPLETE if any(game.share is None for game in games) else OK


def count_games(players: int, format_: Format) -> int:
    """How many comparisons a tournament of so many candidates takes."""
    match format_:
        case "round-robin":
            return players * (players - 1) // 2
        case "swiss":
            return math.ceil(math.log2(players)) * (players // 2)
        case "knockout":
            return players - 1


def play(judge: Judge, rows: Sequence[Row], format_: Format) -> list[list[Game]]:
    """The games of a tournament among each row's candidates; those of a round robin are all one call of the judge."""
    if format_ != "round-robin":
        return [_play_rounds(judge, row, format_) for row in rows]
    pairings = [tournament.round_robin(len(row.labels)) for row in rows]
    cases = [row.of(i, j) for row, pairs in zip(rows, pairings, strict=True) for i, j in pairs]
    verdicts = iter(judge(cases))
    return [[Game(i, j, next(verdicts)) for i, j in pairs] for pairs in pairings]


def _play_rounds(judge: Judge, row: Row, format_: Format) -> list[Game]:
    games: list[Game] = []

    def play_round(pairings: list[tournament.Pairing]) -> list[float | None]:
        verdicts = judge([row.of(i, j) for i, j in pairings])
        played = [Game(i, j, verdict) for (i, j), verdict in zip(pairings, verdicts, strict=True)]
        games.extend(played)
        return [game.share for game in played]

    if format_ == "swiss":
        tournament.swiss(len(row.labels), play_round)
    else:
        tournament.knockout(len(row.labels), play_round)
    return games


def ranked(count: int, games: Sequence[Game], format_: Format) -> Ranking:
    """The ranking of so many candidates: by win rate where everyone met everyone, by strength otherwise."""
    results = [(game.first, game.second, game.share) for game in games]
    win_rates = tournament.win_rates(count, results)
    strengths = tournament.bradley_terry(count, results)
    merits = win_rates if format_ == "round-robin" else strengths
    order = sorted(range(count), key=lambda player: (merits[player] is None, -(merits[player] or 0.0)))
    return Ranking(win_rates, strengths, order)


def _answers(judge: Judge, rows: Sequence[Row], *, format_: Format) -> list[Answer]:
    return [
        _answer(row, games, ranked(len(row.labels), games, format_))
        for row, games in zip(rows, play(equals_draw(judge), rows, format_), strict=True)
    ]


def _answer(row: Row, games: Sequence[Game], ranking: Ranking) -> Answer:
    return {
        "prompt": row.case.prompt,
        "candidates": row.labels,
        "ranking": ranking.order,
        "win_rates": ranking.win_rates,
        "strengths": ranking.strengths,
        "unread": sum(game.share is None for game in games),
        "games": [{"first": game.first, "second": game.second, **as_record(game.verdict)} for game in games],
    }


def _table(labels: Sequence[str], games: Sequence[Game], ranking: Ranking) -> Table:
    read = [game for game in games if game.share is not None]
    rows = [
        (
            str(place) if ranking.win_rates[player] is not None else "",
            labels[player],
            number(ranking.win_rates[player]),
            number(ranking.strengths[player]),
            str(sum(player in (game.first, game.second) for game in read)),
        )
        for place, player in enumerate(ranking.order, start=1)
    ]
    numbers = ("rank", "win rate", "strength", "comparisons")
    return Table(("rank", "candidate", *numbers[1:]), rows, numbers=frozenset(numbers))
