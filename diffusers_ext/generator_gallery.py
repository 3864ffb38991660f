"""Shows what generators were measured by, as one HTML file that needs nothing else: numbers, samples and verdicts."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from diffusers_ext.gallery import FRAMES, shown, table_row
from diffusers_ext.whole_files import write_whole
from unireward_plugins.generator_names import generator_names
from unireward_plugins.media import FrameRule, Media
from unireward_plugins.types import UNREAD_REASONS

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
        tables="\n".join(_judge_table(judge, list(results["generators"])) for judge in results["judges"]),
        shown=f"{len(items[::step])} of {len(items):,} prompts, spread evenly; the first sample of each."
        if step > 1
        else "The first sample of each prompt.",
        cards="\n".join(_card(folder, item, results) for item in items[::step]),
        settings="\n".join(table_row(name, str(value)) for name, value in _settings(results).items()),
    )
    write_whole(folder / "gallery.html", text.encode())


def _about(results: Mapping[str, Any]) -> str:
    made = " against ".join(generator_names(results["generators"]).values())
    count, each = results["prompts"]["count"], results["samples_per_prompt"]
    drawn = f"{each:,} samples" if each > 1 else "one sample"
    return f"{made}: {count:,} prompt{'s' * (count > 1)}, {drawn} of each."


def _judge_table(judge: Mapping[str, Any], roles: Sequence[str]) -> str:
    """What one judge said, in numbers."""
    heads = columns(roles)
    head = "".join(f'<th class="figure">{one}</th>' for one in heads)
    body = "".join(_row(*row) for row in judge_rows(judge, heads))
    lost = "; ".join(f"{count:,}: {UNREAD_REASONS[reason]}" for reason, count in unread(judge).items())
    told = f'<p class="quiet">Replies without a verdict, which count nowhere above: {escape(lost)}.</p>' if lost else ""
    return f"<h3>{escape(judge['name'])}</h3><table><tr><th></th>{head}</tr>{body}</table>{told}"


def unread(judge: Mapping[str, Any]) -> Counter[str]:
    """How many of a judge's replies held no verdict, by reason."""
    parts = [*(judge["scores"] or {}).values(), *([] if judge["games"] is None else [judge["games"]])]
    return sum((Counter[str](part["unread"]) for part in parts), Counter[str]())


def columns(roles: Sequence[str]) -> tuple[str, ...]:
    """What a table of numbers shows: each generator and, of two, the difference."""
    return (*roles, *(["difference"] if len(roles) == 2 else []))


def judge_rows(judge: Mapping[str, Any], heads: Sequence[str]) -> list[tuple[str, ...]]:
    """What one judge said, in words and numbers: scores aspect by aspect, games, and each of VBench's dimensions.

    A row has a name and a cell below each of the heads, which `columns` gives.
    """
    rows: list[tuple[str, ...]] = []
    if judge["scores"] is not None:
        told = [*judge["scores"].values(), *([judge["difference"]] if judge["difference"] else [])]
        names = ("score", *judge["scores"]["pipeline"]["aspects"])
        rows += [(in_words(name), *(_shown(_named(one, name)) for one in told)) for name in names]
    if judge["games"] is not None:
        games = judge["games"]
        counts = f"{games['won']:,} won, {games['tied']:,} tied, {games['lost']:,} lost"
        rows.append((f"win rate by {games['by']}: {counts}", _shown(games["win_rate"])))
        rows += [(f"win rate in {name.replace('_', ' ')}", _shown(one)) for name, one in games["aspects"].items()]
        if games["flip_rate"] is not None:
            rows.append(("order flips", _shown(games["flip_rate"])))
    for dimension, told_of in judge["by_dimension"].items():
        scores = [told_of[role] for role in ("pipeline", "against") if told_of[role] is not None]
        rows += [(f"{dimension}: {in_words('score')}", *map(_shown, scores))] if scores else []
        if told_of["win_rate"] is not None:
            rows.append((f"{dimension}: win rate", _shown(told_of["win_rate"])))
    return [(*row, *[""] * (1 + len(heads) - len(row))) for row in rows]


def in_words(name: str) -> str:
    """What a row of scores is called: the score from 0 to 1, or a number of the judge's own on the rubric's scale."""
    return "score, 0 to 1" if name == "score" else f"{name.replace('_', ' ')}, as the judge writes it"


def _named(scores: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = scores["score"] if name == "score" else scores["aspects"].get(name, {"value": None})
    return found


def _row(name: str, *cells: str) -> str:
    figures = "".join(f'<td class="figure">{escape(cell)}</td>' for cell in cells)
    return f'<tr><td class="wide">{escape(name)}</td>{figures}</tr>'


def _shown(estimate: Mapping[str, Any]) -> str:
    """A mean with its interval; a dash where nothing was measured."""
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
    names = generator_names(results["generators"])
    for role, generator in results["generators"].items():
        found |= {
            role: names[role],
            f"{role}: weights": generator["weights"] or "not known",
            f"{role}: samples": f"{generator['samples']:,}, {generator['blanked']:,} of them blanked",
        }
    for judge in results["judges"]:
        rubrics = ", ".join(f"{one['name']} ({one['digest']})" for one in judge["rubrics"])
        found[f"judge: {judge['name']}"] = f"revision {judge['revision']}, {judge['readout']}, {rubrics}"
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return found | {"seed": results["seed"], "versions": versions}
