"""What the preference trainer warns of, and what it refuses."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from diffusers_ext.dpo import DPOTrainer, WinnerWatch
from diffusers_ext.dpo_config import TRACKERS, DPOConfig
from diffusers_ext.training_setup import cautions
from tests.diffusers_ext.tiny_pipelines import text_to_video_pipeline
from tests.diffusers_ext.tiny_trainer import TRAINING, Make, media, pairs_of
from unireward_plugins.errors import MissingExtra, UniRewardError
from unireward_plugins.pairs import Pair

pytestmark = TRAINING


def test_winners_that_get_worse_behind_a_good_accuracy_are_reported() -> None:
    bad = {"winner_over_reference": 1e-3, "accuracy": 0.9}
    watch = WinnerWatch()
    warned = {step: text for step in range(1, 41) if (text := watch.update(bad))}
    assert list(warned) == [10, 20, 40]
    assert "for 10 steps the model has predicted the winners worse" in warned[10]
    assert "(by 0.001), though it prefers 90% of them" in warned[10]
    for fine in ({"winner_over_reference": -1e-3, "accuracy": 0.9}, {"winner_over_reference": 1e-3, "accuracy": 0.5}):
        watch = WinnerWatch()
        assert not any(watch.update(fine) for _ in range(100))
    assert WinnerWatch().update({"winner_error": 1.0}) is None


def test_the_warning_comes_from_a_run(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    trainer = make()
    values = {**trainer.step(0), "winner_over_reference": 0.1, "accuracy": 1.0}
    with caplog.at_level(logging.WARNING):
        for step in range(10):
            trainer.log.add(step + 1, values, 0.1)
    assert "step 10: for 10 steps the model has predicted the winners worse" in caplog.text


def test_pairs_that_are_too_small_or_too_few_are_warned_of(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    make("fine")
    assert not caplog.messages
    trainer = make("odd", resolution=64, batch_size=8, cache=None)
    small, few = caplog.messages
    assert "smaller than the resolution 64: of 7 that were looked at, the smallest is 32 x 32 pixels" in small
    assert "scaled up to 64 x 64" in small
    assert "a step takes 8 pairs and there are 7: each comes up 1.1 times in every step" in few
    assert len(trainer.batch(0, 0).weights) == 8
    caplog.clear()
    config, preferences = DPOConfig(pipeline="p", output="o", resolution=(24, 40)), trainer.preferences
    (wide,) = cautions(config, preferences, pairs_a_step=7)
    assert "scaled up to 40 x 24" in wide
    assert not [*cautions(replace(config, resolution=None), preferences, pairs_a_step=7)]
    assert not [*cautions(replace(config, resolution=(32, 34)), preferences, pairs_a_step=7)]


def test_a_tracker_whose_package_is_missing_is_named(make: Make) -> None:
    there = {str(one) for one in get_available_trackers()}
    missing = next((name for name in TRACKERS if name not in {"all", *there}), None)
    if missing is None:
        pytest.skip("every tracker of accelerate is installed")
    with pytest.raises(MissingExtra, match=f"trackers need packages .*: pip install {missing}$"):
        make(trackers=[missing])


def test_trackers_are_those_of_accelerate() -> None:
    assert set(TRACKERS) == {"all", *LOGGER_TYPE_TO_CLASS}


def test_a_loss_that_is_no_number_ends_the_run(make: Make) -> None:
    trainer = make()
    with torch.no_grad():
        trainer.trained[0].fill_(math.nan)
    with pytest.raises(UniRewardError, match="the loss of step 1 is nan: the training has broken down"):
        trainer.train()


def test_what_does_not_fit_is_named(make: Make, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match="there are no pairs: name them"):
        make(pairs="")
    with pytest.raises(UniRewardError, match="evaluate_every needs a judge"):
        make(evaluate_every=1, held_out=0.1)
    config = DPOConfig(pipeline="p", output=str(tmp_path), pairs="pairs")
    for named, judge in ((replace(config, judge="shapes"), None), (config, "shapes")):
        with pytest.raises(UniRewardError, match=r"judge: shapes scores .* evaluate_every: 0 says .* leave judge out"):
            DPOTrainer(named, judge=judge)
    with pytest.raises(UniRewardError, match="noise_levels: turbo is for SDXL-Turbo"):
        make("flow", pipeline=str(data / "wan"), pairs=pairs_of(1, frames=5), noise_levels="turbo")
    with pytest.raises(UniRewardError, match=r"takes no argument 'num_steps'. Did you mean"):
        make("call", call={"num_steps": 4})
    assert not (tmp_path / "call" / "run.json").exists()
    text_to_video_pipeline().save_pretrained(tmp_path / "video")
    with pytest.raises(UniRewardError, match=r"takes no LoRA in diffusers: train the whole unet, lora_rank: 0"):
        make("video", pipeline=str(tmp_path / "video"), pairs=pairs_of(1, frames=2), cache=None)
    row = {"prompt": "a", "chosen": media(0), "rejected": media(1)}
    with pytest.raises(UniRewardError, match="rare_gaps needs the columns chosen_score"):
        make("gaps", pairs=Rows([row]), rare_gaps=True, cache=None)


class Rows(list[Any]):
    """Pairs without scores."""

    def __iter__(self) -> Iterator[Any]:
        return (Pair(row["prompt"], row["chosen"], row["rejected"], None, None) for row in super().__iter__())  # type: ignore[arg-type]
