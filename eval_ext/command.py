"""`unireward tasks-path`: where the tasks for lmms-eval lie."""

from __future__ import annotations

import click

from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import show_json


@click.command("tasks-path")
@output_options
def tasks_path(*, as_json: bool) -> None:
    """Print the folder of the lmms-eval tasks.

    lmms-eval finds them by itself once this package is installed. Where it does not, give it the folder:

    \b
    lmms-eval --include_path "$(unireward tasks-path)" --tasks 'unireward_shapes_*' \\
        --model unireward --model_args judge=shapes
    """
    from eval_ext.lmms.hook import TASKS

    if as_json:
        show_json({"tasks": str(TASKS)})
    else:
        click.echo(str(TASKS))
