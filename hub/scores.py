"""Scores of single candidates to a dataset folder: a row for each case with one candidate, and what a judge said of it.

save_scores(cases, judge(cases), "scores", judge="shapes")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.asked import Asked, Making
from hub.card_pictures import draw_histogram
from hub.cards import CLIPS, card, code, figures
from hub.folders import new_folder, write_rows
from hub.schema import FRAMES_SHOWN, cell, question, rows_at_once, shown
from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.types import UNREAD_REASONS, Case, Task, Verdict

if TYPE_CHECKING:
    from datasets import Features

SCORED = {
    "score": "how good it is, from 0 to 1",
    "aspects": "the numbers behind the score, on the rubric's own scale: a list of `name`, `score`",
    "reply": "the judge's own words",
    "judge": "what judged",
    "rubric": "the rubric that it was asked by; empty where it chose by itself",
}

COLUMNS: Mapping[Task, Mapping[str, str]] = {
    "image_generation": {"prompt": "the caption", "candidate": "the picture", **SCORED},
    "video_generation": {"prompt": "the caption", "candidate": "the clip, as the list of its frames", **SCORED},
    "image_editing": {
        "prompt": "the instruction",
        "images": "the picture to edit",
        "candidate": "the edited picture",
        **SCORED,
    },
    "image_understanding": {
        "prompt": "the question, as a conversation",
        "images": "the pictures that it is about",
        "completion": "the answer, as a conversation",
        **SCORED,
    },
    "video_understanding": {
        "prompt": "the question, as a conversation",
        "images": f"the clip that it is about, as up to {FRAMES_SHOWN} evenly spaced frames",
        "completion": "the answer, as a conversation",
        **SCORED,
    },
}
"""What each column holds, for each task. Prompt and completion bear the names under which TRL trains on answers."""


def save_scores(
    cases: Sequence[Case],
    verdicts: Sequence[Verdict],
    folder: str | Path,
    *,
    judge: str,
    rubric: str = "",
    making: Making | None = None,
) -> Path:
    """Write a judge's scores of single candidates of one task as a dataset with a card, and return the folder.

    Cases without a verdict are left out, and counted in the card by reason: no row says 0 for what was not read.
    Raises `UniRewardError` where the folder is taken, nothing was read, a case has several candidates, or there are
    several tasks; `MediaError` where a picture or clip cannot be read.
    """
    asked = Asked(cases, verdicts)
    if several := [case for case in cases if len(case.candidates) != 1]:
        raise UniRewardError(
            f"scores are of one candidate each, and the case {several[0].prompt!r} has {len(several[0].candidates)}. "
            "Comparisons become pairs: see `pairs_from` and `save_pairs`"
        )
    read = [(case, verdict) for case, verdict in zip(cases, verdicts, strict=True) if verdict.scores is not None]
    tasks = {case.task for case, _ in read}
    if len(tasks) != 1:
        raise UniRewardError(f"a folder holds scores of one task, got {', '.join(sorted(tasks)) or 'no score'}")
    (task,) = tasks
    unread = Counter(verdict.unread for verdict in verdicts if verdict.unread is not None)
    with new_folder(folder) as growing:
        rows = (row(case, verdict, judge=judge, rubric=rubric) for case, verdict in read)
        files = write_rows(rows, features(task).arrow_schema, growing, at_once=rows_at_once(task))
        scores = {"score": [verdict.scores[0] for _, verdict in read if verdict.scores]}
        text = scores_card(
            task,
            files=files,
            count=len(read),
            judge=judge,
            rubric=rubric,
            unread=dict(unread.most_common()),
            making=making or asked.making(),
            histogram=draw_histogram(scores, growing),
        )
        (growing / "README.md").write_text(text, encoding="utf-8")
    return Path(folder)


def features(task: Task) -> Features:
    """The type of every column, for `datasets`."""
    with needs_extra("storing scores", "hub"):
        from datasets import Features, Image, List, Value

    picture, text, number = Image(), Value("string"), Value("float64")
    turns = List({"role": text, "content": text})
    types = {
        "prompt": turns if task.endswith("understanding") else text,
        "images": List(picture),
        "candidate": List(picture) if task == "video_generation" else picture,
        "completion": turns,
        "score": number,
        "aspects": List({"name": text, "score": number}),
    }
    return Features({name: types.get(name, text) for name in COLUMNS[task]})


def row(case: Case, verdict: Verdict, *, judge: str, rubric: str) -> dict[str, Any]:
    """A case with one candidate and its verdict as a row of its task."""
    assert verdict.scores is not None
    task, candidate = case.task, cell(case.candidates[0])
    values = {
        "prompt": question(case.prompt) if task.endswith("understanding") else case.prompt,
        "images": [picture for media in case.context for picture in shown(media)],
        "candidate": candidate,
        "completion": candidate,
        "score": verdict.scores[0],
        "aspects": list(_aspects(verdict)),
        "reply": verdict.reply,
        "judge": judge,
        "rubric": rubric,
    }
    return {name: values[name] for name in COLUMNS[task]}


def scores_card(
    task: Task,
    *,
    files: str,
    count: int,
    judge: str,
    rubric: str,
    unread: Mapping[str, int],
    making: Making,
    histogram: str,
) -> str:
    """The README of a folder of scores; `unread` counts by reason what has no row, `histogram` is a path below it."""
    by_rubric = f" by the rubric {code(rubric)}" if rubric else ""
    about = [f"{count:,} candidates of {task.replace('_', ' ')}, each graded alone by {code(judge)}{by_rubric}."]
    about += [CLIPS["frames"]] if task == "video_generation" else []
    about += [making.how] if making.how else []
    reasons = "; ".join(f"{number:,} x {UNREAD_REASONS[reason]}" for reason, number in unread.items())
    about += [f"Left out: {reasons}."] if reasons else []
    about += [*figures(making), f"![how the scores are spread]({histogram})"]
    return card(
        task,
        title="Scores",
        rows="scores",
        about=about,
        columns=COLUMNS[task],
        files=files,
        count=count,
        licence=making.licence,
    )


def _aspects(verdict: Verdict) -> Iterator[dict[str, Any]]:
    return ({"name": name, "score": values[0]} for name, values in verdict.aspects.items())
