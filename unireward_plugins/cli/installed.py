"""Which packages each door needs, read from this distribution's own metadata, and whether they are there and import."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from packaging.requirements import Requirement

DISTRIBUTION = "unireward-plugins"

DOORS = ("transformers", "serve", "vllm", "trl", "diffusers", "eval", "hub")
"""The extras that users install, beside the core."""

USED = {
    "accelerate": "accelerate:Accelerator",
    "datasets": "datasets:Dataset",
    "diffusers": "diffusers:DiffusionPipeline",
    "huggingface-hub": "huggingface_hub:HfApi",
    "lmms-eval": "lmms_eval",
    "openai": "openai:OpenAI",
    "pillow": "PIL.Image",
    "torch": "torch:Tensor",
    "transformers": "transformers:AutoProcessor",
    "trl": "trl:GRPOTrainer",
    "vllm": "vllm:LLM",
}
"""What is imported to see whether a distribution works; many load little until something in them is used.
Others are imported by their own name."""

MISMATCH = "torchvision::nms does not exist"
"""How the import of a torchvision fails whose compiled part was built for another torch."""

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of CPU builds."""

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What an examination of one thing found, and the way out where it is not well."""

    door: str
    what: str
    state: State
    detail: str
    remedy: str = ""


def packages(door: str) -> list[Requirement]:
    """The distributions that a door needs beside the core ones, those of the extras it includes too.

    `"core"` stands for what is needed in any case.
    """
    environment = {"extra": "" if door == "core" else door}
    found: dict[str, Requirement] = {}
    for line in requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        wanted = door == "core" if requirement.marker is None else requirement.marker.evaluate(environment)
        if wanted and requirement.name == DISTRIBUTION:
            for extra in sorted(requirement.extras):
                found |= {inner.name: inner for inner in packages(extra)}
        elif wanted:
            found[requirement.name] = requirement
    return list(found.values())


def examine(door: str) -> Iterator[Finding]:
    """Look at every package of a door: whether it is there, recent enough, and imports."""
    for requirement in packages(door):
        yield examine_package(door, requirement)


def examine_package(door: str, requirement: Requirement) -> Finding:
    """Look at one package."""
    install = "pip install " + (f"'{DISTRIBUTION}[{door}]'" if door != "core" else DISTRIBUTION)
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        state: State = "broken" if door == "core" else "missing"
        return Finding(door, requirement.name, state, f"not installed (needs {requirement.specifier})", install)
    if not requirement.specifier.contains(installed, prereleases=True):
        return Finding(door, requirement.name, "broken", f"{installed}, but needs {requirement.specifier}", install)
    if reason := import_failure(USED.get(requirement.name, requirement.name.replace("-", "_"))):
        remedy = f"pip install --force-reinstall {requirement.name}"
        return Finding(door, requirement.name, "broken", f"{installed} does not import: {reason}", remedy)
    return Finding(door, requirement.name, "ok", installed)


def examine_torchvision() -> Finding:
    """Look at torchvision, which processors of transformers need and which breaks them where it is of another build."""
    door, what = "transformers", "torchvision"
    try:
        installed = version(what)
    except PackageNotFoundError:
        return Finding(
            door, what, "missing", "not installed; Qwen and LLaVA-OneVision judges need it", f"pip install {what}"
        )
    reason = import_failure(what)
    if reason is None:
        return Finding(door, what, "ok", installed)
    if MISMATCH not in reason:
        return Finding(
            door, what, "broken", f"{installed} does not import: {reason}", f"pip install --force-reinstall {what}"
        )
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    index = "" if torch.version.cuda else f" --index-url {CPU_WHEELS}"
    return Finding(
        door,
        what,
        "broken",
        f"{installed} was built for another torch than the installed {torch.__version__} for {build}. While it is "
        "there, no processor of transformers loads, and so no judge",
        f"pip install --force-reinstall torch torchvision{index}, or pip uninstall {what}",
    )


def import_failure(name: str) -> str | None:
    """Why `"module"` or `"module:attribute"` cannot be imported, in one line; `None` where it can."""
    try:
        pkgutil.resolve_name(name)
    except Exception as error:  # noqa: BLE001 (a broken package may raise anything at all, and that is what is asked)
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None
