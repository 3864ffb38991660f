"""What the tests of `build_pairs` have in common: prompts, judges by a function, and what a run writes down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unireward_plugins.types import Case, Judge, Verdict

PROMPTS = ["a red circle", "a blue square", "a green {cross} & <b>more</b>"]


def records(folder: Path) -> list[dict[str, Any]]:
    files = sorted([*folder.glob("pairs-*/*/records.jsonl"), *folder.glob("shards/*/records.jsonl")])
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def dropped(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "dropped.jsonl").read_text().splitlines()]


def graded(by: Callable[[Case], float | None]) -> Judge:
    """A judge that grades by a function, and compares by the same; `None` is a reply without a verdict."""

    def judge(cases: Sequence[Case]) -> list[Verdict]:
        verdicts = []
        for case in cases:
            grades = [by(Case(case.prompt, (candidate,))) for candidate in case.candidates]
            if None in grades:
                verdicts.append(Verdict(None, unread="truncated"))
            elif len(grades) == 1:
                verdicts.append(Verdict((grades[0],)))  # type: ignore[arg-type]
            else:
                verdicts.append(Verdict({1: (1.0, 0.0), 0: (0.5, 0.5), -1: (0.0, 1.0)}[np.sign(grades[0] - grades[1])]))  # type: ignore[operator]
        return verdicts

    return judge


def shade_of(case: Case) -> int:
    return int(np.asarray(case.candidates[0].pil())[0, 0, 0])  # type: ignore[union-attr]
