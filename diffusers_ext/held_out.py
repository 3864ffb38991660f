"""Measures a generator while it is trained: samples of fixed prompts from fixed noise, judged against the start's."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers_ext import checkpoints
from diffusers_ext.dpo_config import DPOConfig
from diffusers_ext.sample import samples
from diffusers_ext.validation import REPORT, Validation, ValidationRewards, judge_name
from hub.cards import counted
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from unireward_plugins.types import Judge


class HeldOut:
    """The evaluations of one run, in as many processes as it has.

    Samples go to `evaluations/` in the output folder and a line for each evaluation to `evaluation.jsonl`: `step`,
    `prompts` (how many were sampled), `reward` (the mean, 0 to 1, none of a judge that only compares), `win_rate` (the
    share of prompts whose sample is better than the start's), `unread` (verdicts that could not be read) and whether it
    is the `best` so far.
    """

    def __init__(
        self,
        config: DPOConfig,
        accelerator: Any,
        prompts: Sequence[str],
        *,
        judge: Judge | str | None,
        say: Callable[[str], None],
    ) -> None:
        """`prompts` are those held out, with repetitions; they count where the configuration names no file."""
        self.config, self.accelerator, self.output = config, accelerator, Path(config.output)
        self._held_out, self._judge, self._say = prompts, judge, say

    @cached_property
    def prompts(self) -> list[str]:
        """The prompts that are sampled."""
        from diffusers_ext.prompts import read_prompts

        file = self.config.evaluation_prompts
        there = read_prompts(file) if file else list(dict.fromkeys(self._held_out))
        return there[: self.config.evaluation_count]

    @property
    def judge_name(self) -> str | None:
        """What the judge is called, `None` where there is none."""
        return None if self._judge is None else judge_name(self._judge)

    @cached_property
    def rewards(self) -> ValidationRewards:
        """What the judge said so far."""
        assert self._judge is not None
        return ValidationRewards(self._judge, folder=self.output)

    @property
    def file(self) -> Path:
        """Where the evaluations are noted."""
        return self.output / "evaluation.jsonl"

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was noted."""
        return checkpoints.read_log(self.file)

    def resume(self, step: int) -> None:
        """Go on with what was noted up to a step; forget the rest, and everything at step 0, where a run begins anew.

        `UniRewardError` where there are no samples of the start to meet.
        """
        was_measured = self._samples(0).is_dir() and (self.output / REPORT).is_file()
        if self.config.evaluate_every and step and not was_measured:
            raise UniRewardError(
                f"the run in {str(self.output)!r} was begun without evaluations, so there are no samples of its start "
                "to compare with: set evaluate_every: 0, or choose another output folder"
            )
        if not self.accelerator.is_main_process:
            return
        checkpoints.cut_log(self.file, step)
        if step == 0:
            shutil.rmtree(self._samples(0).parent, ignore_errors=True)
            (self.output / REPORT).unlink(missing_ok=True)
        elif self.config.evaluate_every:
            self.rewards.resume(step, self.prompts, self._shown(0))

    def sample(self, step: int, pipeline: Any) -> None:
        """Sample the prompts that fall to this process, and wait for the others."""
        count, process = self.accelerator.num_processes, self.accelerator.process_index
        mine = {number: prompt for number, prompt in enumerate(self.prompts) if number % count == process}
        draw_samples(pipeline, mine, self._samples(step), seed=self.config.seed, call=self.config.call)
        self.accelerator.wait_for_everyone()

    def is_best(self, step: int) -> bool:
        """Have the samples of a step judged, note what came out, and tell all processes whether it is the best yet."""
        from accelerate.utils import broadcast_object_list

        found = [False]
        if self.accelerator.is_main_process:
            found = [self._noted(step, self._scored(step))]
        broadcast_object_list(found)
        return found[0]

    def _noted(self, step: int, found: Validation) -> bool:
        line = {
            "step": step,
            "prompts": len(self.prompts),
            "reward": found.reward,
            "win_rate": found.win_rate,
            "unread": sum(found.unread.values()),
        }
        rating = _rating(line)
        best = max((rated for one in self.lines if (rated := _rating(one)) is not None), default=-math.inf)
        is_best = rating is not None and rating > best
        checkpoints.add_line(self.file, {**line, "best": is_best})
        self._say(f"{counted(len(self.prompts), 'held-out prompt')}, {found}")
        return is_best

    def _scored(self, step: int) -> Validation:
        """What the judge says of the samples of a step."""
        self.rewards.trackers = self.accelerator.trackers
        return self.rewards.score(step, self.prompts, self._shown(step))

    def _shown(self, step: int) -> list[Media]:
        return [open_sample(self._samples(step), number) for number in range(len(self.prompts))]

    def _samples(self, step: int) -> Path:
        return self.output / "evaluations" / f"step-{step:08}"


def decode_without_autocast(vae: Any) -> None:
    """Have a VAE decode in the precision that it is kept in, even under autocast.

    SDXL's overflows in float16, so that its pipeline moves it to float32; autocast would undo that.
    """
    import torch

    decode = vae.decode

    def decoded(latents: Tensor, *more: Any, **options: Any) -> Any:
        with torch.autocast(latents.device.type, enabled=False):
            return decode(latents.to(vae.dtype), *more, **options)

    vae.decode = decoded


def draw_samples(
    pipeline: Any, prompts: Mapping[int, str], folder: Path, *, seed: int, call: Mapping[str, Any]
) -> None:
    """Sample prompts by their numbers into a folder; prompt `n` always from the noise of `seed + n`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, prompt in prompts.items():
        (sample,) = samples(pipeline, prompt, count=1, seed=seed + number, call=call)
        _save(sample.output, folder / f"{number:04}")


def open_sample(folder: Path, number: int) -> Media:
    """The sample of a prompt."""
    path = folder / f"{number:04}"
    return Media.of(sorted(path.iterdir()) if path.is_dir() else path.with_suffix(".png"))


def _save(output: Image | list[Image], path: Path) -> None:
    """A picture as a PNG file, a clip as a folder of them."""
    if not isinstance(output, list):
        output.save(path.with_suffix(".png"))
        return
    path.mkdir(exist_ok=True)
    for index, frame in enumerate(output):
        frame.save(path / f"{index:03}.png")


def _rating(line: Mapping[str, Any]) -> float | None:
    """By what the best evaluation is found: the reward or, of a judge that only compares, the win rate."""
    rated: float | None = line["win_rate"] if line["reward"] is None else line["reward"]
    return rated
