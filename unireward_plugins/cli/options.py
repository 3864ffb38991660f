"""The options that several subcommands share, each said once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from unireward_plugins.cli.cases import Files, from_arguments
from unireward_plugins.cli.output import hide_loading_bars
from unireward_plugins.errors import UniRewardError
from unireward_plugins.judges import ModelJudge, in_one_order
from unireward_plugins.rubrics import Readout
from unireward_plugins.types import Judge

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class JudgeChoice:
    """Which judge the user asked for, and how it is to be asked."""

    ref: str
    rubric: str | None
    readout: Readout | None
    both_orders: bool
    cache: Path | None
    family: str | None

    def load(self) -> Judge:
        """Build the judge, whose model will be loaded without bars; errors as of `load_judge`."""
        from unireward_plugins.loading import load_judge

        judge = load_judge(
            self.ref,
            rubric=self.rubric,
            readout=self.readout,
            both_orders=self.both_orders,
            cache=self.cache,
            family=self.family,
        )
        hide_bars_of(judge)
        return judge

    def settings(self) -> dict[str, object]:
        """What a verdict depends on besides the case; the cache is not part of it."""
        return {
            "judge": self.ref,
            "rubric": self.rubric,
            "readout": self.readout,
            "both_orders": self.both_orders,
            "family": self.family,
        }


def hide_bars_of(judge: Judge) -> None:
    """Keep transformers from drawing bars when it loads the judge's model; for any other judge it is not imported."""
    from unireward_plugins.backends.transformers import TransformersBackend

    asking = in_one_order(judge)
    if isinstance(asking, ModelJudge) and isinstance(asking.backend, TransformersBackend):
        hide_loading_bars("transformers")


def judge_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add the options that choose a judge; the command gets them as its first argument."""

    @functools.wraps(command)
    def gathered(
        *arguments: object,
        judge: str,
        rubric: str | None,
        readout: Readout | None,
        both_orders: bool,
        cache: Path | None,
        family: str | None,
        **options: object,
    ) -> Result:
        return command(JudgeChoice(judge, rubric, readout, both_orders, cache, family), *arguments, **options)

    for option in reversed(_JUDGE_OPTIONS):
        option(gathered)
    return gathered


def complete_rubric(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The names of rubrics that begin so, for a shell that completes them."""
    from unireward_plugins import plugins

    return [name for name in plugins.rubrics() if name.startswith(incomplete)]


def model_options(command: Command) -> Command:
    """Add `--readout` and `--family`, for commands that take several judges: how the models behind them are asked."""
    return _READOUT(_FAMILY(command))


_READOUT = click.option(
    "--readout",
    type=click.Choice(["generate", "likelihood"]),
    help="Read the reply (the default for a model), or the probabilities of the answers without writing one.",
)
_FAMILY = click.option(
    "--family", help="The model family of `unireward plugins` that a model belongs to, where its name does not say."
)

_JUDGE_OPTIONS = (
    click.option(
        "-j",
        "--judge",
        required=True,
        envvar="UNIREWARD_JUDGE",
        show_envvar=True,
        help="A name that `unireward judges` lists, a checkpoint (Hub id or folder), a server (http://host:8000/v1) or "
        "vllm:CHECKPOINT. `shapes` is the embedded one.",
    ),
    click.option(
        "--rubric",
        shell_complete=complete_rubric,
        help="Ask by this rubric of `unireward rubrics`, not by the judge's own.",
    ),
    _READOUT,
    click.option("--both-orders", is_flag=True, help="Ask each comparison both ways round and average."),
    click.option(
        "--cache",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Keep verdicts in this file, and ask nothing twice.",
    ),
    _FAMILY,
)


def case_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add the arguments that say what to judge; the command gets them as its second argument."""

    @functools.wraps(command)
    def gathered(
        choice: JudgeChoice,
        *arguments: object,
        candidates: tuple[str, ...],
        prompt: str | None,
        context: tuple[Path, ...],
        text: bool,
        input_file: Path | None,
        output_file: Path | None,
        **options: object,
    ) -> Result:
        if input_file is None:
            if prompt is None or not candidates:
                raise click.UsageError("give --prompt and candidates, or a file of cases with --input and --output")
            if output_file is not None:
                raise click.UsageError("--output goes with --input; for one case use --json and a redirection")
            row = from_arguments(prompt, candidates, context, as_text=text)
            return command(choice, row, *arguments, **options)
        if prompt is not None or candidates or context or text:
            raise click.UsageError("with --input, prompts, candidates and contexts stand in the file")
        if output_file is None:
            raise click.UsageError("--input needs --output: the file that gets one line for each case")
        if not output_file.absolute().parent.is_dir():
            raise UniRewardError(
                f"--output cannot be written: there is no folder {output_file.absolute().parent}. Make it first"
            )
        return command(choice, Files(input_file, output_file), *arguments, **options)

    for option in reversed(_CASE_OPTIONS):
        option(gathered)
    return gathered


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_CASE_OPTIONS = (
    click.argument("candidates", nargs=-1, metavar="[CANDIDATE]..."),
    click.option("-p", "--prompt", help="The caption, question or instruction that the candidates answer."),
    click.option(
        "-c", "--context", multiple=True, type=_FILE, help="The picture or clip that a question or an edit is about."
    ),
    click.option("--text", is_flag=True, help="Candidates are texts, even those that look like paths."),
    click.option("-i", "--input", "input_file", type=_FILE, help="A JSON Lines file of cases to judge instead."),
    click.option(
        "-o",
        "--output",
        "output_file",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        help="Where verdicts on --input go, a line each. A run that was cut off goes on from there.",
    ),
)


def output_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add `--json`, given to the command as `as_json`, and `--debug`, noted in the `Session`."""
    click.option("--debug", is_flag=True, expose_value=False, callback=_note_debug, help="Show tracebacks.")(command)
    click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)
    return command


def _note_debug(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 (click's callback)
    from unireward_plugins.cli import Session

    session = ctx.find_object(Session)
    if session is not None and wanted:
        session.debug = True
