"""How lmms-eval comes to know the tasks. `test_command_line.py` shows that it does."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

import pytest

from eval_ext.lmms import hook
from eval_ext.lmms.hook import TASKS, add_tasks


def task_module() -> Any:
    """A module with a task manager that says where it looks, as `lmms_eval.tasks` has one."""

    class TaskManager:
        def initialize_tasks(
            self, include_path: str | list[str] | None = None, include_defaults: bool = True
        ) -> tuple[Any, bool]:
            return include_path, include_defaults

    module: Any = ModuleType("tasks")
    module.TaskManager = TaskManager
    return module


@pytest.mark.parametrize(
    ("given", "searched"),
    [
        (None, [str(TASKS)]),
        ("mine", ["mine", str(TASKS)]),
        (["one", "two"], ["one", "two", str(TASKS)]),
        (str(TASKS), [str(TASKS)]),
    ],
)
def test_the_manager_looks_into_our_folder_after_the_users(given: Any, searched: list[str]) -> None:
    module = task_module()
    add_tasks(module)
    add_tasks(module)  # a second time changes nothing
    assert module.TaskManager().initialize_tasks(given, include_defaults=False) == (searched, False)


def test_the_entry_point_brings_the_model_and_waits_for_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lmms_eval")
    monkeypatch.delitem(sys.modules, "lmms_eval.tasks", raising=False)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    (manifest,) = hook.manifests()
    hook.manifests()
    waiting = [finder for finder in sys.meta_path if isinstance(finder, hook._WhenTasksAreImported)]
    assert len(waiting) == 1
    assert manifest.model_id == "unireward"
    assert manifest.simple_class_path == "eval_ext.lmms.model.UniReward"
    assert waiting[0].find_spec("json", None) is None
    spec = waiting[0].find_spec("lmms_eval.tasks", None)
    assert spec is not None
    assert isinstance(spec.loader, hook._ThenAddTasks)
    assert waiting[0] not in sys.meta_path


def test_tasks_that_were_imported_before_are_added_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lmms_eval")
    module = task_module()
    monkeypatch.setitem(sys.modules, "lmms_eval.tasks", module)
    hook.manifests()
    assert module.TaskManager().initialize_tasks() == ([str(TASKS)], True)


def test_every_task_has_a_name_of_its_own_under_the_prefix() -> None:
    names = [re.search(r"^(?:task|group): (\S+)", file.read_text(), re.M) for file in sorted(TASKS.rglob("*.yaml"))]
    found = [name[1] for name in names if name]
    assert len(found) == len(set(found)) == len(names)
    assert {name for name in found if not name.startswith("unireward_")} == {"unifiedreward_paper"}


def test_every_function_that_a_task_names_is_there() -> None:
    import importlib

    for file in TASKS.rglob("*"):
        for home, name in re.findall(
            r"!function (eval_ext\.\S+)\.([^.\s]+)$", file.read_text() if file.is_file() else "", re.M
        ):
            assert getattr(importlib.import_module(home), name) is not None, f"{file}: {home}.{name}"
