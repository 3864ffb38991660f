"""Finds what the installed plug-ins bring, and says who brought it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar, cast

import pluggy

from unireward_plugins import hookspecs
from unireward_plugins.errors import UniRewardError, did_you_mean
from unireward_plugins.families import Family
from unireward_plugins.hookspecs import PROJECT, DiffusionFamilyCard, JudgeCard
from unireward_plugins.rubrics import Rubric

BUILTIN = "unireward_plugins.builtin"
"""The module that our own entry point names."""


class Named(Protocol):
    """Anything that a plug-in brings: it has a name that is its own."""

    @property
    def name(self) -> str:
        """What users write."""
        ...


Thing = TypeVar("Thing", bound=Named)


@dataclass(frozen=True, slots=True)
class Brought(Generic[Thing]):
    """A thing and the plug-in that brought it."""

    thing: Thing
    plugin: str


@cache
def plugin_manager() -> pluggy.PluginManager:
    """The plug-ins of this environment, loaded once: our own first, then every entry point of the group `unireward`.

    Raises `UniRewardError` naming the plug-in that cannot be imported or that implements a hook which does not exist.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    ours_first = sorted(entry_points(group=PROJECT), key=lambda entry_point: entry_point.value != BUILTIN)
    for entry_point in ours_first:
        _register(manager, entry_point)
    return manager


def _register(manager: pluggy.PluginManager, entry_point: EntryPoint) -> None:
    name = entry_point.dist.name if entry_point.dist else entry_point.name
    try:
        manager.register(entry_point.load(), name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        hooks = [hook for hook in vars(hookspecs) if hook.startswith(f"{PROJECT}_")]
        reason = " ".join(str(error).split())
        unknown = next((word for word in re.findall(rf"{PROJECT}_\w+", reason) if word not in hooks), "")
        raise UniRewardError(
            f"plug-in {name!r} ({entry_point.value}): {reason}.{did_you_mean(unknown, hooks)} "
            f"Hooks: {', '.join(hooks)}, without arguments"
        ) from error
    except Exception as error:
        raise UniRewardError(
            f"plug-in {name!r} ({entry_point.value}) cannot be imported: {type(error).__name__}: {error}. "
            f"Mend it, or remove it with: pip uninstall {name}"
        ) from error


def judges() -> Mapping[str, Brought[JudgeCard]]:
    """Every judge that a plug-in brings, by name."""
    return _collect("judge", plugin_manager().hook.unireward_judges)


def rubrics() -> Mapping[str, Brought[Rubric]]:
    """Every rubric, by name."""
    return _collect("rubric", plugin_manager().hook.unireward_rubrics)


def families() -> Mapping[str, Brought[Family]]:
    """Every model family, by name."""
    return _collect("family", plugin_manager().hook.unireward_families)


def diffusion_families() -> Mapping[str, Brought[DiffusionFamilyCard]]:
    """Every family of image or video generators, by name."""
    return _collect("diffusion family", plugin_manager().hook.unireward_diffusion_families)


def _collect(kind: str, hook: pluggy.HookCaller) -> dict[str, Brought[Thing]]:
    found: dict[str, Brought[Thing]] = {}
    for implementation in hook.get_hookimpls():
        for thing in _called(implementation):
            if thing.name in found:
                raise UniRewardError(
                    f"two plug-ins bring a {kind} named {thing.name!r}: {found[thing.name].plugin!r} and "
                    f"{implementation.plugin_name!r}. Uninstall one of them, or rename its {kind}"
                )
            found[thing.name] = Brought(thing, implementation.plugin_name)
    return found


def _called(implementation: pluggy.HookImpl) -> list[Any]:
    """What one plug-in's hook returns; `UniRewardError` naming the plug-in where it fails."""
    try:
        return list(cast("Callable[[], Iterable[Any]]", implementation.function)())
    except Exception as error:
        raise UniRewardError(
            f"plug-in {implementation.plugin_name!r}: its hook {implementation.function.__name__} failed with "
            f"{type(error).__name__}: {error}. Mend it, or remove it with: pip uninstall {implementation.plugin_name}"
        ) from error


def find_rubric(name: str) -> Rubric:
    """The rubric of that name; `UniRewardError` with the nearest names where there is none."""
    return _find("rubric", name, rubrics())


def find_family(name: str) -> Family:
    """The family of that name; `UniRewardError` with the nearest names where there is none."""
    return _find("family", name, families())


def _find(kind: str, name: str, found: Mapping[str, Brought[Thing]]) -> Thing:
    if name in found:
        return found[name].thing
    hint = did_you_mean(name, found) or f" There are: {', '.join(sorted(found))}."
    command = "unireward rubrics" if kind == "rubric" else "unireward plugins --json"
    raise UniRewardError(f"there is no {kind} named {name!r}.{hint} `{command}` lists all")
