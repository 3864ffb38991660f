"""What a reward's arguments come to: which judge, under which name, and whether it can judge what TRL brings."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FunctionType

from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import BothOrders, ModelJudge, in_one_order
from unireward_plugins.loading import load_judge
from unireward_plugins.rubrics import Readout, Rubric
from unireward_plugins.types import Judge, Task

logger = logging.getLogger(__name__)

DEFAULT_JUDGE = "CodeGoat24/UnifiedReward-2.0-qwen3vl-8b"
"""The judge where neither an argument nor the environment names one."""

POLICY_TASKS: tuple[Task, ...] = ("image_understanding", "video_understanding")
"""What there is to judge in TRL, whose policies write text about pictures and clips."""

REWARD_OF_ARITY = {1: "UnifiedReward", 2: "UnifiedGroupReward"}
"""The reward for judges that see so many answers at a time."""


def judge_of(judge: str | Path | Judge | None, rubric: str | Rubric, readout: Readout | None) -> Judge:
    """The judge that a reward was asked for; the environment's, or the default, where it was asked for none."""
    if judge is None:
        judge = os.environ.get("UNIREWARD_JUDGE") or DEFAULT_JUDGE
    return load_judge(judge, rubric=None if rubric == "auto" else rubric, readout=readout)


def name_of(
    reward: type, judge: str | Path | Judge | None, rubric: str | Rubric, readout: str | None, aspect: str | None = None
) -> str:
    """A name for TRL's logs that tells rewards of different arguments apart; TRL merges what has one name."""
    choices = (
        "" if judge is None else short_name(judge),
        rubric.name if isinstance(rubric, Rubric) else rubric.removeprefix("auto"),
        readout,
        aspect,
    )
    return "-".join([reward.__name__, *(choice for choice in choices if choice)])


def short_name(judge: str | Path | Judge) -> str:
    """The last part of an id, folder or URL, or the model that a URL picks; the name of a function, or of a class."""
    match judge:
        case str() | Path():
            address, _, model = str(judge).partition("#")
            return (model or address).removesuffix("/").removesuffix("/v1").rsplit("/", 1)[-1]
        case ModelJudge():
            return short_name(judge.name)
        case BothOrders():
            return f"{short_name(judge.judge)}-both_orders"
        case FunctionType():
            return judge.__name__
    return type(judge).__name__


def expect_support(judge: Judge, tasks: Sequence[Task], arity: int) -> None:
    """Raise `UnsupportedCase` where a judge is known to judge none of the tasks, so many answers at a time.

    What a plain callable judges is its own business.
    """
    inner = in_one_order(judge)
    if not isinstance(inner, ModelJudge) or any(inner.supports(task, arity) for task in tasks):
        return
    other = next((able for task, able in inner.rubrics if task in tasks and able in REWARD_OF_ARITY), None)
    able = ", ".join(f"{task} ({count} at a time)" for task, count in sorted(inner.rubrics))
    way_out = (
        f"use {REWARD_OF_ARITY[other]} with it"
        if other is not None
        else f"a reward for TRL needs a judge of text answers, that is of {' or '.join(tasks)}"
    )
    raise UnsupportedCase(
        f"judge {inner.name!r} cannot judge {' or '.join(tasks)} {arity} answer(s) at a time, which is how "
        f"{REWARD_OF_ARITY[arity]} asks. It judges: {able}; {way_out}"
    )


def announce(name: str, judge: Judge, task: Task, arity: int) -> None:
    """Log by which rubric such rows are judged."""
    inner = in_one_order(judge)
    if isinstance(inner, ModelJudge):
        logger.info("%s: %s judges %s by rubric %s", name, inner.name, task, inner.rubrics[task, arity].name)


def refuse(reward: type, unknown: Mapping[str, object]) -> None:
    """Raise where a constructor was called by mistake: by a trainer that got the class, or with no such option."""
    name = reward.__name__
    if "completions" in unknown:
        raise UniRewardError(f"TRL was given the class {name}; give it an instance: reward_funcs={name}()")
    if unknown:
        raise TypeError(f"{name}() has no option {', '.join(map(repr, unknown))}")
