"""Validation rewards with judges whose taste is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diffusers_ext.sheet import FRAMES, ROWS, SIDE, sheet
from diffusers_ext.validation import REPORT, ValidationRewards
from tests.diffusers_ext.test_best import bright, brighter, silent
from unireward_plugins.errors import BackendError, UniRewardError, UnsupportedCase
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Verdict


def grey(share: float) -> Image.Image:
    return Image.new("RGB", (10, 10), (round(255 * share),) * 3)


class Tracker:
    """What accelerate's trackers are to whoever logs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.logged: list[tuple[dict[str, Any], int | None]] = []
        self.committed: list[bool] = []
        """What W&B alone is told: whether its count goes on."""

    def log(self, values: dict[str, Any], step: int | None = None, *, commit: bool = True) -> None:
        self.logged.append((values, step))
        self.committed.append(commit)

    def log_images(self, values: dict[str, Any], step: int | None = None, *, commit: bool = True) -> None:
        self.log(values, step, commit=commit)


def test_the_first_validation_is_the_reference_and_the_best_step_has_the_highest_reward() -> None:
    validation = ValidationRewards(bright)
    first = validation.score(0, ["a", "b"], [grey(0.2), grey(0.6)])
    second = validation.score(10, ["a", "b"], [grey(0.4), grey(0.8)])
    third = validation.score(20, ["a", "b"], [grey(0.8), grey(0.2)])
    assert (first.reward, first.win_rate) == (pytest.approx(0.4), 0.5)
    assert (second.reward, second.win_rate) == (pytest.approx(0.6), 1.0)
    assert third.shares == (1.0, 0.0)
    assert validation.best is second
    assert str(second) == "step 10: reward 0.600, win rate 1.000"


def test_a_judge_may_be_given_by_its_name(tmp_path: Path) -> None:
    ValidationRewards("shapes", folder=tmp_path).score(0, ["a red circle"], [grey(0.5)])
    told = json.loads((tmp_path / REPORT).read_text())
    assert told["judge"] == "shapes"
    assert 0 <= told["best"]["reward"] <= 1


def test_pictures_of_one_prompt_meet_in_their_order_and_a_new_prompt_meets_nobody() -> None:
    validation = ValidationRewards(bright)
    validation.score(0, ["a", "b", "a"], [grey(0.2), grey(0.9), grey(0.6)])
    later = validation.score(1, ["c", "a", "a", "a"], [grey(1), grey(0.4), grey(0.4), grey(1)])
    assert later.shares == (None, 1.0, 0.0, None)
    assert later.win_rate == 0.5


def test_a_judge_that_only_compares_gives_win_rates_and_no_rewards() -> None:
    validation = ValidationRewards(brighter)
    first = validation.score(0, ["a", "b"], [grey(0.2), grey(0.6)])
    later = validation.score(1, ["b", "a", "c"], [grey(0.7), grey(0.1), grey(1)])
    assert (first.reward, first.win_rate) == (None, 0.5)
    assert later.shares == (1.0, 0.0, None)
    assert validation.best is first, "0.5 each, and the earlier counts"
    better = validation.score(2, ["a"], [grey(0.3)])
    assert validation.best is better


def test_an_unread_verdict_is_no_score_and_is_counted() -> None:
    validation = ValidationRewards(lambda cases: [Verdict(None, unread="nan"), *bright(cases)[1:]])
    done = validation.score(0, ["a", "b"], [grey(0.2), grey(0.6)])
    assert done.scores == (None, pytest.approx(0.6))
    assert done.reward == pytest.approx(0.6)
    assert done.shares == (None, 0.5)
    assert done.unread == {"nan": 1}


def test_without_any_verdict_there_is_no_best() -> None:
    validation = ValidationRewards(silent)
    done = validation.score(0, ["a"], [grey(0.5)])
    assert (done.reward, done.win_rate, validation.best) == (None, None, None)


def test_what_is_not_the_model_in_training_cannot_be_the_best() -> None:
    validation = ValidationRewards(bright)
    own = validation.score(0, ["a"], [grey(0.2)])
    other = validation.score(0, ["a"], [grey(0.9)], label="without_lora")
    assert validation.best is own
    assert other.win_rate == 1.0


def test_the_report_holds_all_of_it(tmp_path: Path) -> None:
    validation = ValidationRewards(bright, folder=tmp_path / "out")
    validation.score(5, ["é"], [grey(0.2)])
    validation.failed(10, BackendError("away"))
    told = json.loads((tmp_path / "out" / REPORT).read_text(encoding="utf-8"))
    assert told["best"] == {"step": 5, "reward": pytest.approx(0.2), "win_rate": 0.5}
    assert told["reference_step"] == 5
    assert told["validations"][0]["prompts"] == ["é"]
    assert told["failures"] == [{"step": 10, "label": "validation", "error": "BackendError: away"}]


def test_a_run_that_was_stopped_goes_on_with_its_report(tmp_path: Path) -> None:
    before, straight = ValidationRewards(bright, folder=tmp_path), ValidationRewards(bright)
    for step, share in ((0, 0.4), (10, 0.8), (20, 0.9)):
        before.score(step, ["a"], [grey(share)])
        straight.score(step, ["a"], [grey(share)])
    board = Tracker("mlflow")
    resumed = ValidationRewards(bright, trackers=[board], folder=tmp_path)
    resumed.resume(10, ["a"], [grey(0.4)])
    assert resumed.history == straight.history[:2]
    later = resumed.score(30, ["a"], [grey(0.5)])
    assert later == straight.score(30, ["a"], [grey(0.5)])
    assert board.logged[0][0]["unireward/best_step"] == 10
    told = json.loads((tmp_path / REPORT).read_text())
    assert [one["step"] for one in told["validations"]] == [0, 10, 30]
    assert told["judge"] == "tests.diffusers_ext.test_best.bright"
    with pytest.raises(UniRewardError, match="had other prompts: none to come can be compared"):
        ValidationRewards(bright, folder=tmp_path).resume(10, ["b"], [grey(0.4)])
    with pytest.raises(UniRewardError, match=r"had another judge, tests\.diffusers_ext\.test_best\.bright: none"):
        ValidationRewards(brighter, folder=tmp_path).resume(10, ["a"], [grey(0.4)])


def test_every_kind_of_tracker_gets_what_it_takes() -> None:
    board, bias, plain = Tracker("tensorboard"), Tracker("wandb"), Tracker("mlflow")
    del_images = type("Plain", (), {"name": "mlflow", "log": plain.log})()
    validation = ValidationRewards(bright, trackers=[board, bias, del_images])
    validation.score(7, ["a"], [grey(0.2)])
    values = {"unireward/reward": pytest.approx(0.2), "unireward/win_rate": 0.5, "unireward/step": 7}
    values |= {"unireward/unread": 0, "unireward/best_step": 7, "unireward/best_reward": pytest.approx(0.2)}
    assert board.logged[0] == (values, 7)
    assert bias.logged[0] == (values, None), "its own count may have moved on"
    assert bias.committed == [False, False], "and is left where it is"
    assert plain.logged == [(values, 7)]
    (gallery,) = board.logged[1][0].values()
    assert gallery.dtype == np.uint8
    assert gallery.shape[:2] == (1, 3)
    (pictures,) = bias.logged[1][0].values()
    assert [picture.size for picture in pictures] == [gallery.shape[:1:-1]]
    validation.score(7, ["a"], [grey(0.2)], label="without_lora")
    assert "unireward/without_lora/reward" in board.logged[2][0]


def test_prompts_and_outputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UniRewardError, match="got 1 prompts and 2 outputs"):
        ValidationRewards(bright).score(0, ["a"], [grey(0), grey(1)])
    with pytest.raises(UniRewardError, match="got 0 prompts"):
        ValidationRewards(bright).score(0, [], [])


def test_a_judge_of_something_else_says_so_at_once_and_leaves_no_reference() -> None:
    def texts_only(cases: Sequence[Case]) -> list[Verdict]:
        raise UnsupportedCase("judges texts")

    validation = ValidationRewards(texts_only)
    with pytest.raises(UnsupportedCase, match="judges texts"):
        validation.score(0, ["a"], [grey(0)])
    assert validation.history == []


def test_the_sheet_shows_reference_and_candidate_side_by_side() -> None:
    page = sheet(
        ["a" * 300, "日本"], [((Media.of(grey(0)), 0.1), (Media.of(grey(1)), None)), (None, (Media.of(grey(0)), 0.2))]
    )
    row = page.height // 2
    assert page.getpixel((SIDE // 2, SIDE // 2)) == (0, 0, 0)
    assert page.getpixel((SIDE + SIDE // 2, SIDE // 2)) == (255, 255, 255)
    assert page.getpixel((SIDE // 2, row + SIDE // 2)) == (255, 255, 255), "nobody to compare it with"
    assert page.getpixel((SIDE + SIDE // 2, row + SIDE // 2)) == (0, 0, 0)


def test_a_clip_is_shown_by_some_of_its_frames_and_a_long_validation_by_its_beginning() -> None:
    clip = Media.of([grey(index / 7) for index in range(8)])
    page = sheet(["a"] * (ROWS + 5), [(None, (clip, 0.5))] * (ROWS + 5))
    assert page.height < (ROWS + 1) * (SIDE + 100)
    left = page.width // 2 + SIDE // 8
    corners = [page.getpixel((left + x * SIDE // 2, SIDE // 4 + y * SIDE // 2))[0] for y in range(2) for x in range(2)]
    assert len(corners) == FRAMES
    assert corners == sorted(set(corners))
