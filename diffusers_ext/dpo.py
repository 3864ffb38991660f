"""Trains a picture or clip generator on preference pairs: Diffusion-DPO and its kin, for every family of diffusers.

    trainer = DPOTrainer(DPOConfig(pipeline="stabilityai/sdxl-turbo", pairs="pairs", output="aligned", beta=5000))
    folder = trainer.train()          # the LoRA, or the whole pipeline

The output folder holds `log.jsonl` (a line a step), `evaluation.jsonl`, `evaluations/` (samples), `checkpoints/`,
`cache/`, `best/` (what was best by held-out reward) and `final/`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusers_ext import checkpoints, training_pipeline
from diffusers_ext.dpo_batch import Batch, Batches, Place
from diffusers_ext.dpo_card import model_card
from diffusers_ext.dpo_config import DPOConfig
from diffusers_ext.dpo_log import RunLog
from diffusers_ext.dpo_model import TrainedModel
from diffusers_ext.held_out import HeldOut, decode_without_autocast
from diffusers_ext.losses import LOSSES, kto_baseline, supervised
from diffusers_ext.memory import described
from diffusers_ext.pair_errors import Errors, measures, pair_errors
from diffusers_ext.preferences import read_preferences
from diffusers_ext.stabilisers import AutoBeta, anchor, loser_scale, scale_loser
from diffusers_ext.training_setup import accelerator_for, adapter_with_cache, cautions, check_same_run, pair_weights
from diffusers_ext.validation import judge_name
from diffusers_ext.winner_watch import WinnerWatch
from hub.cards import counted
from unireward_plugins.errors import UniRewardError

if TYPE_CHECKING:
    from unireward_plugins.types import Judge

__all__ = ["DPOTrainer", "WinnerWatch"]


class DPOTrainer:
    """One training run, in as many processes as `accelerate launch` started.

    `pairs` and `judge` are what `read_preferences` and `load_judge` take, where they are not named by the
    configuration: `Pair`s, a `datasets.Dataset`, a judge of one's own. Nothing is trained before `train()` or `step()`.
    Raises `UniRewardError` where settings, pairs and pipeline do not fit each other.
    """

    def __init__(self, config: DPOConfig, *, pairs: Any = None, judge: Judge | str | None = None) -> None:
        self.config, self.output = config, Path(config.output)
        self.loss = LOSSES[config.loss]
        judge = judge or config.judge
        if config.evaluate_every and judge is None:
            raise UniRewardError("evaluate_every needs a judge: judge: shapes, a checkpoint id, or http://...")
        if judge is not None and not config.evaluate_every:
            raise UniRewardError(
                f"judge: {judge_name(judge)} scores the samples of evaluations, and evaluate_every: 0 says that there "
                "are none: set evaluate_every to the steps between two of them, or leave judge out"
            )
        source = config.pairs if pairs is None else pairs
        if source == "":
            raise UniRewardError("there are no pairs: name them in the configuration, or give DPOTrainer(..., pairs=)")
        self.accelerator = accelerator_for(config)
        self.log = RunLog(self.output / "log.jsonl", self.accelerator, steps=config.steps)
        every = read_preferences(source, split=config.split)
        self.preferences, self.held_out = every.hold_out(config.held_out)
        self.evaluation = HeldOut(config, self.accelerator, self.held_out.prompts, judge=judge, say=self.log.say)
        self.pairs_a_step = config.batch_size * config.accumulation * self.accelerator.num_processes
        self.folder = training_pipeline.local_folder(config.pipeline)
        training_pipeline.check_stored_call(self.folder, config.call)
        for caution in cautions(config, self.preferences, pairs_a_step=self.pairs_a_step):
            self.log.warn(caution)
        self.config = config = self._as_it_runs()
        check_same_run(
            config,
            self.folder,
            self.accelerator,
            pairs_a_step=self.pairs_a_step,
            pairs=every.digest,
        )
        checkpoints.check_steps(self.output, config.steps)
        self._prepare()

    def _as_it_runs(self) -> DPOConfig:
        """The configuration with what the pipeline and `accelerate launch` say where it says nothing."""
        resolution = self.config.resolution
        if resolution is None:
            resolution = training_pipeline.own_resolution(self.folder)
        return replace(self.config, resolution=resolution, mixed_precision=self.accelerator.mixed_precision)

    def _prepare(self) -> None:
        """The cache, the model without VAE and text encoders, and the batches."""
        config, accelerator = self.config, self.accelerator
        self.adapter, self.cache = adapter_with_cache(
            config, self.preferences, self.folder, accelerator, self.log.cached
        )
        self.weights = pair_weights(self.preferences, config)
        self.auto_beta: AutoBeta | None = None
        if config.auto_beta is not None:
            self.auto_beta = AutoBeta(self.cache.latents(0)[0].numel(), target=config.auto_beta)
            accelerator.register_for_checkpointing(self.auto_beta)
        self.model = TrainedModel(config, self.adapter, accelerator, needs_reference=self.needs_reference)
        self.trained, self.average = self.model.trained, self.model.average
        place = Place(accelerator.process_index, accelerator.num_processes, accelerator.device, self.model.input_dtype)
        self.batches = Batches(config, self.cache, self.adapter, self.weights, place)

    # The run

    def train(self) -> Path:
        """Train to the last step, from the newest checkpoint on; the folder with the result."""
        first, steps = self.resume(), self.config.steps
        if first:
            self.log.say(
                f"goes on from step {first} of {steps}"
                if first < steps
                else f"nothing is left to train: the last checkpoint is at step {first}, and steps is {steps}"
            )
        self.log.say(
            f"{self.preferences_line}\nresolution: {self.config.resolution}\nmemory: {described(self.model.memory)}"
        )
        if self.config.trackers:
            self.accelerator.init_trackers(
                "unireward-dpo", config={k: str(v) for k, v in self.config.as_dict().items()}
            )
        if first == 0:
            self.evaluate(0)
        began = time.monotonic()
        for step in range(first, steps):
            values = self.step(step)
            self.log.add(step + 1, values, (time.monotonic() - began) / (step + 1 - first))
            if self._is_due(self.config.evaluate_every, step + 1):
                self.evaluate(step + 1)
            if self._is_due(self.config.checkpoint_every, step + 1):
                checkpoints.save_checkpoint(self.accelerator, self.output / "checkpoints", step + 1)
        self.save(self.output / "final")
        self.accelerator.end_training()
        return self.output / "final"

    def resume(self) -> int:
        """Go on from the newest checkpoint; the number of steps that were done."""
        step = checkpoints.load_newest(self.accelerator, self.output / "checkpoints")
        if self.average is not None:
            self.average.to(self.accelerator.device)
        self.log.resume(step)
        self.evaluation.resume(step)
        self.accelerator.wait_for_everyone()
        return step

    def evaluate(self, step: int) -> None:
        """Sample the held-out prompts with the model as it is now, have them judged, and keep the best model."""
        if not self.config.evaluate_every:
            return
        with self.model.averaged(), torch.no_grad(), self.accelerator.autocast():
            pipeline = self.model.sampling_pipeline(self.folder)
            decode_without_autocast(pipeline.vae)
            self.evaluation.sample(step, pipeline)
        if self.evaluation.is_best(step) and step:
            self.save(self.output / "best")

    def save(self, folder: Path) -> None:
        """Write the LoRA, or the whole pipeline, with a card; the folder appears as a whole."""
        need = described(self.model.memory)
        config = replace(self.config, judge=self.evaluation.judge_name)
        card = model_card(config, self.log.lines, self.evaluation.lines, need=need)
        self.model.save(folder, self.folder, card)

    def _is_due(self, every: int, step: int) -> bool:
        return bool(every) and (step % every == 0 or step == self.config.steps)

    # A step

    def step(self, step: int) -> dict[str, float]:
        """One optimiser step, the first being 0; its means over all pairs of the step, all processes included."""
        rate = self.config.rate_at(step, pairs=self.pairs_a_step)
        for group in self.model.optimizer.param_groups:
            group["lr"] = rate
        beta = self.beta
        options = {**self.config.loss_options, **self._baseline(step)}
        found: list[dict[str, Tensor]] = []
        norm: Tensor | float | None = None
        for micro in range(self.config.accumulation):
            with self.accelerator.accumulate(self.model.wrapped):
                loss, values = self.loss_of(self.batch(step, micro), beta, options)
                self.accelerator.backward(loss)
                norm = self.model.update()
            found.append(values)
        if self.average is not None:
            self.average.step(self.trained)
        means = {name: torch.stack([values[name] for values in found]).mean() for name in found[0]}
        reduced = self.accelerator.reduce(means, reduction="mean")
        if self.auto_beta is not None:
            self.auto_beta.update(reduced.pop("margin_size"))
        told = {name: float(value) for name, value in reduced.items()}
        told |= {"beta": beta, "lr": rate}
        return told if norm is None else told | {"grad_norm": float(norm)}

    def batch(self, step: int, micro: int) -> Batch:
        """The batch of a forward pass of this process: pairs, noise, levels, flips and left-out prompts."""
        return self.batches.batch(step, micro)

    def loss_of(self, batch: Batch, beta: float, options: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean loss of a batch, and what to log of it."""
        errors, prediction, reference = self.errors_of(batch)
        steered = errors
        if self.config.safeguard is not None:
            steered = scale_loser(errors, loser_scale(prediction, batch.target, mu=self.config.safeguard))
        losses = batch.weights * self.loss.of(steered, beta, **options)
        if self.config.winner_weight:
            losses = losses + supervised(errors, self.config.winner_weight)
        if self.config.anchor_weight and reference is not None:
            losses = losses + self.config.anchor_weight * anchor(prediction, reference)
        values = {"loss": losses.detach().mean(), **{name: value.mean() for name, value in measures(errors).items()}}
        if self.auto_beta is not None:
            values["margin_size"] = errors.margin.detach().abs().mean()
        return losses.mean(), values

    def errors_of(self, batch: Batch) -> tuple[Errors, Tensor, Tensor | None]:
        """The errors of model and reference, and what the two predict; no reference where the loss needs none."""
        reference = None
        if self.needs_reference:
            with torch.no_grad(), self.model.as_reference():
                reference = self.predict(batch)
        prediction = self.predict(batch)
        return pair_errors(prediction, batch.target, reference), prediction, reference

    def predict(self, batch: Batch) -> Tensor:
        """What the adapter's denoiser, now the model or the reference, predicts."""
        with self.accelerator.autocast():
            return self.adapter.predict(batch.noisy, batch.level, batch.conditions)

    @property
    def beta(self) -> float:
        """The beta of the next step."""
        if self.auto_beta is not None:
            return self.auto_beta.beta
        return self.loss.beta if self.config.beta is None else self.config.beta

    @property
    def needs_reference(self) -> bool:
        """Whether the reference predicts, too."""
        return self.loss.needs_reference or self.config.anchor_weight > 0

    def _baseline(self, step: int) -> dict[str, float]:
        """What Diffusion-KTO compares a step's pictures with: a mean over the whole step, so looked at beforehand."""
        if not self.loss.needs_baseline:
            return {}
        with torch.no_grad():
            each = [
                kto_baseline(self.errors_of(self.batch(step, micro))[0]) for micro in range(self.config.accumulation)
            ]
            return {"baseline": float(self.accelerator.reduce(torch.stack(each).mean(), reduction="mean"))}

    @property
    def preferences_line(self) -> str:
        """How many pairs there are, in words."""
        left_out = ", ".join(f"{count} {reason}" for reason, count in self.preferences.dropped.items()) or "none"
        return (
            f"{counted(len(self.preferences), 'pair')} of {counted(len(set(self.preferences.prompts)), 'prompt')}, "
            f"{len(self.held_out):,} held out; rows left out: {left_out}; {counted(self.pairs_a_step, 'pair')} a step"
        )
