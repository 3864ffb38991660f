"""Runs the training of something that is shipped to its end: resumable, with its rate and what is left."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

from unireward_plugins.errors import UniRewardError

CHECKPOINT = "unfinished.pt"
"""The file in the output folder by which a run that was stopped goes on."""
PAUSE = 10.0
"""Seconds between two lines of progress."""


class Plan(Protocol):
    """Everything that the weights depend on: a dataclass of numbers and texts."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def steps(self) -> int:
        """The steps of all parts."""
        ...


class Training(Protocol):
    """A training at some step of its plan."""

    step: int
    """How many steps are done."""

    @property
    def plan(self) -> Plan:
        """What it does."""
        ...

    def run(self) -> Iterator[float]:
        """The loss of each step that is left, as it is done."""
        ...

    def save(self, path: Path) -> None:
        """Write all that is needed to go on; the file is whole or not there."""
        ...

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; `UniRewardError` where it belongs to another plan."""
        ...


def write_checkpoint(path: Path, plan: Plan, state: Mapping[str, Any]) -> None:
    """Keep the state of a training and what its weights depend on; the file is whole or not there."""
    import torch

    unfinished = path.with_suffix(".new")
    torch.save({"plan": asdict(plan), **state}, unfinished)
    os.replace(unfinished, path)  # noqa: PTH105 - atomic on every system


def read_checkpoint(path: Path, plan: Plan) -> dict[str, Any]:
    """The state that `write_checkpoint` kept; `UniRewardError` where it belongs to another plan."""
    import torch

    state: dict[str, Any] = torch.load(path, weights_only=True)
    if (found := state.pop("plan")) != asdict(plan):
        raise UniRewardError(
            f"{path} belongs to a training with other settings: {found}, not {asdict(plan)}. "
            "Delete it, or choose another --output"
        )
    return state


def run_to_the_end(training: Training, output: Path, *, save_every: int, tell: Callable[[str], None]) -> None:
    """Do the steps that are left, beginning where a run that was stopped left `CHECKPOINT` in the output folder.

    It stays there: whoever asked for the training removes it once all that comes of it is kept.
    """
    unfinished = output / CHECKPOINT
    if unfinished.exists():
        training.resume(unfinished)
        tell(f"going on after step {training.step:,} of {training.plan.steps:,}")
    progress = Progress(training)
    for loss in training.run():
        if line := progress.line(loss):
            tell(line)
        if training.step % save_every == 0:
            training.save(unfinished)
    training.save(unfinished)  # for what is still to be written or measured


class Progress:
    """Says every few seconds how far a training is."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.start, self.first = time.monotonic(), training.step
        self.next, self.loss = self.start + PAUSE, math.nan

    def line(self, loss: float) -> str | None:
        """The line to print after a step, if it is time for one; the loss in it is smoothed."""
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
        now, step, steps = time.monotonic(), self.training.step, self.training.plan.steps
        if now < self.next and step < steps:
            return None
        self.next = now + PAUSE
        rate = (step - self.first) / (now - self.start)
        left = clock((steps - step) / rate)
        return f"step {step:,} of {steps:,}: loss {self.loss:.3f}, {rate:.1f} steps/s, {left} left"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
