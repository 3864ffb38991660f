"""The columns of preference data: plain parquet that `datasets` decodes by itself and that trainers read unchanged.

Pairs of pictures carry the columns of diffusers' Diffusion-DPO scripts (and of Pick-a-Pic) beside the decoded ones.
Pairs of answers are conversations with an `images` column, which TRL's `DPOTrainer` takes for vision-language models;
a clip that a question is about is there as frames.

Pairs of clips come in three forms (`Clips`):

* `frames`: lists of frames, which is what pipelines give and take. Every frame to the pixel, nothing but Pillow to
  decode it, shown by the Hub's viewer; large.
* `embedded`: the bytes of video files in the rows. Nothing decodes them unasked, so they load without a video decoder;
  `cast_column("chosen", Video())` decodes them where there is one (torchcodec).
* `beside`: video files beside a table that names them, `datasets`' videofolder. Rows are decoded clips where there is
  a decoder; where there is none they are paths, after `.cast_column("chosen", Video(decode=False))`, or
  `.decode(False)` where rows are streamed. For long clips.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hub.asked import Known
from hub.clips import AtMost, clip_file, frames_of
from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Candidate, Task

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["COLUMNS", "KNOWN", "Clips", "features", "frames_of", "known_columns", "row", "rows_at_once"]

Clips: TypeAlias = Literal["frames", "embedded", "beside"]
"""How generated clips are stored."""

FRAMES_SHOWN = 8
"""The most frames of a clip that a question is about: as many as UnifiedReward's rubrics for clips look at."""

JUDGED = {
    "chosen_score": "the judge's score of the chosen candidate, as a grade from 0 to 1 or as its share of the pair",
    "rejected_score": "the judge's score of the rejected candidate",
    "margin": "chosen_score - rejected_score, above 0",
    "judge": "what judged",
    "rubric": "the rubric that it was asked by; empty where it chose by itself",
}

ANSWERS = {
    "chosen": "the preferred answer, as a conversation",
    "rejected": "the other answer, as a conversation",
    **JUDGED,
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
    "video_generation": {
        "prompt": "the caption",
        "chosen": "the preferred clip",
        "rejected": "the other clip, likewise",
        **JUDGED,
        "caption": "the prompt again",
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
        **ANSWERS,
    },
    "video_understanding": {
        "prompt": "the question, as a conversation",
        "images": f"the clip that it is about, as up to {FRAMES_SHOWN} evenly spaced frames",
        **ANSWERS,
    },
}
"""What each column holds, for each task."""

KNOWN: Mapping[str, str] = {
    "aspects": "the numbers behind the scores, on the rubric's own scale: a list of `name`, `chosen`, `rejected`",
    "orders_agree": "whether the judge preferred the same candidate when it was asked the other way round",
    "chosen_seed": "the seed that the chosen candidate was drawn from",
    "rejected_seed": "the seed of the rejected candidate",
    "origin": "where both come from, as JSON",
}
"""What is stored beside where it is known of any pair of the set (`hub.asked.Known`)."""

PICTURE_ROWS, CLIP_ROWS = 32, 1
"""Rows encoded and written at a time: what the memory holds, and what a viewer loads at once. A pair of clips may well
have a hundred megabytes."""


def rows_at_once(task: Task) -> int:
    """How many rows are encoded and written at a time."""
    return CLIP_ROWS if task == "video_generation" else PICTURE_ROWS


def known_columns(known: Sequence[Known]) -> tuple[str, ...]:
    """The columns of `KNOWN` that carry something: a column without a value says nothing."""
    cells = [known_cells(one) for one in known]
    return tuple(name for name in KNOWN if any(cell[name] not in (None, []) for cell in cells))


def features(task: Task, *, known: Sequence[str] = (), clips: Clips = "frames") -> Features:
    """The type of every column, for `datasets`; `known` names those of `KNOWN` that there are.

    Clips that lie beside the rows are columns of the folder and not of the table, so they are not among these.
    """
    with needs_extra("storing pairs", "hub"):
        from datasets import Features, Image, List, Value, Video

    picture, text, number = Image(), Value("string"), Value("float64")
    turns = List({"role": text, "content": text})
    clip = List(picture) if clips == "frames" else Video(decode=False)
    is_about = task.endswith("understanding")
    candidate = turns if is_about else clip if task == "video_generation" else picture
    types = {
        "prompt": turns if is_about else text,
        "images": List(picture),
        "chosen": candidate,
        "rejected": candidate,
        "judge": text,
        "rubric": text,
        "jpg_0": Value("binary"),
        "jpg_1": Value("binary"),
        "caption": text,
        "aspects": List({"name": text, "chosen": number, "rejected": number}),
        "orders_agree": Value("bool"),
        "chosen_seed": Value("int64"),
        "rejected_seed": Value("int64"),
        "origin": text,
    }
    names = [name for name in COLUMNS[task] if clips != "beside" or name not in ("chosen", "rejected")]
    return Features({name: types.get(name, number) for name in (*names, *known)})


def row(pair: Pair, *, judge: str, rubric: str, known: Known | None = None, clips: Clips = "frames") -> dict[str, Any]:
    """The pair as a row of its task: pictures and frames encoded without loss, clips as `clips` says.

    Clips that lie beside the rows are given as their bytes. With `known`, the columns of `KNOWN` are there as well.
    Raises `UnsupportedCase` where the pair is of no task, `UniRewardError` for `clips` of what is no generated clip,
    `MediaError` where a picture or clip cannot be read.
    """
    task = pair.case.task
    if clips != "frames" and task != "video_generation":
        raise UniRewardError(f"clips={clips!r} is for pairs of generated clips; these are pairs of {task}")
    chosen, rejected = cell(pair.chosen, clips), cell(pair.rejected, clips)
    values: dict[str, Any] = {
        "prompt": question(pair.prompt) if task.endswith("understanding") else pair.prompt,
        "images": [picture for media in pair.context for picture in shown(media)],
        "chosen": chosen,
        "rejected": rejected,
        "chosen_score": pair.chosen_score,
        "rejected_score": pair.rejected_score,
        "margin": pair.margin,
        "judge": judge,
        "rubric": rubric,
        "caption": pair.prompt,
    }
    if task == "image_generation":
        values |= {"jpg_0": chosen["bytes"], "jpg_1": rejected["bytes"], "label_0": 1.0}
    return {name: values[name] for name in COLUMNS[task]} | ({} if known is None else known_cells(known))


def known_cells(known: Known) -> dict[str, Any]:
    """The cells of all columns in `KNOWN`."""
    aspects = [
        {"name": name, "chosen": chosen, "rejected": rejected} for name, (chosen, rejected) in known.aspects.items()
    ]
    origin = None if known.origin is None else json.dumps(known.origin, ensure_ascii=False, sort_keys=True)
    return {
        "aspects": aspects,
        "orders_agree": known.orders_agree,
        "chosen_seed": known.chosen_seed,
        "rejected_seed": known.rejected_seed,
        "origin": origin,
    }


def question(prompt: str) -> list[dict[str, str]]:
    """A question as a conversation."""
    return [{"role": "user", "content": prompt}]


def shown(media: Media) -> list[dict[str, Any]]:
    """What a question or an edit is about, as the cells of a list of pictures."""
    if media.kind == "image":
        return [{"bytes": encoded(media, "PNG"), "path": None}]
    return [{"bytes": encoded(frame, "WEBP"), "path": None} for frame in media.sample(AtMost(FRAMES_SHOWN))]


def cell(candidate: Candidate, clips: Clips = "frames") -> Any:
    """How `datasets` stores a picture, a clip or the frames of one, or TRL an answer."""
    if isinstance(candidate, str):
        return [{"role": "assistant", "content": candidate}]
    if candidate.kind == "image":
        return {"bytes": encoded(candidate, "PNG"), "path": None}
    if clips == "frames":
        return [{"bytes": encoded(frame, "WEBP"), "path": None} for frame in frames_of(candidate)]
    return {"bytes": clip_file(candidate), "path": None}


def encoded(picture: Media, kind: str) -> bytes:
    """The picture as a file: PNG for those that scripts read by themselves, WebP for frames, which is smaller."""
    buffer = io.BytesIO()
    # This effort takes a third of the default's time and makes the files no larger.
    options = {"lossless": True, "quality": 20, "method": 2} if kind == "WEBP" else {}
    picture.pil().save(buffer, format=kind, **options)
    return buffer.getvalue()
