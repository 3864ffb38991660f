"""Lets the policy learn from a judge, with TRL's own `GRPOTrainer`, and examines it on the way.

The policy is shown pictures and questions, and gets the judge's score for each of its answers; a right answer it never
sees. The exam does not train it: it measures what the scores have led to.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import nan
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from PIL import Image
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from unireward_plugins import UnifiedReward
from unireward_plugins.shapes.exam import LONGEST_ANSWER, Exam, Policy, draw_pictures, draw_questions
from unireward_plugins.shapes.findings import Point, Run
from unireward_plugins.types import Judge

QUESTIONS_A_STEP = 8
ANSWERS_A_QUESTION = 8
RATE = 3e-4
"""The learning rate at the start, from where it falls to nothing; large, as suits a network of this size."""


@dataclass(frozen=True, slots=True)
class Examiner:
    """Measures a policy by the truth, and by the judge, on the same answers."""

    exam: Exam
    judge: Judge
    """Best one with a cache: most answers stay the same from one exam to the next."""

    def examine(self, policy: Policy, *, step: int) -> tuple[Point, tuple[str, ...]]:
        """How the policy does after so many steps, and what it answers."""
        answers = policy.answer(self.exam)
        verdicts = self.judge([self.exam.case(index, answer) for index, answer in enumerate(answers)])
        scores = [verdict.scores[0] for verdict in verdicts if verdict.scores is not None]
        return Point(
            step=step,
            truth=self.exam.accuracy(answers),
            held_out=self.exam.held_out_accuracy(answers),
            reward=fmean(scores) if scores else nan,
            unread=len(answers) - len(scores),
        ), tuple(answers)


def align(
    seed: int, *, steps: int, examiner: Examiner, examine_at: frozenset[int], watch: Callable[[int], None]
) -> Run:
    """Train the base policy with one seed; `watch` is told the number of each step that is done."""
    started = time.monotonic()
    policy = Policy.load()
    log = Log(policy, examiner, examine_at, watch)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # TRL still uses a name that transformers is about to drop; there is nothing that a reader could do.
        warnings.filterwarnings("ignore", ".*gradient_checkpointing.* is deprecated", FutureWarning)
        trainer = GRPOTrainer(
            policy.model,
            reward_funcs=UnifiedReward("shapes"),
            args=settings(folder, seed=seed, steps=steps),
            train_dataset=questions(steps * QUESTIONS_A_STEP, seed=seed),
            processing_class=policy.processor,
            callbacks=[log],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    logged = ((entry["step"], entry.get("reward")) for entry in trainer.state.log_history)
    rewards = tuple((step, reward) for step, reward in logged if reward is not None)
    return Run(seed, tuple(log.points), rewards, log.answers, time.monotonic() - started)


def settings(folder: str, *, seed: int, steps: int) -> GRPOConfig:
    """What TRL is told; what is not named here is TRL's default, so without a penalty for leaving the base policy."""
    return GRPOConfig(
        output_dir=folder,
        seed=seed,
        max_steps=steps,
        per_device_train_batch_size=QUESTIONS_A_STEP * ANSWERS_A_QUESTION,
        num_generations=ANSWERS_A_QUESTION,
        max_completion_length=LONGEST_ANSWER,
        learning_rate=RATE,
        warmup_steps=5,
        logging_steps=1,
        # A network this small is fastest on a CPU, in float32, with everything kept in memory.
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        # The demonstration keeps its own records, and its own progress.
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        log_multimodal=False,
    )


def describe_settings(*, steps: int) -> dict[str, str]:
    """The settings in words."""
    return {
        "Training": f"{steps} steps of GRPO on {QUESTIONS_A_STEP} questions, with {ANSWERS_A_QUESTION} answers to each",
        "Learning rate": f"{RATE:g}, falling to 0; no penalty for leaving the base policy (beta 0)",
    }


def questions(count: int, *, seed: int) -> Dataset:
    """Questions about fresh pictures, as TRL takes them: a conversation and a picture a row, and no answer."""
    items = draw_questions(count, seed=f"policy {seed}", split="train")
    pictures = draw_pictures(items, seed=[seed, 2])
    rows: list[dict[str, Any]] = [
        {"prompt": [{"role": "user", "content": item.question.text}], "image": Image.fromarray(picture)}
        for item, picture in zip(items, pictures, strict=True)
    ]
    return Dataset.from_list(rows)


class Log(TrainerCallback):  # type: ignore[misc] # transformers comes without types
    """Examines the policy at some steps of a training, and keeps what came out."""

    def __init__(
        self, policy: Policy, examiner: Examiner, examine_at: frozenset[int], watch: Callable[[int], None]
    ) -> None:
        self.policy, self.examiner, self.examine_at, self.watch = policy, examiner, examine_at, watch
        self.points: list[Point] = []
        self.answers: tuple[str, ...] = ()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - transformers' method
        """Examine the policy before it learns anything."""
        self._examine(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002 - transformers' method
        """Examine the policy if it is time."""
        if state.global_step in self.examine_at:
            self._examine(state.global_step)
        self.watch(state.global_step)

    def _examine(self, step: int) -> None:
        # The sampling of the training must not depend on how often it is interrupted.
        with torch.random.fork_rng(devices=[]):
            point, self.answers = self.examiner.examine(self.policy, step=step)
        self.points.append(point)
