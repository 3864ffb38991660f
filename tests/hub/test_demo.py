"""The whole demonstration, and as its last step what came of it on the local Hub and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.conftest import ALONE, READER, STRANGER, TOKEN
from tests.hub.hub_server import HubServer
from tests.hub.test_load import printed
from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.demo import run_demo

DEMO = """
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
from unireward_plugins.cli import main
from unireward_plugins.shapes import demo

demo.CASES_A_CELL, demo.CHECKS = 12, 2
demo.run_demo.__kwdefaults__["exam_size"] = 60
demo.ALIGN_GENERATOR = "tests.diffusers_ext.tiny_proof:align_a_little"
with contextlib.redirect_stdout(io.StringIO()) as told:
    code = main(["demo", "--publish", "me", "--seed", "3", "--steps", "4", "--json"])
print(json.dumps([code, json.loads(told.getvalue())["published"]]))
"""

LOAD = """
import json
from datasets import load_dataset
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("me/unireward-demo-generator")
pipeline.load_lora_weights("me/unireward-demo-adapter")
rows = load_dataset("me/unireward-demo-pairs", split="train")
streamed = load_dataset("me/unireward-demo-pairs", split="train", streaming=True)
assert [row["prompt"] for row in streamed] == rows["prompt"]
print(json.dumps([pipeline.get_active_adapters(), rows[0]["chosen"].size]))
"""


@pytest.mark.parametrize(
    ("token", "owner", "problem"),
    [
        ("", "me", "writing to me/unireward-demo-generator needs a token"),
        ("hf_nobodys", "me", "does not accept the token"),
        (READER, "me", "refuses making me/unireward-demo-generator"),
        (STRANGER, "me", "refuses making me/unireward-demo-generator"),
        (TOKEN, "me and you", "'me and you/unireward-demo-generator' names no repository"),
    ],
)
def test_the_demonstration_finds_out_before_it_trains_anything_that_it_may_not_publish(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, token: str, owner: str, problem: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    told: list[str] = []
    with pytest.raises(UniRewardError, match=problem):
        run_demo(tmp_path / "report.html", owner=owner, watch=lambda doing, _: told.append(doing))
    assert told == ["starting"]


@pytest.mark.slow
def test_the_demonstration_ends_with_pairs_and_adapter_on_the_hub(
    server: HubServer, elsewhere: Path, tmp_path: Path
) -> None:
    """Every step is real, and most are shorter than in a demonstration that is to show something."""
    root = Path(__file__).parents[2]
    code, published = printed(DEMO, server, tmp_path, str(root))
    assert code == 0
    assert [address.rpartition("/me/")[2] for address in published] == [
        "unireward-demo-generator",
        "unireward-demo-pairs",
        "unireward-demo-adapter",
    ]
    adapters, size = printed(ALONE + LOAD, server, tmp_path, python=elsewhere)
    assert len(adapters) == 1
    assert size[0] == size[1] > 0
