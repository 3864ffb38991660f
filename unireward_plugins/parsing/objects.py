"""Readers of replies that should be JSON.

Models cut JSON off, leave trailing commas, fences and unescaped quotes in it. The readers look for the few keys that
they need, in the order of the text, instead of decoding it: what is whole is read, and nothing nests too deep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import isclose
from string import ascii_uppercase

from unireward_plugins.parsing.reading import (
    FLAGS,
    NUMBER,
    WINS,
    Parts,
    Reader,
    Value,
    checked,
    combined,
    last,
    plain,
    unread,
)
from unireward_plugins.parsing.scores import MOST_NAMES
from unireward_plugins.types import Verdict

_SCORE_LIST = re.compile(r"(?<![\w\\])[\"']?score[\"']?\s*+[:=]\s*+\[(?P<items>[^\[\]]{0,200}+)\]", FLAGS)
_ITEM = re.compile(rf"\s*+{NUMBER}\s*+", FLAGS)
_ENTRY = re.compile(
    r"(?<!\\)\"(?P<key>name|dims|score_1|score_2|cat_winner|winner)\"\s*+:\s*+"
    rf"(?:\"(?P<text>(?:[^\"\\\n]|\\.){{0,400}}+)\"|{NUMBER}(?=\s*+[,}}\]])|\[)(?P<nested>\s*+,?+\s*+\}}\s*+[,\]])?+",
    FLAGS,
)
_LETTERED = re.compile(r"[A-Z][.:)\s]", FLAGS)
"""`A. Semantic Alignment`"""
_DIGIT = re.compile(r"(?<![0-9])[12](?![0-9])")

MOST_CATEGORIES = 26
"""As many as there are letters; the format has three or four."""


def edit_json(*names: str, high: float = 25) -> Reader:
    """`{"reasoning": "...", "score": [20, 15]}`: one number from 0 to `high` for each of the names.

    Scores: one, the mean of the numbers brought to 0..1. Aspects: the numbers as they were written.
    """
    return Reader(_edit_json, (names, high))


def _edit_json(parts: Parts, names: tuple[str, ...], high: float) -> Verdict:
    found = last(_SCORE_LIST.finditer(parts.answer))
    if found is None:
        return unread("json" if "{" in parts.answer else "no_verdict")
    items = found["items"].strip().removesuffix(",").split(",")
    values = [checked(_ITEM.fullmatch(item), 0, high) for item in items]
    if len(values) != len(names):
        return unread("incomplete")
    return combined(
        {name: value if isinstance(value, str) else (value,) for name, value in zip(names, values, strict=True)},
        0,
        high,
    )


def flex_json() -> Reader:
    """UnifiedReward-Flex: categories, each with dimensions whose two scores sum to 10, and a winner over all.

    Scores: 1 and 0 by `winner`. Aspects: `category/A` (1 and 0 by `cat_winner`) and `dimension/A/sharpness` (the two
    scores, 0..10); `dropped_dimensions` counts those whose scores do not sum to 10, where there are any. Categories go
    by their first letter, or by a free one where models rename them. A reply that was cut off keeps the aspects that
    are whole.
    """
    return Reader(_flex_json)


@dataclass(slots=True)
class _Category:
    """What is gathered of one category while the text is walked."""

    name: str
    dims: list[tuple[str, Value, Value]] = field(default_factory=list)
    """The name and the two scores of each dimension."""
    winner: str = ""


def _flex_json(parts: Parts) -> Verdict:
    entries = list(_ENTRY.finditer(parts.answer))
    winners = [entry for entry in entries if entry["key"].lower() == "winner" and not entry["nested"]]
    aspects = _flex_aspects(_categories(entries)[:MOST_CATEGORIES])
    if not winners:
        return unread("json" if "{" in parts.answer else "no_verdict", aspects)
    named = set(_DIGIT.findall(winners[-1]["text"] or ""))
    if len(named) != 1:
        return unread("both" if named else "no_verdict", aspects)
    return Verdict(WINS[named.pop()], aspects=aspects)


def _categories(entries: list[re.Match[str]]) -> list[_Category]:
    """The categories in the order of the text: each begins with the list of its dimensions, after its name."""
    categories: list[_Category] = []
    heading, half = "", dict[str, Value]()
    for entry in entries:
        key, text = entry["key"].lower(), entry["text"] or ""
        if key == "name":
            heading, half = text, {}
        elif key == "dims":
            categories.append(_Category(heading))
        elif key == "cat_winner" and categories:
            categories[-1].winner = text
        elif key.startswith("score_") and categories:
            half[key] = checked(entry, 0, 10) if entry["number"] else "no_verdict"
            if len(half) == 2:
                categories[-1].dims.append((heading, half["score_1"], half["score_2"]))
                half = {}
    return categories


def _letters(categories: list[_Category]) -> list[str]:
    """What to call each category: the letter before its name, else the first letter that none of them has."""
    own = [category.name[0].upper() if _LETTERED.match(category.name) else None for category in categories]
    free = (letter for letter in ascii_uppercase if letter not in own)
    return [letter or next(free) for letter in own]


def _flex_aspects(categories: list[_Category]) -> dict[str, tuple[float, ...]]:
    aspects: dict[str, tuple[float, ...]] = {}
    dropped = 0
    for letter, category in zip(_letters(categories), categories, strict=True):
        named = set(_DIGIT.findall(category.winner))
        if len(named) == 1:
            aspects[f"category/{letter}"] = WINS[named.pop()]
        for name, first, second in category.dims[:MOST_NAMES]:
            if isinstance(first, float) and isinstance(second, float) and isclose(first + second, 10):
                aspects[f"dimension/{letter}/{plain(name).strip().lower()[:60]}"] = (first, second)
            else:
                dropped += 1
    return {**aspects, "dropped_dimensions": (float(dropped), float(dropped))} if dropped else aspects
