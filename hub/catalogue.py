"""The published preference sets that are known by name: which files of which repository hold what, in which layout.

`collections.json` says it. File names and fields come from the repositories' listings on the Hub and from `dataset/` of
github.com/Tencent-Hunyuan/UnifiedReward, whose scripts read them. Where `files` is empty for a set of conversations,
nobody described its files, and all JSON files, else all Parquet files, that are there are looked at. Licences are those
that the repositories name; what they were made from has its own.

Of the two sets with no `files` this is known: the grades of UnifiedReward-2.0-T2X-score-data are means such as
2.7720999717712402 (issue 72 of github.com/CodeGoat24/UnifiedReward), and GPT-5.2 wrote the reasons of
UnifiedReward-Flex-SFT-90K, on 45,000 pairs of pictures and as many of clips (arXiv:2602.02380).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias

from unireward_plugins.errors import UniRewardError, did_you_mean
from unireward_plugins.types import Task

Layout: TypeAlias = Literal["conversations", "pick-a-pic"]
"""How a set is written: entries with conversations (`hub.conversations`), or a table (`hub.pick_a_pic`)."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of a collection holds."""

    task: Task
    arity: int
    """How many candidates an entry has: 1 has a score, 2 are a pair."""
    files: tuple[str, ...]
    """The files with its entries; empty where nobody knows which."""
    folders: tuple[str, ...]
    """The folders from which its pictures and clips are named."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A published set."""

    name: str
    repo: str
    licence: str
    """As its repository names it; empty where that is not known."""
    judge: str
    """Who said what is better."""
    layout: Layout
    parts: tuple[Part, ...]

    def part(self, task: Task | None, arity: int | None) -> Part:
        """The first part of that task and number of candidates; `UniRewardError` with those that there are."""
        for part in self.parts:
            if task in (None, part.task) and arity in (None, part.arity):
                return part
        there = ", ".join(f"task={part.task!r} with arity={part.arity}" for part in self.parts)
        raise UniRewardError(f"{self.name} has no part with {task=} and {arity=}; there are {there}")


@cache
def collections() -> Mapping[str, Collection]:
    """The published sets by name."""
    known = json.loads(files("hub").joinpath("collections.json").read_text(encoding="utf-8"))
    return {
        name: Collection(
            name,
            one["repo"],
            one["licence"],
            one["judge"],
            one["layout"],
            tuple(
                Part(part["task"], part["arity"], tuple(part["files"]), tuple(part["folders"])) for part in one["parts"]
            ),
        )
        for name, one in known.items()
    }


def find(name: str) -> Collection:
    """The collection of that name, whoever owns it, in any case; `UniRewardError` with the nearest names."""
    known = {one.lower(): collection for key, collection in collections().items() for one in (key, collection.repo)}
    if name.lower() in known:
        return known[name.lower()]
    raise UniRewardError(
        f"no collection is called {name!r}.{did_you_mean(name, collections())} There are "
        f"{', '.join(collections())}. A set that was pushed by this project loads with "
        "datasets.load_dataset(name, streaming=True)"
    )
