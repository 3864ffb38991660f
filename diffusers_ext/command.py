"""`unireward pairs generation`: preference pairs of pictures or clips from any diffusers pipeline."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffusers_ext.generator_options import drawing_options, goes_on
from diffusers_ext.shards import DROPPED
from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.options import JudgeChoice, judge_options, output_options
from unireward_plugins.cli.output import Table, hide_loading_bars, note, progress, show_json, show_table
from unireward_plugins.pairs import DROP_REASONS

if TYPE_CHECKING:
    from diffusers_ext.build_pairs import Built
    from diffusers_ext.sift import Way


@click.command()
@judge_options
@drawing_options
@click.option(
    "-n",
    "--candidates",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    help="Samples of each prompt, of which the best and the worst become a pair.",
)
@click.option(
    "--way",
    type=click.Choice(["neighbours", "tournament", "grades"]),
    help="Compare neighbours and grade everyone; compare everyone with everyone; only grade. By default the first that "
    "the judge can do; neighbours need an even number. Comparisons are always asked both ways round.",
)
@output_options
def generation(  # noqa: PLR0913 (one for each option)
    choice: JudgeChoice,
    *,
    pipeline: str,
    prompts: Path,
    output: Path,
    candidates: int,
    way: Way | None,
    seed: int,
    call: tuple[tuple[str, Any], ...],
    as_json: bool,
) -> int:
    """Make pairs of pictures or clips with any diffusers pipeline.

    Draws samples of each prompt, has them judged, and keeps the best and the worst. PIPELINE is `shapes`,
    `shapes-clips`, a Hub id or the folder of a diffusers pipeline. The output is a dataset for `datasets.load_dataset`
    that diffusers' Diffusion-DPO scripts read as it is; its gallery.html shows pairs, its dropped.jsonl what does not
    count.

    \b
    unireward pairs generation stabilityai/sdxl-turbo --prompts prompts.txt --output pairs \\
        --judge CodeGoat24/UnifiedReward-2.0-qwen3vl-8b --call num_inference_steps=1 --call guidance_scale=0
    """
    from diffusers_ext.build_pairs import build_pairs

    hide_loading_bars("diffusers", "transformers")
    with goes_on(output):
        built = build_pairs(
            pipeline,
            prompts,
            judge=choice.load(),
            folder=output,
            candidates=candidates,
            way=way,
            seed=seed,
            call=dict(call),
            progress=functools.partial(progress, "samples"),
        )
    if as_json:
        show_json(as_record(built))
    else:
        report(built)
    return OK if built.pairs else INCOMPLETE


def as_record(built: Built) -> dict[str, object]:
    """How the run ended, for programs."""
    return {
        "folder": str(built.folder),
        "gallery": str(built.folder / "gallery.html"),
        "prompts": built.prompts,
        "pairs": built.pairs,
        "dropped": built.dropped,
        "left_out": built.left_out,
    }


def report(built: Built) -> None:
    """How the run ended, for people."""
    rows = [("prompts", f"{built.prompts:,}"), ("pairs", f"{built.pairs:,}")]
    rows += _reasons("no pair", built.dropped) + _reasons("candidate or comparison left out", built.left_out)
    show_table(Table(("what", "count"), rows, numbers=frozenset({"count"})))
    ties = built.dropped.get("tie", 0)
    if 2 * ties > built.prompts:
        told = f"{ties:,} of {built.prompts:,} prompts gave no pair because of a tie"
        note(f"{told}: more candidates of each (--candidates) can help")
    listed = f"; what does not count is listed in {built.folder / DROPPED}"
    note(f"see {built.folder / 'gallery.html'}" + (listed if built.dropped or built.left_out else ""))


def _reasons(what: str, counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(f"{what}: {DROP_REASONS[reason]}", f"{count:,}") for reason, count in counts.items()]
