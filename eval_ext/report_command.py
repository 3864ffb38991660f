"""`unireward report`: the results of evaluations as one HTML page."""

from __future__ import annotations

import os
from pathlib import Path

import click

from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import note, show_json


@click.command()
@click.argument("results", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@output_options
def report(results: Path, *, output: Path, as_json: bool) -> None:
    """Make one HTML page of the results of evaluations.

    RESULTS is a folder that lmms-eval wrote with --output_path and --log_samples, or that `unireward eval-generator`
    wrote, or one that holds several of them. The page has tables beside the published figures, flips and unread
    replies with their pictures, what it cost, and where every number comes from. It needs no other file and no network,
    and nothing is downloaded to make it.

    \b
    lmms-eval --model unireward --model_args judge=shapes --tasks 'unireward_shapes_*' \\
        --output_path results --log_samples
    unireward report results
    """
    # Pictures come from datasets that are on this machine. Set before anything imports the libraries that read it.
    os.environ["HF_HUB_OFFLINE"] = "1"
    from eval_ext.generators import read_generators
    from eval_ext.report import write_report
    from eval_ext.results import read_runs

    generated = read_generators(results)
    runs = read_runs(results, may_be_none=bool(generated))
    write_report(runs, generated, output)
    if as_json:
        read = {"runs": [str(run.file) for run in runs], "generators": [str(one.folder) for one in generated]}
        show_json({"page": str(output), **read})
    else:
        note(f"written: {output}")
