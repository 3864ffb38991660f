"""Readers of replies that name the better of two candidates in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from unireward_plugins.parsing.reading import (
    FLAGS,
    SIGNED,
    WINS,
    Parts,
    Reader,
    last,
    plain,
    unread,
)
from unireward_plugins.parsing.scores import MOST_NAMES
from unireward_plugins.types import Verdict

_CANDIDATE = (
    r"(?:edited\s++)?(?:(?P<ordinal>first|second)\s++(?:edited\s++)?(?:image|video|answer|response)"
    r"|(?:image|video|answer|response)\s*+(?P<digit>[12]))"
)
_DENIAL = r"(?:not|no|never|hardly|barely|scarcely|far|nothing|neither|nor|less)\b"
_OPINION = r"(?:not|cannot|\w{1,8}n['\u2019]t)\s++(?:think|believe|feel|find|see|say|claim|agree|conclude)(?:\s++that)?"
_MENTION = re.compile(
    # `nor Image 2 is better`, `whether Image 1 is better`, `I do not think Image 1 is better` choose no candidate.
    rf"\b(?P<hedge>(?:neither|nor|whether|if|or|{_OPINION})\s++(?:the\s++)?)?"
    rf"{_CANDIDATE}\s++(?:is|was)\s++(?:(?!{_DENIAL})\w++\s++){{0,2}}?better\b"
    r"|(?<!not )\b(?P<tie>equally\s++good)\b",
    FLAGS,
)
_CONCLUSION = re.compile(
    r"\b(?:overall\s++judge?ment|final\s++(?:verdict|answer|judge?ment)|therefore|in\s++conclusion)\b", FLAGS
)
_OVERALL = re.compile(r"\boverall\s++judge?ment\b", FLAGS)
_SENTENCE_END = re.compile(r"[.!?]\s|\n")
_BARE_ANSWER = re.compile(rf"\W*+{_CANDIDATE}\s++is\s++better\W*+", FLAGS)
_ANSWER_TAG = re.compile(r"<(?P<closes>/?)answer>", FLAGS)
_POINTS = re.compile(
    rf"\b(?:image|video|answer)\s*+(?P<candidate>[12])\s*+[(:]\s*+(?P<points>{SIGNED})\s*+/\s*+10(?![0-9.])", FLAGS
)


def verdict(*, ties: bool) -> Reader:
    """A sentence such as `Image 1 is better than Image 2.`, `Answer 2 is slightly better` or `Both are equally good`.

    Scores: 1 and 0 for the winner and the other, 0.5 each for a tie where `ties` are allowed. Where a reply names
    both, what stands after its last `therefore`, `final verdict` or the like counts, else its last sentence with a
    verdict.
    """
    return Reader(_verdict, (ties,))


def _verdict(parts: Parts, ties: bool) -> Verdict:  # noqa: FBT001
    return winner_in(parts.plain, ties=ties)


def overall_judgment() -> Reader:
    """As `verdict` without ties, in what stands after the last `Overall Judgment`, where the reply has one."""
    return Reader(_overall_judgment)


def _overall_judgment(parts: Parts) -> Verdict:
    text = parts.plain
    label = last(_OVERALL.finditer(text))
    return winner_in(text[label.end() :] if label else text, ties=False)


def winner_in(text: str, *, ties: bool) -> Verdict:
    """The verdict that a text comes to in words."""
    mentions = list(_MENTION.finditer(text))
    if not mentions:
        return unread("no_verdict")
    for part in _decisive(text, mentions):
        named = {name for mention in part for name in _named(mention)}
        if len(named) == 1:
            winner = named.pop()
            return Verdict(WINS[winner]) if ties or winner != "tie" else unread("no_verdict")
    return unread("both")


def _decisive(text: str, mentions: Sequence[re.Match[str]]) -> Iterator[Sequence[re.Match[str]]]:
    """All mentions; those after the last conclusion; those in the last sentence that has any."""
    yield mentions
    conclusion = last(_CONCLUSION.finditer(text))
    if conclusion:
        yield [mention for mention in mentions if mention.start() >= conclusion.end()]
    boundary = last(_SENTENCE_END.finditer(text, 0, mentions[-1].start()))
    yield [mention for mention in mentions if mention.start() >= (boundary.end() if boundary else 0)]


def _named(mention: re.Match[str]) -> tuple[str, ...]:
    if mention["tie"]:
        return ("tie",)
    if mention["hedge"]:
        return ("1", "2")
    return (mention["digit"] or {"first": "1", "second": "2"}[mention["ordinal"].lower()],)


def think_answer() -> Reader:
    """Reasoning in `<think>`, then `<answer>Image 1 is better</answer>`; the tags around either may be lost.

    Scores: 1 and 0. Aspects: `dimension/clarity` for each dimension that the reasoning scores for both (1..10), and
    `total`, their sums, which are added up here: where they point the other way than the scores, the judge
    contradicts itself, and its answer counts.
    """
    return Reader(_think_answer)


def _think_answer(parts: Parts) -> Verdict:
    text = _answer_body(parts)
    if text is None:
        return unread("truncated")
    found = winner_in(plain(text), ties=False)
    return Verdict(found.scores, aspects=thought_scores(plain(parts.thought)), unread=found.unread)


def _answer_body(parts: Parts) -> str | None:
    """The text that holds the answer; `None` where the reply ends before it."""
    start, body, is_open = 0, None, False
    for tag in _ANSWER_TAG.finditer(parts.answer):
        if tag["closes"] and is_open:
            body = parts.answer[start : tag.start()]
        is_open = not tag["closes"]
        start = tag.end()
    if body is not None:
        return body
    if is_open or parts.thought:
        return parts.answer[start:] if is_open else parts.answer
    # Neither tag: reasoning whose opening tag stood in the prompt and that was cut off, or the answer alone.
    return parts.answer if _BARE_ANSWER.fullmatch(plain(parts.answer)) else None


def thought_scores(thought: str) -> dict[str, tuple[float, ...]]:
    """The dimensions that the reasoning scores for both candidates, on one line or three, and their sums."""
    scores: dict[str, dict[str, float]] = {}
    heading = ""
    for line in thought.split("\n"):
        points = list(_POINTS.finditer(line))
        name = _dimension_name(line[: points[0].start()] if points else line)
        heading = name or heading
        for point in points:
            scores.setdefault(heading, {})[point["candidate"]] = float(point["points"])
    read = {
        f"dimension/{name}": (both["1"], both["2"])
        for name, both in list(scores.items())[:MOST_NAMES]
        if len(both) == 2 and all(1 <= value <= 10 for value in both.values())
    }
    total = tuple(map(sum, zip(*read.values(), strict=True)))
    return {**read, "total": total} if read else {}


def _dimension_name(text: str) -> str:
    """`1. Clarity: ` -> `clarity`."""
    return text.strip().lstrip("0123456789.)-[#( \t").rstrip(":-]( \t").lower()[:60]
