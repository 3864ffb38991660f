"""The README and the pages under docs/ are run as they stand.

In an empty folder, every line of a page's ```console blocks that begins with `$ ` runs and must succeed; then its
```python blocks run, in order, in one namespace. A block that cannot run here (a checkpoint to download, a server, a
GPU) is marked ```python no-run or ```console no-run, and is only checked for syntax and for names that exist.
"""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from unireward_plugins.cli import unireward

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS = ("unireward_plugins", "trl_ext", "diffusers_ext", "eval_ext", "hub")


def blocks(page: Path, language: str, *, run: bool) -> list[str]:
    return [
        code
        for found, options, code in BLOCK.findall(page.read_text())
        if found == language and ("no-run" in options) != run
    ]


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder, as a user of this environment would; show all of it where it fails."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "OMP_NUM_THREADS": "2",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_and_the_python_of_a_page_run(page: Path, tmp_path: Path) -> None:
    text = "\n".join(blocks(page, "console", run=True)).replace("\\\n", " ")
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    python = "\n".join(blocks(page, "python", run=True))
    if not commands and not python:
        pytest.skip("nothing to run")
    for command in commands:
        run(["bash", "-ec", command], tmp_path)
    run([sys.executable, "-c", python], tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_cannot_run_here_names_things_that_exist(page: Path) -> None:
    for code in blocks(page, "python", run=False):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert getattr(module, alias.name) is not None
    for code in blocks(page, "console", run=False):
        for line in code.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                assert shlex.split(line[2:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_has_every_option_that_a_page_shows(page: Path) -> None:
    for line in re.findall(r"^\$ unireward ([^|<>\n]+)", page.read_text().replace("\\\n", " "), re.MULTILINE):
        words = shlex.split(line, comments=True)
        command: click.Command | None = unireward
        while words and isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, f"{page.name} shows `unireward {line}`, and there is no such command"
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, f"{page.name} shows `unireward {line}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"
