"""`unireward eval-generator`: scores and win rates of any diffusers pipeline."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusers_ext.generator_gallery import columns, judge_rows, unread
from diffusers_ext.generator_options import CallArgument, drawing_options, goes_on
from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.options import model_options, output_options
from unireward_plugins.cli.output import Table, hide_loading_bars, note, progress, show_json, show_table
from unireward_plugins.generator_names import generator_names

if TYPE_CHECKING:
    from diffusers_ext.eval_generator import Results
    from unireward_plugins.rubrics import Readout


@click.command("eval-generator")
@drawing_options
@click.option(
    "-j",
    "--judge",
    "judges",
    required=True,
    multiple=True,
    help="A judge, as for `unireward score`. May be given several times; a later run may add others.",
)
@click.option("--against", metavar="PIPELINE", help="A second pipeline, to compare with sample by sample.")
@click.option("-n", "--samples", type=click.IntRange(min=1), help="Of each prompt: 1 unless said; 5 for VBench's list.")
@click.option(
    "--against-call",
    multiple=True,
    type=CallArgument(),
    help="For the second pipeline, instead of all of --call; without it, that gets --call, too.",
)
@click.option(
    "--fps", type=click.IntRange(min=1), default=8, show_default=True, help="How fast clips play in their files."
)
@model_options
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
    orders, and writes results.json, items.jsonl and gallery.html. PIPELINE is `shapes`, `shapes-clips`, a Hub id or the
    folder of a diffusers pipeline. VBench's list (VBench_full_info.json) may be the prompts, too: its own scorer then
    finds the files.

    \b
    unireward eval-generator my/tuned-sdxl --against stabilityai/sdxl-turbo --prompts prompts.txt --output measured \\
        --judge CodeGoat24/UnifiedReward-2.0-qwen3vl-8b --call num_inference_steps=1 --call guidance_scale=0
    """
    from diffusers_ext.eval_generator import eval_generator as measure

    if against_call and against is None:
        raise click.UsageError("--against-call goes with --against")
    hide_loading_bars("diffusers", "transformers")
    with goes_on(output):
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
    if as_json:
        from dataclasses import asdict

        show_json(asdict(results))
    else:
        report(results, output)
    return INCOMPLETE if any(map(unread, results.judges)) else OK


def report(results: Results, folder: Path) -> None:
    """What was measured, for people."""
    figures = columns(list(results.generators))
    rows = [(judge["name"], *row) for judge in results.judges for row in judge_rows(judge, figures)]
    show_table(Table(("judge", "measured", *figures), rows, numbers=frozenset(figures), names=frozenset({"measured"})))
    names = generator_names(results.generators)
    for role, generator in results.generators.items():
        blanked = f", {generator['blanked']:,} blanked" if generator["blanked"] else ""
        note(f"{role}: {names[role]}, {generator['samples']:,} samples{blanked}")
    for judge in results.judges:
        if count := unread(judge).total():
            note(f"{judge['name']}: {count:,} replies without a verdict; `unread` in {folder / results.items} says why")
    note(f"see {folder / 'gallery.html'}; all numbers are in {folder / 'results.json'}")
