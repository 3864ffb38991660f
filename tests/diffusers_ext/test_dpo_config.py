"""The settings of a preference training: from a file, from the command line, and from the pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from diffusers_ext import training_pipeline
from diffusers_ext.dpo_config import DPOConfig, config_from, descriptions, read_settings
from diffusers_ext.families import adapter_for
from diffusers_ext.losses import LOSSES
from diffusers_ext.memory import memory_need
from diffusers_ext.proof_plan import Plan
from diffusers_ext.train_dpo import command, config_of
from tests.diffusers_ext.tiny_pipelines import picture_pipeline
from tests.diffusers_ext.tiny_trainer import ROOT, TRAINING, Make
from unireward_plugins.errors import UniRewardError

pytestmark = TRAINING


def test_yaml_command_line_and_python_give_the_same(tmp_path: Path) -> None:
    python = DPOConfig(
        pipeline="p",
        pairs="123",
        output="o",
        beta=500,
        learning_rate=1e-8,
        loss="linear_dpo",
        loss_options={"eta": 0.01},
        resolution=(320, 512),
        lora_targets=("to_q",),
        flip=True,
        mixed_precision="no",
    )
    settings = {
        "pipeline": "p",
        "pairs": "123",
        "output": "o",
        "loss": "linear_dpo",
        "loss_options": {"eta": "1e-2"},  # which YAML takes for a text
        "resolution": [320, 512],
        "lora_targets": ["to_q"],
        "flip": True,
    }
    file = tmp_path / "dpo.yaml"
    file.write_text(yaml.safe_dump(settings) + "learning_rate: 1e-8\nbeta: 7\nmixed_precision: no\n")
    assert config_of(str(file), {"beta": "500"}) == python
    as_options = {name: str(value) for name, value in settings.items()}
    options = {**as_options, "learning_rate": "1e-8", "beta": "500", "mixed_precision": "no"}
    assert config_of(None, options) == python
    assert config_from(python.as_dict()) == python
    assert config_from(yaml.safe_load(yaml.safe_dump(python.as_dict()))) == python


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bta": 5}, r"there is no setting 'bta'. Did you mean 'beta'\?"),
        ({"beta": "high"}, r"beta must be a number or nothing, got 'high'"),
        ({"steps": 1.5}, r"steps must be a whole number, got 1.5"),
        ({"steps": True}, r"steps must be a whole number, got True"),
        ({"resolution": [1, 2, 3]}, r"must be a whole number or two of them, .* or nothing, got \[1, 2, 3\]"),
        ({"loss": "diffusion_dp"}, r"there is no loss 'diffusion_dp'. Did you mean 'diffusion_dpo'\?"),
        ({"schedule": "cos"}, r"must be one of constant, linear, cosine, got 'cos'. Did you mean 'cosine'\?"),
        ({"trackers": ["tensorbord"]}, r"no tracker 'tensorbord'. Did you mean 'tensorboard'\? There are .*, wandb$"),
        ({"trackers": 1}, r"trackers must be a list of texts, as in \[one, two\], got 1$"),
        ({"call": "fast"}, r"call must be values by name, as in \{name: 4\}, got 'fast'$"),
        ({"caption_dropout": 2}, r"caption_dropout must be from 0 to 1, got 2.0"),
        ({"beta": -500}, r"beta must be above 0 and at most 1e\+12, got -500.0"),
        ({"lora_alpha": 0}, r"lora_alpha must be above 0 and at most 1e\+12, got 0.0"),
        ({"auto_beta": 0.5}, r"auto_beta must be from 1e-06 to 0.499999, got 0.5"),
        ({"frames": 0}, r"frames must be from 1 to 1e\+06, got 0"),
        ({"frames": -1}, r"frames must be from 1 to 1e\+06, got -1"),
        ({"resolution": 0}, r"resolution must be from 8 to 1e\+06, got 0"),
        ({"resolution": [512, -8]}, r"resolution must be from 8 to 1e\+06, got \(512, -8\)"),
        ({"evaluate_every": 1}, r"evaluate_every needs prompts"),
        ({"loss_options": {"eta": 1}}, r"loss 'diffusion_dpo' has no option 'eta'; it has none"),
        ({"loss": "linear_dpo", "loss_options": {"eta": "much"}}, r"loss_options: eta must be a number, got 'much'"),
        ({"loss": "linear_dpo", "loss_options": {"eta": 1}}, r"linear_dpo's eta .* is in \[0, 0.5\], not 1.0"),
        ({"loss": "dmpo", "loss_options": {"alpha": 0}}, r"dmpo's alpha is .*, in \(0, 0.5\], not 0.0"),
        ({"loss": "mapo", "auto_beta": 0.2}, r"auto_beta goes by the margin over a reference"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UniRewardError, match=message):
        config_from({"pipeline": "p", "output": "o", **settings})
    with pytest.raises(UniRewardError, match="pipeline must be set"):
        config_from({"output": "o"})


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_can_be_named_without_options(loss: str) -> None:
    assert config_from({"pipeline": "p", "output": "o", "loss": loss}).loss == loss


def test_every_setting_is_described_and_an_option() -> None:
    names = set(DPOConfig.__dataclass_fields__)
    assert descriptions().keys() == names
    assert {parameter.name for parameter in command.params} == names | {"config"}
    assert all(text.endswith(".") for text in descriptions().values())
    assert all(f"`{loss}`" in descriptions()["loss"] for loss in LOSSES)
    said = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "Optimiser steps. [default: 1000]" in said
    assert "[default: constant]" in said


def test_shipped_settings_are_whole() -> None:
    shipped = sorted(path.name for path in (ROOT / "diffusers_ext" / "configs").glob("*.yaml"))
    assert len(shipped) >= 8
    for name in shipped:
        config_from({**read_settings(name), "pairs": "pairs", "output": "out"})
    turbo = config_from({**read_settings("sdxl-turbo.yaml"), "output": "out"})
    assert turbo.rate_at(19, pairs=32 * 16) == pytest.approx(1e-8 * 512)
    assert read_settings("shapes.yaml") == {"pipeline": "shapes", **Plan().settings}
    with pytest.raises(UniRewardError, match=r"no file .sdxl\.yml., and no shipped one: .*sdxl\.yaml"):
        read_settings("sdxl.yml")


def test_rates_rise_and_fall() -> None:
    def rates(**settings: Any) -> list[float]:
        config = DPOConfig(pipeline="p", output="o", steps=8, warmup_steps=3, learning_rate=1.0, **settings)
        return [config.rate_at(step, pairs=10) for step in range(8)]

    assert rates() == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert rates(scale_lr=True)[-1] == 10
    assert rates(schedule="linear")[3:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    cosine = rates(schedule="cosine")
    assert cosine[3] == 1.0
    assert cosine[3:] == sorted(cosine[3:], reverse=True)


def test_pairs_are_scaled_to_what_the_pipeline_was_made_for(make: Make) -> None:
    trainer = make(pipeline="shapes", resolution=None, cache=None)
    assert trainer.config.resolution == 64
    assert trainer.cache.shapes[0] == (12, 8, 8)
    assert json.loads((trainer.output / "run.json").read_text())["resolution"] == 64


@pytest.mark.parametrize(
    ("part", "denoiser", "vae", "resolution"),
    [
        ("unet", {"sample_size": 128}, {"block_out_channels": [128, 256, 512, 512]}, 1024),  # SDXL
        ("transformer", {"sample_size": 32}, {"encoder_block_out_channels": [1] * 6}, 1024),  # Sana
        ("transformer", {"sample_height": 60, "sample_width": 90}, {"block_out_channels": [1] * 4}, (480, 720)),
        ("transformer", {"patch_size": [1, 2, 2]}, {"base_dim": 96}, 512),  # Wan takes any
    ],
)
def test_a_pipeline_says_what_it_was_made_for(
    part: str, denoiser: dict[str, Any], vae: dict[str, Any], resolution: int | tuple[int, int], tmp_path: Path
) -> None:
    for name, settings in ((part, denoiser), ("vae", vae)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(settings))
    index = {"_class_name": "AnyPipeline", part: ["diffusers", "A"], "vae": ["diffusers", "B"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    assert training_pipeline.own_resolution(tmp_path) == resolution


def test_a_denoiser_that_is_not_there_is_named_with_what_is(data: Path) -> None:
    for name, complaint in (
        ("transformer_2", r"no 'transformer_2' to train. Did you mean 'transformer'\? Its components are .*"),
        ("vae", r"has no 'vae' to train; it has transformer$"),
    ):
        with pytest.raises(UniRewardError, match=complaint):
            training_pipeline.load_adapter(data / "wan", name, torch.float32, whole=False, encoders=False)


def test_every_target_of_a_lora_is_the_end_of_a_layers_name() -> None:
    adapter = adapter_for(picture_pipeline())
    training_pipeline.check_lora(adapter, ("to_q", "attn2.to_out.0", "conv1"))
    for targets, complaint in (
        (("to_q", "to_w"), r"ends in 'to_w'. Did you mean .* The most frequent ends are .*to_out\.0"),
        (("attn1", "o_q"), r"ends in 'attn1' or 'o_q'"),  # of a block, and of half a name
    ):
        with pytest.raises(UniRewardError, match=complaint):
            training_pipeline.check_lora(adapter, targets)


def test_memory_is_counted() -> None:
    lora = memory_need(1000, 10, half=True)
    assert lora["total"] == 1000 * 2 + 10 * (4 + 4 + 8)
    full = memory_need(1000, 1000, half=True, optimizer="adamw_8bit", averaged=True)
    assert full["total"] == 1000 * (4 + 2 + 2 + 4 + 2 + 4)
