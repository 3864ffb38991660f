"""`unireward pairs generation`: what it does, what it says, and what it explains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusers_ext.build_pairs import Built
from diffusers_ext.command import report
from tests.diffusers_ext.tiny_pipelines import PICTURE
from unireward_plugins import plugins
from unireward_plugins.cli import main

torch.set_num_threads(1)


@pytest.fixture
def brightness_judge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example plug-in's judge, as `--judge brightness`."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "example_plugin")
    import unireward_brightness

    plugins.plugin_manager().register(unireward_brightness, name="unireward-brightness")
    yield
    plugins.plugin_manager().unregister(unireward_brightness)


@pytest.mark.usefixtures("brightness_judge")
def test_the_command_does_the_same(
    pipeline: Any, tmp_path: Path, load: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.save_pretrained(tmp_path / "pipeline")
    (tmp_path / "prompts.txt").write_text("a red circle\n\na blue square\n")
    command = ["pairs", "generation", str(tmp_path / "pipeline"), "--prompts", str(tmp_path / "prompts.txt")]
    command += ["--judge", "brightness", "--candidates", "4", "--output", str(tmp_path / "pairs")]
    command += [part for name, value in PICTURE.items() for part in ("--call", f"{name}={value}")]
    assert main([*command, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out == {
        "folder": str(tmp_path / "pairs"),
        "gallery": str(tmp_path / "pairs" / "gallery.html"),
        "prompts": 2,
        "pairs": 2,
        "dropped": {},
        "left_out": {},
    }
    assert load(tmp_path / "pairs")["prompt"][:] == ["a red circle", "a blue square"]
    origin = json.loads(load(tmp_path / "pairs")[0]["origin"])
    assert (origin["pipeline"], origin["call"]) == (f"pipeline@{origin['weights'][:8]}", PICTURE)
    assert main([*command]) == 0
    assert "pairs\t2" in capsys.readouterr().out
    assert main([*command, "--seed", "1"]) == 2
    assert "holds a run with other settings: seed was 0 and is 1" in capsys.readouterr().err


@pytest.mark.usefixtures("brightness_judge")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--call", "height"], "'height' is not of the form name=value"),
        (["--call", "heigth=3"], "Did you mean 'height'"),
        (["--candidates", "1"], "1 is not in the range x>=2"),
    ],
)
def test_the_command_explains_what_is_wrong(
    pipeline: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    pipeline.save_pretrained(tmp_path / "pipeline")
    (tmp_path / "prompts.txt").write_text("a red circle")
    command = ["pairs", "generation", str(tmp_path / "pipeline"), "--prompts", str(tmp_path / "prompts.txt")]
    assert main([*command, "--judge", "brightness", "--output", str(tmp_path / "pairs"), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()


def test_where_most_prompts_are_ties_more_candidates_are_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    report(Built(Path("p"), prompts=4, pairs=1, dropped={"tie": 3}, left_out={}))
    told = capsys.readouterr()
    assert "no pair: a tie: no candidate is better than another\t3" in told.out
    assert "3 of 4 prompts gave no pair because of a tie: more candidates of each (--candidates) can help" in told.err
    assert "dropped.jsonl" in told.err
    report(Built(Path("p"), prompts=4, pairs=2, dropped={"tie": 2}, left_out={}))
    assert "--candidates" not in capsys.readouterr().err
    report(Built(Path("p"), prompts=4, pairs=4, dropped={}, left_out={}))
    assert capsys.readouterr().err == f"see {Path('p') / 'gallery.html'}\n"


def test_what_was_left_out_is_named_beside_the_prompts_without_a_pair(capsys: pytest.CaptureFixture[str]) -> None:
    report(Built(Path("p"), prompts=9, pairs=2, dropped={"tie": 7}, left_out={"tie": 30}))
    rows = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    tie = "a tie: no candidate is better than another"
    assert (rows[f"no pair: {tie}"], rows[f"candidate or comparison left out: {tie}"]) == ("7", "30")
