"""`unireward shapes check`: the referee, for samples that anyone drew, and for itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, note, progress, show_json, show_table

if TYPE_CHECKING:
    from unireward_plugins.shapes.check import Finding

_COUNT = click.IntRange(min=1)
_COUNTED_AT_ONCE = 500
"""Fresh pictures or clips that the referee is measured on between two signs of life."""


def _picture_file(_: click.Context, __: click.Parameter, file: Path | None) -> Path | None:
    """A file that a sheet can be drawn into; found out before anything is read."""
    if file is None:
        return None
    from PIL import Image

    if Image.registered_extensions().get(file.suffix.lower()) not in Image.SAVE:
        raise click.BadParameter(f"{str(file)!r} does not end like a picture: give it a name such as 'sheet.png'")
    if not file.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {file.absolute().parent}. Make it first")
    return file


@click.command()
@click.argument("samples", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What was asked for: .txt, a line for each file in order; .jsonl, .json or .csv with `file` and `prompt`. "
    "Left out, the metadata.jsonl of a folder.",
)
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_picture_file,
    help="Draw wrong and right ones here.",
)
@click.option(
    "-n", "--count", type=_COUNT, default=10_000, show_default=True, help="Without SAMPLES: how many fresh ones."
)
@output_options
def check(samples: tuple[Path, ...], *, prompts: Path | None, sheet: Path | None, count: int, as_json: bool) -> int:
    """Say what SAMPLES show, and how well they do what was asked, from their pixels alone.

    SAMPLES are pictures, clips, and folders of them, drawn by anyone. With prompts each is graded: it is right if all
    of its prompt holds. Exit code 1: a file cannot be read. Wrong samples are a finding, and no failure.

    Without SAMPLES: how many of some fresh pictures and clips are misread; 1 where it is 0.1 % or more of either.

    \b
    unireward shapes check samples/ --prompts prompts.txt --sheet sheet.png
    """
    if not samples:
        if prompts or sheet:
            raise click.UsageError("--prompts and --sheet go with samples: name files or folders to check")
        return _measure_referee(count, as_json=as_json)
    from unireward_plugins.shapes import check as referee

    paths = referee.find_samples(samples)
    captions = referee.read_captions(prompts, paths) if prompts else referee.read_metadata(samples, paths)
    findings = []
    with progress("checked", total=len(paths)) as advance:
        for finding in referee.check(paths, captions):
            findings.append(finding)
            advance(1)
    _show_findings(findings, as_json=as_json)
    if sheet is not None:
        from unireward_plugins.shapes.sheet import write_sheet

        write_sheet(findings, sheet)
    return INCOMPLETE if any(finding.problem for finding in findings) else OK


def _show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    from unireward_plugins.shapes.check import share_right

    share = share_right(findings)
    if as_json:
        right = asdict(share) | {"value": share.value, "interval": share.interval} if share.trials else None
        show_json({"right": right, "samples": [_as_json(finding) for finding in findings]})
        return
    if not share.trials:
        show_table(Table(("sample", "shows"), [(str(finding.path), _seen(finding)) for finding in findings]))
        return
    columns = ("sample", "prompt", "shows", "alignment", "coherence", "style", "overall", "misses")
    show_table(Table(columns, [_cells(finding) for finding in findings], numbers=frozenset(columns[3:7])))
    note(f"{share.hits:,} of {share.trials:,} are right: {share}")


def _cells(finding: Finding) -> tuple[str, ...]:
    found = finding.grades
    graded = ("", "", "", "") if found is None else (found.alignment, found.coherence, found.style, found.overall)
    asked = "" if finding.caption is None else str(finding.caption)
    return (str(finding.path), asked, _seen(finding), *map(str, graded), ", ".join(finding.misses))


def _seen(finding: Finding) -> str:
    from unireward_plugins.shapes.check import describe

    return f"cannot be read: {finding.problem}" if finding.problem else describe(finding.shows)


def _as_json(finding: Finding) -> dict[str, Any]:
    found = finding.grades
    return {
        "file": str(finding.path),
        "prompt": None if finding.caption is None else str(finding.caption),
        "shows": None if finding.problem else _seen(finding),
        "scene": None if finding.shows is None else asdict(finding.shows),
        "grades": None if found is None else asdict(found) | {"overall": found.overall},
        "misses": list(finding.misses),
        "right": None if found is None else finding.right,
        "problem": finding.problem or None,
    }


def _measure_referee(count: int, *, as_json: bool) -> int:
    """Count what the referee misreads of fresh pictures and of fresh clips."""
    from unireward_plugins.shapes.clip_truth import count_clip_errors
    from unireward_plugins.shapes.truth import count_errors

    with progress("read", total=2 * count) as advance:
        pictures = _in_parts(count, lambda some, seed: count_errors(pictures=some, seed=seed), advance)
        clips = _in_parts(count, lambda some, seed: count_clip_errors(clips=some, seed=seed), advance)
    misread = {"pictures": pictures, "clips": clips}
    if as_json:
        show_json({name: {"read": count, "misread": errors} for name, errors in misread.items()})
    else:
        for name, errors in misread.items():
            click.echo(f"{errors} of {count:,} {name} were misread ({errors / count:.3%})")
    return OK if max(misread.values()) < count / 1000 else INCOMPLETE


def _in_parts(count: int, errors: Callable[[int, int], int], advance: Callable[[int], None]) -> int:
    """The errors in all, counted some at a time, each from a seed of its own."""
    total = 0
    for seed, start in enumerate(range(0, count, _COUNTED_AT_ONCE)):
        some = min(_COUNTED_AT_ONCE, count - start)
        total += errors(some, seed)
        advance(some)
    return total
