"""Loads the pipeline that samples are drawn from, and says exactly which one it is."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from packaging.version import Version

import unireward_plugins
from diffusers_ext.sample import OWN_ARGUMENTS, Pipeline, full_call
from hub.model_cards import LORA
from unireward_plugins.errors import BackendError, UniRewardError, did_you_mean, needs_extra

if TYPE_CHECKING:
    import torch

PACKAGES = ("diffusers", "torch", "transformers", "unireward-plugins")
"""The packages whose versions may change what a seed gives."""
VALUES_HASHED = 1024
"""Of each tensor so many values are hashed: training changes next to all of them."""


EMBEDDED: Mapping[str, Path] = MappingProxyType(
    {
        name: Path(unireward_plugins.__file__).parent / "shapes" / folder
        for name, folder in (("shapes", "generator"), ("shapes-clips", "clip_generator"))
    }
)
"""The tiny generators that come along, of pictures and of clips, by name; see docs/proof.md."""


def load_pipeline(ref: str | Path | Pipeline) -> Pipeline:
    """The pipeline that `ref` names: a folder, a Hub id, `shapes` or `shapes-clips`; a pipeline is taken as it is.

    A named one is put on the accelerator in bfloat16 where there is one, else on the CPU in float32. Raises
    `UniRewardError` where the name can mean nothing, and `BackendError` where the pipeline cannot be loaded.
    """
    if not isinstance(ref, str | Path):
        return ref
    source = source_of(str(ref))
    with needs_extra("loading a diffusers pipeline", "diffusers"):
        from unireward_plugins.backends.checkpoint import default_device, default_dtype
    device = default_device()
    loaded: Pipeline = open_pipeline(source, default_dtype(device)).to(device)
    return loaded


def open_pipeline(source: str | Path, dtype: torch.dtype | Mapping[str, torch.dtype], **components: Any) -> Any:
    """The pipeline in a folder or on the Hub, on the CPU and without progress bars.

    `dtype` is one for all or one by component, with `"default"` for the others; `components` take the place of those
    that are stored, or are `None` for those to leave out. Raises `BackendError` where it cannot be loaded.
    """
    with needs_extra("loading a diffusers pipeline", "diffusers"):
        from diffusers import DiffusionPipeline, __version__
    name = "dtype" if Version(__version__) >= Version("0.42") else "torch_dtype"
    given = dict(dtype) if isinstance(dtype, Mapping) else dtype
    try:
        pipeline = DiffusionPipeline.from_pretrained(source, **{name: given}, **components)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError) as error:
        raise BackendError(f"pipeline {str(source)!r} cannot be loaded: {error}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def source_of(ref: str) -> str:
    """The folder or Hub id that a name stands for."""
    if ref in EMBEDDED:
        return str(EMBEDDED[ref])
    if Path(ref).is_dir():
        if not (Path(ref) / "model_index.json").is_file():
            if (Path(ref) / LORA).is_file():
                raise UniRewardError(
                    f"folder {ref!r} holds a LoRA ({LORA}) and not the pipeline that it belongs to. Load it in Python: "
                    "pipeline = load_pipeline(BASE) (from diffusers_ext.load_pipeline), "
                    f"pipeline.load_lora_weights({ref!r}), and give that pipeline instead of a name, as in "
                    "eval_generator(pipeline, ...); docs/eval_generator.md shows it"
                )
            raise UniRewardError(f"folder {ref!r} holds no diffusers pipeline: there is no model_index.json in it")
        return ref
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", ref):
        raise UniRewardError(
            f"{ref!r} names no pipeline. Give a Hub id such as 'stabilityai/sdxl-turbo', a folder that exists, or "
            f"{' or '.join(map(repr, EMBEDDED))}, which come along"
        )
    return ref


def is_diffusers(pipeline: Pipeline) -> bool:
    """Whether it is a pipeline of diffusers, and not a callable of one's own; there is none before that is loaded."""
    loaded = sys.modules.get("diffusers")
    return loaded is not None and isinstance(pipeline, loaded.DiffusionPipeline)


def check_names(pipeline: Pipeline, call: Mapping[str, Any]) -> None:
    """Raise `UniRewardError` for an argument that the pipeline does not take."""
    target = type(pipeline).__call__ if is_diffusers(pipeline) else pipeline
    taken = inspect.signature(target).parameters.values()
    # Pipelines of diffusers have `**kwargs` for arguments of long ago, and say nothing to a misspelt one.
    if not is_diffusers(pipeline) and any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken):
        return
    named = [one.name for one in taken if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    names = [name for name in named if name not in (*OWN_ARGUMENTS, "self", "prompt")]
    for name in call:
        if name not in names and name not in OWN_ARGUMENTS:
            near = did_you_mean(name, names)
            raise UniRewardError(f"{name_of(pipeline)} takes no argument {name!r}.{near} It takes {', '.join(names)}")


def check_call(pipeline: Pipeline, call: Mapping[str, Any]) -> None:
    """Raise `UniRewardError` for an argument that the pipeline does not take, or that cannot be written down."""
    check_names(pipeline, call)
    for name, value in call.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise UniRewardError(
                f"call argument {name!r} is a {type(value).__name__}, which cannot be written down with the samples: "
                "only numbers, texts, true, false, null and lists of them can"
            ) from error


def origin(pipeline: Pipeline, call: Mapping[str, Any]) -> dict[str, Any]:
    """Where samples come from, as JSON: with the seed of one, all that is needed to draw it again.

    `pipeline` (its name; of a folder without the path, which nobody else has: `final@0a1b2c3d`, after its weights),
    `class`, `weights` (`fingerprint`), `dtype`, `device`, `noise` (where the generator of the starting noise lives),
    `call` (the pipeline's arguments, completed by `full_call`) and `versions`.
    """
    known: dict[str, Any] = {"pipeline": name_of(pipeline), "class": name_of(pipeline), "weights": None}
    if is_diffusers(pipeline):
        piece: Any = pipeline
        kind, weights = type(pipeline).__name__, fingerprint(pipeline)
        known |= {
            "pipeline": _portable_name(str(piece.name_or_path), weights) if piece.name_or_path else kind,
            "class": kind,
            "weights": weights,
            "dtype": str(piece.dtype).removeprefix("torch."),
            "device": piece.device.type,
        }
    return known | {"noise": "torch.Generator('cpu')", "call": full_call(pipeline, call), "versions": _versions()}


def _portable_name(source: str, weights: str) -> str:
    """What a pipeline that was loaded from a folder or the Hub is called on any machine."""
    folder = Path(source)
    for name, embedded in EMBEDDED.items():
        if folder == embedded:
            return name
    if folder.is_absolute() or folder.is_dir():
        return f"{folder.resolve().name}@{weights[:8]}"
    return source


def fingerprint(pipeline: Pipeline) -> str:
    """A hash of the weights that a pipeline has now, wherever they came from, and of its scheduler: class and settings.

    Of each tensor the name, the shape, the type and 1024 evenly spaced values count: quick for models of any size, and
    any training changes it.
    """
    import torch

    digest = hashlib.sha256()
    piece: Any = pipeline
    for name, component in sorted(piece.components.items()):
        if isinstance(component, torch.nn.Module):
            for key, tensor in sorted(component.state_dict().items()):
                digest.update(f"{name}.{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
                digest.update(_some_values(tensor))
        elif name == "scheduler":
            settings = {key: value for key, value in component.config.items() if not key.startswith("_")}
            digest.update(f"{name} {type(component).__name__}\n".encode())  # two classes may have the same settings
            digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]


def _some_values(tensor: torch.Tensor) -> bytes:
    if tensor.is_meta or not tensor.numel():
        return b""
    flat = tensor.detach().reshape(-1)
    some = flat[:: max(1, flat.numel() // VALUES_HASHED)].cpu()
    return (some.double() if some.is_floating_point() else some).numpy().tobytes()  # numpy has no bfloat16


def name_of(thing: object) -> str:
    """What a function, or an object's class, is called, with its module."""
    kind: Any = thing if inspect.isroutine(thing) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that was not installed
            found[package] = "unknown"
    return found
