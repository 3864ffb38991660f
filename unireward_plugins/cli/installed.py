"""Which packages each door needs, read from this distribution's own metadata, and whether they are there and import."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
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

TORCHVISION = "torchvision"

DOES_NOT_IMPORT = "does not import"

MISMATCH = "torchvision::nms does not exist"
"""How the import of a torchvision fails whose compiled part was built for another torch."""

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
    """The distributions that a door needs by itself; `"core"` stands for what is needed in any case."""
    return [requirement for requirement in _requirements(door) if requirement.name != DISTRIBUTION]


def whole_door(door: str) -> list[Requirement]:
    """The distributions that a door needs beside the core ones, those of the doors that it includes too."""
    included = [extra for one in _requirements(door) if one.name == DISTRIBUTION for extra in sorted(one.extras)]
    return [*packages(door), *(requirement for extra in included for requirement in whole_door(extra))]


def _requirements(door: str) -> list[Requirement]:
    every = [Requirement(line) for line in requires(DISTRIBUTION) or []]
    core = [one for one in every if one.marker is None or one.marker.evaluate({"extra": ""})]
    if door == "core":
        return core
    return [one for one in every if one not in core and one.marker is not None and one.marker.evaluate({"extra": door})]


def examine(door: str, *, because_of: Finding | None = None) -> Iterator[Finding]:
    """Look at every package of a door: whether it is there, recent enough, and imports.

    `because_of`: something broken that keeps others from being imported, so that it must be mended first.
    """
    for requirement in packages(door):
        found = examine_package(door, requirement)
        if because_of and found.state == "broken" and DOES_NOT_IMPORT in found.detail:
            found = replace(found, remedy=because_of.remedy)
        yield found


def examine_package(door: str, requirement: Requirement) -> Finding:
    """Look at one package."""
    install = "pip install " + (f"'{DISTRIBUTION}[{door}]'" if door != "core" else DISTRIBUTION)
    name = requirement.name
    try:
        installed = version(name)
    except PackageNotFoundError:
        state: State = "broken" if door == "core" else "missing"
        return Finding(door, name, state, f"not installed (needs {requirement.specifier or 'any version'})", install)
    if not requirement.specifier.contains(installed, prereleases=True):
        return Finding(door, name, "broken", f"{installed}, but needs {requirement.specifier}", install)
    if reason := import_failure(USED.get(name, name.replace("-", "_"))):
        remedy = f"pip install --force-reinstall {name}"
        return Finding(door, name, "broken", f"{installed} {DOES_NOT_IMPORT}: {reason}", remedy)
    return Finding(door, name, "ok", installed)


def examine_torchvision() -> Finding:
    """Look at torchvision: processors of transformers need it, and one of another build breaks them all."""
    found = examine_package("transformers", Requirement(TORCHVISION))
    if found.state == "missing":
        return replace(
            found, detail="not installed; Qwen and LLaVA-OneVision judges need it", remedy="pip install torchvision"
        )
    if MISMATCH not in found.detail:
        return found
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"
    return replace(
        found,
        detail=f"{version(TORCHVISION)} was built for another torch than the installed {torch.__version__} for "
        f"{build}. While it is there, no processor of transformers loads, and so no judge",
        remedy="pip install --force-reinstall torch torchvision   (or: pip uninstall torchvision)",
    )


def import_failure(name: str) -> str | None:
    """Why `"module"` or `"module:attribute"` cannot be imported, in one line; `None` where it can."""
    try:
        pkgutil.resolve_name(name)
    except Exception as error:  # noqa: BLE001 (a broken package may raise anything at all, and that is what is asked)
        return " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return None
