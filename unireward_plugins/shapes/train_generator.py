"""Trains the tiny picture generator from nothing, on a CPU.

    python -m unireward_plugins.shapes.train_generator --output generator

First the codec learns to put pictures into few numbers and back, and the text encoder to say what a caption asks for,
which stands in for the contrastive training that it usually comes with. Then the denoiser learns to paint, from
pictures that were collected carelessly: many of them differ in one thing from what their captions say, so that the
generator draws well and often draws something else. All that it takes to be right is in there, but nothing tells it to
prefer that. That is what preference pairs are for. A run that was stopped goes on where it was, with the same draws.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.captions import Caption
from unireward_plugins.shapes.generator_card import write_card
from unireward_plugins.shapes.generator_codec import centre_latents, codec_loss
from unireward_plugins.shapes.generator_data import draw_careless, draw_crowded, generator_captions
from unireward_plugins.shapes.generator_model import (
    TEXT_WIDTH,
    assemble,
    build_codec,
    build_denoiser,
    build_scheduler,
    build_text_encoder,
    build_tokenizer,
    pixel_values,
    save_pipeline,
)
from unireward_plugins.shapes.generator_plan import Plan
from unireward_plugins.shapes.recipe import CHECKPOINT, clock, read_checkpoint, run_to_the_end, write_checkpoint
from unireward_plugins.shapes.render import render
from unireward_plugins.shapes.scene import COLOURS, OUTLINES, PLACES, SIZES

TOGETHER = 250
"""How many pictures or captions are read at a time."""
CROWDED = 6000
"""How many pictures the codec learns from."""
Facts: TypeAlias = Mapping[str, tuple[str | None, ...]]
"""What a caption may ask for, by name."""


class Training:
    """A run of a plan, at some step of it."""

    facts: ClassVar[Facts] = {
        "colour": (None, *COLOURS),
        "outline": (None, *OUTLINES),
        "size": (None, *SIZES),
        "place": (None, *PLACES),
    }
    threads: ClassVar[int] = 1
    """The tensors are too small for more; so many everywhere, so that sums come out the same."""
    assemble = staticmethod(assemble)
    """Makes the pipeline of its parts."""
    build_noise = staticmethod(build_scheduler)
    """Makes the levels of noise."""

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(self.threads)
        self.plan, self.step, self.seconds = plan, 0, 0.0
        self.captions = self.all_captions()
        self.tokenizer = build_tokenizer(map(str, self.captions))
        torch.manual_seed(plan.seed)
        self.modules = self.build_modules()
        self.modules["denoiser"].set_attn_processor(AttnProcessor())  # the fused one has no quick bfloat16 on a CPU
        self.noise = self.build_noise()
        self.painting = list(self.modules["denoiser"].parameters())
        self.averages = [weight.detach().clone() for weight in self.painting]
        reading = [*self.modules["text_encoder"].parameters(), *self.modules["answers"].parameters()]
        self.optimizers = [
            torch.optim.AdamW(weights, betas=(0.9, 0.99), weight_decay=0.01)
            for weights in (self.modules["codec"].parameters(), reading, self.painting)
        ]

    def all_captions(self) -> tuple[Caption, ...]:
        """What the generator is meant for."""
        return generator_captions()

    def build_modules(self) -> dict[str, Any]:
        """All that has weights, before training."""
        return {
            "codec": build_codec(),
            "text_encoder": build_text_encoder(self.tokenizer),
            "denoiser": build_denoiser(),
            "answers": self.build_answers(),
        }

    def build_answers(self) -> torch.nn.Linear:
        """What says, from the mean of a caption's tokens, what it asks for."""
        return torch.nn.Linear(TEXT_WIDTH, sum(map(len, self.facts.values())))

    def run(self) -> Iterator[float]:
        """The loss of each step that is left, as it is done."""
        if self.step < self.plan.codec_steps:
            yield from self._learn_to_code()
        while self.step < self.plan.painting_starts:
            yield self._learn(self.optimizers[1], self.reading_loss)
        yield from self._learn_to_paint()

    def codec_loss(self, pictures: Tensor) -> Tensor:
        """As `generator_codec.codec_loss` says, of some of the pictures."""
        shown = pictures[self._rows(len(pictures), self.plan.codec_batch)]
        return codec_loss(self.modules["codec"], shown, self._generator())

    def reading_loss(self) -> Tensor:
        """How unlikely the text encoder finds what captions ask for, going by the mean of their tokens."""
        captions = [*self.captions, None]
        asked = [captions[row] for row in self._rows(len(captions), self.plan.reading_batch)]
        tokens = self._tokens(["" if caption is None else str(caption) for caption in asked])
        said = self.modules["answers"](self.modules["text_encoder"](tokens)[0].mean(1))
        losses, start = [], 0
        for name, values in self.facts.items():
            truth = torch.tensor([values.index(None if caption is None else fact(caption, name)) for caption in asked])
            losses.append(cross_entropy(said[:, start : start + len(values)], truth))
            start += len(values)
        return torch.stack(losses).sum()

    def painting_loss(self, latents: Tensor, embeds: Tensor) -> Tensor:
        """How far the denoiser is from the v of noisy latents (arXiv:2202.00512, appendix D)."""
        rows, draws = self._rows(len(latents), self.plan.painting_batch), self._generator()
        clean = latents[rows].float()
        is_told = torch.rand(len(rows), 1, 1, generator=draws) >= self.plan.blank
        told = embeds[rows].where(is_told, embeds[-1:]).float()
        noise = torch.randn(clean.shape, generator=draws)
        levels = self.plan.lowest_level(self.step), len(self.noise.alphas_cumprod)
        level = torch.randint(*levels, (len(rows),), generator=draws)
        noisy = self.noise.add_noise(clean, noise, level)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = self.predict(noisy, level, told)
        return mse_loss(found.float(), self.noise.get_velocity(clean, noise, level))

    def predict(self, noisy: Tensor, level: Tensor, told: Tensor) -> Tensor:
        """The denoiser's v, given the embeddings of the captions."""
        found: Tensor = self.modules["denoiser"](noisy, level, encoder_hidden_states=told, return_dict=False)[0]
        return found

    def crowded(self, count: int) -> Tensor:
        """Pictures for the codec, as it takes them."""
        scenes = draw_crowded(count, seed=self.plan.seed)
        return pixel_values(render(scenes, seed=self.plan.seed))

    @torch.no_grad()
    def encoded(self) -> tuple[Tensor, Tensor]:
        """The latents of all pictures and the embeddings of their captions, and last that of no caption; in half."""
        captions, scenes = draw_careless(self.plan.pictures, seed=self.plan.seed)
        latents = []
        for start in range(0, len(scenes), TOGETHER):
            pictures = render(scenes[start : start + TOGETHER], seed=[self.plan.seed, start])
            latents.append(self.modules["codec"].encode(pixel_values(pictures)).latent_dist.mode().half())
        return torch.cat(latents), self.read(captions)

    def read(self, captions: Sequence[Caption]) -> Tensor:
        """The embeddings of captions, and last that of no caption; in half."""
        texts, read = [*map(str, captions), ""], self.modules["text_encoder"]
        some = (texts[start : start + TOGETHER] for start in range(0, len(texts), TOGETHER))
        return torch.cat([read(self._tokens(part))[0].half() for part in some])

    def pipeline(self) -> Any:
        """The generator as it is now, with the averaged weights."""
        parts = copy.deepcopy(self.modules)
        with torch.no_grad():
            torch._foreach_copy_(list(parts["denoiser"].parameters()), self.averages)
        return self.assemble(parts["codec"], parts["text_encoder"], self.tokenizer, parts["denoiser"])

    def save(self, path: Path) -> None:
        """Write all that is needed to go on; the file is whole or not there."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "averages": self.averages,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        write_checkpoint(path, self.plan, state)

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; `UniRewardError` where it belongs to another plan."""
        state = read_checkpoint(path, self.plan)
        self.step, self.seconds, self.averages = state["step"], state["seconds"], state["averages"]
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)

    def _learn_to_code(self) -> Iterator[float]:
        pictures = self.crowded(CROWDED)
        while self.step < self.plan.codec_steps:
            yield self._learn(self.optimizers[0], lambda: self.codec_loss(pictures))

    def _learn_to_paint(self) -> Iterator[float]:
        if self.plan.codec_steps and self.step == self.plan.painting_starts:
            centre_latents(self.modules["codec"], self.crowded(min(CROWDED, 1000)))
        latents, embeds = self.encoded()
        while self.step < self.plan.steps:
            loss = self._learn(self.optimizers[2], lambda: self.painting_loss(latents, embeds))
            decay = min(self.plan.average, (self.step - self.plan.painting_starts) / 200)
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.painting, 1 - decay)
            yield loss

    def _learn(self, optimizer: torch.optim.Optimizer, loss_of: Callable[[], Tensor]) -> float:
        """One step."""
        start = time.monotonic()
        loss = loss_of()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        for group in optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        optimizer.step()
        self.step += 1
        self.seconds += time.monotonic() - start
        return loss.item()

    def _tokens(self, texts: list[str]) -> Tensor:
        ids: Tensor = self.tokenizer(texts, padding="max_length", return_tensors="pt")["input_ids"]
        return ids

    def _rows(self, count: int, wanted: int) -> Tensor:
        """Which of so many pictures a step sees."""
        return torch.randint(count, (wanted,), generator=self._generator(1))

    def _generator(self, stream: int = 0) -> torch.Generator:
        """Randomness that depends on the seed and the step alone."""
        return torch.Generator().manual_seed((self.plan.seed * 10_000_019 + self.step) * 2 + stream)


def fact(caption: Caption, name: str) -> str | None:
    """What a caption of one shape asks for, by name; `None` where it leaves that open."""
    return caption.action if name == "action" else caption.wanted[0].facts.get(name)


def train(
    output: Path,
    plan: Plan,
    *,
    kind: type[Training] = Training,
    save_every: int = 100,
    tell: Callable[[str], None] = print,
) -> None:
    """Train a generator and leave it in a folder, ready for `DiffusionPipeline.from_pretrained`.

    Raises `UniRewardError` where the folder holds a generator already, or the unfinished training of another plan.
    """
    if (output / "model_index.json").exists() and not (output / CHECKPOINT).exists():
        raise UniRewardError(f"{output} holds a generator already: choose another --output")
    output.mkdir(parents=True, exist_ok=True)
    training = kind(plan)
    run_to_the_end(training, output, save_every=save_every, tell=tell)
    save_pipeline(training.pipeline(), output)
    write_card(output, seed=plan.seed)
    (output / CHECKPOINT).unlink()
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file()) / 1e6
    tell(f"trained in {clock(training.seconds)}; {size:.1f} MB in {output}")


def run_command(kind: type[Training], plan: Plan, *, about: str) -> None:
    """The command that trains one."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the folder to write; resumes what lies in it")
    parser.add_argument("--seed", type=int, default=plan.seed, help="another seed, another generator")
    arguments = parser.parse_args()
    try:
        train(arguments.output, replace(plan, seed=arguments.seed), kind=kind)
    except UniRewardError as error:
        parser.error(str(error))


if __name__ == "__main__":
    run_command(Training, Plan(), about=__doc__ or "")
