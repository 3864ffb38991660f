"""A kill at any moment loses at most the shard in work, and doubles nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")


def killed_run(*arguments: str) -> int:
    """How many children were killed at work."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.diffusers_ext.killed_run", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_whole(folder: Path, prompts: int) -> None:
    """Every prompt once, every pair once."""
    (shards,) = folder.glob("pairs-*")
    records = [
        json.loads(line)
        for shard in sorted(shards.iterdir())
        for line in (shard / "records.jsonl").read_text().splitlines()
    ]
    assert [record["number"] for record in records] == list(range(prompts))
    seeds = [candidate["seed"] for record in records for candidate in record["candidates"]]
    assert seeds == list(range(4 * prompts))


@pytest.mark.parametrize("kills", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_random_moments_ends_as_an_undisturbed_one(tmp_path: Path, kills: int) -> None:
    killed = killed_run("random", str(tmp_path / "killed"), str(kills))
    assert killed == kills, "every kill hits a run at work"
    assert contents(tmp_path / "killed") == contents(tmp_path / "undisturbed"), "to the byte, and nothing else is left"
    check_whole(tmp_path / "killed", prompts=60)


def test_a_run_that_is_killed_before_any_of_its_steps_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    killed = killed_run("steps", str(tmp_path))
    assert killed > 15
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == killed + 1
    undisturbed = contents(folders[-1])
    for folder in folders:
        assert contents(folder) == undisturbed, folder.name
        check_whole(folder, prompts=4)
