"""Sampling that ends early, with the real pipelines of every family in miniature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, TCDScheduler
from diffusers.callbacks import PipelineCallback

from diffusers_ext import best_of
from diffusers_ext.callbacks import clean_prediction, keep_best, last_step
from diffusers_ext.families import adapter_for
from tests.diffusers_ext.test_best import PROMPT, alone, bright, brighter, brightness
from tests.diffusers_ext.tiny_pipelines import PICTURE, TINY, Tiny, picture_pipeline
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Verdict

torch.set_num_threads(1)
# The solvers of diffusers 0.42 turn tensors into arrays in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
STEPS = 5


def drawn(pipeline: Any, tiny: Tiny, **call: Any) -> Any:
    frames = {"num_frames": tiny.frames} if tiny.frames else {}
    return pipeline(
        prompt=PROMPT,
        generator=torch.Generator().manual_seed(3),
        height=tiny.side,
        width=tiny.side,
        num_inference_steps=STEPS,
        output_type="np",
        **frames,
        **tiny.call,
        **call,
    )[0]


class Count:
    """How often a denoiser is called."""

    def __init__(self, denoiser: torch.nn.Module) -> None:
        self.calls = 0
        denoiser.register_forward_pre_hook(self)

    def __call__(self, *_: Any) -> None:
        self.calls += 1


class Rows(Count):
    """How many samples a denoiser is called for."""

    rows = 0

    def __init__(self, denoiser: torch.nn.Module) -> None:
        super().__init__(denoiser)
        denoiser.register_forward_pre_hook(self.add, with_kwargs=True)

    def add(self, _: Any, given: Sequence[Any], named: Any) -> None:
        self.rows += len(given[0] if given else named["hidden_states"])


@pytest.mark.parametrize("family", [name for name in TINY if name not in {"text-to-video-sd", "wan-2.2"}])
def test_the_prediction_at_the_last_step_is_what_full_sampling_gives_and_an_earlier_one_costs_less(family: str) -> None:
    """Schedulers that end without noise end at the clean prediction: whatever is wrong with it shows there."""
    tiny = TINY[family]
    pipeline = tiny.build()
    full = drawn(pipeline, tiny)
    with clean_prediction(pipeline, at=0.99) as early:
        last = drawn(pipeline, tiny, callback_on_step_end=early)
    np.testing.assert_allclose(last, full, atol=2e-5)
    count = Count(adapter_for(pipeline).denoiser)
    with clean_prediction(pipeline, at=0.4) as early:
        rough = drawn(pipeline, tiny, callback_on_step_end=early)
    assert count.calls == 2
    assert rough.shape == full.shape
    assert np.abs(rough - full).max() > 1e-3
    np.testing.assert_array_equal(drawn(pipeline, tiny), full)


@pytest.mark.parametrize(
    "scheduler",
    [
        EulerDiscreteScheduler.from_config,
        DPMSolverMultistepScheduler.from_config,
    ],
    ids=["scaled samples", "no prediction said"],
)
def test_the_prediction_of_other_schedulers_is_right_too(scheduler: Any) -> None:
    pipeline, tiny = picture_pipeline(), TINY["stable-diffusion"]
    pipeline.scheduler = scheduler(pipeline.scheduler.config)
    full = drawn(pipeline, tiny)
    with clean_prediction(pipeline, at=0.99) as early:
        np.testing.assert_allclose(drawn(pipeline, tiny, callback_on_step_end=early), full, atol=2e-3)


def test_it_is_a_callback_of_diffusers_and_leaves_the_scheduler_as_it_was() -> None:
    pipeline = picture_pipeline()
    with clean_prediction(pipeline, at=0.5) as early:
        assert isinstance(early, PipelineCallback)
        assert "step" in vars(pipeline.scheduler)
    assert "step" not in vars(pipeline.scheduler)


def test_without_its_context_it_says_how_it_is_used() -> None:
    pipeline = picture_pipeline()
    with clean_prediction(pipeline, at=0.5) as early:
        pass
    with pytest.raises(UniRewardError, match="inside of its `with` block"):
        pipeline(PROMPT, callback_on_step_end=early, **PICTURE)


@pytest.mark.parametrize(
    ("at", "steps", "index"), [(0.4, 10, 3), (0.01, 10, 0), (0.99, 10, 9), (0.5, 1, 0), (0.5, 4, 1)]
)
def test_a_share_of_steps_is_at_least_one_and_at_most_all(at: float, steps: int, index: int) -> None:
    assert last_step(at, steps) == index


@pytest.mark.parametrize("at", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_stops_nothing_is_refused(at: float) -> None:
    with pytest.raises(UniRewardError, match="between 0 and 1"), clean_prediction(picture_pipeline(), at=at):
        pass


def test_what_cannot_be_stopped_or_predicted_is_refused() -> None:
    pipeline = TINY["text-to-video-sd"].build()
    with pytest.raises(UniRewardError, match="TextToVideoSDPipeline cannot be interrupted"):
        with clean_prediction(pipeline, at=0.5):
            pass
    other = picture_pipeline()
    other.scheduler = TCDScheduler.from_config(other.scheduler.config)
    with pytest.raises(UniRewardError, match="TCDScheduler"), clean_prediction(other, at=0.5):
        pass


LONG = {**PICTURE, "num_inference_steps": 10}


def test_only_the_most_promising_candidates_are_finished_and_they_are_the_same_as_ever() -> None:
    pipeline = picture_pipeline()
    plain = best_of(pipeline, PROMPT, judge=bright, candidates=8, seed=5, **LONG)
    count = Count(pipeline.unet)
    early = best_of(pipeline, PROMPT, judge=bright, candidates=8, seed=5, preview=0.4, **LONG)
    assert count.calls == 8 * 4 + 2 * 10
    assert early.seeds == plain.seeds
    finished = [index for index, score in enumerate(early.scores) if score is not None]
    assert set(finished) == set(sorted(range(8), key=lambda index: -early.previews[index])[:2])
    for index, output in enumerate(early.outputs):
        if index in finished:
            assert output.tobytes() == plain.outputs[index].tobytes()
            assert early.scores[index] == plain.scores[index]
        else:
            assert early.previews[index] == brightness(Media.of(output))
    assert early.best.tobytes() == alone(pipeline, early.seed, **LONG).tobytes()
    assert len(early.cases) == len(early.verdicts) == 2


def test_a_judge_that_only_compares_stops_candidates_too() -> None:
    pipeline = picture_pipeline()
    by_grade = best_of(pipeline, PROMPT, judge=bright, candidates=5, preview=0.4, **LONG)
    compared = best_of(pipeline, PROMPT, judge=brighter, candidates=5, preview=0.4, **LONG)
    assert compared.winner == by_grade.winner
    assert sorted(score for score in compared.scores if score is not None) == [0, 1]


def test_a_candidate_whose_preview_was_not_read_is_not_finished() -> None:
    asked: list[int] = []

    def half_blind(cases: Sequence[Case]) -> list[Verdict]:
        asked.append(len(cases))
        verdicts = bright(cases)
        return [Verdict(None, unread="empty"), *verdicts[1:]] if len(cases) == 4 else verdicts

    result = best_of(picture_pipeline(), PROMPT, judge=half_blind, candidates=4, preview=0.4, **LONG)
    assert asked == [4, 2]
    assert result.previews[0] is None
    assert result.scores[0] is None


def test_a_callback_of_ones_own_and_a_plain_function_are_refused_with_a_preview() -> None:
    with pytest.raises(UniRewardError, match="callback_on_step_end cannot be passed on"):
        best_of(picture_pipeline(), PROMPT, judge=bright, preview=0.4, callback_on_step_end=print, **PICTURE)
    with pytest.raises(UniRewardError, match="function cannot be interrupted"):
        best_of(lambda prompt, **call: None, PROMPT, judge=bright, preview=0.4)


def batch(pipeline: Any, tiny: Tiny, **call: Any) -> Any:
    settings = {"height": tiny.side, "width": tiny.side, "num_inference_steps": 10, "output_type": "np"}
    frames = {"num_frames": tiny.frames} if tiny.frames else {}
    noises = [torch.Generator().manual_seed(seed) for seed in range(4)]
    return pipeline(prompt=[PROMPT] * 4, generator=noises, **{**settings, **frames, **tiny.call, **call})[0]


def prefers_late(cases: Sequence[Case]) -> list[Verdict]:
    """Likes the third best of all, then the second, then the first, whatever they show."""
    return [Verdict((0.1 * index if index < 3 else 0.0,)) for index in range(len(cases))]


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("family", ["stable-diffusion", "sdxl", "sd3", "wan"])
def test_the_best_of_a_batch_goes_on_and_is_what_it_would_have_been(family: str, guidance: float) -> None:
    tiny = TINY[family]
    pipeline = tiny.build()
    full = batch(pipeline, tiny, guidance_scale=guidance)
    count = Rows(adapter_for(pipeline).denoiser)
    with keep_best(pipeline, PROMPT, judge=prefers_late, at=0.4, keep=2) as best:
        found = batch(pipeline, tiny, guidance_scale=guidance, callback_on_step_end=best)
    assert best.kept == (1, 2)
    np.testing.assert_allclose(found, full[[1, 2]], atol=1e-4)
    assert count.rows == (4 * 4 + 6 * 2) * (2 if guidance > 1 else 1)


def test_the_judge_sees_what_sampling_ends_early_with() -> None:
    pipeline, tiny = picture_pipeline(), TINY["stable-diffusion"]
    with clean_prediction(pipeline, at=0.4) as early:
        rough = batch(pipeline, tiny, callback_on_step_end=early, output_type="pil")
    with keep_best(pipeline, PROMPT, judge=bright, at=0.4) as best:
        (found,) = batch(pipeline, tiny, callback_on_step_end=best)
    expected = [brightness(Media.of(picture)) for picture in rough]
    assert best.scores == pytest.approx(expected, abs=2e-3)
    assert best.kept == (int(np.argmax(expected)),)
    np.testing.assert_allclose(found, batch(pipeline, tiny)[best.kept[0]], atol=1e-4)


def test_at_the_end_it_is_a_best_of_n_in_one_call() -> None:
    pipeline, tiny = picture_pipeline(), TINY["stable-diffusion"]
    with keep_best(pipeline, PROMPT, judge=brighter, at=1.0) as best:
        (found,) = batch(pipeline, tiny, callback_on_step_end=best, output_type="pil")
    assert brightness(Media.of(found)) == max(
        brightness(Media.of(picture)) for picture in batch(pipeline, tiny, output_type="pil")
    )


def test_noise_that_is_drawn_on_the_way_and_steps_that_are_remembered_stay_with_their_samples() -> None:
    pipeline, tiny = picture_pipeline(), TINY["stable-diffusion"]
    for scheduler, call in ((DPMSolverMultistepScheduler, {}), (type(pipeline.scheduler), {"eta": 1.0})):
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
        full = batch(pipeline, tiny, **call)
        with keep_best(pipeline, PROMPT, judge=prefers_late, at=0.4) as best:
            found = batch(pipeline, tiny, callback_on_step_end=best, **call)
        np.testing.assert_allclose(found, full[[2]], atol=1e-4)


def test_what_keeps_things_to_itself_and_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(UniRewardError, match="FluxPipeline cannot drop samples from a batch"):
        with keep_best(TINY["flux"].build(), PROMPT, judge=bright):
            pass
    for wrong in ({"at": 0.0}, {"at": 1.5}, {"keep": 0}):
        with pytest.raises(UniRewardError, match="at least one sample"):
            with keep_best(picture_pipeline(), PROMPT, judge=bright, **wrong):
                pass


def test_a_judge_may_be_named() -> None:
    pipeline, tiny = picture_pipeline(), TINY["stable-diffusion"]
    with keep_best(pipeline, PROMPT, judge="shapes", at=0.4) as best:
        assert len(batch(pipeline, tiny, callback_on_step_end=best)) == len(best.kept) == 1
    assert all(score is not None and 0 <= score <= 1 for score in best.scores)
    early = best_of(pipeline, PROMPT, judge="shapes", candidates=3, preview=0.4, **LONG)
    assert None not in early.previews


def test_a_callback_that_was_never_called_is_an_error_unless_there_is_another() -> None:
    pipeline, tiny = picture_pipeline(), TINY["stable-diffusion"]
    with pytest.raises(UniRewardError, match="callback_on_step_end=best"):
        with keep_best(pipeline, PROMPT, judge=bright):
            batch(pipeline, tiny)
    assert "step" not in vars(pipeline.scheduler)
    with pytest.raises(KeyError, match="mine"):
        with keep_best(pipeline, PROMPT, judge=bright):
            raise KeyError("mine")
