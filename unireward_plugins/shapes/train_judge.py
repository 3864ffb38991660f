"""Trains the tiny judge from nothing, on one CPU core, the same every time.

    python -m unireward_plugins.shapes.train_judge --output judge

First it learns to look: the mean of a picture's tokens is drawn to the words for its size, colour and outline, which
stands in for the contrastive training that a vision tower usually comes with. Then it learns to judge: it is shown
lessons of all four cells, never the same one twice. A run that was stopped goes on where it was, and ends with the same
weights as one that was not.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch.nn.functional import cross_entropy, normalize

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.data import CELLS, Cell, draw_items
from unireward_plugins.shapes.lesson import question_about, reply_to, vocabulary
from unireward_plugins.shapes.model import (
    build_model,
    build_processor,
    chat,
    image_tokens,
    pixel_values,
    teacher_forcing,
)
from unireward_plugins.shapes.render import render
from unireward_plugins.shapes.scene import ATTRIBUTES, TRAINING_SCENES

ROUND: tuple[Cell, ...] = (
    CELLS["image generation, point"],
    CELLS["image understanding, point"],
    CELLS["image understanding, pair"],
    CELLS["image generation, pair"],
    CELLS["image understanding, point"],
    CELLS["image understanding, pair"],
)
"""One cell a step, in turn; the harder ones twice."""
CHECKPOINT = "unfinished.pt"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the weights depend on."""

    seed: int = 0
    looking_steps: int = 400
    judging_steps: int = 5000
    looking_batch: int = 128
    judging_batch: int = 32
    rate: float = 3e-3
    """The highest learning rate of each part."""

    @property
    def steps(self) -> int:
        """The steps of both parts."""
        return self.looking_steps + self.judging_steps


class Training:
    """A run of a plan, at some step of it."""

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(1)  # the tensors are too small for more, and sums come out the same everywhere
        self.plan, self.step, self.seconds = plan, 0, 0.0
        self.processor = build_processor(vocabulary())
        self.model = build_model(self.processor, seed=plan.seed)
        self.words = {
            attribute: torch.tensor([_token(self.processor, value) for value in values])
            for attribute, values in ATTRIBUTES.items()
        }
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01)

    def run(self) -> Iterator[float]:
        """The loss of each step that is left, as it is done."""
        while self.step < self.plan.steps:
            start = time.perf_counter()
            loss = self.looking_loss() if self.step < self.plan.looking_steps else self.judging_loss()
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate()
            self.optimizer.step()
            self.step += 1
            self.seconds += time.perf_counter() - start
            yield loss.item()

    def rate(self) -> float:
        """The learning rate of this step: in each part a short rise, then a cosine down to a fiftieth."""
        looking = self.step < self.plan.looking_steps
        step = self.step if looking else self.step - self.plan.looking_steps
        steps = self.plan.looking_steps if looking else self.plan.judging_steps
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / steps)
        return self.plan.rate * min(1.0, (step + 1) / 30) * (0.02 + 0.98 * cosine)

    def looking_loss(self) -> torch.Tensor:
        """How far pictures lie from the words that describe them; the words stay where they are."""
        scenes = Random(f"{self.plan.seed} {self.step}").choices(TRAINING_SCENES, k=self.plan.looking_batch)  # noqa: S311
        pictures = render(scenes, seed=[self.plan.seed, self.step])
        seen = normalize(image_tokens(self.model, pictures).mean(1), dim=-1)
        embeddings = self.model.get_input_embeddings().weight.detach()
        losses = []
        for attribute, words in self.words.items():
            values = ATTRIBUTES[attribute]
            truth = torch.tensor([values.index(scene.shape.attributes[attribute]) for scene in scenes])
            losses.append(cross_entropy(12 * seen @ normalize(embeddings[words], dim=-1).T, truth))
        return torch.stack(losses).sum()

    def judging_loss(self) -> torch.Tensor:
        """How unlikely the right replies to fresh cases are."""
        cell = ROUND[self.step % len(ROUND)]
        items = draw_items(cell, self.plan.judging_batch, seed=f"{self.plan.seed} {self.step}", split="train")
        pictures = render([scene for item in items for scene in item.scenes], seed=[self.plan.seed, self.step])
        questions = [chat(question_about(item), images=len(item.scenes)) for item in items]
        lesson = teacher_forcing(self.processor, questions, [reply_to(item) for item in items])
        loss: torch.Tensor = self.model(pixel_values=pixel_values(pictures), **lesson).loss
        return loss

    def save(self, path: Path) -> None:
        """Write all that is needed to go on; the file is whole or not there."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)  # noqa: PTH105 - atomic on every system

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; `UniRewardError` where it belongs to another plan."""
        state = torch.load(path, weights_only=True)
        if state["plan"] != asdict(self.plan):
            raise UniRewardError(
                f"{path} belongs to a training with other settings: {state['plan']}, not {asdict(self.plan)}. "
                "Delete it, or choose another --output"
            )
        self.step, self.seconds = state["step"], state["seconds"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def train(output: Path, plan: Plan, *, save_every: int = 200, tell: Callable[[str], None] = print) -> None:
    """Train a judge and leave it in a folder, ready for `AutoModelForImageTextToText` and `AutoProcessor`.

    Raises `UniRewardError` where the folder holds a judge already, or the unfinished training of another plan.
    """
    if (output / "config.json").exists():
        raise UniRewardError(f"{output} holds a model already: choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    unfinished = output / CHECKPOINT
    training = Training(plan)
    if unfinished.exists():
        training.resume(unfinished)
        tell(f"going on after step {training.step:,} of {plan.steps:,}")
    progress = Progress(training)
    for loss in training.run():
        if line := progress.line(loss):
            tell(line)
        if training.step % save_every == 0:
            training.save(unfinished)
    training.processor.save_pretrained(output)
    training.model.save_pretrained(output)
    unfinished.unlink(missing_ok=True)
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    tell(f"trained in {_clock(training.seconds)} on one core; {size:.1f} MB in {output}")


class Progress:
    """Says every few seconds how far a training is."""

    def __init__(self, training: Training, *, seconds: float = 10) -> None:
        self.training, self.pause = training, seconds
        self.start, self.first = time.monotonic(), training.step
        self.next, self.loss = self.start + seconds, math.nan

    def line(self, loss: float) -> str | None:
        """The line to print after a step, if it is time for one; the loss in it is smoothed."""
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
        now, step, steps = time.monotonic(), self.training.step, self.training.plan.steps
        if now < self.next and step < steps:
            return None
        self.next = now + self.pause
        rate = (step - self.first) / (now - self.start)
        left = _clock((steps - step) / rate)
        return f"step {step:,} of {steps:,}: loss {self.loss:.3f}, {rate:.1f} steps/s, {left} left"


def _token(processor: Any, word: str) -> int:
    """The one token of a word in the middle of a sentence."""
    (token,) = processor.tokenizer.encode(f" {word}", add_special_tokens=False)
    return int(token)


def _clock(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{seconds % 60:02.0f}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the folder for the judge; resumes what lies in it")
    parser.add_argument("--seed", type=int, default=Plan().seed, help="another seed, another judge")
    parser.add_argument(
        "--steps", type=int, default=Plan().judging_steps, help="fewer for a try (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        train(arguments.output, Plan(seed=arguments.seed, judging_steps=arguments.steps))
    except UniRewardError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
