"""Trains the tiny judge from nothing, on one CPU core, the same every time.

    python -m unireward_plugins.shapes.train_judge --output judge

First it learns to look: the mean of a picture's tokens is drawn to the words for its size, colour and outline, which
stands in for the contrastive training that a vision tower usually comes with. Then it learns to judge: it is shown
lessons of all four cells, never the same one twice. Last it is polished, mostly on pairs of answers, and on answers
that are easily taken for better ones. A run that was stopped goes on where it was, and ends with the same weights as
one that was not.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.data import CELLS, AnswerItem, Cell, Item, draw_items
from unireward_plugins.shapes.lesson import question_about, reply_to, vocabulary
from unireward_plugins.shapes.model import (
    build_model,
    build_processor,
    chat,
    image_tokens,
    pixel_values,
    teacher_forcing,
)
from unireward_plugins.shapes.render import Floats, Pictures, colour_distances, render
from unireward_plugins.shapes.scene import (
    ATTRIBUTES,
    COLOURS,
    OUTLINES,
    SIZES,
    TRAINING_SCENES,
    Attribute,
    Scene,
    Shape,
)

ROUND: tuple[Cell, ...] = (
    CELLS["image generation, point"],
    CELLS["image understanding, point"],
    CELLS["image understanding, pair"],
    CELLS["image generation, pair"],
    CELLS["image understanding, point"],
    CELLS["image understanding, pair"],
)
"""One cell a step, in turn; the harder ones twice."""
LAST_ROUND: tuple[Cell, ...] = (
    CELLS["image understanding, pair"],
    CELLS["image understanding, point"],
    CELLS["image understanding, pair"],
    CELLS["image generation, pair"],
    CELLS["image understanding, pair"],
    CELLS["image understanding, point"],
    CELLS["image understanding, pair"],
    CELLS["image generation, point"],
)
"""The same for the last part: pairs of answers are what takes longest."""
VERDICT_WEIGHT = 5.0
"""How much more a digit counts than another token of a reply: scores and winners are few, and hard."""
CHECKPOINT = "unfinished.pt"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the weights depend on."""

    seed: int = 0
    looking_steps: int = 400
    judging_steps: int = 6000
    looking_batch: int = 64
    judging_batch: int = 24
    rate: float = 3e-3
    """The highest learning rate while looking and judging."""
    polishing_steps: int = 5500
    polishing_rate: float = 2e-3

    @property
    def steps(self) -> int:
        """The steps of all three parts."""
        return self.looking_steps + self.judging_steps + self.polishing_steps

    @property
    def polishing_starts(self) -> int:
        """The first step of the last part."""
        return self.looking_steps + self.judging_steps

    def rate_at(self, step: int) -> float:
        """The learning rate of a step: in each part a short rise, then a cosine down to a fiftieth."""
        if step < self.looking_steps:
            start, steps, highest = 0, self.looking_steps, self.rate
        elif step < self.polishing_starts:
            start, steps, highest = self.looking_steps, self.judging_steps, self.rate
        else:
            start, steps, highest = self.polishing_starts, self.polishing_steps, self.polishing_rate
        cosine = 0.5 + 0.5 * math.cos(math.pi * (step - start) / steps)
        return highest * min(1.0, (step - start + 1) / 30) * (0.02 + 0.98 * cosine)


class Training:
    """A run of a plan, at some step of it."""

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(1)  # the tensors are too small for more, and sums come out the same everywhere
        self.plan, self.step, self.seconds = plan, 0, 0.0
        self.processor = _processor()
        self.model = build_model(self.processor, seed=plan.seed)
        self.words = {
            attribute: torch.tensor([_token(self.processor, value) for value in values])
            for attribute, values in ATTRIBUTES.items()
        }
        self.weights = torch.ones(len(self.processor.tokenizer))
        self.weights[[_token(self.processor, digit) for digit in "12345"]] = VERDICT_WEIGHT
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.01)

    def run(self) -> Iterator[float]:
        """The loss of each step that is left, as it is done."""
        while self.step < self.plan.steps:
            start = time.process_time()
            loss = self.looking_loss() if self.step < self.plan.looking_steps else self.judging_loss()
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = self.plan.rate_at(self.step)
            self.optimizer.step()
            self.step += 1
            self.seconds += time.process_time() - start
            yield loss.item()

    def looking_loss(self) -> torch.Tensor:
        """How far pictures lie from the words that describe them."""
        rng = Random(f"{self.plan.seed} {self.step}")  # noqa: S311 - pictures, not secrets
        scenes = rng.choices(TRAINING_SCENES, k=self.plan.looking_batch)
        pictures = render(scenes, seed=[self.plan.seed, self.step])
        return self.distance(scenes, pictures, ATTRIBUTES) + self.unnamed_loss(self.plan.looking_batch)

    def items(self) -> list[Item]:
        """The cases of this step; in the last part the tricky ones first, of half as many again."""
        count, seed = self.plan.judging_batch, f"{self.plan.seed} {self.step}"
        if self.step < self.plan.polishing_starts:
            return draw_items(ROUND[self.step % len(ROUND)], count, seed=seed, split="train")
        items = draw_items(LAST_ROUND[self.step % len(LAST_ROUND)], 3 * count // 2, seed=seed, split="train")
        return sorted(items, key=_is_plain)[:count]

    def unnamed_loss(self, count: int) -> torch.Tensor:
        """How far pictures in any paint lie from the words for their outline and size.

        So that an outline is known by its form, not by the colours that it was seen in: without this, red circles,
        which no training picture shows, are taken for red squares.
        """
        scenes, paint = draw_unnamed(count, seed=[self.plan.seed, self.step, 1])
        pictures = render(scenes, seed=[self.plan.seed, self.step, 2], paint=paint)
        return self.distance(scenes, pictures, ("size", "outline"))

    def distance(self, scenes: Sequence[Scene], pictures: Pictures, attributes: Iterable[Attribute]) -> torch.Tensor:
        """The sum of one cross entropy per attribute, over its words; the words stay where they are."""
        seen = normalize(image_tokens(self.model, pictures).mean(1), dim=-1)
        embeddings = self.model.get_input_embeddings().weight.detach()
        losses = []
        for attribute in attributes:
            values = ATTRIBUTES[attribute]
            truth = torch.tensor([values.index(scene.shape.attributes[attribute]) for scene in scenes])
            losses.append(cross_entropy(12 * seen @ normalize(embeddings[self.words[attribute]], dim=-1).T, truth))
        return torch.stack(losses).sum()

    def judging_loss(self) -> torch.Tensor:
        """How unlikely the right replies to fresh cases are, and how far it has forgotten to look."""
        items = self.items()
        pictures = render([scene for item in items for scene in item.scenes], seed=[self.plan.seed, self.step])
        questions = [chat(question_about(item), images=len(item.scenes)) for item in items]
        lesson = teacher_forcing(self.processor, questions, [reply_to(item) for item in items])
        labels = lesson.pop("labels")[:, 1:]
        logits = self.model(pixel_values=pixel_values(pictures), **lesson).logits[:, :-1]
        weights = self.weights[labels] * (labels >= 0)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        replies = (losses * weights.flatten()).sum() / weights.sum()
        return replies + 0.2 * self.unnamed_loss(self.plan.judging_batch)

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


def draw_unnamed(count: int, *, seed: Sequence[int]) -> tuple[list[Scene], Floats]:
    """Scenes with paints (count, 3) in place of their colours; none comes near to a held-out combination."""
    rng = np.random.default_rng(seed)
    paint = rng.random((4 * count, 3)).astype(np.float32) ** 0.7
    distances = colour_distances(paint)
    scenes, kept = [], []
    for row, distance in enumerate(distances):
        outline, size = OUTLINES[rng.integers(len(OUTLINES))], SIZES[rng.integers(len(SIZES))]
        near = {colour for colour, far in zip(COLOURS, distance, strict=True) if far < distance.min() + 0.25}
        is_bright = paint[row].max() > 0.55
        if is_bright and not any(Shape(outline, colour, size).held_out for colour in near):
            scenes.append(Scene((Shape(outline, COLOURS[distance.argmin()], size),)))
            kept.append(row)
    return scenes[:count], paint[kept[:count]]


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


def _is_plain(item: Item) -> bool:
    return not (isinstance(item, AnswerItem) and item.tricky)


@cache
def _processor() -> Any:
    """The processor of every judge: its vocabulary depends on no seed."""
    return build_processor(chat(text, images=0) for text in vocabulary())


def _token(processor: Any, word: str) -> int:
    """The one token of a word in the middle of a sentence."""
    (token,) = processor.tokenizer.encode(f" {word}", add_special_tokens=False)
    return int(token)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


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
