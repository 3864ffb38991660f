"""`unireward eval-generator`: scores and win rates of any diffusers pipeline."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusers_ext.command import CallArgument
from diffusers_ext.generator_gallery import in_words
from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, note, progress, show_json, show_table
from unireward_plugins.errors import BackendError

if TYPE_CHECKING:
    from diffusers_ext.eval_generator import Results
    from unireward_plugins.rubrics import Readout


@click.command("eval-generator")
@click.argument("pipeline")
@click.option(
    "--prompts",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="A .txt, .json or .jsonl file, a dataset's folder, or VBench's list (JSON with `prompt_en` and `dimension`).",
)
@click.option(
    "-j",
    "--judge",
    "judges",
    required=True,
    multiple=True,
    help="A judge, as for `unireward score`. May be given several times; a later run may add others.",
)
@click.option("--against", metavar="PIPELINE", help="A second pipeline, to compare with sample by sample.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write. A run that was cut off goes on from there.",
)
@click.option("-n", "--samples", type=click.IntRange(min=1), help="Of each prompt: 1 unless said; 5 for VBench's list.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first sample's; each has one of its own.")
@click.option(
    "--call",
    multiple=True,
    type=CallArgument(),
    help="An argument for the pipelines, as num_inference_steps=20. May be given several times.",
)
@click.option(
    "--against-call", multiple=True, type=CallArgument(), help="For the second pipeline, instead of those of --call."
)
@click.option(
    "--fps", type=click.IntRange(min=1), default=8, show_default=True, help="How fast clips play in their files."
)
@click.option(
    "--readout",
    type=click.Choice(["generate", "likelihood"]),
    help="Read the judges' replies (the default for a model), or the probabilities of the answers.",
)
@click.option("--family", help="The model family of the judges, where their names do not say.")
@output_options
def eval_generator(  # noqa: PLR0913 (one for each option)
    *,
    pipeline: str,
    prompts: Path,
    judges: tuple[str, ...],
    against: str | None,
    output: Path,
    samples: int | None,
    seed: int,
    call: tuple[tuple[str, Any], ...],
    against_call: tuple[tuple[str, Any], ...],
    fps: int,
    readout: Readout | None,
    family: str | None,
    as_json: bool,
) -> int:
    """Measure a generator of pictures or clips, alone or against another.

    Draws samples of each prompt, the same seeds for both pipelines, has every judge score them and compare them in both
    orders, and writes results.json, items.jsonl and gallery.html. PIPELINE is a Hub id or the folder of a diffusers
    pipeline. Files of VBench's list are called as its own scorer wants them.

    \b
    unireward eval-generator my/tuned-sdxl --against stabilityai/sdxl-turbo --prompts prompts.txt --output measured \\
        --judge CodeGoat24/UnifiedReward-2.0-qwen3vl-8b --call num_inference_steps=1 --call guidance_scale=0
    """
    from diffusers_ext.eval_generator import eval_generator as measure

    if against_call and against is None:
        raise click.UsageError("--against-call goes with --against")
    try:
        results = measure(
            pipeline,
            prompts,
            judges=judges,
            folder=output,
            against=against,
            samples=samples,
            seed=seed,
            call=dict(call),
            against_call=dict(against_call) if against_call else None,
            frames_per_second=fps,
            choice={"readout": readout, "family": family},
            progress=lambda what: functools.partial(progress, what),
        )
    except (BackendError, KeyboardInterrupt):
        note(f"what was finished is in {output}; the same command goes on from there")
        raise
    if as_json:
        from dataclasses import asdict

        show_json(asdict(results))
    else:
        report(results, output)
    return INCOMPLETE if any(map(_unread, results.judges)) else OK


def report(results: Results, folder: Path) -> None:
    """What was measured, for people."""
    rows = [row for judge in results.judges for row in _rows(judge)]
    columns = ("judge", "measured", "pipeline", "against", "difference")
    show_table(Table(columns, rows, numbers=frozenset(columns[2:]), names=frozenset({"measured"})))
    for role, generator in results.generators.items():
        blanked = f", {generator['blanked']:,} blanked" if generator["blanked"] else ""
        note(f"{role}: {generator['pipeline']}, {generator['samples']:,} samples{blanked}")
    for judge in results.judges:
        if count := _unread(judge):
            note(f"{judge['name']}: {count:,} replies without a verdict; `unread` in {folder / results.items} says why")
    note(f"see {folder / 'gallery.html'}; all numbers are in {folder / 'results.json'}")


def _rows(judge: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What one judge said: its scores, aspect by aspect, then the games."""
    rows = []
    if judge["scores"] is not None:
        for name in ("score", *judge["scores"]["pipeline"]["aspects"]):
            cells = [
                _shown(one["score"] if name == "score" else one["aspects"].get(name))
                for one in (judge["scores"]["pipeline"], judge["scores"].get("against"), judge["difference"])
                if one is not None
            ]
            rows.append((judge["name"], in_words(name), *cells, *[""] * (3 - len(cells))))
    if judge["games"] is not None:
        rows.append((judge["name"], f"win rate by {judge['games']['by']}", _shown(judge["games"]["win_rate"]), "", ""))
        for name, rate in judge["games"]["aspects"].items():
            rows.append((judge["name"], f"win rate in {name.replace('_', ' ')}", _shown(rate), "", ""))
        if judge["games"]["flip_rate"] is not None:
            rows.append((judge["name"], "order flips", _shown(judge["games"]["flip_rate"]), "", ""))
    return rows


def _shown(estimate: Mapping[str, Any] | None) -> str:
    """A mean with its interval; nothing where nothing was measured."""
    if estimate is None or estimate["value"] is None:
        return ""
    if estimate["low"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _unread(judge: Mapping[str, Any]) -> int:
    """How many of a judge's replies held no verdict."""
    parts = [*(judge["scores"] or {}).values(), *([] if judge["games"] is None else [judge["games"]])]
    return sum(sum(part["unread"].values()) for part in parts)
