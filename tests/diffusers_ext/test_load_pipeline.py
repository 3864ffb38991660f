"""Loading a pipeline and what is written down of it, with real ones from the embedded checkpoint and from folders."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from diffusers import DiffusionPipeline, KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler

from diffusers_ext.load_pipeline import EMBEDDED, check_call, fingerprint, load_pipeline, origin
from diffusers_ext.sample import samples
from hub.model_cards import LORA
from tests.diffusers_ext.painter import paint
from tests.diffusers_ext.tiny_pipelines import PICTURE, clip_pipeline, picture_pipeline
from unireward_plugins.errors import BackendError, UniRewardError


def test_the_embedded_pipeline_is_told_by_its_name() -> None:
    told = origin(load_pipeline("shapes"), {})
    assert told["pipeline"] == "shapes"
    assert str(EMBEDDED["shapes"].parent) not in json.dumps(told)


def test_the_embedded_clip_generator_makes_as_many_frames_as_it_can_and_no_more() -> None:
    pipeline = load_pipeline("shapes-clips")
    assert origin(pipeline, {"guidance_scale": 3.0})["call"] == {"num_frames": 8, "guidance_scale": 3.0}
    assert origin(pipeline, {"num_frames": 4})["call"] == {"num_frames": 4}
    (sample,) = samples(pipeline, "a red cross that moves left", count=1, seed=0, call={"num_inference_steps": 1})
    assert isinstance(sample.output, list)
    assert len(sample.output) == 8
    with pytest.raises(UniRewardError, match=r"num_frames=9 is more than this AnimateDiffPipeline .* for 8 frames"):
        origin(pipeline, {"num_frames": 9})
    assert origin(clip_pipeline(), {})["call"] == {}  # of a family without such places


@pytest.mark.parametrize("is_relative", [True, False], ids=["relative", "absolute"])
def test_a_folder_is_told_by_its_name_and_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_relative: bool
) -> None:
    picture_pipeline().save_pretrained(tmp_path / "runs" / "final")
    monkeypatch.chdir(tmp_path)
    pipeline = load_pipeline("runs/final" if is_relative else tmp_path / "runs" / "final")
    told = origin(pipeline, {})
    assert told["pipeline"] == f"final@{told['weights'][:8]}"
    assert "runs" not in json.dumps(told)


def test_a_folder_that_is_gone_and_a_pipeline_from_none(tmp_path: Path) -> None:
    picture_pipeline().save_pretrained(tmp_path / "final")
    pipeline = load_pipeline(tmp_path / "final")
    shutil.rmtree(tmp_path / "final")
    assert str(tmp_path) not in json.dumps(origin(pipeline, {}))
    assert origin(picture_pipeline(), {})["pipeline"] == "StableDiffusionPipeline"


def test_a_folder_of_a_lora_says_how_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=r"no diffusers pipeline: there is no model_index\.json"):
        load_pipeline(tmp_path)
    (tmp_path / LORA).touch()
    with pytest.raises(UniRewardError, match=r"holds a LoRA .*load_lora_weights\(.*eval_generator\(pipeline, "):
        load_pipeline(tmp_path)


def test_a_pipeline_is_loaded_from_its_folder_and_known_by_its_weights(pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    loaded: Any = load_pipeline(tmp_path)
    assert isinstance(loaded, DiffusionPipeline)
    assert fingerprint(loaded) == fingerprint(pipeline)
    assert load_pipeline(paint) is paint
    assert fingerprint(loaded) != fingerprint(clip_pipeline())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # numpy's, of these schedulers
def test_schedulers_of_one_kind_of_settings_are_told_apart() -> None:
    pipeline = picture_pipeline()
    known = set()
    for kind in (KDPM2DiscreteScheduler, KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler):
        pipeline.scheduler = kind()
        known.add(fingerprint(pipeline))
    assert len(known) == 2


@pytest.mark.parametrize(
    ("ref", "complaint"),
    [
        ("nothing-here", "'nothing-here' names no pipeline. Give a Hub id"),
        ("{empty}", "holds no diffusers pipeline: there is no model_index.json"),
    ],
)
def test_what_names_no_pipeline_is_refused(ref: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=re.escape(complaint)):
        load_pipeline(ref.format(empty=tmp_path))


def test_a_folder_that_cannot_be_loaded_is_a_backend_error(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(BackendError, match="cannot be loaded"):
        load_pipeline(tmp_path)


def test_arguments_are_checked_against_the_pipeline(pipeline: Any) -> None:
    check_call(pipeline, PICTURE)
    with pytest.raises(UniRewardError, match=r"takes no argument 'guidance'\. Did you mean 'guidance_"):
        check_call(pipeline, {"guidance": 1})
    for name in ("kwargs", "heigth"):
        with pytest.raises(UniRewardError, match=f"takes no argument '{name}'.* It takes .*height") as refused:
            check_call(pipeline, {name: 1})
        assert "kwargs" not in str(refused.value).partition("It takes")[2].split(", "), "which is no argument"
