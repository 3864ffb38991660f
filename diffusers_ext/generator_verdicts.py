"""Has judges grade the samples of a generator and compare them with those of another, in both orders."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from diffusers_ext.build_pairs import Progress, describe_judge
from diffusers_ext.load_pipeline import name_of
from diffusers_ext.piecewise import do_piecewise
from diffusers_ext.sample_files import Drawn, task_of
from diffusers_ext.shards import Record, records
from diffusers_ext.whole_files import write_whole
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import ModelJudge, ask, average_of_orders, in_one_order
from unireward_plugins.loading import load_judge
from unireward_plugins.types import Case, Judge, Verdict

PACKAGES = ("unireward-plugins", "torch", "transformers", "vllm", "openai", "pillow", "av")
"""The packages whose versions may change what a judge says."""
ABOUT = "judge.json"
"""Beside a judge's verdicts: who said them, written when all are there."""
PIPELINE, AGAINST, GAMES = "pipeline", "against", "games"
"""The two roles of generators, and what is played between them."""


@dataclass(frozen=True, slots=True)
class Named:
    """A judge that asks one order at a time, and what it is called."""

    name: str
    judge: Judge


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge said of all samples."""

    key: str
    about: Mapping[str, Any]
    """See `build_pairs.describe_judge`; and `versions`."""
    grades: Mapping[str, Sequence[Record]] | None
    """By role: for each prompt `number`, its samples' `verdicts` (`score`, `aspects`, `unread`, `said`; `None` where a
    sample was blanked) and `seconds` a verdict. `None` of a judge that only compares."""
    games: Sequence[Record] | None
    """For each prompt `number`, its `games` (`share`, `flipped`, `orders`) and `seconds` a verdict; `None` where there
    was nobody to compare with, or the judge only grades."""


def named_judges(judges: Sequence[str | Path | Judge], **choice: Any) -> list[Named]:
    """The judges that are meant, `choice` as of `load_judge`; `UniRewardError` unless there is one, able to judge."""
    if not judges:
        raise UniRewardError("give one judge at least")
    named = []
    for ref in judges:
        judge = in_one_order(load_judge(ref, **choice))
        if isinstance(judge, ModelJudge):
            if not any(task in ("image_generation", "video_generation") for task, _ in judge.rubrics):
                raise UniRewardError(f"judge {judge.name!r} judges neither pictures nor clips that were generated")
            named.append(Named(judge.name, judge))
        else:
            named.append(Named(ref if isinstance(ref, str) else name_of(judge), judge))
    if twice := {one.name for one in named if sum(one.name == other.name for other in named) > 1}:
        raise UniRewardError(
            f"two of the judges are called {', '.join(sorted(twice))}: their verdicts would be mixed up"
        )
    return named


def judge_samples(named: Named, drawn: Mapping[str, Drawn], *, work: Path, progress: Progress) -> str:
    """Ask a judge whatever it can answer about the samples, by role, and return the key of its folder in `work`.

    Raises `UniRewardError` for a judge that only compares where there is only one generator, `UnsupportedCase` for one
    that can judge neither way.
    """
    about = describe_judge(named.judge, [task_of(drawn[PIPELINE])]) | {"name": named.name}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    key = f"{re.sub('[^A-Za-z0-9]+', '-', named.name).strip('-')[-60:]}-{digest}"
    folder = work / key
    plan = {"judge": about}
    prompts = len(drawn[PIPELINE].records)

    def answered(what: str, do: Callable[[range], Sequence[Record]]) -> UnsupportedCase | None:
        try:
            do_piecewise(folder / what, plan, do, count=prompts, progress=progress)
        except UnsupportedCase as error:
            return error
        return None

    refused: dict[str, UnsupportedCase] = {}
    for role, one in drawn.items():
        if error := answered(role, lambda numbers, one=one: _grade(named.judge, one, numbers)):  # type: ignore[misc]
            refused["grades"] = error
            break
    if AGAINST in drawn:
        if error := answered(GAMES, lambda numbers: _play(named.judge, drawn, numbers)):
            refused[GAMES] = error
    elif refused:
        raise UniRewardError(
            f"judge {named.name!r} only compares ({refused['grades']}): give a second pipeline to compare with"
        )
    if len(refused) == 2:
        raise refused["grades"]
    write_whole(folder / ABOUT, json.dumps({"about": about, "cannot": sorted(refused)}).encode())
    return key


def read_judged(work: Path, roles: Sequence[str], prompts: int) -> list[Judged]:
    """The judges who have judged all samples of these roles, in this run or an earlier one."""
    found = (_read(file.parent, roles, prompts) for file in sorted(work.glob(f"*/{ABOUT}")))
    return [judged for judged in found if judged is not None]


def _read(folder: Path, roles: Sequence[str], prompts: int) -> Judged | None:
    told = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    grades = {role: list(records(folder / role)) for role in roles} if "grades" not in told["cannot"] else None
    games = list(records(folder / GAMES)) if AGAINST in roles and GAMES not in told["cannot"] else None
    parts = [*(grades or {}).values(), *([] if games is None else [games])]
    if not parts or any(len(part) != prompts for part in parts):
        return None
    versions: dict[str, list[str]] = {}
    for record in (record for part in parts for record in part):
        for package, number in record["versions"].items():
            if number not in versions.setdefault(package, []):
                versions[package].append(number)
    about = {**told["about"], "versions": {package: ", ".join(found) for package, found in versions.items()}}
    return Judged(folder.name, about, grades, games)


def _grade(judge: Judge, drawn: Drawn, numbers: range) -> list[Record]:
    """The verdicts on every sample of some prompts, each by itself."""
    places = [(number, sample) for number, sample in drawn.shown if number in numbers]
    prompts = drawn.sampling.prompts.prompts
    cases = [Case(prompts[number], (media,)) for number, sample in places if (media := drawn.media(number, sample))]
    verdicts, seconds = _timed(judge, cases)
    said = dict(zip(places, verdicts, strict=True))
    return [
        {
            "number": number,
            "verdicts": [
                _grade_told(said[number, sample]) if (number, sample) in said else None
                for sample in range(drawn.sampling.count)
            ],
            "seconds": seconds,
            "versions": installed(),
        }
        for number in numbers
    ]


def _play(judge: Judge, drawn: Mapping[str, Drawn], numbers: range) -> list[Record]:
    """The games between the samples of the same prompt and number, each question asked both ways round."""
    one, other = drawn[PIPELINE], drawn[AGAINST]
    both = set(other.shown)
    places = [place for place in one.shown if place in both and place[0] in numbers]
    prompts = one.sampling.prompts.prompts
    straight = [
        Case(prompts[number], (first, second))
        for number, sample in places
        if (first := one.media(number, sample)) and (second := other.media(number, sample))
    ]
    verdicts, seconds = _timed(judge, [*straight, *(case.reversed() for case in straight)])
    halves = verdicts[: len(straight)], [verdict.reversed() for verdict in verdicts[len(straight) :]]
    played = {place: _game_told(*game) for place, *game in zip(places, *halves, strict=True)}
    return [
        {
            "number": number,
            "games": [played.get((number, sample)) for sample in range(one.sampling.count)],
            "seconds": seconds,
            "versions": installed(),
        }
        for number in numbers
    ]


def _timed(judge: Judge, cases: Sequence[Case]) -> tuple[list[Verdict], float | None]:
    """The verdicts, and the seconds that one took; none where everything was blanked."""
    if not cases:
        return [], None
    began = time.monotonic()
    verdicts = ask(judge, cases)
    return verdicts, round((time.monotonic() - began) / len(cases), 4)


def _grade_told(verdict: Verdict) -> dict[str, Any]:
    return {
        "score": None if verdict.scores is None else verdict.scores[0],
        "aspects": {name: values[0] for name, values in verdict.aspects.items()},
        "unread": verdict.unread,
        "said": verdict.reply,
    }


def _game_told(straight: Verdict, turned: Verdict) -> dict[str, Any]:
    mean, winners = average_of_orders(straight, turned).scores, [_winner(one.scores) for one in (straight, turned)]
    return {
        # Of two answers that cancel out, one half exactly: their shares need not sum to 1 to the last digit.
        "share": None if mean is None else 0.5 if mean[0] == mean[1] else mean[0],
        "flipped": None if mean is None else winners[0] != winners[1],
        "orders": [
            {
                "share": None if one.scores is None else one.scores[0],
                "aspects": {name: list(values) for name, values in one.aspects.items()},
                "unread": one.unread,
                "said": one.reply,
            }
            for one in (straight, turned)
        ],
    }


def _winner(scores: tuple[float, ...] | None) -> int | None:
    """1 where the first has the larger share, -1 where the second, 0 in a tie; `None` where unread."""
    if scores is None:
        return None
    first, second = scores
    return (first > second) - (first < second)


@cache
def installed() -> dict[str, str]:
    """The versions of the packages that verdicts may depend on, of those that are there."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
