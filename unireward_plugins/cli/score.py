"""`unireward score`: how good each candidate is by itself."""

from __future__ import annotations

from collections.abc import Sequence

import click

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.batch import Answer, judge_file, watched
from unireward_plugins.cli.cases import Files, Row, check_judged
from unireward_plugins.cli.options import JudgeChoice, case_options, judge_options, output_options
from unireward_plugins.cli.output import progress, show_json, show_table
from unireward_plugins.cli.verdicts import as_record, explain_unread, score_table
from unireward_plugins.types import Judge, Verdict


@click.command()
@judge_options
@case_options
@output_options
def score(choice: JudgeChoice, asked: Row | Files, *, as_json: bool) -> int:
    """Score each candidate by itself, from 0 to 1.

    A CANDIDATE is the path of a picture or clip, or a text that answers a question about --context.

    \b
    unireward score --judge shapes --prompt "a red circle" one.png two.png
    unireward score --judge shapes --prompt "What colour is the circle?" --context one.png red blue
    unireward score --judge http://localhost:8000/v1 --input cases.jsonl --output verdicts.jsonl
    """
    if isinstance(asked, Files):
        settings = {"command": "score", **choice.settings()}
        return judge_file(choice, asked, _answers, arity=1, settings=settings, as_json=as_json)
    judge = choice.load()
    check_judged(judge, [asked], arity=1)
    with progress("judged", total=len(asked.labels)) as advance:
        [verdicts] = _verdicts(watched(judge, advance), [asked])
    if as_json:
        show_json(_answer(asked, verdicts))
    else:
        show_table(score_table(asked.labels, verdicts))
        explain_unread(asked.labels, verdicts)
    return INCOMPLETE if any(verdict.scores is None for verdict in verdicts) else OK


def _verdicts(judge: Judge, rows: Sequence[Row]) -> list[list[Verdict]]:
    """The verdicts on each row's candidates, from one call of the judge."""
    verdicts = iter(judge([case for row in rows for case in row.alone()]))
    return [[next(verdicts) for _ in row.labels] for row in rows]


def _answers(judge: Judge, rows: Sequence[Row]) -> list[Answer]:
    return [_answer(row, verdicts) for row, verdicts in zip(rows, _verdicts(judge, rows), strict=True)]


def _answer(row: Row, verdicts: Sequence[Verdict]) -> Answer:
    return {
        "prompt": row.case.prompt,
        "candidates": row.labels,
        "scores": [None if verdict.scores is None else verdict.scores[0] for verdict in verdicts],
        "unread": sum(verdict.scores is None for verdict in verdicts),
        "verdicts": [as_record(verdict) for verdict in verdicts],
    }
