"""Trains the tiny judge from nothing, on two CPU cores, the same every time.

    python -m unireward_plugins.shapes.train_judge --output judge

First it learns to look: what a picture's four tokens say is drawn to the words for what lies in each place, which
stands in for the contrastive training that a vision tower usually comes with. Then it learns to judge: it is shown
lessons of all eight cells, never the same one twice, drawn by a second process while the first one learns; towards the
end with more of what is hard. Last it is polished, with more of the answers that differ in what they say and in nothing
else. A run that was stopped goes on where it was, and ends with the same weights as one that was not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from torch.utils.data import DataLoader

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.lesson import vocabulary
from unireward_plugins.shapes.model import build_model, build_processor, chat, image_tokens, pixel_values
from unireward_plugins.shapes.recipe import CHECKPOINT, clock, read_checkpoint, run_to_the_end, write_checkpoint
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
    action_held_out,
    is_held_out,
)
from unireward_plugins.shapes.training_batches import Batch, Lessons
from unireward_plugins.shapes.training_plan import Plan

VERDICT_WEIGHT = 5.0
"""How much more a digit counts than another token of a reply: scores and winners are few, and hard."""
PLACE_WEIGHT = 3.0
"""Likewise of a word that says where a shape is: which shape is meant hangs on it."""
PLACE_WORDS = ("top", "bottom", "left", "right")
LOOKING_WEIGHT = 0.4
"""How much the pictures still count while it learns to judge."""


class Training:
    """A run of a plan, at some step of it."""

    threads: ClassVar[int] = 2
    """So many everywhere, so that sums come out the same every time."""

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(self.threads)
        self.plan, self.step, self.seconds = plan, 0, 0.0
        self.processor = _processor()
        self.model = build_model(self.processor, seed=plan.seed)
        tokenizer = self.processor.tokenizer
        self.words = {word: _token(self.processor, word) for word in _seen_words()}
        self.weights = torch.ones(len(tokenizer))
        self.weights[[_token(self.processor, digit) for digit in "12345"]] = VERDICT_WEIGHT
        self.weights[[_token(self.processor, word) for word in PLACE_WORDS]] = PLACE_WEIGHT
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
        """How far the token of each place lies from the words for it and for what is there, and all of them from what
        is wrong.

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
        for one, other in (PLACE_WORDS[:2], PLACE_WORDS[2:]):
            truth = torch.tensor([[float(other in place) for place in PLACES]]).expand(len(scenes), -1)
            losses.append(binary_cross_entropy_with_logits(near[..., column[other]] - near[..., column[one]], truth))
        grounds = torch.tensor([GROUNDS.index(scene.ground) for scene in scenes])
        losses.append(0.3 * cross_entropy(whole[:, [column[ground] for ground in GROUNDS]], grounds))
        return torch.stack(losses).sum()

    def save(self, path: Path) -> None:
        """Write all that is needed to go on; the file is whole or not there."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        write_checkpoint(path, self.plan, state)

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; `UniRewardError` where it belongs to another plan."""
        state = read_checkpoint(path, self.plan)
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
    return [
        "shape",
        *PLACE_WORDS,
        *(value for name in attributes for value in ATTRIBUTES[name]),
        *DAMAGES,
        *FLAWS,
        *GROUNDS,
    ]


def train(output: Path, plan: Plan, *, save_every: int = 200, tell: Callable[[str], None] = print) -> None:
    """Train a judge and leave it in a folder, ready for `AutoModelForImageTextToText` and `AutoProcessor`.

    Raises `UniRewardError` where the folder holds a judge already, or the unfinished training of another plan.
    """
    if (output / "config.json").exists() and not (output / CHECKPOINT).exists():
        raise UniRewardError(f"{output} holds a model already: choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    training = Training(plan)
    run_to_the_end(training, output, save_every=save_every, tell=tell)
    training.processor.save_pretrained(output)
    training.model.to(torch.float16).save_pretrained(output)
    (output / CHECKPOINT).unlink()
    size = sum(file.stat().st_size for file in output.iterdir()) / 1e6
    tell(f"trained in {clock(training.seconds)}; {size:.1f} MB in {output}")


@cache
def _processor() -> Any:
    """The processor of every judge: its vocabulary depends on no seed."""
    return build_processor(chat(text, images=0) for text in vocabulary())


def _token(processor: Any, word: str) -> int:
    """The one token of a word in the middle of a sentence."""
    (token,) = processor.tokenizer.encode(f" {word}", add_special_tokens=False)
    return int(token)


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
