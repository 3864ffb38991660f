"""Trains the tiny judge from nothing, on two CPU cores, the same every time.

    python -m unireward_plugins.shapes.train_judge --output judge

First it learns to look: what a picture's four tokens say is drawn to the words for what lies in each place, which
stands in for the contrastive training that a vision tower usually comes with. Then it learns to judge: it is shown
lessons of all eight cells, never the same one twice, drawn by a second process while the first one learns; towards the
end with more of the answers that are easily taken for better ones. Last it is polished, with more of the answers that
differ in what they say and in nothing else. A run that was stopped goes on where it was,
and ends with the same weights as one that was not.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import accumulate, product
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from torch.utils.data import DataLoader, Dataset

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.answers import draw_contest
from unireward_plugins.shapes.data import (
    CELLS,
    AnswerItem,
    Cell,
    Item,
    draw_items,
    draw_scene,
    flawed,
)
from unireward_plugins.shapes.lesson import Form, Lesson, forms, vocabulary
from unireward_plugins.shapes.model import (
    build_model,
    build_processor,
    chat,
    image_tokens,
    pixel_values,
    teacher_forcing,
)
from unireward_plugins.shapes.render import FRAMES, Floats, Pictures, colour_distances, render, render_clips
from unireward_plugins.shapes.scene import (
    ACTIONS,
    ATTRIBUTES,
    COLOURS,
    DAMAGES,
    FLAWS,
    GROUNDS,
    OUTLINES,
    PLACES,
    Attribute,
    Clip,
    Scene,
    Subject,
    action_held_out,
    is_held_out,
)

EMPHASIS: dict[str, int] = {
    "image generation, point": 3,
    "image generation, pair": 3,
    "image understanding, point": 2,
    "image understanding, pair": 3,
    "video generation, point": 2,
    "video generation, pair": 2,
    "video understanding, point": 1,
    "video understanding, pair": 2,
}
"""How often each cell comes up in a round; every step is of one cell."""
DIRECT = 0.2
"""The share of lessons that ask for the bare verdict."""
VERDICT_WEIGHT = 5.0
"""How much more a digit counts than another token of a reply: scores and winners are few, and hard."""
LOOKING_WEIGHT = 0.4
"""How much the pictures still count while it learns to judge."""
CHECKPOINT = "unfinished.pt"
Flags: TypeAlias = NDArray[np.bool_]
SEEN: Flags = np.array([[not is_held_out(colour, outline) for outline in OUTLINES] for colour in COLOURS])
"""(colours, outlines) whether training pictures combine the two."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the weights depend on."""

    seed: int = 0
    looking_steps: int = 2000
    judging_steps: int = 11_000
    looking_batch: int = 64
    judging_batch: int = 16
    rate: float = 3e-3
    """The highest learning rate while looking, and again while judging."""
    tricky_steps: int = 5000
    """The last steps of judging, with more of the answers that are easily taken for better ones."""
    polishing_steps: int = 2000
    """At half the rate."""
    cells: tuple[str, ...] = tuple(CELLS)
    """What it learns to judge."""
    reasons: bool = True
    """Whether it gives reasons before the verdict, but for some; else never."""

    @property
    def parts(self) -> tuple[tuple[int, float], ...]:
        """How many steps each part has, and its highest learning rate."""
        return (
            (self.looking_steps, self.rate),
            (self.judging_steps, self.rate),
            (self.polishing_steps, self.rate / 2),
        )

    @property
    def steps(self) -> int:
        """The steps of all parts."""
        return sum(steps for steps, _ in self.parts)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step: in each part a short rise, then a cosine down to a fiftieth."""
        starts = accumulate((steps for steps, _ in self.parts), initial=0)
        begun = ((start, part) for start, part in zip(starts, self.parts, strict=False) if start <= step and part[0])
        start, (steps, highest) = max(begun)
        done = step - start
        cosine = 0.5 + 0.5 * math.cos(math.pi * done / steps)
        return highest * min(1.0, (done + 1) / 30) * (0.02 + 0.98 * cosine)

    def round(self) -> tuple[Cell, ...]:
        """The cells of the steps of one round, well mixed."""
        order = [name for name in self.cells for _ in range(EMPHASIS[name])]
        Random(0).shuffle(order)  # noqa: S311 - pictures, not secrets
        return tuple(CELLS[name] for name in order)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from."""

    scenes: list[Scene]
    """Pictures to look at, each of its shapes painted in any paint."""
    pictures: Pictures
    named: bool
    """Whether the shapes have the colours that the scenes say."""
    possible: Flags
    """(shapes, outlines) whether any training picture has such an outline in the shape's colour."""
    shown: Pictures | None = None
    """The pictures of the lessons, one after the other; frames of clips likewise."""
    lessons: dict[str, torch.Tensor] | None = None


class Lessons(Dataset[Batch]):
    """The batches of a plan, each drawn when it is asked for; they depend on the plan and the step alone."""

    def __init__(self, plan: Plan, processor: Any) -> None:
        self.plan, self.processor, self.round = plan, processor, plan.round()

    def __getitem__(self, step: int) -> Batch:
        plan = self.plan
        if step < plan.looking_steps:
            if step % 2:
                return self._unnamed(step, plan.looking_batch)
            rng = Random(f"{plan.seed} {step}")  # noqa: S311 - pictures, not secrets
            scenes = list(_scenes(rng, plan.looking_batch))
            possible = np.array([SEEN[COLOURS.index(shape.colour)] for scene in scenes for shape in scene.shapes])
            return Batch(scenes, render(scenes, seed=[plan.seed, step]), named=True, possible=possible)
        looked = self._unnamed(step, plan.judging_batch)
        items = self._items(step)
        lessons = [Lesson(item, form) for item, form in zip(items, self._forms(items), strict=True)]
        shown = draw_subjects([subject for item in items for subject in item.subjects], seed=[plan.seed, step])
        tensors = teacher_forcing(
            self.processor,
            [chat(lesson.question, images=pictures_of(lesson.item)) for lesson in lessons],
            [lesson.reply for lesson in lessons],
            [lesson.given for lesson in lessons],
        )
        return replace(looked, shown=shown, lessons=tensors)

    def _items(self, step: int) -> list[Item]:
        """The cases of this step.

        Of the last steps of judging the tricky ones first, of half as many again; while polishing, every second pair of
        answers is a right and a wrong one in the same words.
        """
        plan = self.plan
        count, seed = plan.judging_batch, f"{plan.seed} {step}"
        cell = self.round[step % len(self.round)]
        judged = plan.looking_steps + plan.judging_steps
        if step >= judged and cell[1] == 2:
            return [_contest(item, seed) for item in draw_items(cell, count, seed=seed, split="train")]
        if not judged - plan.tricky_steps <= step < judged or cell[0].endswith("generation"):
            return draw_items(cell, count, seed=seed, split="train")
        return sorted(draw_items(cell, 3 * count // 2, seed=seed, split="train"), key=_is_plain)[:count]

    def _forms(self, items: Sequence[Item]) -> list[Form]:
        """Some of the items for a bare verdict, the others in turn in the forms with reasons."""
        if not self.plan.reasons:
            return ["direct"] * len(items)
        reasoned = [form for form in forms(items[0]) if form != "direct"]
        every = round(1 / DIRECT)
        return [
            "direct" if index % every == every - 1 else reasoned[index // 2 % len(reasoned)]
            for index in range(len(items))
        ]

    def _unnamed(self, step: int, count: int) -> Batch:
        """Pictures in any paint.

        So that an outline is known by its form, not by the colours that it was seen in: without this, red circles,
        which no training picture shows, are taken for red squares.
        """
        scenes, paint, possible = draw_unnamed(count, seed=[self.plan.seed, step, 1])
        pictures = render(scenes, seed=[self.plan.seed, step, 2], paint=paint)
        return Batch(scenes, pictures, named=False, possible=possible)


class Training:
    """A run of a plan, at some step of it."""

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(1)  # the tensors are too small for more, and sums come out the same every time
        self.plan, self.step, self.seconds = plan, 0, 0.0
        self.processor = _processor()
        self.model = build_model(self.processor, seed=plan.seed)
        tokenizer = self.processor.tokenizer
        self.words = {word: _token(self.processor, word) for word in _seen_words()}
        self.weights = torch.ones(len(tokenizer))
        self.weights[[_token(self.processor, digit) for digit in "12345"]] = VERDICT_WEIGHT
        actions = {word: _token(self.processor, word) for word in {action.split()[0] for action in ACTIONS}}
        self.unseen = _unseen_words({**self.words, **actions}, len(tokenizer))
        self.optimizers = _optimizers(self.model)

    def run(self) -> Iterator[float]:
        """The loss of each step that is left, as it is done."""
        steps = range(self.step, self.plan.steps)
        lessons = Lessons(self.plan, self.processor)
        batches = DataLoader(lessons, sampler=steps, batch_size=None, num_workers=1, prefetch_factor=8)
        for batch in batches:
            start = time.monotonic()
            loss = self.loss(batch)
            self.model.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.plan.rate_at(self.step)
                optimizer.step()
            self.step += 1
            self.seconds += time.monotonic() - start
            yield loss.item()

    def loss(self, batch: Batch) -> torch.Tensor:
        """How far pictures lie from the words for them, and how unlikely the right replies are."""
        looking = self.looking_loss(batch)
        if batch.lessons is None:
            return looking
        assert batch.shown is not None
        labels = batch.lessons.pop("labels")[:, 1:]
        learned = labels >= 0
        said = batch.lessons["input_ids"][:, :-1]
        unseen = self.unseen[0][said[learned]] | self.unseen[1][said.roll(1, dims=1)[learned]]
        states = self.model.model(pixel_values=pixel_values(batch.shown), **batch.lessons).last_hidden_state
        logits = self.model.lm_head(states[:, :-1][learned]).masked_fill(unseen, -torch.inf)
        weights = self.weights[labels[learned]]
        losses = cross_entropy(logits, labels[learned], reduction="none")
        return (losses * weights).sum() / weights.sum() + LOOKING_WEIGHT * looking

    def looking_loss(self, batch: Batch) -> torch.Tensor:
        """How far the token of each place lies from the words for what is there, and all of them from what is wrong.

        One cross entropy for each attribute of the shapes, one for each other word; the words stay where they are.
        """
        scenes = batch.scenes
        tokens = image_tokens(self.model, batch.pictures)
        embeddings = normalize(self.model.get_input_embeddings().weight.detach(), dim=-1)
        near = 12 * normalize(tokens, dim=-1) @ embeddings[list(self.words.values())].T
        column = {word: index for index, word in enumerate(self.words)}
        whole = 12 * normalize(tokens.mean(1), dim=-1) @ embeddings[list(self.words.values())].T
        shapes = [(row, PLACES.index(shape.place), shape) for row, scene in enumerate(scenes) for shape in scene.shapes]
        at = near[[row for row, _, _ in shapes], [place for _, place, _ in shapes]]
        losses = []
        for attribute in ("size", "colour", "outline") if batch.named else ("size", "outline"):
            values = ATTRIBUTES[attribute]
            truth = torch.tensor([values.index(shape.attributes[attribute]) for _, _, shape in shapes])
            logits = at[:, [column[value] for value in values]]
            if attribute == "outline":
                logits = logits.masked_fill(~torch.from_numpy(batch.possible), -torch.inf)
            losses.append(cross_entropy(logits, truth))
        there = torch.zeros(near.shape[:2])
        there[[row for row, _, _ in shapes], [place for _, place, _ in shapes]] = 1
        losses.append(binary_cross_entropy_with_logits(near[..., column["shape"]], there))
        for damage in DAMAGES:
            truth = torch.tensor([float(shape.damage == damage) for _, _, shape in shapes])
            losses.append(binary_cross_entropy_with_logits(at[:, column[damage]], truth))
        for flaw in FLAWS:
            truth = torch.tensor([float(flaw in scene.flaws) for scene in scenes])
            losses.append(2 * binary_cross_entropy_with_logits(whole[:, column[flaw]], truth))
        grounds = torch.tensor([GROUNDS.index(scene.ground) for scene in scenes])
        losses.append(0.3 * cross_entropy(whole[:, [column[ground] for ground in GROUNDS]], grounds))
        return torch.stack(losses).sum()

    def save(self, path: Path) -> None:
        """Write all that is needed to go on; the file is whole or not there."""
        state = {
            "plan": asdict(self.plan),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
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
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def _optimizers(model: Any) -> tuple[torch.optim.Optimizer, ...]:
    """Muon (Jordan et al. 2024) for the matrices inside the layers, AdamW for all else.

    Muon's steps are scaled to the size of AdamW's (Moonlight, arXiv 2502.16982), so that one rate serves both. It takes
    three steps where AdamW alone takes four.
    """
    inside = {name for name, weight in model.named_parameters() if ".layers." in name and weight.ndim == 2}
    matrices = [weight for name, weight in model.named_parameters() if name in inside]
    others = [weight for name, weight in model.named_parameters() if name not in inside]
    return (
        torch.optim.Muon(matrices, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.01),
    )


def draw_subjects(subjects: Sequence[Subject], *, seed: Sequence[int]) -> Pictures:
    """The pictures of scenes, or the frames of clips one after the other; all of one kind."""
    if isinstance(subjects[0], Clip):
        frames = render_clips([clip for clip in subjects if isinstance(clip, Clip)], seed=seed)
        return frames.reshape(-1, *frames.shape[2:])
    return render([scene for scene in subjects if isinstance(scene, Scene)], seed=seed)


def pictures_of(item: Item) -> int:
    """How many pictures the judge is shown of an item."""
    return len(item.subjects) * (FRAMES if isinstance(item.subjects[0], Clip) else 1)


def draw_unnamed(count: int, *, seed: Sequence[int]) -> tuple[list[Scene], Floats, Flags]:
    """Scenes, a paint for each of their shapes in place of its colour, and which outlines may have it.

    No shape is near to a held-out combination.
    """
    rng = Random(str(seed))  # noqa: S311 - pictures, not secrets
    scenes = [draw_flawed_scene(rng) for _ in range(count)]
    shapes = sum(len(scene.shapes) for scene in scenes)
    paint = np.random.default_rng(seed).random((20 * shapes, 3)).astype(np.float32) ** 0.7
    paint = paint[paint.max(-1) > 0.55]
    distances = colour_distances(paint)
    near = distances < distances.min(-1, keepdims=True) + 0.25
    possible: Flags = ~(near[:, :, None] & ~SEEN).any(1)
    used, chosen = 0, []
    for scene in scenes:
        for shape in scene.shapes:
            used += int(np.argmax(possible[used:, OUTLINES.index(shape.outline)]))
            chosen.append(used)
            used += 1
    return scenes, paint[chosen], possible[chosen]


def draw_flawed_scene(rng: Random) -> Scene:
    """Any scene, with things wrong more often than in a lesson."""
    scene = flawed(draw_scene(rng), rng, rate=0.2)
    assert isinstance(scene, Scene)
    return scene


def _scenes(rng: Random, count: int) -> Iterator[Scene]:
    while count:
        scene = draw_flawed_scene(rng)
        if not scene.held_out:
            yield scene
            count -= 1


def _unseen_words(words: Mapping[str, int], size: int) -> torch.Tensor:
    """(2, size, size): which tokens no training text has right after another, and which after one more.

    Outlines after the colours, and actions after the outlines ("that" is between them), that are held out. They are
    left out where a reply is learned, as are outlines where pictures are: what was never shown is then unknown, not
    wrong. With the usual loss it learns that red shapes are never circles, and reads red circles as squares.
    """
    unseen = torch.zeros(2, size, size, dtype=torch.bool)
    for colour, outline in product(COLOURS, OUTLINES):
        unseen[0, words[colour], words[outline]] = is_held_out(colour, outline)
    for outline, action in product(OUTLINES, ACTIONS):
        unseen[1, words[outline], words[action.split()[0]]] |= action_held_out(outline, action)
    return unseen


def _seen_words() -> Iterable[str]:
    attributes: Iterable[Attribute] = ATTRIBUTES
    return ["shape", *(value for name in attributes for value in ATTRIBUTES[name]), *DAMAGES, *FLAWS, *GROUNDS]


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
    training.model.to(torch.float16).save_pretrained(output)
    unfinished.unlink(missing_ok=True)
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    tell(f"trained in {_clock(training.seconds)}; {size:.1f} MB in {output}")


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


def _contest(item: Item, seed: str) -> Item:
    """One time in two, where it is a pair of answers, the same question with two others."""
    if not isinstance(item, AnswerItem):
        return item
    rng = Random(f"{seed} {item.answers}")  # noqa: S311 - pictures, not secrets
    contest = replace(item, answers=draw_contest(item.subject, item.question, rng))
    return contest if rng.random() < 0.5 and len(set(contest.grades)) == 2 and not contest.held_out else item


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
