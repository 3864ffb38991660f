"""`unireward prove`: align an embedded generator, and have the exact referee count what that was good for."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, duration, hide_loading_bars, note, show_json, show_table


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--clips", is_flag=True, help="Align the generator of clips, not that of pictures.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="How many, from 0 on.")
@click.option(
    "--controls",
    is_flag=True,
    help="Train with the truth as labels, with random ones, on the winners only, and with each stabiliser, too.",
)
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes, one core each.")
@output_options
def prove(folder: Path, *, clips: bool, seeds: int, controls: bool, workers: int, as_json: bool) -> None:
    """Show that aligning a generator works.

    The embedded generator draws candidates, the embedded judge grades them, the best and the worst become pairs,
    Diffusion-DPO learns from these, and the exact referee, which nothing on the way has seen, counts how many samples
    of held-out prompts are right before and after. FOLDER gets proof.md with the table and a picture, proof.json, and
    all pairs, logs and weights. A run that was cut off goes on from there.

    \b
    unireward prove proof
    unireward prove proof --controls
    unireward prove clips --clips
    """
    from diffusers_ext.proof_page import FIGURES, PAGE, columns, rows
    from diffusers_ext.proof_plan import CLIPS
    from diffusers_ext.prove import prove as run

    hide_loading_bars("diffusers", "transformers")
    watcher = Watcher()
    plan = CLIPS if clips else None
    results = run(folder, seeds=range(seeds), controls=controls, plan=plan, workers=workers, watch=watcher)
    if as_json:
        show_json({"page": str(folder / PAGE), "figures": str(folder / FIGURES), "table": rows(results)})
        return
    names = columns()
    show_table(Table(names, rows(results), numbers=frozenset(names[2:])))
    note(f"see {folder / PAGE}")


class Watcher:
    """Says on standard error what is being done, and how long it will take."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self, doing: str, share: float) -> None:
        """Show it."""
        gone = time.monotonic() - self.started
        left = f", {duration(gone / share - gone)} left" if 0 < share < 1 else ""
        print(f"{share:4.0%}  {doing} ({duration(gone)} gone{left})", file=sys.stderr, flush=True)
