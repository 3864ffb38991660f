"""Scores the validation pictures or clips of a training run, against the first validation, and notes the best step.

validation = ValidationRewards("shapes", trackers=accelerator.trackers, folder=output_dir)
for step in ...:
    validation.score(step, prompts, [pipeline(prompt).images[0] for prompt in prompts])
validation.best.step
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from diffusers_ext.load_pipeline import name_of
from diffusers_ext.sheet import Scored, sheet
from diffusers_ext.whole_files import write_whole
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import ask, both_orders, in_one_order
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Judge, Verdict

REPORT = "validation_rewards.json"
"""The file in the output folder: every validation, and the best."""
PREFIX = "unireward"
"""What the names of everything that goes to a tracker begin with."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What the judge said of the pictures or clips of one validation."""

    step: int | None
    """The training step; `None` where it is not known."""
    label: str
    """What the candidates are of: `"validation"` for the model in training."""
    prompts: tuple[str, ...]
    scores: tuple[float | None, ...]
    """One for each candidate, from 0 to 1; `None` where no verdict was read, and for a judge that only compares."""
    shares: tuple[float | None, ...]
    """One for each candidate: 1 where it is better than that of the reference, 0.5 where both are equal, 0 where it is
    worse, and what lies between where the judge sees it so; `None` where there is none to compare it with, or no
    verdict."""
    unread: dict[str, int] = field(default_factory=dict)
    """How many verdicts were not read, by reason (`unireward_plugins.types.UNREAD_REASONS`)."""

    @property
    def reward(self) -> float | None:
        """The mean of the scores, from 0 to 1."""
        return _mean(self.scores)

    @property
    def win_rate(self) -> float | None:
        """The mean of the shares: above 0.5 where the model is better than it was at the reference."""
        return _mean(self.shares)

    def __str__(self) -> str:
        known = {"reward": self.reward, "win rate": self.win_rate}
        values = [f"{name} {value:.3f}" for name, value in known.items() if value is not None]
        label = "" if self.label == "validation" else f" ({self.label})"
        return f"step {self.step}{label}: {', '.join(values) or 'no verdict'}"


class ValidationRewards:
    """The validations of one training run; the first is the reference that all are compared with.

    Candidates meet those of the reference that were made for the same prompt, the first the first and so on, so that
    equal seeds meet where a trainer draws every validation from the same seeds. A judge that grades is asked about each
    candidate once, and the higher grade wins. One that only compares is asked about each pair in both orders; there is
    no reward then, and the best step is the one with the highest win rate.

    In a run of many processes the main process alone makes this and uses it.
    """

    def __init__(
        self, judge: str | Path | Judge, *, trackers: Sequence[Any] = (), folder: str | Path | None = None
    ) -> None:
        """`judge` is a judge or its name (`load_judge`), `trackers` are those of `accelerate` (`accelerator.trackers`);
        `REPORT` goes into the folder."""
        self.judge = load_judge(judge)
        self.trackers = trackers
        self.folder = None if folder is None else Path(folder)
        self.history: list[Validation] = []
        self.failures: list[dict[str, Any]] = []
        """Validations that the judge failed at: their step, label and error."""
        self._reference: dict[tuple[str, int], Scored] = {}

    @property
    def best(self) -> Validation | None:
        """The best validation of the model in training, the earliest of equals; `None` before there is one."""
        rated = [(_rating(one), one) for one in self.history if one.label == "validation"]
        return max(
            ((rating, one) for rating, one in rated if rating is not None), key=lambda pair: pair[0], default=(0, None)
        )[1]

    def score(
        self, step: int | None, prompts: Sequence[str], outputs: Sequence[Any], *, label: str = "validation"
    ) -> Validation:
        """Judge candidates, log what came out, and note it.

        `outputs` holds one picture or clip for each prompt, as `Media.of` takes it: a PIL image, a list of frames, an
        array. With another label than `"validation"` it is logged under that name and can not be the best.
        Raises `UniRewardError` where prompts and outputs do not fit, and what the judge raises.
        """
        if len(prompts) != len(outputs) or not prompts:
            raise UniRewardError(f"each prompt has one output: got {len(prompts)} prompts and {len(outputs)} outputs")
        shown = [Media.of(output) for output in outputs]
        keys = _numbered(prompts)
        verdicts = _graded(self.judge, [Case(prompt, (one,)) for prompt, one in zip(prompts, shown, strict=True)])
        scores = [verdict.scores[0] if verdict and verdict.scores else None for verdict in verdicts]
        reference = self._reference or dict(zip(keys, zip(shown, scores, strict=True), strict=True))
        met = [reference.get(key) for key in keys]
        if None in verdicts:
            verdicts = _compared(self.judge, prompts, shown, met)
            shares = [verdict.scores[0] if verdict and verdict.scores else None for verdict in verdicts]
        else:
            shares = [_share(score, other and other[1]) for score, other in zip(scores, met, strict=True)]
        unread = Counter(verdict.unread for verdict in verdicts if verdict and verdict.unread)
        done = Validation(step, label, tuple(prompts), tuple(scores), tuple(shares), dict(unread))
        self._reference = reference
        self.history.append(done)
        self._log(done, [(other, (one, score)) for other, one, score in zip(met, shown, scores, strict=True)])
        self._write()
        return done

    def resume(self, step: int, prompts: Sequence[str], outputs: Sequence[Any]) -> None:
        """Go on with what the report in the folder says of validations up to a step.

        `prompts` and `outputs` are those of the first, the reference. Raises `UniRewardError` where that was made for
        other prompts or by another judge, and `FileNotFoundError` where there is no report.
        """
        assert self.report is not None, "only what has a folder is resumed"
        told = json.loads(self.report.read_text(encoding="utf-8"))
        history = [_validation(one) for one in told["validations"] if one["step"] <= step]
        differ = "other prompts" if history[0].prompts != tuple(prompts) else ""
        if told["judge"] != judge_name(self.judge):
            differ = f"another judge, {told['judge']}"
        if differ:
            raise UniRewardError(
                f"the validations in {str(self.report)!r} had {differ}: none to come can be compared with them. Give "
                "the same, or choose another output folder"
            )
        met = zip(map(Media.of, outputs), history[0].scores, strict=True)
        self._reference = dict(zip(_numbered(prompts), met, strict=True))
        self.history = history

    def failed(self, step: int | None, error: Exception, *, label: str = "validation") -> None:
        """Note a validation that has no score because `score` raised an error."""
        self.failures.append({"step": step, "label": label, "error": f"{type(error).__name__}: {error}"})
        self._write()

    @property
    def report(self) -> Path | None:
        """The file with every validation and the best."""
        return None if self.folder is None else self.folder / REPORT

    def _log(self, done: Validation, rows: Sequence[tuple[Scored | None, Scored]]) -> None:
        name = PREFIX if done.label == "validation" else f"{PREFIX}/{done.label}"
        best = self.best
        values = {
            "reward": done.reward,
            "win_rate": done.win_rate,
            "step": done.step,
            "unread": sum(done.unread.values()),
        }
        if best is not None and done.label == "validation":
            values |= {"best_step": best.step, "best_reward": best.reward}
        values = {f"{name}/{key}": value for key, value in values.items() if value is not None}
        picture = sheet(done.prompts, rows) if self.trackers else None
        for tracker in self.trackers:
            # W&B drops what comes with a lower step than its count, which pictures that a script logs without a step
            # move on. So it is given no step, and its count is left where it is: the row of the script's last log.
            told: dict[str, Any] = {"commit": False} if tracker.name == "wandb" else {"step": done.step}
            tracker.log(values, **told)
            if tracker.name == "tensorboard":
                tracker.log_images({f"{name}/gallery": _channels_first(picture)}, **told)
            elif hasattr(tracker, "log_images"):
                tracker.log_images({f"{name}/gallery": [picture]}, **told)

    def _write(self) -> None:
        if self.folder is None or self.report is None:
            return
        best = self.best
        report = {
            "judge": judge_name(self.judge),
            "best": None if best is None else _told(best),
            "reference_step": self.history[0].step if self.history else None,
            "validations": [{**_told(one), **asdict(one)} for one in self.history],
            "failures": self.failures,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.report, json.dumps(report, indent=2, ensure_ascii=False).encode())


def judge_name(judge: Judge | str) -> str:
    """What a judge is called: its name, or that of a callable of one's own, with its module."""
    if isinstance(judge, str):
        return judge
    named = in_one_order(judge)
    name: str = getattr(named, "name", None) or name_of(named)
    return name


def _graded(judge: Judge, cases: Sequence[Case]) -> Sequence[Verdict | None]:
    """A verdict on each candidate alone, or `None` of a judge that only compares."""
    try:
        return ask(judge, cases)
    except UnsupportedCase:
        # If it does not judge such candidates at all, it says so again when it is asked to compare.
        return [None] * len(cases)


def _compared(
    judge: Judge, prompts: Sequence[str], shown: Sequence[Media], met: Sequence[Scored | None]
) -> list[Verdict | None]:
    """A verdict on each candidate against the one of the reference that it meets, where it meets one."""
    paired = [index for index, other in enumerate(met) if other is not None]
    cases = [Case(prompts[index], (shown[index], other[0])) for index in paired if (other := met[index])]
    told = dict(zip(paired, ask(both_orders(judge), cases), strict=True))
    return [told.get(index) for index in range(len(shown))]


def _numbered(prompts: Sequence[str]) -> list[tuple[str, int]]:
    """Each prompt with how often it was there before."""
    seen: Counter[str] = Counter()
    numbered = []
    for prompt in prompts:
        numbered.append((prompt, seen[prompt]))
        seen[prompt] += 1
    return numbered


def _share(score: float | None, reference: float | None) -> float | None:
    if score is None or reference is None:
        return None
    return 0.5 if score == reference else float(score > reference)


def _rating(validation: Validation) -> float | None:
    return validation.win_rate if validation.reward is None else validation.reward


def _mean(values: Sequence[float | None]) -> float | None:
    read = [value for value in values if value is not None]
    return fmean(read) if read else None


def _told(validation: Validation) -> dict[str, Any]:
    return {"step": validation.step, "reward": validation.reward, "win_rate": validation.win_rate}


def _validation(told: Mapping[str, Any]) -> Validation:
    """A validation as the report holds it."""
    prompts, scores, shares = (tuple(told[name]) for name in ("prompts", "scores", "shares"))
    return Validation(told["step"], told["label"], prompts, scores, shares, told["unread"])


def _channels_first(picture: Any) -> Any:
    """A batch of one picture as TensorBoard takes it: `(1, 3, height, width)`, bytes."""
    import numpy as np

    return np.asarray(picture).transpose(2, 0, 1)[None]
