"""Writes what a proof found: a page with the table, its figures as JSON, and a picture of samples before and after."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from diffusers_ext.proof_exam import Exam, PictureOrClip
from diffusers_ext.proof_plan import Result
from diffusers_ext.whole_files import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

PAGE, FIGURES, PICTURE = "proof.md", "proof.json", "before-after.png"
SIDE, GAP, LINE = 128, 6, 13
"""Width and height of a frame in the picture, the space between two, and the height of a line of text, in pixels."""
SHOWN, FRAMES_SHOWN = 8, 4
"""How many prompts are in the picture, and how many frames of a clip."""
RIGHT, WRONG = "#1a7f37", "#b42318"


def write_page(folder: Path, results: Sequence[Result], pairs_of_exams: tuple[Exam, Exam]) -> None:
    """Write `PAGE`, `FIGURES` and `PICTURE` into the folder; the samples are those of the first arm and seed."""
    before_and_after(*pairs_of_exams).save(folder / PICTURE)
    figures = [
        {
            "arm": result.arm.name,
            "labels": result.arm.labels,
            "gain": result.gain,
            "spread": result.spread,
            "runs": [asdict(run) for run in result.runs],
        }
        for result in results
    ]
    write_whole(folder / FIGURES, json.dumps(figures, indent=2).encode())
    write_whole(folder / PAGE, page(results).encode())


def page(results: Sequence[Result]) -> str:
    """The table, with a few words around it."""
    seeds = len(results[0].runs)
    if seeds > 1:
        drawn = f"; the mean of {seeds} seeds, each with candidates, training and noise of its own"
        gains = ", with the standard deviation between seeds"
    else:
        drawn, gains = "; of one seed, which does not tell how much chance moves the figures", ""
    return (
        "# Does the whole way work?\n\n"
        "The share of samples of held-out prompts, for which no pair was made, that the exact referee finds right, "
        f"before and after{drawn}. Gains are in points of 100{gains}.\n\n"
        f"{table(results)}\n\n"
        "The first samples of one seed, framed in green where they are right; the shares above the rows count the "
        "first sample of each prompt alone:\n\n"
        f"![Samples before and after]({PICTURE})\n"
    )


def table(results: Sequence[Result]) -> str:
    """One row for each arm, in Markdown."""
    lines = [columns(), tuple("---" for _ in columns()), *rows(results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def columns() -> tuple[str, ...]:
    """The heads of the table."""
    return ("training", "labels", "pairs", "before", "after", "gain", "of each seed")


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """What the table says of each arm."""
    return [
        (
            result.arm.name,
            result.arm.labels,
            f"{fmean(run.pairs for run in result.runs):.0f}",
            f"{fmean(run.before for run in result.runs):.1%}",
            f"{fmean(run.after for run in result.runs):.1%}",
            f"{result.gain:+.1f}" + ("" if result.spread is None else f" ± {result.spread:.1f}"),
            ", ".join(f"{run.gain:+.1f}" for run in result.runs),
        )
        for result in results
    ]


def before_and_after(before: Exam, after: Exam) -> Image:
    """The first samples of both, one above the other, each framed in green where it is right and in red where not."""
    from PIL import Image, ImageDraw

    strips = [[strip(sample) for sample in exam.pictures[:SHOWN]] for exam in (before, after)]
    words = [textwrap.wrap(prompt, 21) for prompt in before.prompts[:SHOWN]]
    width, tall = SIDE + 2 * GAP, strips[0][0].height
    row_height = LINE + tall + 3 * GAP
    sheet = Image.new("RGB", (SHOWN * width + GAP, 2 * row_height + LINE * max(map(len, words))), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (exam, name) in enumerate(((before, "before"), (after, "after"))):
        top = row * row_height + LINE
        draw.text((GAP, top - LINE), heading(name, exam), "black")
        for column, picture in enumerate(strips[row]):
            left = GAP + column * width
            frame = (left, top + GAP, left + SIDE + GAP, top + tall + 2 * GAP)
            draw.rectangle(frame, fill=RIGHT if exam.right[column] else WRONG)
            sheet.paste(picture, (left + GAP // 2, top + GAP + GAP // 2))
    for column, lines in enumerate(words):
        draw.multiline_text((GAP + column * width, 2 * row_height), "\n".join(lines), "dimgray")
    return sheet


def strip(sample: PictureOrClip) -> Image:
    """A picture as it is shown, or some frames of a clip, evenly spaced, the first above and the last below."""
    from PIL import Image

    frames = sample if isinstance(sample, list) else [sample]
    shown = min(FRAMES_SHOWN, len(frames))
    film = Image.new("RGB", (SIDE, shown * (SIDE + GAP) - GAP), "white")
    for place in range(shown):
        frame = frames[round(place * (len(frames) - 1) / max(1, shown - 1))]
        film.paste(frame.resize((SIDE, SIDE), Image.Resampling.NEAREST), (0, place * (SIDE + GAP)))
    return film


def heading(name: str, exam: Exam) -> str:
    """What stands above a row of samples: the share of right ones, in the same form as in the table, and of which."""
    share = f"{name}: {exam.share.value:.1%} right of the first samples of {len(exam.right)} prompts"
    return share + ("; each clip from its first frame down to its last" if isinstance(exam.pictures[0], list) else "")
