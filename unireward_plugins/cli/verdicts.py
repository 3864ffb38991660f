"""How verdicts are written for programs and shown to people."""

from __future__ import annotations

from collections.abc import Sequence

from unireward_plugins.cli.output import Table, note, number
from unireward_plugins.types import UNREAD_REASONS, Verdict

REPLY_SHOWN = 600
"""The most characters of a reply without a verdict that people are shown; JSON has all of it."""

LABEL_SHOWN = 300
"""The most characters of the candidate beside it, which may be a long text."""

REPLIES_SHOWN = 3
"""The most such replies."""


def as_record(verdict: Verdict, *, reply: bool = True) -> dict[str, object]:
    """The verdict as JSON: scores and aspects, the reason where there are no scores, and the judge's own words."""
    written: dict[str, object] = {
        "scores": verdict.scores,
        "aspects": {name: list(values) for name, values in verdict.aspects.items()},
    }
    if verdict.unread is not None:
        written["unread"] = verdict.unread
    if reply:
        written["reply"] = verdict.reply
    return written


def aspect_names(verdicts: Sequence[Verdict]) -> list[str]:
    """Every aspect that any of the verdicts has, in the order of first appearance, less details (`element/dog`)."""
    return list(dict.fromkeys(name for verdict in verdicts for name in verdict.aspects if "/" not in name))


def score_table(labels: Sequence[str], verdicts: Sequence[Verdict]) -> Table:
    """One line for each candidate that was judged alone."""
    aspects = aspect_names(verdicts)
    rows = [
        (
            label,
            number(verdict.scores[0]) if verdict.scores else "unread",
            *(number(verdict.aspects[name][0]) if name in verdict.aspects else "" for name in aspects),
        )
        for label, verdict in zip(labels, verdicts, strict=True)
    ]
    return Table(
        ("candidate", "score", *aspects), rows, numbers=frozenset({"score", *aspects}), styles={"unread": "yellow"}
    )


def explain_unread(labels: Sequence[str], verdicts: Sequence[Verdict]) -> None:
    """Say on standard error why replies held no verdict, with the beginning of each reply."""
    unread = [(label, verdict) for label, verdict in zip(labels, verdicts, strict=True) if verdict.unread is not None]
    for label, verdict in unread[:REPLIES_SHOWN]:
        said = f". The reply: {_beginning(verdict.reply, REPLY_SHOWN)!r}" if verdict.reply else ""
        note(f"no verdict on {_beginning(label, LABEL_SHOWN)}: {UNREAD_REASONS[verdict.unread or '']}{said}")
    if len(unread) > REPLIES_SHOWN:
        note(f"no verdict on {len(unread) - REPLIES_SHOWN} more; --json shows all")


def _beginning(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
