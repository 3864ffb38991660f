"""The card of pairs that were built: how they were made, what was asked and read, the scores, and some to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from diffusers_ext.gallery import WAYS_TOLD
from diffusers_ext.shards import read_pairs, records
from diffusers_ext.sift import WAYS, Way
from diffusers_ext.whole_files import write_whole
from hub.asked import Making
from hub.card_pictures import Example, draw_examples, draw_histogram, spread
from hub.cards import code, pairs_card
from hub.schema import KNOWN
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair

if TYPE_CHECKING:
    from diffusers_ext.build_pairs import Built, Plan

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "aspects": KNOWN["aspects"],
        "orders_agree": "whether the judge preferred the same candidate both ways when it compared the two, or each of "
        "them with its neighbour; nothing where a reply was not read",
        "chosen_seed": "the seed of the chosen candidate's starting noise",
        "rejected_seed": "the seed of the rejected candidate's",
        "origin": "where both come from, as JSON: pipeline, hash of its weights, type of numbers, device, place of the "
        "noise's generator, call arguments, versions",
    }
)
"""The columns of `hub.schema.KNOWN`, in the words of a card on such rows."""
NEEDED: Mapping[str, int] = MappingProxyType({"aspects": 1, "orders_agree": 2})
"""How many candidates must be judged at a time for a column to say something."""


def known_columns(way: Way) -> dict[str, str]:
    """The columns that rows have which were judged that way, and what they hold."""
    return {name: meaning for name, meaning in COLUMNS.items() if name not in NEEDED or NEEDED[name] in WAYS[way]}


def write_card(folder: Path, built: Built, plan: Plan, files: str) -> None:
    """Write `README.md` and its pictures for a run whose shards are in the folder; `files` finds its rows."""
    first = next(records(folder))
    histogram, examples = _draw_pictures(folder)
    card = pairs_card(
        first["task"],
        files=files,
        count=built.pairs,
        judge=plan.judge["name"],
        rubric=first["rubric"],
        dropped=built.dropped,
        more=known_columns(first["way"]),
        making=_making(folder, plan, first["way"]),
        histogram=histogram,
        examples=examples,
    )
    write_whole(folder / "README.md", card.encode())


def _making(folder: Path, plan: Plan, way: Way) -> Making:
    verdicts: list[float | None] = []
    agreements: list[bool] = []
    for one in records(folder):
        verdicts += [game["share"] for game in one["games"]]
        agreements += [game["orders_agree"] for game in one["games"] if game["orders_agree"] is not None]
        if 1 in WAYS[way]:
            verdicts += [candidate["score"] for candidate in one["candidates"] if not candidate["blanked"]]
    return Making(
        f"{plan.candidates} candidates of each of {len(plan.prompts):,} prompts, drawn from {_pipeline(plan.origin)}, "
        f"seeds from {plan.seed} on. {WAYS_TOLD[way]}",
        asked=len(verdicts),
        unread=verdicts.count(None),
        compared=len(agreements),
        flipped=agreements.count(False),
    )


def _pipeline(origin: Mapping[str, Any]) -> str:
    """A pipeline and what it was called with."""
    call = ", ".join(f"{argument}={value!r}" for argument, value in origin["call"].items())
    kind = f" ({origin['class']}, {origin['dtype']})" if origin["weights"] else ""
    return code(origin["pipeline"]) + kind + (f" with {code(call)}" if call else "")


def _draw_pictures(folder: Path) -> tuple[str, list[Example]]:
    """Draw the histogram of the scores, whose path is returned, and some pairs."""
    numbers: list[int] = []
    scores: dict[str, list[float]] = {"chosen": [], "rejected": []}
    for one in records(folder):
        if one["chosen"] is not None:
            numbers.append(one["number"])
            for role, values in scores.items():
                values.append(one["candidates"][one[role]]["score"])
    margins = [high - low for high, low in zip(scores["chosen"], scores["rejected"], strict=True)]
    shown = read_pairs(folder, {numbers[place] for place in spread(margins)})
    return draw_histogram(scores, folder), draw_examples([_pair(row) for _, row in shown], folder)


def _pair(row: Mapping[str, Any]) -> Pair:
    chosen, rejected = Media.of(row["chosen"]), Media.of(row["rejected"])
    return Pair(row["prompt"], chosen, rejected, row["chosen_score"], row["rejected_score"])
