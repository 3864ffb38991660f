"""What a preference training says: a line a step in `log.jsonl`, in trackers and in the terminal, and warnings."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from diffusers_ext import checkpoints
from diffusers_ext.winner_watch import WinnerWatch
from unireward_plugins.errors import UniRewardError

logger = logging.getLogger(__name__)

SHOWN = ("loss", "accuracy", "winner_over_reference", "loser_over_reference", "grad_norm", "lr")
"""What of a step's values is shown in the terminal."""


class RunLog:
    """The log of one run; every process may tell it everything, and the main process writes."""

    def __init__(self, file: Path, accelerator: Any, *, steps: int) -> None:
        self.file, self.accelerator, self.steps = file, accelerator, steps
        self.watch = WinnerWatch()

    def resume(self, step: int) -> None:
        """Forget what was noted after a step."""
        if self.accelerator.is_main_process:
            for line in checkpoints.cut_log(self.file, step):
                self.watch.update(line)

    def add(self, step: int, values: Mapping[str, float], seconds: float) -> None:
        """Note what came out of the step of that number, the first being 1, where steps take so many seconds.

        Raises `UniRewardError` where the loss is no number.
        """
        if not math.isfinite(values["loss"]):
            raise UniRewardError(
                f"the loss of step {step} is {values['loss']}: the training has broken down. Lower the learning rate "
                "or beta, or use bf16 in place of fp16"
            )
        self.accelerator.log(dict(values), step=step)
        if not self.accelerator.is_main_process:
            return
        # A float16 run skips steps whose gradient overflows; JSON has no infinity.
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        checkpoints.add_line(self.file, {"step": step, **finite})
        if warning := self.watch.update(values):
            self.warn(f"step {step}: {warning}")
        left = timedelta(seconds=round(seconds * (self.steps - step)))
        shown = [f"{name} {values[name]:.4g}" for name in SHOWN if name in values]
        self.say(f"step {step}/{self.steps}: {', '.join(shown)}; {seconds:.2f} s a step, {left} left")

    def say(self, text: str) -> None:
        """Show a line in the terminal."""
        if self.accelerator.is_main_process:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Warn of something, once for all processes."""
        if self.accelerator.is_main_process:
            logger.warning("warning: %s", text)

    def cached(self, done: int, total: int) -> None:
        """Show how many files of the cache are done."""
        self.say(f"latents and prompts: {done} of {total} files")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was noted."""
        return checkpoints.read_log(self.file)
