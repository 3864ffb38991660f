"""The `unireward` command: its subcommands, each loaded when it is used, and what each way of ending means to a shell.

Exit codes: 0, everything was done; 1, the command ran to its end but a reply held no verdict, or a check failed; 2, bad
input; 3, the judge cannot be reached or failed; 4, an optional package is missing; 70, a defect of this program; 130,
interrupted. `docs/command.md` tells them to users.
"""

from __future__ import annotations

import pkgutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError

OK, INCOMPLETE, BAD_INPUT, UNREACHABLE, MISSING_EXTRA, DEFECT, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130

COMMANDS = {
    "score": "unireward_plugins.cli.score:score",
    "rank": "unireward_plugins.cli.rank:rank",
    "pairs": "unireward_plugins.cli.pairs:pairs",
    "push": "hub.push_command:push",
    "eval-generator": "diffusers_ext.generator_command:eval_generator",
    "prove": "diffusers_ext.prove_command:prove",
    "tasks-path": "eval_ext.command:tasks_path",
    "report": "eval_ext.report_command:report",
    "vlmeval": "eval_ext.vlmeval_command:vlmeval",
    "judges": "unireward_plugins.cli.catalogue:judges",
    "rubrics": "unireward_plugins.cli.rubrics:rubrics",
    "plugins": "unireward_plugins.cli.catalogue:plugins",
    "doctor": "unireward_plugins.cli.doctor:doctor",
    "demo": "unireward_plugins.cli.shapes:demo",
    "shapes": "unireward_plugins.cli.shapes:shapes",
}
"""Where each subcommand lives, in the order of `unireward --help`."""


@dataclass(slots=True)
class Session:
    """What one run of the command was told about itself."""

    debug: bool = False


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are asked for.

    `table` says where each lives, in the order in which people need them.
    """

    def __init__(self, *arguments: Any, table: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's method)
        """The names of the subcommands, in their order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's method)
        """The subcommand of that name, or `None`."""
        if cmd_name not in self.table:
            return None
        command = pkgutil.resolve_name(self.table[cmd_name])
        assert isinstance(command, click.Command)
        return command


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 (click's callback)
    if wanted:
        from importlib.metadata import version

        click.echo(f"unireward {version('unireward-plugins')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit codes: 0 done; 1 done, but a reply held no verdict or a check failed; 2 bad input; 3 the judge cannot "
    "be reached; 4 an optional package is missing.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Say which.")
def unireward() -> None:
    """Judge pictures, clips and answers with UnifiedReward or any other judge."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (default: those of the process) and return its exit code."""
    session, output = Session(), sys.stdout
    try:
        code = unireward.main(arguments, prog_name="unireward", standalone_mode=False, obj=session)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except SystemExit as ended:
        # Where the reader of the output has seen enough (`unireward judges | head`), click replaces it and ends with 1.
        # That is no failure.
        code = OK if sys.stdout is not output else ended.code
    except Exception as error:  # noqa: BLE001 (the outermost place: everything is reported and given an exit code)
        return _report(error, debug=session.debug)
    return code if isinstance(code, int) else OK


def _report(error: Exception, *, debug: bool) -> int:
    """Say in one line what went wrong, and return the exit code for it."""
    code = exit_code(error)
    if debug or code == DEFECT:
        traceback.print_exception(error)
    message = error.format_message() if isinstance(error, click.ClickException) else str(error) or repr(error)
    if code == DEFECT:
        message = f"this is a defect of unireward, please report it with the lines above: {message}"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(message, err=True)  # a group without a subcommand: its help says it all
        return code
    click.echo(f"error: {message}", err=True)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"(unireward {_path_of(error.ctx)}--help shows what can be given)", err=True)
    return code


def _path_of(ctx: click.Context) -> str:
    return "".join(f"{part} " for part in ctx.command_path.split()[1:])


def exit_code(error: Exception) -> int:
    """What a shell is told of an error; `DEFECT` where nothing of that kind is foreseen."""
    match error:
        case click.ClickException() | UniRewardError() | OSError():
            return BAD_INPUT
        case BackendError():
            return UNREACHABLE
        case MissingExtra():
            return MISSING_EXTRA
    return DEFECT
