"""Shows pairs as one HTML file that needs nothing else: pictures and clips, scores, and what the judge said."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from string import Template
from typing import TYPE_CHECKING, Any

from diffusers_ext.shards import DROPPED, Record, read_pairs, records
from diffusers_ext.whole_files import write_whole
from unireward_plugins.media.pictures import webp
from unireward_plugins.pairs import DROP_REASONS

if TYPE_CHECKING:
    from diffusers_ext.build_pairs import Built, Plan

PAIRS_SHOWN, DROPPED_SHOWN = 60, 60
"""The most pairs that are shown, spread evenly over the run, and the most prompts without one."""
SIDE, SMALL = 320, 160
"""Pictures are scaled down to this many pixels in width and height; up to `SMALL` they are drawn with sharp pixels."""
DOT = 10
"""Dots of scores are so far apart at least: the radii of a coloured and a plain one, so that none hides another."""
FRAMES, FRAME_MILLISECONDS = 24, 125
"""The most frames of a clip that are shown, and for how long each."""
WAYS_TOLD: Mapping[str, str] = {
    "neighbours": "Neighbours were compared in both orders and all candidates graded; the best graded winner is "
    "chosen, the worst graded loser rejected.",
    "tournament": "All candidates were compared with each other in both orders; a score is a share of points.",
    "grades": "Each candidate was graded by itself.",
}


def write_gallery(folder: Path, built: Built, plan: Plan) -> None:
    """Write `gallery.html` for a run whose shards are in the folder."""
    last, margins, paired, without = {}, [], [], []
    for last in records(folder):
        if last["chosen"] is None:
            without.append(last)
        else:
            paired.append(last["number"])
            margins.append(_score(last, "chosen") - _score(last, "rejected"))
    step = max(1, -(-len(paired) // PAIRS_SHOWN))
    cards = [card(found, row) for found, row in read_pairs(folder, set(paired[::step]))]
    page = Template(files("diffusers_ext").joinpath("gallery.html").read_text(encoding="utf-8")).substitute(
        about=escape(
            f"{plan.candidates} candidates of each prompt, judged by {plan.judge['name']}. {WAYS_TOLD[last['way']]}"
        ),
        numbers=numbers(built, margins),
        shown=f"{len(cards)} of {built.pairs:,} are shown, spread evenly." if step > 1 else "All of them are shown.",
        pairs="\n".join(cards) or "<p>There is none.</p>",
        dropped=dropped(built, without),
        settings="\n".join(table_row(name, value) for name, value in settings(plan, last).items()),
    )
    write_whole(folder / "gallery.html", page.encode())


def numbers(built: Built, margins: Sequence[float]) -> str:
    """What came out, in four numbers."""
    margin = f"{fmean(margins):.3f}" if margins else "\N{EN DASH}"
    noun = "pair" if built.pairs == 1 else "pairs"
    told = (
        (f"{built.prompts:,}", "prompt" if built.prompts == 1 else "prompts"),
        (
            f"{built.pairs:,}",
            f"{noun}: {built.pairs / built.prompts:.0%} of the prompts gave one",
        ),
        (margin, "mean margin between chosen and rejected, on a scale of 0 to 1"),
        (f"{sum(built.left_out.values()):,}", "single candidates and comparisons that did not count"),
    )
    return "\n".join(
        f'<div class="number"><b>{escape(number)}</b><span>{escape(meaning)}</span></div>' for number, meaning in told
    )


def card(record: Record, row: Mapping[str, Any]) -> str:
    """One pair: the two candidates, the scores of all, and what the judge said of these."""
    figures = "".join(
        f'<figure class="{role}">{shown(row[role], alt=role + ": " + record["prompt"])}<figcaption><b>'
        f"{_score(record, role):.3f}</b> {role}<br>seed {_candidate(record, role)['seed']}</figcaption></figure>"
        for role in ("chosen", "rejected")
    )
    said = "".join(
        f"<h4>{escape(title)}</h4><blockquote>{escape(reply)}</blockquote>" for title, reply in replies(record)
    )
    reasons = f"<details><summary>What the judge said</summary>{said}</details>" if said else ""
    return (
        f'<article class="pair"><p>{escape(record["prompt"])}</p><div class="two">{figures}</div>'
        f"{score_line(record)}{reasons}</article>"
    )


def replies(record: Record) -> list[tuple[str, str]]:
    """The judge's words on the two candidates of the pair, each under a title."""
    found = [(f"{role}, graded", _candidate(record, role)["said"]) for role in ("chosen", "rejected")]
    named = {record["chosen"]: "chosen", record["rejected"]: "rejected"}
    for game in record["games"]:
        players = [named.get(game[place], f"candidate {game[place]}") for place in ("first", "second")]
        # In a tournament everyone meets everyone: only the game between the two is told.
        if set(players) == set(named.values()) or (
            record["way"] == "neighbours" and set(players) & set(named.values())
        ):
            found.append((f"{players[0]} against {players[1]}", game["said"]))
    return [(title, reply) for title, reply in found if reply.strip()]


def score_line(record: Record) -> str:
    """The scores of all candidates on a line from 0 to 1, the chosen and the rejected one in colour.

    Dots that would hide each other are stacked, these two nearest to the line.
    """
    roles = {record["chosen"]: "good", record["rejected"]: "bad"}
    scored = [(index, one["score"]) for index, one in enumerate(record["candidates"]) if one["score"] is not None]
    scored.sort(key=lambda one: one[0] not in roles)
    heights = stacked([280 * score for _, score in scored])
    line = 9 + max(heights)
    dots = "".join(
        f'<circle class="{roles.get(index, "")}" cx="{20 + 280 * score:.1f}" cy="{line - height}" '
        f'r="{6 if index in roles else 4}"><title>candidate {index}: {score:.3f}</title></circle>'
        for (index, score), height in zip(scored, heights, strict=True)
    )
    return (
        f'<svg class="scores" viewBox="0 0 320 {line + 23}" role="img" aria-label="scores of all candidates">'
        f'<line x1="20" y1="{line}" x2="300" y2="{line}"/>{dots}'
        f'<text x="17" y="{line + 21}">0</text><text x="297" y="{line + 21}">1</text></svg>'
    )


def stacked(places: Sequence[float]) -> list[int]:
    """How high above the line each dot sits: the lowest place that no earlier one less than `DOT` away has taken."""
    heights: list[int] = []
    for place in places:
        taken = {height for other, height in zip(places, heights, strict=False) if abs(other - place) < DOT}
        heights.append(next(height for height in count(step=DOT) if height not in taken))
    return heights


def dropped(built: Built, without: Sequence[Record]) -> str:
    """How often which reason, and the first prompts without a pair."""
    if not built.dropped and not built.left_out:
        return "<p>Every prompt gave a pair, and every verdict counted.</p>"
    reasons = {**built.dropped, **built.left_out}
    counts = "".join(
        f'<tr><td class="wide">{escape(DROP_REASONS[reason])}</td>'
        f'<td class="figure">{built.dropped.get(reason, 0):,}</td>'
        f'<td class="figure">{built.left_out.get(reason, 0):,}</td></tr>'
        for reason in reasons
    )
    table = (
        '<table><tr><th>reason</th><th class="figure">prompts without a pair</th><th class="figure">candidates and '
        f"comparisons left out</th></tr>{counts}</table>"
    )
    if not without:
        return table
    told = f"The first {DROPPED_SHOWN} of {len(without):,}." if len(without) > DROPPED_SHOWN else ""
    listed = "".join(
        table_row(str(one["number"]), f"{one['prompt']}: {_reason(one)}") for one in islice(without, DROPPED_SHOWN)
    )
    return (
        f"{table}<p></p><table><tr><th>number</th><th>prompt without a pair</th></tr>{listed}</table><p></p>"
        f'<p class="quiet">{told} {DROPPED} lists everything, single candidates and comparisons included.</p>'
    )


def settings(plan: Plan, last: Record) -> dict[str, str]:
    """What the pairs were made with."""
    origin = dict(last["origin"])
    versions = ", ".join(f"{name} {number}" for name, number in origin.pop("versions").items())
    return {
        "pipeline": str(origin.pop("pipeline")),
        "weights": str(origin.pop("weights")),
        "call": json.dumps(origin.pop("call"), ensure_ascii=False),
        "judge": json.dumps(dict(plan.judge), ensure_ascii=False),
        "seeds": f"{plan.seed} to {plan.seed + len(plan.prompts) * plan.candidates - 1}, {plan.candidates} a prompt",
        **{name: str(value) for name, value in origin.items()},
        "versions": versions,
    }


def shown(cell: Any, *, alt: str) -> str:
    """A picture or a clip, scaled down, inside the page."""
    from PIL import Image

    frames = [
        Image.open(io.BytesIO(one["bytes"])).convert("RGB") for one in (cell if isinstance(cell, list) else [cell])
    ]
    if len(frames) > FRAMES:
        frames = [frames[index * (len(frames) - 1) // (FRAMES - 1)] for index in range(FRAMES)]
    for frame in frames:
        frame.thumbnail((SIDE, SIDE))
    is_small = max(frames[0].size) <= SMALL
    content = base64.b64encode(webp(frames, lossless=is_small, milliseconds=FRAME_MILLISECONDS)).decode()
    kind = ' class="small"' if is_small else ""
    return f'<img src="data:image/webp;base64,{content}" alt="{escape(alt)}"{kind}>'


def table_row(name: str, value: str) -> str:
    """A row of two cells."""
    return f'<tr><td>{escape(name)}</td><td class="wide">{escape(value)}</td></tr>'


def _candidate(record: Record, role: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record["candidates"][record[role]]
    return found


def _score(record: Record, role: str) -> float:
    return float(_candidate(record, role)["score"])


def _reason(record: Record) -> str:
    return next(DROP_REASONS[drop["reason"]] for drop in record["dropped"] if drop["of"] == "prompt")
