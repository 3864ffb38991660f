"""The samples that a generator is measured by: drawn from their seeds, kept as files that other scorers read too."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers_ext.build_pairs import Progress
from diffusers_ext.piecewise import do_piecewise
from diffusers_ext.prompt_list import PromptList
from diffusers_ext.sample import Pipeline, samples
from diffusers_ext.shards import Record
from diffusers_ext.whole_files import write_whole
from hub.clips import write_clip
from unireward_plugins.media import Media
from unireward_plugins.types import Task

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the samples of one generator depend on."""

    prompts: PromptList
    count: int
    """Samples of each prompt."""
    seed: int
    frames_per_second: int
    """How fast clips play."""
    origin: Mapping[str, Any]
    """See `load_pipeline.origin`."""

    @property
    def plan(self) -> dict[str, Any]:
        """What must be the same for a run to go on: a name, a device or a version may change, not the weights."""
        return {
            "prompts": self.prompts.described,
            "samples": self.count,
            "seed": self.seed,
            "frames_per_second": self.frames_per_second,
            "pipeline": {name: self.origin.get(name) for name in ("class", "weights", "dtype")},
            "call": self.origin["call"],
        }


@dataclass(frozen=True, slots=True)
class Drawn:
    """The samples of one generator, on the disk."""

    folder: Path
    sampling: Sampling
    records: Sequence[Record]
    """For each prompt its `number`, and its `samples`, each with `file`, `seed`, `blanked` and `seconds`."""

    def media(self, number: int, sample: int) -> Media | None:
        """A sample for a judge; `None` where the safety checker blanked it."""
        told = self.records[number]["samples"][sample]
        return None if told["blanked"] else Media.of(self.folder / told["file"])

    @property
    def shown(self) -> list[tuple[int, int]]:
        """The prompt's number and the sample's of all that were not blanked."""
        return [
            (record["number"], sample)
            for record in self.records
            for sample, told in enumerate(record["samples"])
            if not told["blanked"]
        ]


def draw_samples(pipeline: Pipeline, sampling: Sampling, folder: Path, *, work: Path, progress: Progress) -> Drawn:
    """Draw what the folder lacks: the samples of each prompt, one at a time, each from a seed of its own.

    The folder then holds the files of the samples and nothing else.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def draw(numbers: range) -> list[Record]:
        return [_draw_prompt(pipeline, sampling, number, folder) for number in numbers]

    found = do_piecewise(work, sampling.plan, draw, count=len(sampling.prompts.prompts), progress=progress)
    return Drawn(folder, sampling, found)


def task_of(drawn: Drawn) -> Task:
    """Whether pictures or clips were drawn."""
    name = drawn.records[0]["samples"][0]["file"]
    return "video_generation" if name.endswith(".mp4") else "image_generation"


def _draw_prompt(pipeline: Pipeline, sampling: Sampling, number: int, folder: Path) -> Record:
    told = []
    for index in range(sampling.count):
        began = time.monotonic()
        seed = sampling.seed + number * sampling.count + index
        prompt = sampling.prompts.prompts[number]
        (sample,) = samples(pipeline, prompt, count=1, seed=seed, call=sampling.origin["call"])
        seconds = time.monotonic() - began
        ending, content = _as_file(sample.output, sampling.frames_per_second)
        name = sampling.prompts.stem(number, index) + ending
        write_whole(folder / name, content)
        told.append({"file": name, "seed": seed, "blanked": sample.blanked, "seconds": round(seconds, 4)})
    return {"number": number, "samples": told}


def _as_file(output: Image | list[Image], frames_per_second: int) -> tuple[str, bytes]:
    """The ending and the content of the file of a sample."""
    buffer = io.BytesIO()
    if not isinstance(output, list):
        output.save(buffer, format="PNG")
        return ".png", buffer.getvalue()
    write_clip(output, buffer, frames_per_second=frames_per_second)
    return ".mp4", buffer.getvalue()
