"""What lmms-eval 0.7 finds of ours through its entry point `lmms_eval.models`: the model, and with it the tasks.

lmms-eval has a door for models from outside and none for tasks but the flag `--include_path`. It calls the door for
models before it imports its tasks, so the tasks come in behind the model: once `lmms_eval.tasks` is imported, its task
manager looks into our folder as well. Whoever prefers the flag gives it `unireward tasks-path`.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

TASKS = Path(__file__).parent / "tasks"
"""The folder of the tasks."""
_TASK_MODULE = "lmms_eval.tasks"


def manifests() -> list[Any]:
    """The models that lmms-eval gets: `unireward`. From then on it knows the tasks too."""
    from lmms_eval.models.registry_v2 import ModelManifest

    if _TASK_MODULE in sys.modules:
        add_tasks(sys.modules[_TASK_MODULE])
    elif not any(isinstance(finder, _WhenTasksAreImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenTasksAreImported())
    return [ModelManifest(model_id="unireward", simple_class_path="eval_ext.lmms.model.UniReward")]


def add_tasks(module: ModuleType) -> None:
    """Have the task manager of `lmms_eval.tasks` look into our folder after its own and the user's."""
    manager = module.TaskManager
    if "knows_unireward" in vars(manager):
        return
    search = manager.initialize_tasks

    @functools.wraps(search)
    def search_ours_too(
        self: Any,
        include_path: str | Sequence[str] | None = None,
        include_defaults: bool = True,  # noqa: FBT001, FBT002 (lmms-eval's)
    ) -> Any:
        given = [include_path] if isinstance(include_path, str) else list(include_path or ())
        ours = [str(TASKS)] if str(TASKS) not in given else []
        return search(self, include_path=given + ours, include_defaults=include_defaults)

    manager.initialize_tasks, manager.knows_unireward = search_ours_too, True


class _WhenTasksAreImported(MetaPathFinder):
    """Waits for the import of `lmms_eval.tasks`, adds our tasks and is gone."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 (importlib's)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The spec of `lmms_eval.tasks`, with a loader that adds our tasks; nothing for any other module."""
        if fullname != _TASK_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        spec.loader = _ThenAddTasks(spec.loader)
        return spec


class _ThenAddTasks(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        add_tasks(module)

    def __getattr__(self, name: str) -> Any:
        # What else a loader can do (its source, its resources) stays as it was.
        return getattr(self.loader, name)
