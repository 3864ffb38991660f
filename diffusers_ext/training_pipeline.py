"""The parts of a pipeline as a trainer wants them: loaded, stripped, with a LoRA or a frozen copy, whole again."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diffusers_ext.families import adapter_for
from diffusers_ext.families.adapter import Adapter
from diffusers_ext.load_pipeline import check_call, open_pipeline, source_of
from unireward_plugins.errors import BackendError, UniRewardError, did_you_mean, needs_extra

if TYPE_CHECKING:
    from diffusers_ext.dpo_config import DPOConfig

UNTRAINED = ("text_encoder", "safety_checker", "image_encoder")
"""How the names of components begin that training does without once prompts are embedded."""
DENOISERS = ("transformer", "transformer_2")
"""Of these a pipeline may have both, and one is trained at a time."""
LAYERS = (nn.Linear, nn.Embedding, nn.modules.conv._ConvNd)
"""What a LoRA can be put on."""
LAYERS_NAMED = 12
"""So many ends of layers' names are told where one is looked for that is not there."""
UNSAID_RESOLUTION = 512
"""Pixels of a side where a pipeline's files do not say; Flux, Wan and others take any size."""


def local_folder(ref: str) -> Path:
    """The folder of a pipeline: one's own, or a snapshot from the Hub, fetched if need be."""
    source = source_of(ref)
    if Path(source).is_dir():
        return Path(source)
    with needs_extra("training a diffusers pipeline", "diffusers"):
        from diffusers import DiffusionPipeline
    try:
        return Path(DiffusionPipeline.download(source))
    except (OSError, ValueError) as error:
        raise BackendError(f"pipeline {ref!r} cannot be fetched: {error}") from error


def own_resolution(folder: Path) -> int | tuple[int, int]:
    """What the pipeline in a folder was made for, in pixels: a square's side, or height and width.

    The denoiser's sample size in latents times the pixels to each, by the rule of diffusers' pipelines (a halving
    between every two blocks of the VAE); `UNSAID_RESOLUTION` where the files do not say.
    """
    there = stored_components(folder)
    denoiser = next((_settings(folder / name) for name in ("unet", *DENOISERS) if name in there), {})
    sides = [denoiser.get("sample_height"), denoiser.get("sample_width")]
    size = sides if all(sides) else denoiser.get("sample_size")
    vae = _settings(folder / "vae")
    blocks = vae.get("encoder_block_out_channels") or vae.get("block_out_channels")
    if not size or not blocks:
        return UNSAID_RESOLUTION
    pixels = 2 ** (len(blocks) - 1)
    return size * pixels if isinstance(size, int) else (size[0] * pixels, size[1] * pixels)


def check_stored_call(folder: Path, call: Mapping[str, Any]) -> None:
    """Raise `UniRewardError` for an argument that the pipeline in a folder does not take; no weights are loaded."""
    import diffusers

    kind = getattr(diffusers, _index(folder)["_class_name"], None)
    if kind is not None:  # of a class that diffusers does not have, `adapter_for` says so
        check_call(kind.__new__(kind), call)


def load_adapter(folder: Path, denoiser: str | None, dtype: torch.dtype, *, whole: bool, encoders: bool) -> Adapter:
    """The adapter of a pipeline on the CPU: the VAE in float32, the denoiser too where the `whole` of it is trained.

    Without `encoders`, text encoders are not loaded. Raises `UniRewardError` where the folder has no such denoiser.
    """
    there = stored_components(folder)
    if denoiser is not None and denoiser not in there:
        near = did_you_mean(denoiser, there)
        raise UniRewardError(
            f"the pipeline in {str(folder)!r} has no {denoiser!r} to train.{near} Its components are {', '.join(there)}"
        )
    left = [name for name in there if name.startswith(UNTRAINED) and not (encoders and name.startswith("text_encoder"))]
    chosen = denoiser or "transformer"
    left += [name for name in DENOISERS if chosen in DENOISERS and name in there and name != chosen]
    dtypes = {"default": dtype, "vae": torch.float32}
    if whole:
        dtypes |= dict.fromkeys(("unet", *DENOISERS), torch.float32)
    return adapter_for(_opened(folder, dtypes, **dict.fromkeys(left)), denoiser)


def encoders_to(adapter: Adapter, device: torch.device) -> None:
    """Put the VAE and the text encoders where they are quick."""
    for module in (adapter.pipeline.vae, *adapter.encoders.values()):
        module.requires_grad_(requires_grad=False).to(device)


def drop_encoders(adapter: Adapter) -> None:
    """Take the VAE and the text encoders out of memory."""
    from diffusers.training_utils import free_memory

    for name in ("vae", *adapter.encoders):
        setattr(adapter.pipeline, name, None)
    free_memory()


def add_lora(adapter: Adapter, config: DPOConfig) -> Any:
    """Freeze the denoiser and put a LoRA on it, in float32, that changes nothing yet; its `peft.LoraConfig`."""
    with needs_extra("training a LoRA", "diffusers"):
        from diffusers.training_utils import cast_training_params
        from peft import LoraConfig
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or config.lora_rank,
        target_modules=list(config.lora_targets or adapter.lora_targets),
        init_lora_weights="gaussian",
    )
    denoiser: Any = adapter.denoiser.requires_grad_(requires_grad=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        denoiser.add_adapter(lora)
    cast_training_params(denoiser, dtype=torch.float32)
    return lora


def check_lora(adapter: Adapter, targets: Sequence[str] = ()) -> None:
    """Raise `UniRewardError` where the family takes no LoRA, or a target is the end of no layer's name.

    peft fails where no target is found, and passes over one that is not found beside others that are.
    """
    if not adapter.lora_targets:
        kind = type(adapter.pipeline).__name__
        raise UniRewardError(
            f"{kind} takes no LoRA in diffusers: train the whole {adapter.denoiser_name}, lora_rank: 0"
        )
    layers = [name for name, module in adapter.denoiser.named_modules() if isinstance(module, LAYERS)]
    if unknown := [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in layers)]:
        there = Counter(re.sub(r"^.*\.(?=[^.]*[^.\d])", "", name) for name in layers)
        near = did_you_mean(unknown[0], there)
        listed = ", ".join(name for name, _ in there.most_common(LAYERS_NAMED))
        raise UniRewardError(
            f"lora_targets: no layer of the {adapter.denoiser_name} has a name that ends in "
            f"{' or '.join(map(repr, unknown))}.{near} The most frequent ends are {listed}"
        )


def switch_lora(denoiser: nn.Module, *, on: bool) -> None:
    """Switch the LoRA of a denoiser on or off, and nothing else.

    peft's own switch also takes the gradients from its weights; FSDP notes at the first pass, which is the reference's,
    what is trained.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in denoiser.modules():
        if isinstance(module, BaseTunerLayer):
            module._disable_adapters = not on


def frozen_copy(denoiser: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy that is not trained, with the weights that autocast would cast anyway already in the lower precision.

    So it takes half the memory, and predicts to the bit what the model predicts before the first step.
    """
    frozen = copy.deepcopy(denoiser).requires_grad_(requires_grad=False)
    for module in frozen.modules():
        if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            module.to(dtype)
    return frozen


def compile_blocks(denoiser: Any, frozen: Any) -> None:
    """Compile the blocks that repeat; `UniRewardError` where the model does not name any."""
    if not getattr(denoiser, "_repeated_blocks", None):
        raise UniRewardError(f"diffusers names no repeated blocks of {type(denoiser).__name__}: set compile: false")
    for model in (denoiser, frozen):
        if model is not None:
            model.compile_repeated_blocks()


def sampling_pipeline(folder: Path, name: str, denoiser: nn.Module, dtype: torch.dtype, device: torch.device) -> Any:
    """The whole pipeline, loaded anew, around a denoiser that is being trained."""
    pipeline = _opened(folder, dtype, **{name: denoiser})
    setattr(pipeline, name, denoiser)  # WanPipeline of diffusers 0.42 loads its own, whatever it is given
    return pipeline.to(device)


def save_whole(folder: Path, name: str, weights: Mapping[str, Tensor], target: Path) -> None:
    """Write the pipeline in `folder` with other weights of its denoiser, in float32.

    In 16 bits a fine-tune of small steps would be rounded away.
    """
    pipeline = _opened(folder, torch.float32)
    getattr(pipeline, name).load_state_dict(weights)
    pipeline.save_pretrained(target)


def _opened(folder: Path, dtype: torch.dtype | Mapping[str, torch.dtype], **components: Any) -> Any:
    """The pipeline in a folder; what was saved as missing (the T5 of SD 3) stays so, as diffusers wants to be told."""
    missing = [name for name, kind in _components(folder).items() if kind == [None, None]]
    return open_pipeline(folder, dtype, **{**dict.fromkeys(missing), **components})


def stored_components(folder: Path) -> list[str]:
    """The names of the components that the pipeline in a folder has, those that were saved as missing left out."""
    return [name for name, kind in _components(folder).items() if kind != [None, None]]


def _settings(component: Path) -> dict[str, Any]:
    """The configuration of a stored component; nothing where there is none."""
    file = component / "config.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def _components(folder: Path) -> dict[str, Any]:
    """What a pipeline's index says of each component: its library and its class."""
    return {name: kind for name, kind in _index(folder).items() if isinstance(kind, list)}


def _index(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model_index.json").read_text())
    return found
