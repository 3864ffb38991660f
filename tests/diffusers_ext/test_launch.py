"""The launcher, with a script in the shape of diffusers' examples, and with those examples where they are at hand.

The examples belong to diffusers and are not part of this repository. With a checkout of diffusers,
`DIFFUSERS_EXAMPLES=path/to/diffusers/examples python -m pytest tests/diffusers_ext/test_launch.py` runs them.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from click.testing import CliRunner
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from PIL import Image

from diffusers_ext.launch import lora_is_off, main, pictures, run
from diffusers_ext.validation import REPORT
from tests.diffusers_ext.test_best import bright, brighter, brightness
from tests.diffusers_ext.tiny_pipelines import TINY, picture_pipeline
from unireward_plugins.errors import BackendError, UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Verdict

torch.set_num_threads(1)
SCRIPT = Path(__file__).with_name("train_example.py")
PROMPT = "a red circle"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    picture_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """A process of one's own would be fresh; these tests share one."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def arguments(model: Path, output: Path, *more: str) -> list[str]:
    return ["--pretrained_model_name_or_path", str(model), "--output_dir", str(output), *more]


def validated(model: Path, output: Path, *more: str) -> list[str]:
    return arguments(model, output, "--validation_prompt", PROMPT, *more)


def report(output: Path) -> dict[str, Any]:
    return json.loads((output / REPORT).read_text())


def light(output: Path, name: str) -> float:
    return brightness(Media.of(output / f"{name}.png"))


def test_every_validation_picture_is_scored_at_its_step_and_the_best_step_is_noted(model: Path, tmp_path: Path) -> None:
    asked: list[Case] = []

    def judge(cases: Sequence[Case]) -> list[Verdict]:
        asked.extend(cases)
        return bright(cases)

    summary = run(judge, SCRIPT, validated(model, tmp_path))
    told = report(tmp_path)
    assert [one["step"] for one in told["validations"]] == [1, 2, 3, 3], "the last one is the finished model"
    for one, name in zip(told["validations"], ["1", "2", "3", "test"], strict=True):
        assert one["scores"] == pytest.approx([light(tmp_path, f"{name}-{number}") for number in range(2)])
        assert one["prompts"] == [PROMPT] * 2
    assert len(asked) == 1 + 4 * 2, "one to try the judge, and no class picture"
    best = max(told["validations"], key=lambda one: one["reward"])
    assert told["best"] == {name: best[name] for name in ("step", "reward", "win_rate")}
    assert summary is not None
    assert summary.startswith(f"best: step {best['step']}: reward {best['reward']:.3f}")
    assert str(tmp_path / REPORT) in summary


def test_scores_go_to_the_scripts_own_tracker_before_what_it_logs_next(model: Path, tmp_path: Path) -> None:
    run(bright, SCRIPT, validated(model, tmp_path, "--max_train_steps", "2"))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    kinds = [
        "finished" if "finished" in line else "loss" if "loss" in line else "gallery" if len(line) == 2 else "scores"
        for line in lines
    ]
    assert kinds == ["scores", "gallery", "loss", "scores", "gallery", "loss", "scores", "gallery", "finished"]
    scores = [line for line, kind in zip(lines, kinds, strict=True) if kind == "scores"]
    assert [line["step"] for line in scores] == [1, 2, 2]
    assert [line["unireward/reward"] for line in scores] == [one["reward"] for one in report(tmp_path)["validations"]]
    assert scores[0]["unireward/win_rate"] == 0.5, "the first validation is the reference"


def test_a_prompt_that_was_encoded_before_is_taken_from_the_arguments(model: Path, tmp_path: Path) -> None:
    run(bright, SCRIPT, validated(model, tmp_path, "--encode_first", "--max_train_steps", "1"))
    assert report(tmp_path)["validations"][0]["prompts"] == [PROMPT] * 2


def test_a_judge_that_only_compares_gives_win_rates(model: Path, tmp_path: Path) -> None:
    run(brighter, SCRIPT, validated(model, tmp_path))
    told = report(tmp_path)
    by_step = {one["step"]: one["win_rate"] for one in told["validations"]}
    expected = [float(light(tmp_path, f"3-{number}") > light(tmp_path, f"1-{number}")) for number in range(2)]
    assert by_step[3] == pytest.approx(sum(expected) / 2)
    assert told["best"]["reward"] is None


def test_a_judge_that_fails_on_the_way_ends_no_training(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def flaky(cases: Sequence[Case]) -> list[Verdict]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise BackendError("the server is away")
        return bright(cases)

    summary = run(flaky, SCRIPT, validated(model, tmp_path))
    assert (tmp_path / "test-1.png").exists()
    assert [one["step"] for one in report(tmp_path)["validations"]] == [1, 3, 3]
    assert report(tmp_path)["failures"] == [
        {"step": 2, "label": "validation", "error": "BackendError: the server is away"}
    ]
    assert summary is not None
    assert "3 validations, 1 failed" in summary
    assert "WARNING: step 2 has no score: the server is away" in capsys.readouterr().err


def test_a_judge_that_cannot_be_reached_ends_the_run_before_the_training(model: Path, tmp_path: Path) -> None:
    def away(cases: Sequence[Case]) -> list[Verdict]:
        raise BackendError("connection refused")

    with pytest.raises(BackendError, match="connection refused"):
        run(away, SCRIPT, validated(model, tmp_path))
    assert not (tmp_path / "1-0.png").exists()


def test_a_judge_changes_nothing_of_the_training(model: Path, tmp_path: Path) -> None:
    """Not even where it draws random numbers, as a judge does that is loaded on the way."""

    def restless(cases: Sequence[Case]) -> list[Verdict]:
        torch.rand(7)
        return bright(cases)

    losses = []
    for name, judge in (("calm", bright), ("restless", restless)):
        run(judge, SCRIPT, validated(model, tmp_path / name))
        lines = map(json.loads, (tmp_path / name / "log.jsonl").read_text().splitlines())
        losses.append([line["loss"] for line in lines if "loss" in line])
    assert losses[0] == losses[1]
    assert light(tmp_path / "calm", "test-1") == light(tmp_path / "restless", "test-1")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "it made no validation picture: see its --validation_prompt"),
        (("--validation_prompt", PROMPT), "no verdict was read: .*empty"),
    ],
    ids=["no validation", "no verdict"],
)
def test_a_run_without_any_score_says_why(model: Path, tmp_path: Path, more: Sequence[str], why: str) -> None:
    def silent(cases: Sequence[Case]) -> list[Verdict]:
        return [Verdict(None, unread="empty") for _ in cases]

    with pytest.raises(UniRewardError, match=why):
        run(silent, SCRIPT, arguments(model, tmp_path, *more))


def test_what_the_script_raises_comes_through_and_what_was_judged_stays(model: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        run(bright, SCRIPT, validated(model, tmp_path, "--crash"))
    assert report(tmp_path)["best"]["step"] == 1


def test_afterwards_the_classes_and_the_interpreter_are_as_they_were(model: Path, tmp_path: Path) -> None:
    owners = [(Accelerator, "log"), (Accelerator, "init_trackers"), (Accelerator, "end_training")]
    owners += [(DiffusionPipeline, "register_modules"), (StableDiffusionPipeline, "__call__")]
    before = [owner.__dict__[name] for owner, name in owners], list(sys.argv), list(sys.path)
    run(bright, SCRIPT, validated(model, tmp_path, "--max_train_steps", "1"))
    assert ([owner.__dict__[name] for owner, name in owners], sys.argv, sys.path) == before


def test_pictures_and_clips_are_found_in_every_form_of_answer() -> None:
    picture = Image.new("RGB", (4, 4))
    assert pictures(SimpleNamespace(images=[picture])) == [picture]
    assert pictures(([[picture, picture]],)) == [[picture, picture]]
    assert [one.shape for one in pictures(SimpleNamespace(frames=np.zeros((2, 5, 8, 8, 3))))] == [(5, 8, 8, 3)] * 2
    assert [one.shape for one in pictures(SimpleNamespace(frames=torch.zeros(1, 5, 3, 8, 8)))] == [(5, 3, 8, 8)]
    assert [one.shape for one in pictures((torch.zeros(2, 3, 8, 8),))] == [(3, 8, 8)] * 2
    for latents in (torch.zeros(2, 4, 8, 8), torch.zeros(2, 64, 16), torch.zeros(1, 16, 2, 4, 4)):
        assert pictures(SimpleNamespace(images=latents)) == []
    assert pictures(SimpleNamespace(image_embeds=torch.zeros(2, 8))) == []


def test_a_lora_that_is_switched_off_is_seen() -> None:
    peft = pytest.importorskip("peft")
    pipeline = picture_pipeline()
    assert not lora_is_off(pipeline)
    pipeline.unet.add_adapter(peft.LoraConfig(target_modules=["to_q"]))
    assert not lora_is_off(pipeline)
    pipeline.disable_lora()
    assert lora_is_off(pipeline)


def test_no_judge_is_taken_for_granted() -> None:
    answer = CliRunner(env={"UNIREWARD_JUDGE": None}).invoke(main, [str(SCRIPT)])
    assert answer.exit_code == 2
    assert "Missing option '--judge'" in answer.output
    assert "UNIREWARD_JUDGE" in CliRunner().invoke(main, ["--help"]).output


@pytest.mark.parametrize(("judge", "code"), [("nobody", 2), ("http://localhost:1/v1", 3)])
def test_a_judge_that_is_not_there_has_the_exit_codes_of_unireward(judge: str, code: int) -> None:
    answer = CliRunner().invoke(main, ["--judge", judge, str(SCRIPT)])
    assert answer.exit_code == code
    assert answer.stderr.startswith("Error: ")
    assert judge in answer.stderr


def test_accelerate_launches_it_and_the_embedded_judge_scores(model: Path, tmp_path: Path) -> None:
    launched = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    ours = ["-m", "diffusers_ext.launch", "--judge", "shapes", str(SCRIPT)]
    done = subprocess.run(
        [*launched, *ours, *validated(model, tmp_path, "--max_train_steps", "1")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"unireward: best: step 1: reward {report(tmp_path)['best']['reward']:.3f}" in done.stderr
    assert report(tmp_path)["judge"] == "shapes"


EXAMPLES = os.environ.get("DIFFUSERS_EXAMPLES")
COMMON = ["--resolution=32", "--max_train_steps=2", "--train_batch_size=2", "--seed=0", "--report_to=tensorboard"]
VALIDATED = [f"--validation_prompt={PROMPT}", "--num_validation_images=1"]
PRIOR = ["--with_prior_preservation", "--class_data_dir=class", "--class_prompt=square", "--num_class_images=2"]
DREAMBOOTH = [*COMMON, *VALIDATED, "--instance_data_dir=pictures", f"--instance_prompt={PROMPT}"]
REAL = {
    "text_to_image/train_text_to_image_lora.py": (
        "stable-diffusion",
        [*COMMON, *VALIDATED, "--train_data_dir=captioned", "--lr_warmup_steps=0"],
    ),
    "dreambooth/train_dreambooth_lora_flux.py": ("flux", [*DREAMBOOTH, "--rank=4"]),
    "dreambooth/train_dreambooth_lora_sd3.py": ("sd3", [*DREAMBOOTH, "--rank=4"]),
    "dreambooth/train_dreambooth.py": (
        "stable-diffusion",
        [*DREAMBOOTH, *PRIOR, "--validation_steps=1"],
    ),
    "research_projects/diffusion_dpo/train_diffusion_dpo_sdxl.py": (
        "sdxl",
        [
            *COMMON,
            "--dataset_name=pairs",
            "--dataset_split_name=train",
            "--run_validation",
            "--validation_steps=1",
            "--rank=4",
            "--lr_warmup_steps=0",
        ],
    ),
}
"""Of each script the pipeline and the arguments; they validate in five different ways."""


@pytest.mark.slow
@pytest.mark.skipif(not EXAMPLES, reason="set DIFFUSERS_EXAMPLES to the folder `examples` of a checkout of diffusers")
@pytest.mark.parametrize("script", list(REAL))
def test_a_script_of_diffusers_runs_unedited(script: str, tmp_path: Path) -> None:
    for package in ("peft", "tensorboard", *(["wandb"] if "dpo" in script else [])):
        pytest.importorskip(package)
    family, more = REAL[script]
    TINY[family].build().save_pretrained(tmp_path / "model")
    _write_data(tmp_path)
    launched = [
        sys.executable,
        "-m",
        "diffusers_ext.launch",
        "--judge=shapes",
        str(Path(str(EXAMPLES)).resolve() / script),
    ]
    done = subprocess.run(
        [*launched, "--pretrained_model_name_or_path=model", "--output_dir=out", *more],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = report(tmp_path / "out")
    assert told["best"]["step"] in {1, 2}
    for one in told["validations"]:
        # The DPO script samples prompts of its own, of which the embedded judge, knowing shapes alone, misses some.
        assert one["scores"].count(None) == sum(one["unread"].values())
        assert "dpo" in script or None not in one["scores"]
    labels = [one["label"] for one in told["validations"]]
    assert labels.count("without_lora") == ("dpo" in script)


def _write_data(folder: Path) -> None:
    from datasets import Dataset, Features, Value

    for name in ("pictures", "captioned", "pairs"):
        (folder / name).mkdir()
    rows = []
    for number in range(4):
        picture = Image.new("RGB", (32, 32), (60 * number, 0, 0))
        for name in ("pictures", "captioned"):
            picture.save(folder / name / f"{number}.png")
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        rows.append({"jpg_0": buffer.getvalue(), "jpg_1": buffer.getvalue(), "label_0": 1.0, "caption": PROMPT})
    lines = [json.dumps({"file_name": f"{number}.png", "text": PROMPT}) for number in range(4)]
    (folder / "captioned" / "metadata.jsonl").write_text("\n".join(lines))
    features = {
        "jpg_0": Value("binary"),
        "jpg_1": Value("binary"),
        "label_0": Value("float32"),
        "caption": Value("string"),
    }
    Dataset.from_list(rows, features=Features(features)).to_parquet(str(folder / "pairs" / "train.parquet"))
