"""Runs `build_pairs` in children that are killed, then to its end: the file of `test_killed_runs.py`.

python killed_run.py random FOLDER KILLS     killed at random moments, one child after the other in one folder
python killed_run.py steps FOLDER            killed before each step that touches the disk, each in a folder of its own

A child is a fork, so that it does not spend its life on imports. Prints how many were killed while at work. Random
moments go by the child's own progress and its own time on the processor, so that a busy machine does not move them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import datasets  # noqa: F401 - what a run imports is there before the first child
import pyarrow.parquet  # noqa: F401
import torch

import diffusers_ext.build_pairs as work
from tests.diffusers_ext.painter import bright, paint

PROMPTS = [f"a grey square, number {number}" for number in range(60)]


def run(folder: Path, prompts: list[str], *, pipeline: Callable[..., Any] = paint) -> None:
    """One whole run: shards of two prompts."""
    work.SHARD_PROMPTS = 2
    work.build_pairs(pipeline, prompts, judge=bright, folder=folder, candidates=4)


def in_child(action: Callable[[], None]) -> int:
    """Start the action in a process of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        action()
        os._exit(0)
    finally:
        os._exit(1)


def was_killed(child: int) -> bool:
    """Whether the child was ended by a signal and not by itself; an error in it is an error here."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the run failed"
    return False


def kill_at_random(folder: Path, kills: int) -> None:
    """So many kills, spread so that all of them together come well into a run, and none after its end."""
    run(folder.with_name("first"), PROMPTS[:4])  # loads what is loaded when it is used
    started = time.process_time()
    run(folder.with_name("undisturbed"), PROMPTS)
    longest = (time.process_time() - started) / len(PROMPTS)  # as long as four samples take
    lots = random.Random(kills)
    killed = 0
    for _ in range(kills):
        # All together do not reach the end: what a killed child had of a shard is drawn again by the next.
        samples, seconds = lots.randrange(4 * len(PROMPTS) // kills + 4), lots.uniform(0, longest)
        killed += was_killed(in_child(partial(_run_for, samples, seconds, folder)))
    run(folder, PROMPTS)
    print(killed)


def _run_for(samples: int, seconds: float, folder: Path) -> None:
    """Run up to so many samples, and so many seconds of this process's work after them, or four samples more.

    What happens then is what SIGKILL does: Python has no say in SIGPROF, the kernel ends the process where it is.
    """
    count = 0

    @wraps(paint)  # samples of another pipeline would be refused
    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        if count == samples:
            signal.setitimer(signal.ITIMER_PROF, max(seconds, 1e-6))
        if count == samples + 4:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        return paint(*arguments, **options)

    run(folder, PROMPTS, pipeline=counted)


def kill_at_each_step(folder: Path) -> None:
    """A kill before the first call that touches the disk, before the second, and so on until none is left."""
    step = 0
    while True:
        step += 1
        own = folder / f"{step:02}"
        child = in_child(lambda step=step, own=own: _run_up_to(step, own))  # type: ignore[misc]
        if not was_killed(child):
            break
        run(own, PROMPTS[:4])
    print(step - 1)


def _run_up_to(step: int, folder: Path) -> None:
    count = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return call

    os.fsync = counted(os.fsync)
    for name in ("rename", "replace", "mkdir"):
        setattr(Path, name, counted(getattr(Path, name)))
    run(folder, PROMPTS[:4])


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "random":
        kill_at_random(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        kill_at_each_step(Path(sys.argv[2]))
