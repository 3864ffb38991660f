"""The preference trainer after a stop: it goes on to the same end, or says why not."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from diffusers_ext import checkpoints
from diffusers_ext.dpo import DPOTrainer
from diffusers_ext.train_dpo import command, config_of
from tests.diffusers_ext.tiny_trainer import TRAINING, Make, finished, forget_accelerate, launched, log_of, pairs_of
from unireward_plugins.errors import UniRewardError

pytestmark = TRAINING


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_beta": 0.2, "optimizer": "adamw"},
        {"lora_rank": 0, "ema_decay": 0.5, "learning_rate": 1e-5, "optimizer": "adafactor"},
        {"mixed_precision": "bf16"},
        {"mixed_precision": "bf16", "lora_rank": 0},
    ],
)
def test_a_resumed_run_is_the_same_to_the_bit(make: Make, settings: dict[str, Any]) -> None:
    straight = make("straight", steps=4, checkpoint_every=0, **settings)
    straight.train()
    make("broken", steps=2, checkpoint_every=1, **settings).train()
    with (straight.output.parent / "broken" / "log.jsonl").open("a") as log:
        log.write('{"step": 3, "loss": 1')
    resumed = make("broken", steps=4, checkpoint_every=2, **settings)
    resumed.train()
    assert log_of(resumed) == log_of(straight)
    assert len(log_of(straight)) == 4
    for ours, theirs in zip(resumed.trained, straight.trained, strict=True):
        assert torch.equal(ours, theirs)
    if straight.average is not None:
        for ours, theirs in zip(resumed.average.shadow_params, straight.average.shadow_params, strict=True):
            assert torch.equal(ours, theirs)
    assert [path.name for path in checkpoints.checkpoints(resumed.output / "checkpoints")] == [
        "step-00000002",
        "step-00000004",
    ]


def test_a_checkpoint_that_was_cut_off_is_none(make: Make) -> None:
    trainer = make(steps=2, checkpoint_every=1)
    trainer.train()
    folder = trainer.output / "checkpoints"
    (folder / "step-00000002").rename(folder / ".step-00000002.part")
    assert make(steps=2, checkpoint_every=1).resume() == 1


def test_a_run_does_not_go_on_under_other_settings(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(steps=1, beta=5000, mixed_precision=None)
    trainer.train()
    assert checkpoints.checkpoints(trainer.output / "checkpoints")
    with pytest.raises(UniRewardError, match=r"other settings: beta was 5000.0 and is 500.0. Choose another output"):
        make(beta=500)
    with pytest.raises(UniRewardError, match=r"pairs_a_step was 2 and is 4. Choose another output folder$"):
        make(beta=5000, batch_size=4)
    with pytest.raises(UniRewardError, match=r"batch_size was 2 and is 1.* go on as it was begun: --batch_size 2$"):
        make(beta=5000, batch_size=1, accumulation=2)
    with pytest.raises(UniRewardError, match=r"other settings: the pairs have changed. Choose another output folder$"):
        make(beta=5000, pairs=pairs_of(6))
    with pytest.raises(
        UniRewardError, match=r"settings: held_out was 0.0 and is 0.3. .* it was begun: --held_out 0.0$"
    ):
        make(beta=5000, held_out=0.3)
    with monkeypatch.context() as launch:
        launch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
        with pytest.raises(UniRewardError, match=r"mixed_precision was 'no' and is 'bf16'"):
            make(beta=5000, mixed_precision=None)
    make(beta=5000, steps=9)


def test_a_run_does_not_go_on_from_other_weights(make: Make, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "sd", tmp_path / "sd")
    make(steps=1, pipeline=str(tmp_path / "sd")).train()
    (weights,) = (tmp_path / "sd" / "unet").glob("*.safetensors")
    save_file({name: value + 1 for name, value in load_file(weights).items()}, weights)
    with pytest.raises(UniRewardError, match=r"other settings: the weights of the pipeline have changed. Choose"):
        make(steps=2, pipeline=str(tmp_path / "sd"))


@pytest.mark.parametrize("stop", range(1, 7))
def test_a_kill_while_a_folder_takes_the_place_of_another_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Killed before the first step that touches the disk, before the second, and so on; the last comes too late."""
    draft, target = tmp_path / ".best.part", tmp_path / "best"
    for folder, text in ((draft, "new"), (target, "old")):
        folder.mkdir()
        (folder / "a").write_text(text)
        (folder / "b").write_text(text)
    left = iter(range(1, stop))
    with monkeypatch.context() as patch:
        for owner, name in ((os, "rename"), (os, "unlink"), (os, "rmdir")):
            patch.setattr(owner, name, _killed_when_empty(left, getattr(owner, name)))
        with suppress(KeyboardInterrupt):
            checkpoints.replace_folder(draft, target)
    checkpoints.clean_up(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    assert {(target / name).read_text() for name in ("a", "b")} in ({"old"}, {"new"})


def _killed_when_empty(left: Iterator[int], original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    return call


def test_a_checkpoint_that_was_not_wholly_deleted_does_not_count(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(folder: Path, *, ignore_errors: bool = False) -> None:
        if Path(folder).is_dir() and not ignore_errors:
            next(path for path in Path(folder).rglob("*") if path.is_file()).unlink()
            raise KeyboardInterrupt

    trainer = make(steps=3, checkpoint_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    make(steps=3, checkpoint_every=1)
    left = sorted(path.name for path in (trainer.output / "checkpoints").iterdir())
    assert left == ["step-00000002", "step-00000003"]


def test_a_run_that_has_more_steps_behind_it_is_not_passed_off_as_a_shorter_one(make: Make) -> None:
    folder = make(steps=2, checkpoint_every=1).train()
    card = (folder / "README.md").read_text()
    assert "steps: 2\n" in card
    with pytest.raises(UniRewardError, match=r"has done 2 steps, and steps is 1: .* least --steps 2 to go on with it"):
        make(steps=1, checkpoint_every=1)
    assert (folder / "README.md").read_text() == card
    make(steps=2, checkpoint_every=1).train()


def test_a_run_from_before_says_with_which_options_it_goes_on(tmp_path: Path) -> None:
    """As a run that was begun when 512 pixels were the default, and goes on where the pipeline's own size is."""
    begun = {"resolution": 512, "call": {"guidance_scale": 1.0}, "seed": 0}
    file = tmp_path / "run.json"
    checkpoints.check_same_run(file, begun)
    now = {**begun, "resolution": 64, "call": {}}
    with pytest.raises(UniRewardError) as raised:
        checkpoints.check_same_run(file, now, options=now)
    assert "resolution was 512 and is 64" in str(raised.value)
    said = str(raised.value).partition("or go on as it was begun: ")[2]
    options = dict(zip(*[iter(shlex.split(said))] * 2, strict=True))
    config = config_of(None, {"pipeline": "p", "output": "o", **{k.strip("-"): v for k, v in options.items()}})
    assert (config.resolution, config.call) == (512, {"guidance_scale": 1.0})


def test_an_interrupted_run_says_where_it_is_and_goes_on_from_there(
    make: Make, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()  # the cache
    forget_accelerate()
    words = [f"--pipeline={data}/sd", f"--pairs={data}/pairs", f"--cache={data}/cache", f"--output={tmp_path}/o"]
    words += ["--resolution", "32", "--batch_size", "2", "--lora_rank", "2", "--mixed_precision", "no"]
    words += ["--steps", "4", "--checkpoint_every", "2"]

    def run() -> Result:
        forget_accelerate()
        return CliRunner().invoke(command, words)

    step = DPOTrainer.step
    for stop, told in (
        (0, "interrupted before the first step was done; there is no checkpoint yet, and the same command begins anew"),
        (1, "interrupted after step 1 of 4; there is no checkpoint yet"),
        (3, "interrupted after step 3 of 4; the last checkpoint is at step 2, and the same command goes on from there"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                DPOTrainer, "step", lambda self, number, stop=stop: _pressed(number == stop, step, self, number)
            )
            done = run()
        assert done.exit_code == 130
        assert done.stderr.splitlines()[-1].startswith(told)
    done = run()
    assert done.exit_code == 0
    assert "goes on from step 2 of 4\n" in done.stderr
    assert [line["step"] for line in checkpoints.read_log(tmp_path / "o" / "log.jsonl")] == [1, 2, 3, 4]
    assert "nothing is left to train: the last checkpoint is at step 4, and steps is 4\n" in run().stderr


def _pressed(now: bool, step: Callable[..., Any], *arguments: Any) -> Any:
    """A step, or Ctrl-C where it would be."""
    if now:
        signal.raise_signal(signal.SIGINT)
    return step(*arguments)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_curve(data: Path, tmp_path: Path) -> None:
    options = ("--steps", "16", "--checkpoint_every", "3")
    finished(launched(data, tmp_path / "straight", *options))
    broken = launched(data, tmp_path / "broken", *options)
    log = tmp_path / "broken" / "log.jsonl"
    while not (log.is_file() and len(log.read_text().splitlines()) >= 8):
        assert broken.poll() is None, broken.communicate()[0]
        time.sleep(0.01)
    os.killpg(broken.pid, signal.SIGKILL)
    broken.communicate()
    assert not (tmp_path / "broken" / "final").exists()
    finished(launched(data, tmp_path / "broken", *options))
    assert log.read_text() == (tmp_path / "straight" / "log.jsonl").read_text()
    finals = [tmp_path / name / "final" / "pytorch_lora_weights.safetensors" for name in ("broken", "straight")]
    ours, theirs = map(load_file, finals)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(weights, theirs[name]) for name, weights in ours.items())
