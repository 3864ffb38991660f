import json
import os
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.cli.conftest import Command, Invoke
from unireward_plugins.cli import doctor, installed
from unireward_plugins.cli.installed import DOORS, Finding, examine_package, packages, whole_door
from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError
from unireward_plugins.testing import ScriptedBackend

ROOT = Path(__file__).parents[2]


def put(folder: Path, name: str, version: str, code: str) -> None:
    """Put a distribution on disk as an installer leaves it."""
    (folder / f"{name}.py").write_text(code)
    information = folder / f"{name}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_the_doors_are_the_extras_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(DOORS) == set(project["optional-dependencies"]) - {"all", "dev"}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_needs_what_the_project_says(door: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    stated = [Requirement(line) for line in extras[door]]
    direct = {one.name: one.specifier for one in stated if one.name != "unireward-plugins"}
    assert {one.name: one.specifier for one in packages(door)} == direct
    included = [extra for one in stated if one.name == "unireward-plugins" for extra in one.extras]
    nested = {Requirement(line).name for extra in included for line in extras[extra]}
    assert {one.name for one in whole_door(door)} == set(direct) | nested


def test_the_core_needs_no_extra() -> None:
    assert {"click", "pluggy", "pillow"} <= {one.name for one in packages("core")}
    assert not {"torch", "trl", "openai"} & {one.name for one in whole_door("core")}


@pytest.mark.parametrize(
    ("name", "version", "code", "asked", "state", "detail"),
    [
        ("fine_package", "2.1", "", ">=2", "ok", "2.1"),
        ("old_package", "1.9", "", ">=2", "broken", "1.9, but needs >=2"),
        ("wrong_package", "2.0", "raise OSError('libcuda.so is not there')", ">=2", "broken", "OSError: libcuda.so"),
        ("early_package", "3.0rc1", "", ">=2", "ok", "3.0rc1"),
    ],
)
def test_a_package_is_there_recent_enough_and_imports(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: str,
    code: str,
    asked: str,
    state: str,
    detail: str,
) -> None:
    put(tmp_path, name, version, code)
    monkeypatch.syspath_prepend(tmp_path)
    found = examine_package("hub", Requirement(name + asked))
    assert found.state == state
    assert detail in found.detail
    assert bool(found.remedy) == (state != "ok")


def test_a_package_that_is_not_there_is_missing_from_a_door_and_breaks_the_core() -> None:
    absent = Requirement("absent-package>=3")
    found = examine_package("eval", absent)
    assert found == Finding(
        "eval", "absent-package", "missing", "not installed (needs >=3)", "pip install 'unireward-plugins[eval]'"
    )
    assert examine_package("core", absent).state == "broken"


def test_everything_that_this_environment_has_works(command: Command) -> None:
    done = command("doctor", "--quick", "--json")
    report = json.loads(done.stdout)
    broken = [finding for finding in report["findings"] if finding["state"] == "broken"]
    assert broken == []
    assert done.returncode == 0
    assert report["healthy"] is True
    assert report["doors"]["core"] == report["doors"]["transformers"] == report["doors"]["serve"] == "ok"
    found = {finding["what"]: finding for finding in report["findings"]}
    assert found["clips"]["detail"] == "decoded 2 frames of an MP4"
    assert "unireward-brightness" in found["plug-ins"]["detail"]
    assert "embedded judge" not in found
    for door in DOORS:
        absent = [one.name for one in whole_door(door) if found[one.name]["state"] == "missing"]
        assert report["doors"][door] == ("missing" if absent else "ok")


def test_a_torchvision_of_another_build_is_recognised_and_explained(tmp_path: Path) -> None:
    """Played by a module that fails with the very words of the real one, since a matching pair may be installed."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    code = """
from unireward_plugins.cli.installed import *
print([*examine("transformers", because_of=examine_torchvision())])
print(examine_torchvision())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    packages_found, torchvision = done.stdout.splitlines()
    assert "state='broken'" in torchvision
    assert "was built for another torch than the installed" in torchvision
    assert "pip install --force-reinstall torch torchvision" in torchvision
    transformers = packages_found[packages_found.index("what='transformers'") :]
    assert "state='broken'" in transformers
    assert "pip install --force-reinstall torch torchvision" in transformers, (
        "the cause must be mended, not the symptom"
    )


def test_a_broken_plug_in_is_named_and_makes_the_exit_code_1(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = (
        "from unireward_plugins.hookspecs import hookimpl\n@hookimpl\ndef unireward_judges():\n    raise OSError('x')\n"
    )
    (tmp_path / "broken_plugin.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    import broken_plugin

    from unireward_plugins import plugins

    monkeypatch.setattr(doctor, "DOORS", ())
    plugins.plugin_manager().register(broken_plugin, name="broken-plugin")
    try:
        exit_code, out, err = invoke("doctor", "--quick")
    finally:
        plugins.plugin_manager().unregister(broken_plugin)
    assert exit_code == 1
    [line] = [line for line in out.splitlines() if line.split("\t")[1] == "plug-ins"]
    assert line.split("\t")[2] == "broken"
    assert "broken-plugin" in line
    assert "to mend plug-ins" in err


def test_an_embedded_judge_that_answers_wrongly_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    from unireward_plugins import shapes
    from unireward_plugins.judges import ModelJudge
    from unireward_plugins.shapes.rubrics import RUBRIC_OF

    def answering(reply: str) -> Finding:
        backend = ScriptedBackend(lambda query: reply)
        monkeypatch.setattr(shapes, "load", lambda: ModelJudge("shapes", backend, RUBRIC_OF))
        return doctor.examine_embedded_judge()

    assert answering("Image 1 is better").state == "ok"
    assert answering("Image 2 is better").state == "broken"
    assert "hm" in answering("hm").detail


@pytest.mark.parametrize(
    ("error", "state", "detail"),
    [
        (BackendError("the weights did not all load"), "broken", "the weights did not all load"),
        (UniRewardError("plug-in 'x' cannot be imported"), "broken", "plug-in 'x' cannot be imported"),
        (MissingExtra("no torch"), "missing", "needs what is missing above"),
    ],
)
def test_an_embedded_judge_that_cannot_be_asked(
    monkeypatch: pytest.MonkeyPatch, error: Exception, state: str, detail: str
) -> None:
    from unireward_plugins import shapes

    def fail() -> None:
        raise error

    monkeypatch.setattr(shapes, "load", fail)
    found = doctor.examine_embedded_judge()
    assert (found.state, found.detail) == (state, detail)


def test_the_judge_of_the_environment_is_reached() -> None:
    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps({"object": "list", "data": [{"id": "UnifiedReward-qwen-7b", "object": "model"}]})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        assert doctor.examine_chosen_judge(url) == Finding(
            "serve", "UNIREWARD_JUDGE", "ok", f"{url} serves UnifiedReward-qwen-7b"
        )
        server.shutdown()
    gone = doctor.examine_chosen_judge(url)
    assert gone.state == "broken"
    assert url in gone.detail


@pytest.mark.parametrize(
    ("reference", "state"), [("shapes", "ok"), ("CodeGoat24/UnifiedReward-2.0-qwen3vl-8b", "ok"), ("nix", "broken")]
)
def test_the_judge_of_the_environment_may_be_a_name(reference: str, state: str) -> None:
    assert doctor.examine_chosen_judge(reference).state == state


def test_a_door_is_as_good_as_the_worst_of_what_it_needs() -> None:
    needed = {one.name for door in DOORS for one in whole_door(door)}
    findings = [Finding("core", "click", "ok", "")]
    findings += [Finding("x", name, "broken" if name == "torch" else "ok", "") for name in sorted(needed)]
    findings = [Finding(f.door, f.what, "missing", "") if f.what == "datasets" else f for f in findings]
    doors = doctor.state_of_doors(findings)
    assert doors["core"] == doors["serve"] == "ok"
    assert doors["transformers"] == doors["trl"] == "broken"
    assert doors["hub"] == "missing"


def test_what_is_imported_to_try_a_package_exists() -> None:
    for name in ("torch", "openai", "accelerate"):
        assert installed.import_failure(installed.USED[name]) is None
    assert "ModuleNotFoundError" in str(installed.import_failure("absent_package"))
