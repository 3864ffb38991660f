"""Dataset cards: what a folder of pairs or scores holds, said for people and for the Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hub.asked import Making
from hub.card_pictures import Example
from hub.licences import licence_line
from hub.schema import COLUMNS, Clips
from unireward_plugins.pairs import DROP_REASONS
from unireward_plugins.types import Task

HUB_TASKS: Mapping[Task, str] = {
    "image_generation": "text-to-image",
    "video_generation": "text-to-video",
    "image_editing": "image-to-image",
    "image_understanding": "image-text-to-text",
    "video_understanding": "video-text-to-text",
}
"""The Hub's names for our tasks."""

TRAINERS: Mapping[Task, str] = {
    "image_generation": "diffusers' Diffusion-DPO scripts read `jpg_0`, `jpg_1`, `label_0` and `caption` as they are.",
    "image_understanding": "TRL's `DPOTrainer` takes the rows as they are.",
    "video_understanding": "TRL's `DPOTrainer` takes the rows as they are: the clip is there as pictures.",
}

CLIPS: Mapping[Clips, str] = {
    "frames": "A clip is the list of its frames, each to the pixel; no video decoder is needed.",
    "embedded": "A clip is the bytes of a video file, which load without a video decoder. Where there is one "
    '(`torchcodec`), `pairs.cast_column("chosen", datasets.Video())` decodes.',
    "beside": "Clips are video files. Where there is a video decoder (`torchcodec`) the rows hold decoded clips. Where "
    'there is none, `pairs.cast_column("chosen", datasets.Video(decode=False))` gives their paths, or '
    "`pairs.decode(False)` where the rows are streamed.",
}
"""How to get at clips, by the way in which they are stored."""

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The Hub's names for how many rows there are."""

# `datasets` names a set by its path, and finds no name in ".".
IMPORTED_HERE, LOADED_HERE = (
    "import os\n\nfrom datasets import load_dataset",
    'load_dataset(os.getcwd(), split="train")  # in this folder; from elsewhere, its path',
)
"""How a card's snippet loads the rows until the set has a name on the Hub (`on_the_hub`)."""

# `data_files`, not `data_dir: .`, which loads from a folder and fails on the Hub.
CARD = """\
---
{header}---

# {title}

{about}

```python
{imported}

{rows} = {loaded}
print({rows})
```

| column | holds |
|---|---|
{columns}
"""

_MARKDOWN = re.compile(r"[&<>|`*\[\]{}#~$\\!]|(?<!\w)_|_(?!\w)")
CELL = 300
"""The most characters of a text that an example shows."""


def pairs_card(  # noqa: PLR0913  # what is known, one argument each
    task: Task,
    *,
    files: str,
    count: int,
    judge: str,
    rubric: str,
    dropped: Mapping[str, int] | None,
    more: Mapping[str, str] = MappingProxyType({}),
    making: Making | None = None,
    histogram: str = "",
    examples: Sequence[Example] = (),
    clips: Clips = "frames",
) -> str:
    """The README of a folder of pairs.

    `files` is the pattern of the data files below the folder. `dropped` counts by reason what was judged and gave no
    pair; `None` where that is not known. `more` describes further columns. `histogram` and the pictures in `examples`
    are paths below the folder.
    """
    making = making or Making()
    about = [f"{counted(count, 'pair')} of {task.replace('_', ' ')}, preferred by {code(judge)}{_by(rubric)}."]
    about += [CLIPS[clips]] if task == "video_generation" else []
    about += [TRAINERS[task]] if task in TRAINERS else []
    about += [making.how] if making.how else []
    about += [f"Judged and dropped: {_reasons(dropped)}."] if dropped is not None else []
    about += figures(making)
    about += [f"![how the scores are spread]({histogram})"] if histogram else []
    about += [table_of(examples)] if examples else []
    return card(
        task,
        title="Preference pairs",
        rows="pairs",
        about=about,
        columns={**COLUMNS[task], **more},
        files=files,
        count=count,
        licence=making.licence,
    )


def card(
    task: Task,
    *,
    title: str,
    rows: str,
    about: Sequence[str],
    columns: Mapping[str, str],
    files: str,
    count: int,
    licence: str,
) -> str:
    """A dataset's README; `rows` is what its snippet calls the rows, `about` its paragraphs."""
    import yaml

    header: dict[str, Any] = {"license": licence} if licence else {}
    header |= {
        "task_categories": [HUB_TASKS[task]],
        "size_categories": [next((name for most, name in SIZES if count < most), "n>1M")],
        "tags": ["preference" if rows == "pairs" else "reward", "unireward"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": files}]}],
    }
    return CARD.format(
        header=yaml.safe_dump(header, sort_keys=False, allow_unicode=True),
        title=title,
        about="\n\n".join([*about, licence_line(licence)]),
        rows=rows,
        imported=IMPORTED_HERE,
        loaded=LOADED_HERE,
        columns="\n".join(f"| `{name}` | {meaning} |" for name, meaning in columns.items()),
    )


def on_the_hub(card: str, repo: str) -> str:
    """The card of a dataset that has a name on the Hub: its snippet loads it from there."""
    named = card.replace(IMPORTED_HERE, "from datasets import load_dataset")
    return named.replace(LOADED_HERE, f'load_dataset("{repo}", split="train")')


def figures(making: Making) -> list[str]:
    """What a card says of the judging, where it is known: the share of unread verdicts, and of flipped orders."""
    said = []
    if making.asked:
        said.append(f"Unread: {_share(making.unread, making.asked)} of the verdicts.")
    if making.compared:
        said.append(
            f"Order flips: {_share(making.flipped, making.compared)} of the comparisons came to another winner when "
            "asked the other way round."
        )
    return said


def table_of(examples: Sequence[Example]) -> str:
    """Examples as a Markdown table; the pair with the smallest margin stands first."""
    roles = list(examples[0].cells)
    lines = [["prompt", *(role if role != "context" else "about" for role in roles)], ["---"] * (len(roles) + 1)]
    for example in examples:
        scores = {"chosen": f"<br>{example.chosen_score:.3g}", "rejected": f"<br>{example.rejected_score:.3g}"}
        cells = [
            (f"![{role}]({example.cells[role]})" if role in example.pictures else plain(example.cells[role]))
            + scores.get(role, "")
            for role in roles
        ]
        lines.append([plain(example.prompt), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain(text: str, most: int = CELL) -> str:
    """Somebody's text for a cell of a Markdown table: as it is read, never as mark-up, and not endless."""
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    cut = words if len(words) <= most else f"{words[:most]}..."
    return _MARKDOWN.sub(lambda found: f"&#{ord(found[0])};", cut)


def counted(number: int, noun: str) -> str:
    """How many of something there are: `1 pair`, `2,000 pairs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def code(name: str) -> str:
    """A name in the type of code, whatever it holds."""
    return "`" + " ".join(name.replace("`", "'").split()) + "`"


def _by(rubric: str) -> str:
    return f" by the rubric {code(rubric)}" if rubric else ""


def _reasons(dropped: Mapping[str, int]) -> str:
    reasons = (f"{number:,} x {DROP_REASONS.get(reason, plain(reason))}" for reason, number in dropped.items())
    return "; ".join(reasons) or "nothing"


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})"
