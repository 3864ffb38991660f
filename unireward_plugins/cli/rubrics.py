"""`unireward rubrics`: how judges are asked, and how their replies are read."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.cases import read_candidate, read_media
from unireward_plugins.cli.options import complete_rubric, output_options
from unireward_plugins.cli.output import Table, note, printable, show_json, show_table
from unireward_plugins.cli.verdicts import as_record
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.rubrics import Rubric
from unireward_plugins.types import UNREAD_REASONS, Candidate, Case, Reply

STAND_IN_FRAMES = 16
"""How many frames a clip has that only holds a place: as many as any rubric looks at."""


@click.group(invoke_without_command=True)
@output_options
@click.pass_context
def rubrics(ctx: click.Context, *, as_json: bool) -> None:
    """List the questions that judges are asked; show one; read a reply to one."""
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)
    elif as_json:
        raise click.UsageError(f"--json goes behind {ctx.invoked_subcommand!r}")


@rubrics.command("list")
@output_options
def list_(*, as_json: bool) -> None:
    """List every rubric: its task, how many candidates it judges at a time, and whether it has a likelihood."""
    _list(as_json=as_json)


@rubrics.command()
@click.argument("name", shell_complete=complete_rubric)
@click.option("-p", "--prompt", help="Fill in this caption, question or instruction.")
@click.option("candidates", "--candidate", multiple=True, help="Fill in this path or text; once for each candidate.")
@click.option("-c", "--context", multiple=True, help="The picture or clip that it is about.")
@output_options
def show(name: str, *, prompt: str | None, candidates: Sequence[str], context: Sequence[str], as_json: bool) -> None:
    """Print the rubric NAME as the judge sees it: the pictures in their order, then the text.

    With --prompt (and --candidate) the text is filled in, and whatever in it could pass for an instruction to the model
    or a verdict is defused, just as when the judge is asked.
    """
    rubric = _find(name)
    filled = prompt is not None or bool(candidates)
    case = _case(rubric, prompt, candidates, context) if filled else _stand_in(rubric)
    query = rubric.query(case)
    text = query.text if filled else rubric.template
    pictures = _labels(rubric, case, query.media)
    if as_json:
        show_json({**_record(rubric), "pictures": pictures, "text": text})
        return
    note(_facts(rubric))
    for label in pictures:
        click.echo(f"[{label}]")
    click.echo(printable(text) if sys.stdout.isatty() else text)


@rubrics.command()
@click.argument("name", shell_complete=complete_rubric)
@output_options
def read(name: str, *, as_json: bool) -> int:  # noqa: ARG001 (it prints JSON anyway)
    """Read a reply to the rubric NAME from standard input, and print its verdict as JSON.

    This is the way to find out why a reply did not count: `unread` says why, and the exit code is 1.
    """
    rubric = _find(name)
    if sys.stdin.isatty():
        note("Paste the reply, then press Ctrl-D on a line of its own.")
    reply = sys.stdin.buffer.read().decode("utf-8", errors="replace")
    verdict = rubric.verdict(Reply(reply))
    show_json(as_record(verdict, reply=False))
    if verdict.unread is None:
        return OK
    note(f"no verdict: {UNREAD_REASONS[verdict.unread]}")
    return INCOMPLETE


def _find(name: str) -> Rubric:
    from unireward_plugins import plugins

    return plugins.find_rubric(name)


def _list(*, as_json: bool) -> None:
    from unireward_plugins import plugins

    found = plugins.rubrics().values()
    if as_json:
        show_json([{**_record(brought.thing), "plugin": brought.plugin} for brought in found])
        return
    rows = [
        (rubric.name, rubric.task.replace("_", " "), str(rubric.arity), "yes" if rubric.slot else "", rubric.family)
        for rubric in (brought.thing for brought in found)
    ]
    columns = ("rubric", "task", "candidates", "likelihood", "family")
    show_table(Table(columns, rows, numbers=frozenset({"candidates"}), names=frozenset({"rubric"})))
    note("See one with: unireward rubrics show NAME")


def _record(rubric: Rubric) -> dict[str, object]:
    frames, slot = rubric.frames, rubric.slot
    return {
        "name": rubric.name,
        "task": rubric.task,
        "candidates": rubric.arity,
        "family": rubric.family,
        "max_tokens": rubric.max_tokens,
        "frames": None if frames is None else {"rule": frames.name, "count": frames.count, "fps": frames.fps},
        "likelihood": None if slot is None else {"prefill": slot.prefill, "choices": slot.choices},
        "template": rubric.template,
    }


def _facts(rubric: Rubric) -> str:
    candidates = "one candidate" if rubric.arity == 1 else f"{rubric.arity} candidates"
    models = f"family {rubric.family}, at most {rubric.max_tokens} tokens"
    facts = f"{rubric.name}: {rubric.task}, {candidates} at a time; {models}"
    if rubric.slot is None:
        return facts
    return f"{facts}\nlikelihood: the probabilities of {', '.join(rubric.slot.choices)} after {rubric.slot.prefill!r}"


def _case(rubric: Rubric, prompt: str | None, candidates: Sequence[str], context: Sequence[str]) -> Case:
    """The user's case, with stand-ins for the pictures and clips that are not given."""
    blank = _stand_in(rubric)
    if prompt is None:
        raise UniRewardError("give --prompt too: the caption, question or instruction that the candidates answer")
    if not candidates and not rubric.task.endswith("understanding"):
        given: tuple[Candidate, ...] = blank.candidates
    elif len(candidates) != rubric.arity:
        raise UniRewardError(
            f"rubric {rubric.name!r} judges {rubric.arity} candidate(s): give --candidate so many times"
        )
    else:
        given = tuple(read_candidate(candidate, Path()) for candidate in candidates)
    about = tuple(read_media(path, Path()) for path in context)
    return Case(prompt, given, about or blank.context)


def _stand_in(rubric: Rubric) -> Case:
    """A case of the rubric's kind that only holds places; no two of its pictures are the same."""
    import numpy

    shades = iter(range(256))

    def medium(kind: str) -> Media:
        count = 1 if kind == "image" else STAND_IN_FRAMES
        frames = numpy.stack([numpy.full((8, 8, 3), next(shades), dtype=numpy.uint8) for _ in range(count)])
        return Media.of(frames[0] if kind == "image" else frames)

    kind, _, what = rubric.task.partition("_")
    if what == "understanding":
        return Case("", ("",) * rubric.arity, (medium(kind),))
    candidates = tuple(medium(kind) for _ in range(rubric.arity))
    return Case("", candidates, (medium(kind),) if what == "editing" else ())


def _labels(rubric: Rubric, case: Case, shown: Sequence[Media]) -> list[str]:
    """What each of the pictures is that a rubric shows of a case."""
    waiting: defaultdict[Media, deque[str]] = defaultdict(deque)
    for picture, label in _pictures(rubric, case):
        waiting[picture].append(label)
    return [waiting[picture].popleft() for picture in shown]


def _pictures(rubric: Rubric, case: Case) -> Iterator[tuple[Media, str]]:
    """Every picture of a case, the frames of its clips included, with what it is."""
    numbered = [(f"candidate {number}", candidate) for number, candidate in enumerate(case.candidates, start=1)]
    for name, media in [*(("context", media) for media in case.context), *numbered]:
        if isinstance(media, Media) and media.kind == "image":
            yield media, f"picture: {name}"
        elif isinstance(media, Media) and rubric.frames is not None:
            for number, frame in enumerate(media.sample(rubric.frames), start=1):
                yield frame, f"picture: {name}, frame {number}"
