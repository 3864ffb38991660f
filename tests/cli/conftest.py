"""What the tests of the command share: pictures, the example plug-in's judge, a scripted judge, and ways to run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.cli import scripted
from unireward_plugins import plugins
from unireward_plugins.cli import main

EXAMPLE = Path(__file__).parents[1] / "example_plugin"

Invoke = Callable[..., tuple[int, str, str]]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the working directory, with black.png, grey.png and white.png."""
    for name, shade in {"black": 0, "grey": 128, "white": 255}.items():
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example plug-in in this process: `--judge brightness`, a judge whose verdicts can be worked out by hand."""
    monkeypatch.syspath_prepend(EXAMPLE)
    import unireward_brightness

    plugins.plugin_manager().register(unireward_brightness, name="unireward-brightness")
    yield
    plugins.plugin_manager().unregister(unireward_brightness)


@pytest.fixture
def judge_script() -> Iterator[scripted.Script]:
    """`--judge scripted`, whose model says what the test puts into `script.reply`."""
    plugins.plugin_manager().register(scripted, name="tests-scripted")
    scripted.script.reset()
    yield scripted.script
    plugins.plugin_manager().unregister(scripted)


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the command in this process: exit code, output, errors."""
    monkeypatch.delenv("UNIREWARD_JUDGE", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH on which the example plug-in counts as installed; tests/core really installs it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "unireward_brightness").symlink_to(EXAMPLE / "unireward_brightness")
    information = folder / "unireward_brightness-1.0.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: unireward-brightness\nVersion: 1.0.0\n")
    (information / "entry_points.txt").write_text("[unireward]\nbrightness = unireward_brightness\n")
    return folder


@pytest.fixture
def command(site: Path) -> Command:
    """Run the installed `unireward` in a process of its own, with the example plug-in."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "UNIREWARD_JUDGE"}
        return subprocess.run(
            [Path(sys.executable).with_name("unireward"), *arguments],
            input=stdin,
            env=inherited | {"PYTHONPATH": str(site), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
