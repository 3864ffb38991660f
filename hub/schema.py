"""The columns of preference pairs: plain parquet that `datasets` decodes by itself and that trainers read unchanged.

Pairs of pictures carry the columns of diffusers' Diffusion-DPO scripts (and of Pick-a-Pic) beside the decoded ones;
pairs of answers are conversations with an `images` column, which TRL's `DPOTrainer` takes for vision-language models.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from unireward_plugins.errors import UnsupportedCase, needs_extra
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Candidate, Task

if TYPE_CHECKING:
    from datasets import Features

JUDGED = {
    "chosen_score": "the judge's score of the chosen candidate, as a grade from 0 to 1 or as its share of the pair",
    "rejected_score": "the judge's score of the rejected candidate",
    "margin": "chosen_score - rejected_score, above 0",
    "judge": "what judged",
    "rubric": "the rubric that it was asked by; empty where it chose by itself",
}

COLUMNS: Mapping[Task, Mapping[str, str]] = {
    "image_generation": {
        "prompt": "the caption",
        "chosen": "the preferred picture",
        "rejected": "the other picture",
        **JUDGED,
        "jpg_0": "the chosen picture as the bytes of a PNG file, for Diffusion-DPO scripts",
        "jpg_1": "the rejected picture likewise",
        "label_0": "1: `jpg_0` is preferred",
        "caption": "the prompt again, under the name that Diffusion-DPO scripts read",
    },
    "image_editing": {
        "prompt": "the instruction",
        "images": "the picture to edit",
        "chosen": "the preferred edit",
        "rejected": "the other edit",
        **JUDGED,
    },
    "image_understanding": {
        "prompt": "the question, as a conversation",
        "images": "the pictures that it is about",
        "chosen": "the preferred answer, as a conversation",
        "rejected": "the other answer, as a conversation",
        **JUDGED,
    },
}
"""What each column holds, for each task whose pairs can be stored."""


def task_of(pair: Pair) -> Task:
    """The pair's task; raises `UnsupportedCase` where its pairs cannot be stored."""
    task = pair.case.task
    if task not in COLUMNS:
        raise UnsupportedCase(f"pairs of {task} cannot be stored as rows; those of {', '.join(COLUMNS)} can")
    return task


def features(task: Task) -> Features:
    """The type of every column, for `datasets`."""
    with needs_extra("storing pairs", "hub"):
        from datasets import Features, Image, List, Value

    picture, text, number = Image(), Value("string"), Value("float64")
    turns = List({"role": text, "content": text})
    spoken = task == "image_understanding"
    types = {
        "prompt": turns if spoken else text,
        "images": List(picture),
        "chosen": turns if spoken else picture,
        "rejected": turns if spoken else picture,
        "judge": text,
        "rubric": text,
        "jpg_0": Value("binary"),
        "jpg_1": Value("binary"),
        "caption": text,
    }
    return Features({name: types.get(name, number) for name in COLUMNS[task]})


def row(pair: Pair, *, judge: str, rubric: str) -> dict[str, Any]:
    """The pair as a row of its task, pictures encoded as PNG."""
    task = task_of(pair)
    chosen, rejected = _cell(pair.chosen), _cell(pair.rejected)
    values: dict[str, Any] = {
        "prompt": [{"role": "user", "content": pair.prompt}] if task == "image_understanding" else pair.prompt,
        "images": [_cell(media) for media in pair.context],
        "chosen": chosen,
        "rejected": rejected,
        "chosen_score": pair.chosen_score,
        "rejected_score": pair.rejected_score,
        "margin": pair.margin,
        "judge": judge,
        "rubric": rubric,
    }
    if task == "image_generation":
        values |= {"jpg_0": chosen["bytes"], "jpg_1": rejected["bytes"], "label_0": 1.0, "caption": pair.prompt}
    return {name: values[name] for name in COLUMNS[task]}


def _cell(candidate: Candidate) -> Any:
    """How `datasets` stores a picture, or TRL an answer."""
    if isinstance(candidate, str):
        return [{"role": "assistant", "content": candidate}]
    return {"bytes": _png(candidate), "path": None}


def _png(picture: Media) -> bytes:
    buffer = io.BytesIO()
    picture.pil().save(buffer, format="PNG")
    return buffer.getvalue()
