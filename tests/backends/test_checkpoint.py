"""Which checkpoints are opened, how, and which are refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from tests.backends.conftest import TINY
from tests.tiny_models import KINDS
from unireward_plugins.backends.checkpoint import default_device, default_dtype, open_checkpoint
from unireward_plugins.errors import BackendError

Checkpoints = Callable[[str], Path]
Weights = dict[str, torch.Tensor]


@pytest.fixture
def copy(checkpoint: Checkpoints, tmp_path: Path) -> Path:
    """A checkpoint of a test's own, to spoil."""
    return shutil.copytree(checkpoint(TINY), tmp_path / "copy")


def edit(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_opens_on_the_cpu_in_float32_with_sdpa(kind: str, checkpoint: Checkpoints) -> None:
    opened = open_checkpoint(str(checkpoint(kind)), device="cpu")
    assert opened.model.dtype == torch.float32
    assert not opened.model.training
    assert opened.model.config._attn_implementation == "sdpa"


def test_accelerators_get_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_dtype("cuda:1") == default_dtype("auto") == default_dtype("mps") == torch.bfloat16
    assert default_device() in {"cpu", "mps"} or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert default_device() == "cuda:3", "each process of a training run has its own"


def test_a_checkpoint_can_be_opened_in_another_precision(checkpoint: Checkpoints) -> None:
    assert open_checkpoint(str(checkpoint(TINY)), device="cpu", dtype=torch.bfloat16).model.dtype == torch.bfloat16


def test_sampling_settings_of_a_checkpoint_are_taken_out(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As Qwen2.5-VL has them; transformers warns of each where the decoding is greedy."""
    edit(copy, "generation_config.json", do_sample=True, temperature=0.1, top_k=1, top_p=0.001, repetition_penalty=1.05)
    settings = open_checkpoint(str(copy), device="cpu").model.generation_config
    assert (settings.do_sample, settings.temperature, settings.top_k, settings.top_p) == (False, None, None, None)
    assert settings.repetition_penalty == 1.05
    assert not caplog.records


def without_one_mlp(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if "layers.1.mlp" not in name}


def with_a_surplus(weights: Weights) -> Weights:
    return weights | {"surplus.weight": torch.zeros(2)}


def with_another_shape(weights: Weights) -> Weights:
    (name,) = [name for name in weights if name.endswith("layers.0.mlp.up_proj.weight")]
    return weights | {name: weights[name][:1].clone()}


def with_other_names(weights: Weights) -> Weights:
    return {f"wrapped.{name}": tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (without_one_mlp, r"3 missing \(model\..*\)"),
        (with_a_surplus, r"1 unexpected \(surplus\.weight\)"),
        (with_another_shape, r"1 of another shape \(.*layers\.0\.mlp\.up_proj\.weight\)"),
        (with_other_names, r"\d+ missing .*; \d+ unexpected"),
    ],
)
def test_weights_that_do_not_fit_are_refused(copy: Path, spoil: Callable[[Weights], Weights], complaint: str) -> None:
    save_file(spoil(load_file(copy / "model.safetensors")), copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackendError, match=f"do not fit its architecture: {complaint}"):
        open_checkpoint(str(copy), device="cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_tied_weights_are_not_missing(kind: str, checkpoint: Checkpoints) -> None:
    """The tiny models tie the head to the embeddings, as small checkpoints do, so their files hold no head."""
    assert "lm_head.weight" not in load_file(checkpoint(kind) / "model.safetensors")
    opened = open_checkpoint(str(checkpoint(kind)), device="cpu")
    assert opened.model.get_output_embeddings().weight is opened.model.get_input_embeddings().weight


@pytest.mark.parametrize("layout", ["2024", "2025"])
def test_both_layouts_of_qwen_weights_load(layout: str, checkpoint: Checkpoints, tmp_path: Path) -> None:
    """`visual.*` and `model.layers.*` until 2025, as published checkpoints have it; `model.visual.*` since."""
    folder = shutil.copytree(checkpoint("qwen2_5_vl"), tmp_path / layout)
    weights = load_file(folder / "model.safetensors")
    assert "visual.patch_embed.proj.weight" in weights, "transformers still writes the older names"
    if layout == "2025":
        weights = {
            "model." + (name if name.startswith("visual.") else name.replace("model.", "language_model.", 1)): tensor
            for name, tensor in weights.items()
        }
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    plain = open_checkpoint(str(checkpoint("qwen2_5_vl")), device="cpu").model.state_dict()
    loaded = open_checkpoint(str(folder), device="cpu").model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in plain.items())


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["LlavaQwenForCausalLM"], "model_type": "llava"},
        {"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama"},
        {"architectures": ["Other"], "model_type": "llava_qwen", "mm_vision_tower": "google/siglip-so400m-patch14-384"},
    ],
)
def test_checkpoints_of_the_original_llava_code_are_sent_to_a_server(tmp_path: Path, config: dict[str, object]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackendError, match=r"original LLaVA code .* SGLang .*sglang.launch_server.* URL"):
        open_checkpoint(str(tmp_path), device="cpu")


def test_a_checkpoint_without_a_vocabulary_is_refused(copy: Path) -> None:
    """For lack of a file, transformers would make one that turns every text into nothing."""
    (copy / "tokenizer.json").unlink()
    with pytest.raises(BackendError, match=r"no vocabulary.*Copy tokenizer.json"):
        open_checkpoint(str(copy), device="cpu")


def test_a_checkpoint_without_a_chat_template_is_refused(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(BackendError, match=r"no chat template.*Copy chat_template.jinja"):
        open_checkpoint(str(copy), device="cpu")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: os.truncate(folder / "model.safetensors", 1000),
        lambda folder: edit(folder, "config.json", model_type="a model of next year", architectures=["NextYear"]),
        lambda folder: edit(folder, "config.json", model_type="bert", architectures=["BertModel"]),
    ],
)
def test_what_is_no_vision_language_checkpoint_is_refused_by_name(copy: Path, spoil: Callable[[Path], None]) -> None:
    spoil(copy)
    with pytest.raises(BackendError, match=f"checkpoint '{copy}' cannot be loaded .* with transformers"):
        open_checkpoint(str(copy), device="cpu")


def test_memory_that_runs_out_while_loading_is_an_error_of_the_backend(
    checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Played, since no test can fill a GPU: torch raises this very error in the middle of `from_pretrained`."""

    def too_large(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16.00 GiB")

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", too_large)
    with pytest.raises(BackendError, match=r"cannot be loaded .*CUDA out of memory"):
        open_checkpoint(str(checkpoint(TINY)), device="cpu")
