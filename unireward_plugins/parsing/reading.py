"""What all readers share: how a reply is prepared, and how labelled numbers are found and checked in it.

Every pattern is written with possessive or bounded repeats, so that reading takes time linear in the length of the
reply whatever it holds; patterns match ASCII only, so that no letter of another alphabet passes for one of a label.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import isnan
from typing import TypeAlias

from unireward_plugins.types import Verdict

FLAGS = re.IGNORECASE | re.ASCII

SIGNED = r"[-+]?[0-9]++(?:\.[0-9]++)?+"
NUMBER = (
    rf"(?P<number>nan|[-+]?inf(?:inity)?+|{SIGNED})(?:\s*+(?:/|out\s++of\b)\s*+(?P<scale>[0-9]{{1,6}}+(?:\.0++)?+))?+"
)
NUMBER_ENDS = r"(?![0-9A-Za-z_]|[.,][0-9]|[ \t]{0,3}(?:-|to\b|or\b)[ \t]{0,3}[0-9])"
"""What may not follow a number: the rest of a longer one (`1.2.3`, `4,5`), or the end of a range (`4-5`)."""

LARGEST = sys.float_info.max

WINS: Mapping[str, tuple[float, float]] = {"1": (1.0, 0.0), "2": (0.0, 1.0), "tie": (0.5, 0.5)}
"""The scores of a comparison, by who wins."""

Value: TypeAlias = float | str
"""A number that was read, or the reason why there is none (a key of `UNREAD_REASONS`)."""

_PLAIN = str.maketrans(
    {
        **dict.fromkeys("*`"),
        "：": ":",  # noqa: RUF001  # full-width colon
        "−": "-",  # noqa: RUF001  # U+2212, the minus sign
        "–": "-",  # noqa: RUF001
        "—": "-",
        **dict.fromkeys("\xa0\u1680\u202f\u205f\u3000", " "),
        **dict.fromkeys(map(chr, range(0x2000, 0x200B)), " "),
    }
)


@dataclass(frozen=True, slots=True)
class Parts:
    """A reply, split where its reasoning ends."""

    thought: str
    """What stands before the last `</think>`."""
    answer: str
    """What stands after it; the whole reply where there is none."""

    @property
    def plain(self) -> str:
        """The answer without the markup that models put around labels."""
        return plain(self.answer)


@dataclass(frozen=True, slots=True)
class Reader:
    """A reply format: a pure function from any reply to a verdict. It never raises, and never guesses."""

    find: Callable[..., Verdict]
    """Reads the parts of a reply that is neither empty nor cut off while reasoning."""
    options: tuple[object, ...] = ()
    """What `find` takes after the parts."""

    def __call__(self, reply: str | None) -> Verdict:
        """The verdict in a reply, with the reply in it."""
        if not isinstance(reply, str) or not reply.strip():
            return Verdict(None, reply=reply if isinstance(reply, str) else "", unread="empty")
        parts = split_thinking(reply)
        verdict = unread("truncated") if parts is None else self.find(parts, *self.options)
        return replace(verdict, reply=reply)


def unread(reason: str, aspects: Mapping[str, tuple[float, ...]] | None = None) -> Verdict:
    """No verdict, and why."""
    return Verdict(None, aspects=aspects or {}, unread=reason)


_THINK = re.compile(r"<(?P<closes>/?)think>", FLAGS)


def split_thinking(reply: str) -> Parts | None:
    """The reply split at its last `</think>`; `None` where a `<think>` was opened after it and never closed.

    The opening tag may be missing (chat templates put it before the reply), and so may both.
    """
    end, is_open = 0, False
    for tag in _THINK.finditer(reply):
        is_open = not tag["closes"]
        end = end if is_open else tag.end()
    return None if is_open else Parts(thought=reply[:end], answer=reply[end:])


def plain(text: str) -> str:
    """Text without bold, italics and back-ticks, with plain spaces, colons and minus signs."""
    return text.translate(_PLAIN).replace("__", "")


def labelled(label: str, text: str) -> re.Match[str] | None:
    """The last `label: 4`, `label (1-5): 4.5/5` or `label = nan` of a text; `label` is itself a pattern.

    None where the label stands once more behind it, with a colon and without a number that can be read: a judge that
    corrects itself does not mean what it said before.
    """
    valued, named = _labels(label)
    found = last(valued.finditer(text))
    return None if found is None or named.search(text, found.end()) else found


@cache
def _labels(label: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The patterns for a label with a number, and for one with a colon."""
    begin = rf"\b{label}\s*+(?:\([^()\n]{{0,40}}+\)\s*+|\[[^\[\]\n]{{0,40}}+\]\s*+)?+"
    valued = rf"{begin}(?:[:=]|-(?=\s))?+\s*+{NUMBER}{NUMBER_ENDS}"
    return re.compile(valued, FLAGS), re.compile(rf"{begin}[:=]", FLAGS)


def last(matches: Iterable[re.Match[str]]) -> re.Match[str] | None:
    """The last of some matches, or none."""
    found = None
    for found in matches:  # noqa: B007
        pass
    return found


def checked(found: re.Match[str] | None, low: float = -LARGEST, high: float = LARGEST) -> Value:
    """The number of a match of `NUMBER`, where it lies on the scale from `low` to `high` (and says so in `4/5`)."""
    if found is None:
        return "no_verdict"
    value = float(found["number"])
    if isnan(value):
        return "nan"
    if not low <= value <= high or (found["scale"] and float(found["scale"]) != high):
        return "range"
    return value


def combined(dimensions: Mapping[str, tuple[float, ...] | str], low: float, high: float) -> Verdict:
    """The mean of some dimensions, brought from the scale `low`..`high` to 0..1, where all of them were read.

    The aspects hold the dimensions that were read, on their own scale, whether or not there are scores.
    """
    read = {name: values for name, values in dimensions.items() if not isinstance(values, str)}
    if len(read) < len(dimensions):
        return unread(
            _worst({reason for reason in dimensions.values() if isinstance(reason, str)}, some=bool(read)), read
        )
    scores = (sum(values) / len(read) for values in zip(*read.values(), strict=True))
    return Verdict(tuple((score - low) / (high - low) for score in scores), aspects=read)


def _worst(reasons: set[str], *, some: bool) -> str:
    """The reason to report where several dimensions are missing; `some` others were read."""
    telling = next((reason for reason in ("nan", "range") if reason in reasons), None)
    return telling or ("incomplete" if some else "no_verdict")
