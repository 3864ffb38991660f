"""Readers of replies that hold numbers: one score, several dimensions, shares of a pair."""

from __future__ import annotations

import re
from dataclasses import replace
from math import isclose

from unireward_plugins.parsing.reading import (
    FLAGS,
    NUMBER,
    NUMBER_ENDS,
    SIGNED,
    WINS,
    Parts,
    Reader,
    Value,
    checked,
    combined,
    labelled,
    unread,
)
from unireward_plugins.types import Verdict

FIVE_DIMENSIONS = {
    "visual_quality": r"visual\s++quality",
    "temporal_consistency": r"temporal\s++consistency",
    "dynamic_degree": r"dynamic\s++degree",
    "text_to_video_alignment": r"text[- ]to[- ]video\s++alignment",
    "factual_consistency": r"factual\s++consistency",
}
"""The dimensions of UnifiedReward v1 for videos, as aspects and as patterns of their labels."""

FINAL_SCORE = r"final\s*+score"
_BARE = re.compile(rf"\s*+{NUMBER}\s*+\.?\s*+", FLAGS)
_ELEMENT = re.compile(
    r"^[ \t]*+(?P<name>[^\n(]{1,80}?\([^()\n]{0,40}+\))[ \t]*+:[ \t]*+(?P<value>[01])[ \t]*+$", FLAGS | re.M
)
_BLOCK = re.compile(r"\b(?P<name>alignment|coherence|style)\s++score\s*+(?:\([^()\n]{0,40}+\)\s*+)?+:", FLAGS)
_SHARE = re.compile(rf"\b(?:image|video)\s*+(?P<candidate>[12])\s*+:\s*+{NUMBER}{NUMBER_ENDS}", FLAGS)
_WORDS = re.compile(r"\bword-wise\s++scores?\s*+:", FLAGS)
_WORD = re.compile(
    r"\[\s*+(?:\"(?P<double>(?:[^\"\\\n]|\\.){1,80}+)\"|'(?P<single>(?:[^'\\\n]|\\.){1,80}+)')"
    rf"\s*+,\s*+(?P<value>{SIGNED})\s*+\]",
    FLAGS,
)
_NO_SCORE = re.compile(r"\b(?:image|video|answer|response)\s*+[12]\b|^[ \t]*+[0-9]++[.)](?=\s)", FLAGS | re.M)
"""Numbers that are no scores: those of the candidates, and those of a list."""
_EDIT_SCORE = re.compile(rf"\bimage\s*+(?P<candidate>[12])\b[^0-9\n+\-:=]{{0,20}}+[:=]\s*+{NUMBER}{NUMBER_ENDS}", FLAGS)
_ANY_NUMBER = re.compile(rf"(?<![0-9A-Za-z_.]){NUMBER}{NUMBER_ENDS}", FLAGS)

MOST_NAMES = 200
"""The most aspects that are taken from what a judge names itself: words, elements, dimensions."""


def final_score(low: float, high: float) -> Reader:
    """`Final Score: 3.7`, the last one, on the scale `low`..`high`; or a reply that is nothing but a number.

    A later `Final Score:` that cannot be read leaves no verdict: what stood before it was taken back.

    Scores: one, brought to 0..1. Aspects: `final_score` as it was written, and `element/dog (animal)` (0 or 1) for
    each line in which the judge says whether it found an element of the caption.
    """
    return Reader(_final_score, (low, high))


def _final_score(parts: Parts, low: float, high: float) -> Verdict:
    text = parts.plain
    label = labelled(FINAL_SCORE, text)
    elements = {
        f"element/{element['name'].strip()}": (float(element["value"]),)
        for element, _ in zip(_ELEMENT.finditer(text), range(MOST_NAMES), strict=False)
    }
    value = checked(label or _BARE.fullmatch(text), low, high)
    if isinstance(value, str):
        return unread(value, elements)
    return Verdict(((value - low) / (high - low),), aspects={"final_score": (value,), **elements})


def dim_lines(*names: str, low: float = 1, high: float = 5) -> Reader:
    """One line per dimension, `Alignment Score (1-5): 2.69`; the last one of each name.

    Scores: one, the mean of all dimensions brought to 0..1, where all were read. Aspects: the dimensions that were
    read.
    """
    return Reader(_dim_lines, (names, low, high))


def _dim_lines(parts: Parts, names: tuple[str, ...], low: float, high: float) -> Verdict:
    text = parts.plain
    return combined({name: _single(rf"{name}\s++score", text, low, high) for name in names}, low, high)


def _single(label: str, text: str, low: float, high: float) -> tuple[float] | str:
    value = checked(labelled(label, text), low, high)
    return value if isinstance(value, str) else (value,)


def word_scores(*names: str, low: float = 1, high: float = 5) -> Reader:
    """As `dim_lines`, with a score for each word of the caption before: `Word-wise Scores: [["dog", 0.9], ...]`.

    A word's score says how *badly* it is represented. Aspects: also `word/dog`; where a word occurs several times,
    its worst.
    """
    return Reader(_word_scores, (names, low, high))


def _word_scores(parts: Parts, names: tuple[str, ...], low: float, high: float) -> Verdict:
    verdict = _dim_lines(parts, names, low, high)
    if _WORDS.search(parts.plain) is None:
        return verdict
    # The list is read from the reply as it is: words may hold what `plain` takes for markup.
    words: dict[str, list[float]] = {}
    for found, _ in zip(_WORD.finditer(parts.answer), range(MOST_NAMES), strict=False):
        word = re.sub(r"\\(.)", r"\1", found["double"] or found["single"])
        words.setdefault(f"word/{word}", []).append(float(found["value"]))
    aspects = {**verdict.aspects, **{name: (max(scores),) for name, scores in words.items()}}
    return replace(verdict, aspects=aspects)


def five_dim() -> Reader:
    """The five lines of UnifiedReward v1 for videos, `visual quality: 4`, each from 1 to 4.

    Scores: one, the mean of the five brought to 0..1. The `Final Score` (1..10) of this format was never trained
    (CodeGoat24/UnifiedReward, issue 44): it is the aspect `final_score` and counts for nothing.
    """
    return Reader(_five_dim)


def _five_dim(parts: Parts) -> Verdict:
    text = parts.plain
    verdict = combined({name: _single(label, text, 1, 4) for name, label in FIVE_DIMENSIONS.items()}, 1, 4)
    final = checked(labelled(FINAL_SCORE, text), 1, 10)
    aspects = verdict.aspects if isinstance(final, str) else {**verdict.aspects, "final_score": (final,)}
    return replace(verdict, aspects=aspects)


def pair_blocks(*names: str) -> Reader:
    """One block per dimension: `Alignment Score:`, then `Image 1: 0.43` and `Image 2: 0.57`, shares that sum to 1.

    Scores: two, the mean share of each candidate, where all dimensions were read. Aspects: the dimensions that were
    read. A dimension whose shares miss 1 by more than 0.05 is not read; smaller errors are divided out.
    """
    return Reader(_pair_blocks, (names,))


def _pair_blocks(parts: Parts, names: tuple[str, ...]) -> Verdict:
    text = parts.plain
    heads = list(_BLOCK.finditer(text))
    ends = [*(head.start() for head in heads), len(text)][1:]
    blocks = {head["name"].lower(): text[head.end() : end] for head, end in zip(heads, ends, strict=True)}
    return combined({name: _shares(blocks.get(name, "")) for name in names}, 0, 1)


def _shares(block: str) -> tuple[float, float] | str:
    """The two shares of a block: the first that it gives each candidate, as a summary may follow the last block."""
    found: dict[str, Value] = {}
    for share in _SHARE.finditer(block):
        found.setdefault(share["candidate"], checked(share, 0, 1))
    first, second = found.get("1", "no_verdict"), found.get("2", "no_verdict")
    if isinstance(first, str):
        return first
    if isinstance(second, str):
        return second
    total = first + second
    return (first / total, second / total) if isclose(total, 1, abs_tol=0.05) else "range"


def edit_pair_numbers() -> Reader:
    """A number for each of two edits, on no fixed scale and possibly below zero: `Edited Image 1: -0.53`, ...

    Numbers without labels are read where there are exactly two, and nothing else or a decimal point in both.
    Scores: the greater number wins, equal numbers tie; how much greater means nothing without a scale.
    Aspects: `score`, the numbers as they were written.
    """
    return Reader(_edit_pair_numbers)


def _edit_pair_numbers(parts: Parts) -> Verdict:
    text = parts.plain
    found = {score["candidate"]: checked(score) for score in _EDIT_SCORE.finditer(text)}
    first, second = (found["1"], found["2"]) if len(found) == 2 else _bare_pair(_NO_SCORE.sub("", text))
    if isinstance(first, str):
        return unread(first)
    if isinstance(second, str):
        return unread(second)
    winner = "tie" if first == second else "1" if first > second else "2"
    return Verdict(WINS[winner], aspects={"score": (first, second)})


def _bare_pair(text: str) -> tuple[Value, Value]:
    """The two numbers of a text that has two; among words they need a decimal point, since words count things too."""
    numbers = list(_ANY_NUMBER.finditer(text))
    if len(numbers) != 2 or (any(map(str.isalpha, text)) and not all("." in number["number"] for number in numbers)):
        return "no_verdict", "no_verdict"
    return checked(numbers[0]), checked(numbers[1])
