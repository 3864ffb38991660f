"""Shows what generators were measured by, as one HTML file that needs nothing else: numbers, samples and verdicts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from diffusers_ext.gallery import FRAMES, shown, table_row
from diffusers_ext.shards import write_whole
from unireward_plugins.media import FrameRule, Media

PROMPTS_SHOWN = 24
"""The most prompts of which a sample is shown, spread evenly over the list."""


def write_gallery(folder: Path, results: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> None:
    """Write `gallery.html` for results (`eval_generator.Results`) and their items, whose samples are in the folder."""
    pages = files("diffusers_ext")
    page = pages.joinpath("gallery.html").read_text(encoding="utf-8")
    style = page[page.index("<style>") : page.index("</style>")]  # the look of the gallery of pairs
    step = max(1, -(-len(items) // PROMPTS_SHOWN))
    text = Template(pages.joinpath("generator.html").read_text(encoding="utf-8")).substitute(
        style=style,
        about=escape(_about(results)),
        tables="\n".join(_judge_table(judge) for judge in results["judges"]),
        shown=f"{len(items[::step])} of {len(items):,} prompts, spread evenly; the first sample of each."
        if step > 1
        else "The first sample of each prompt.",
        cards="\n".join(_card(folder, item, results) for item in items[::step]),
        settings="\n".join(table_row(name, str(value)) for name, value in _settings(results).items()),
    )
    write_whole(folder / "gallery.html", text.encode())


def _about(results: Mapping[str, Any]) -> str:
    made = {role: one["pipeline"] for role, one in results["generators"].items()}
    rival = f" against {made['against']}" if "against" in made else ""
    each = results["samples_per_prompt"]
    return f"{made['pipeline']}{rival}: {results['prompts']['count']:,} prompts, {each} sample(s) of each."


def _judge_table(judge: Mapping[str, Any]) -> str:
    """What one judge said, in numbers."""
    rows = []
    if judge["scores"] is not None:
        for name in ("score", *judge["scores"]["pipeline"]["aspects"]):
            means = [_estimate(_named(scores, name)) for scores in judge["scores"].values()]
            gap = "" if judge["difference"] is None else _estimate(_named(judge["difference"], name))
            rows.append(_row(in_words(name), *means, *([] if len(means) == 2 else [""]), gap))
    if judge["games"] is not None:
        games = judge["games"]
        counts = f"{games['won']:,} won, {games['tied']:,} tied, {games['lost']:,} lost"
        rows.append(_row(f"win rate by {games['by']}: {counts}", _estimate(games["win_rate"]), "", ""))
        rows += [
            _row(f"win rate in {name.replace('_', ' ')}", _estimate(one), "", "")
            for name, one in games["aspects"].items()
        ]
        if games["flip_rate"] is not None:
            rows.append(_row("games whose answer changes with the order", _estimate(games["flip_rate"]), "", ""))
    heads = ("", "pipeline", "against", "difference")
    return (
        f"<h3>{escape(judge['name'])}</h3><table><tr>"
        + "".join(f'<th class="{"figure" if head else ""}">{head}</th>' for head in heads)
        + f"</tr>{''.join(rows)}</table>"
    )


def in_words(name: str) -> str:
    """What a row of scores is called: the score from 0 to 1, or a number of the judge's own on the rubric's scale."""
    return "score, 0 to 1" if name == "score" else f"{name.replace('_', ' ')}, as the judge writes it"


def _named(scores: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = scores["score"] if name == "score" else scores["aspects"].get(name, {"value": None})
    return found


def _row(name: str, *cells: str) -> str:
    figures = "".join(f'<td class="figure">{escape(cell)}</td>' for cell in cells)
    return f'<tr><td class="wide">{escape(name)}</td>{figures}</tr>'


def _estimate(estimate: Mapping[str, Any]) -> str:
    """A mean with its interval."""
    if estimate["value"] is None:
        return "\N{EN DASH}"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _card(folder: Path, item: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """The first sample of a prompt by each pipeline, and what the judges said of it."""
    figures = "".join(_figure(folder, role, samples[0], item) for role, samples in item["samples"].items())
    lines, said = [], []
    for judge in results["judges"]:
        verdicts = item["verdicts"][judge["key"]]
        lines.append(f"{judge['name']}: {_told(verdicts)}")
        said += [(f"{judge['name']}, {what}", reply) for what, reply in _replies(verdicts) if reply.strip()]
    quotes = "".join(f"<h4>{escape(title)}</h4><blockquote>{escape(reply)}</blockquote>" for title, reply in said)
    reasons = f"<details><summary>What the judges said</summary>{quotes}</details>" if said else ""
    told = "".join(f'<div class="quiet">{escape(line)}</div>' for line in lines)
    prompt = escape(item["prompt"])
    return f'<article class="pair"><p>{prompt}</p><div class="two">{figures}</div>{told}{reasons}</article>'


def _figure(folder: Path, role: str, sample: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    blanked = ", blanked by the safety checker" if sample["blanked"] else ""
    picture = shown(_cell(folder / sample["file"]), alt=f"{role}: {item['prompt']}")
    return f"<figure>{picture}<figcaption>{role}<br>seed {sample['seed']}{blanked}</figcaption></figure>"


def _cell(file: Path) -> Any:
    """A picture, or the frames of a clip, as `shown` takes them."""
    if file.suffix == ".png":
        return {"bytes": file.read_bytes()}
    cells = []
    for frame in Media.of(file).sample(FrameRule("linspace", FRAMES)):
        buffer = io.BytesIO()
        frame.pil().save(buffer, format="PNG")
        cells.append({"bytes": buffer.getvalue()})
    return cells


def _told(verdicts: Mapping[str, Any]) -> str:
    """The verdicts on the first samples, in one line."""
    told = []
    for role in ("pipeline", "against"):
        if verdicts.get(role) and verdicts[role][0] is not None:
            score = verdicts[role][0]["score"]
            told.append(f"{role} {'unread' if score is None else format(score, '.3f')}")
    game = verdicts["games"][0] if verdicts.get("games") else None
    if game is not None:
        share = "game unread" if game["share"] is None else f"share of the game {game['share']:.2f}"
        told.append(share + (" (changes with the order)" if game["flipped"] else ""))
    return ", ".join(told) or "nothing"


def _replies(verdicts: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [
        (role, verdicts[role][0]["said"]) for role in ("pipeline", "against") if role in verdicts and verdicts[role][0]
    ]
    game = verdicts["games"][0] if verdicts.get("games") else None
    titles = ("pipeline first", "against first")
    return found + [
        (title, order["said"]) for title, order in zip(titles, (game or {"orders": []})["orders"], strict=False)
    ]


def _settings(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the numbers were measured with."""
    found: dict[str, Any] = {}
    for role, generator in results["generators"].items():
        for name in ("pipeline", "weights", "call", "samples", "blanked"):
            found[f"{role}: {name}"] = generator[name]
    for judge in results["judges"]:
        rubrics = ", ".join(f"{one['name']} ({one['digest']})" for one in judge["rubrics"])
        found[f"judge: {judge['name']}"] = f"revision {judge['revision']}, {judge['readout']}, {rubrics}"
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return found | {"seed": results["seed"], "versions": versions}
