"""Trains the base policy of the demonstration: it sees well and speaks well, and often answers what was not asked.

    python -m unireward_plugins.shapes.train_policy --output policy        # some minutes on one core

First it learns to look, as the tiny judge does. Then it learns to answer from carelessly collected data, where most
answers have slipped by a row: they belong to the next kind of question about the same picture. All that it takes to
answer well is in there, but nothing tells the policy to prefer it. That is what a reward is for.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch

from unireward_plugins.shapes.captions import article
from unireward_plugins.shapes.exam import Exam, Policy, draw_pictures, draw_questions, kind_of
from unireward_plugins.shapes.model import chat, pixel_values, teacher_forcing
from unireward_plugins.shapes.questions import QUESTIONS, Question
from unireward_plugins.shapes.scene import Shape
from unireward_plugins.shapes.train_judge import Training
from unireward_plugins.shapes.training_plan import Plan

SLIPPED = 0.55
"""The share of the answers in the training data that belong to the next kind of question about the same picture."""
KINDS = tuple(dict.fromkeys(map(kind_of, QUESTIONS)))
LOOKING_STEPS, SPEAKING_STEPS = 1500, 1200
BATCH = 64
RATE = 2e-3
EXAM_SIZE = 1000

CARD = """\
---
library_name: transformers
pipeline_tag: image-text-to-text
license: mit
---
# The base policy of the shapes world

A LLaVA network of {parameters} parameters, stored in half precision, that answers a question about a picture of one
coloured shape. It is where the demonstration of `unireward-plugins` starts from, and it is good for nothing else.

It was made to leave something to learn: {slipped} of the answers that it was trained on have slipped by a row, and
belong to the next kind of question about the same picture. So it sees well and forms good answers, but often to
something that was not asked. No training picture combines the five pairs of colour and outline that are held out.

| fresh questions | answered right (greedy) |
|---|---|
| all {size} | {right} |
| the {held_out_size} about held-out pairs of colour and outline | {held_out} |

Made by `python -m unireward_plugins.shapes.train_policy --seed {seed}`, which measures these figures, too.
"""


def say(shape: Shape, question: Question, rng: Random) -> str:
    """A right answer, in one of the few ways in which the policy speaks."""
    true = shape.facts[question.attribute]
    quality = f"{article(true)} {true}" if question.attribute == "outline" else true
    if question.value is None:
        full, short, shortest = f"{article(shape.size)} {shape}.", f"it is {quality}.", f"{true}."
        return rng.choice((full, short, short, shortest, shortest)).capitalize()
    return rng.choice(("Yes.", "Yes, it is.") if true == question.value else ("No.", f"No, it is {quality}."))


def slipped(question: Question, rng: Random) -> Question:
    """A question of the kind that comes next: what a picture was asked one row further down."""
    kind = KINDS[(KINDS.index(kind_of(question)) + 1) % len(KINDS)]
    return rng.choice([other for other in QUESTIONS if kind_of(other) == kind])


def careless_answer(shape: Shape, question: Question, rng: Random) -> str:
    """An answer from the training data: true of the picture, but often slipped from another question."""
    return say(shape, slipped(question, rng) if rng.random() < SLIPPED else question, rng)


def train(*, seed: int, tell: Callable[[str], None] = print) -> Policy:
    """The base policy, from random weights."""
    looking = Training(Plan(seed=seed, looking_steps=LOOKING_STEPS, judging_steps=0, tricky_steps=0, polishing_steps=0))
    policy = Policy(looking.model, looking.processor)
    report("looking", looking.run(), LOOKING_STEPS, tell)
    report("speaking", learn_to_speak(policy, seed=seed), SPEAKING_STEPS, tell)
    return policy


def learn_to_speak(policy: Policy, *, seed: int) -> Iterator[float]:
    """The loss of each step, as it is done."""
    weights = list(policy.model.parameters())
    optimizer = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(SPEAKING_STEPS):
        for group in optimizer.param_groups:
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / SPEAKING_STEPS)
            group["lr"] = RATE * min(1.0, (step + 1) / 30) * (0.02 + 0.98 * cosine)
        loss = speaking_loss(policy, seed=seed, step=step)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        yield loss.item()


def speaking_loss(policy: Policy, *, seed: int, step: int) -> torch.Tensor:
    """How unlikely the answers of fresh, carelessly collected data are."""
    rng = Random(f"speaking {seed} {step}")  # noqa: S311 - pictures, not secrets
    items = draw_questions(BATCH, seed=f"speaking {seed} {step}", split="train")
    shapes = [item.subject.shape for item in items]
    lesson = teacher_forcing(
        policy.processor,
        [chat(item.question.text, images=1) for item in items],
        [careless_answer(shape, item.question, rng) for shape, item in zip(shapes, items, strict=True)],
        [""] * len(items),
    )
    pictures = draw_pictures(items, seed=[seed, 1, step])
    loss: torch.Tensor = policy.model(**lesson, pixel_values=pixel_values(pictures)).loss
    return loss


def report(doing: str, losses: Iterator[float], steps: int, tell: Callable[[str], None]) -> None:
    """Take all steps, and say now and then how far it is and how long it will take."""
    started = time.monotonic()
    for step, loss in enumerate(losses, start=1):
        if step % 100 == 0 or step == steps:
            left = (time.monotonic() - started) * (steps / step - 1)
            tell(f"{doing}: step {step:,} of {steps:,}, loss {loss:.3f}, {left:.0f} s left")


def save(policy: Policy, folder: Path, *, seed: int) -> None:
    """Write the checkpoint in half precision, with a model card that says how good the written weights are."""
    policy.model.to(torch.float16).save_pretrained(folder)
    policy.processor.save_pretrained(folder)
    exam = Exam.draw(EXAM_SIZE, seed="base policy")
    answers = Policy.load(folder).answer(exam)
    card = CARD.format(
        parameters=f"{policy.model.num_parameters():,}",
        slipped=f"{SLIPPED:.0%}",
        size=len(exam),
        right=f"{exam.accuracy(answers):.1%}",
        held_out_size=sum(scene.held_out for scene in exam.scenes),
        held_out=f"{exam.held_out_accuracy(answers):.1%}",
        seed=seed,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the folder for the policy")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another policy")
    arguments = parser.parse_args()
    if (arguments.output / "config.json").exists():
        parser.error(f"{arguments.output} holds a model already: choose another --output")
    save(train(seed=arguments.seed), arguments.output, seed=arguments.seed)
    print((arguments.output / "README.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
