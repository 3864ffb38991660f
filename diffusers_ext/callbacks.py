"""Callbacks for diffusers pipelines that look at the prediction of the clean picture while it is sampled.

with clean_prediction(pipeline, at=0.4) as early:
    rough = pipeline(prompt, callback_on_step_end=early, **call).images[0]
with keep_best(pipeline, prompt, judge=judge, at=0.4) as best:
    picture = pipeline(prompt, num_images_per_prompt=8, callback_on_step_end=best, **call).images[0]

The first ends sampling there; `best_of(..., preview=0.4)` uses it for pipelines of every family. The second judges a
batch and goes on with its best, in one call.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.callbacks import PipelineCallback
from torch import Tensor

from diffusers_ext.best import judged
from diffusers_ext.families import adapter_for
from diffusers_ext.noise import Flow, process_of
from unireward_plugins.errors import UniRewardError
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Judge

Callback = TypeVar("Callback", bound="CleanPrediction")


class CleanPrediction(PipelineCallback):  # type: ignore[misc]  # diffusers has no types
    """Ends sampling at one step and lets the pipeline decode the clean latents that the model predicts there.

    A callback runs after the scheduler's step and sees no prediction: `record` is what the scheduler calls instead, see
    `clean_prediction`. The pipeline's own code decodes, so that this knows nothing of packed latents or of clips, and
    serves every family whose pipeline takes callbacks and can be interrupted.
    """

    def __init__(self, at: float) -> None:
        super().__init__(cutoff_step_ratio=float(at))
        self._at = at
        self._clean: Tensor | None = None

    @property
    def tensor_inputs(self) -> list[str]:
        """What the pipeline hands over."""
        return ["latents"]

    def callback_fn(
        self,
        pipeline: Any,
        step_index: int,
        timestep: Any,  # noqa: ARG002 - as diffusers calls it
        callback_kwargs: dict[str, Any],
    ) -> dict[str, Any]:
        """Called after every step: acts at the one that was asked for."""
        if step_index != last_step(self._at, pipeline.num_timesteps):
            return callback_kwargs
        if self._clean is None:
            raise UniRewardError("the callback has to hear the scheduler: call the pipeline inside of its `with` block")
        latents = callback_kwargs["latents"]
        return self.act(pipeline, self._clean.to(latents.dtype).reshape(latents.shape), callback_kwargs)

    def act(self, pipeline: Any, clean: Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        """The clean latents in place of the noisy ones, and no step more."""
        pipeline._interrupt = True  # the documented way to stop a pipeline from a callback
        return {**tensors, "latents": clean}

    def record(self, scheduler: Any, sample: Tensor, prediction: Tensor, timestep: Any, answer: Any) -> None:
        """Keep the clean latents that a prediction stands for; called after each step of the scheduler.

        Schedulers whose samples are not those of `noise.Diffusion` or `noise.Flow` say themselves what they predict.
        """
        said = answer[1] if isinstance(answer, tuple) and len(answer) > 1 else getattr(answer, SAID, None)
        self._clean = said if said is not None else _clean(scheduler, sample, prediction, timestep)


SAID = "pred_original_sample"
"""What schedulers call the clean latents that they predict, the second entry of their answer as a tuple."""
BATCHED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "WanPipeline")
"""Pipelines that hand everything that belongs to a sample to their callbacks, so that samples can be dropped from a
batch; others (FLUX, LTX, ...) keep some of it to themselves."""


class KeepBest(CleanPrediction):
    """Judges the predictions of a batch for one prompt and goes on with the best of them; see `keep_best`."""

    kept: tuple[int, ...] = ()
    """The places in the batch of those that went on, in order."""
    scores: tuple[float | None, ...] = ()
    """What the judge said of each prediction, as in `BestOf.scores`."""

    def __init__(self, pipeline: Any, prompt: str, judge: Judge, at: float, keep: int) -> None:
        super().__init__(at)
        self._adapter = adapter_for(pipeline)
        self._tensors = list(pipeline._callback_tensor_inputs)
        self._prompt, self._judge, self._keep = prompt, judge, keep

    @property
    def tensor_inputs(self) -> list[str]:
        """What the pipeline hands over."""
        return self._tensors

    def act(self, pipeline: Any, clean: Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        """The rows of the best in place of all."""
        pixels = (self._adapter.pixels(clean).float() / 2 + 0.5).clamp(0, 1).cpu()
        _, _, scores = judged(self._judge, [Case(self._prompt, (Media.of(one),)) for one in pixels])
        ranked = sorted((-score, index) for index, score in enumerate(scores) if score is not None)
        if not ranked:
            raise UniRewardError(f"the judge gave no verdict on any of {len(scores)} predictions")
        self.scores, self.kept = tuple(scores), tuple(sorted(index for _, index in ranked[: self._keep]))
        _drop(pipeline.scheduler, clean.shape, list(self.kept))
        return {name: _rows(value, len(clean), self.kept) for name, value in tensors.items()}

    def still(self, generator: Any) -> Any:
        """The generators of those that went on, of a list with one for each sample."""
        if isinstance(generator, list) and self.kept and len(generator) == len(self.scores):
            return [generator[index] for index in self.kept]
        return generator


@contextmanager
def keep_best(
    pipeline: Any, prompt: str, *, judge: str | Path | Judge, at: float = 0.4, keep: int = 1
) -> Iterator[KeepBest]:
    """A callback for one call of this pipeline that draws several samples of one prompt in a batch.

    After a share `at` of the steps the predictions of the clean pictures or clips are judged, and sampling goes on with
    the best `keep` of the batch; the call gives these. Its attribute `kept` says which they are. With `at=1` nothing is
    saved, and what is judged is the finished samples: a best of n in one call. `judge` is a judge or its name
    (`load_judge`).

    Raises `UniRewardError` for a pipeline that is none of `BATCHED` (use `best_of(..., preview=)`), for shares and
    numbers out of range, where no verdict is read, and where the block ends without a call that kept anything.
    """
    if not 0 < at <= 1 or keep < 1:
        raise UniRewardError(f"at least one sample goes on after a share of the steps in 0..1, got {at=} and {keep=}")
    if type(pipeline).__name__ not in BATCHED:
        raise UniRewardError(
            f"{type(pipeline).__name__} cannot drop samples from a batch; those that can are {', '.join(BATCHED)}. "
            "best_of(..., preview=...) stops candidates of any pipeline"
        )
    with _heard(pipeline.scheduler, KeepBest(pipeline, prompt, load_judge(judge), at, keep)) as callback:
        yield callback
        if not callback.kept:
            raise UniRewardError(
                "nothing was judged and all samples were kept: the pipeline never called what `keep_best` gives. "
                "Pass it on, as in `with keep_best(...) as best: pipeline(..., callback_on_step_end=best)`"
            )


@contextmanager
def clean_prediction(pipeline: Any, *, at: float) -> Iterator[CleanPrediction]:
    """A callback for calls of this pipeline, each of which ends after a share `at` of its steps (0 to 1, no less than
    one step) and gives the prediction of the clean picture or clip there.

    Raises `UniRewardError` for a share out of range, a pipeline that cannot be interrupted, and a scheduler whose
    prediction is not known.
    """
    if not 0 < at < 1:
        raise UniRewardError(f"sampling can end early after a share of its steps between 0 and 1, got {at}")
    if not hasattr(type(pipeline), "interrupt"):
        raise UniRewardError(f"{type(pipeline).__name__} cannot be interrupted by a callback: draw its samples in full")
    with _heard(pipeline.scheduler, CleanPrediction(at)) as callback:
        yield callback


@contextmanager
def _heard(scheduler: Any, callback: Callback) -> Iterator[Callback]:
    """Let the callback hear every step of the scheduler; afterwards that is as it was."""
    _check(scheduler)
    step = scheduler.step

    # Pipelines look at the signature of `step` to see whether it takes `eta` and a generator.
    @functools.wraps(step)
    def recorded(model_output: Tensor, timestep: Any, sample: Tensor, *given: Any, **named: Any) -> Any:
        if isinstance(callback, KeepBest) and "generator" in named:
            named["generator"] = callback.still(named["generator"])
        answer = step(model_output, timestep, sample, *given, **named)
        callback.record(scheduler, sample, model_output, timestep, answer)
        return answer

    scheduler.step = recorded
    try:
        yield callback
    finally:
        del scheduler.step


def last_step(at: float, steps: int) -> int:
    """The index of the last step that is taken when sampling ends after a share `at` of so many steps."""
    return min(max(round(at * steps), 1), steps) - 1


def _check(scheduler: Any) -> None:
    """Refuse a scheduler that neither says what it predicts nor has samples that this knows."""
    name = type(scheduler).__name__
    if name in {"TCDScheduler"}:  # the second entry of its answer is a noisy sample
        raise UniRewardError(f"what {name} predicts is not known: give the pipeline another scheduler")
    process_of(scheduler)


def _clean(scheduler: Any, sample: Tensor, prediction: Tensor, timestep: Any) -> Tensor:
    process = process_of(scheduler)
    # The step has moved on to the next level.
    level = scheduler.sigmas[scheduler.step_index - 1] if isinstance(process, Flow) else torch.as_tensor(timestep)
    many = level.to(sample.device).expand(len(sample))
    return process.clean(sample.float(), prediction.float(), many)


def _rows(value: Any, count: int, kept: Sequence[int]) -> Any:
    """The kept rows of a tensor with one row a sample, or with two where guidance puts the unconditional ones first."""
    if not isinstance(value, Tensor) or len(value) not in {count, 2 * count}:
        return value
    return torch.cat([part[list(kept)] for part in value.chunk(len(value) // count)])


def _drop(scheduler: Any, shape: torch.Size, kept: list[int]) -> None:
    """Keep those rows of everything of the latents' shape that a scheduler remembers of earlier steps."""

    def still(value: Any) -> Any:
        return value[kept] if isinstance(value, Tensor) and value.shape == shape else value

    for name, value in list(vars(scheduler).items()):
        setattr(scheduler, name, [still(one) for one in value] if isinstance(value, list) else still(value))
