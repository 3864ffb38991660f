"""A local Hub for the tests of `hub`, folders fit to be pushed to it, and an environment without this project."""

from __future__ import annotations

import json
import os
import sysconfig
import venv
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest
from PIL import Image

from hub import save_pairs
from tests.hub.hub_server import HubServer
from tests.hub.hub_storage import User
from tests.hub.unfit import CARD, safetensors, write
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair

TOKEN = "hf_WriterOfTheTestsWhoMayDoAll0123456"
READER = "hf_ReaderOfTheTestsWhoMayLook01234567"
STRANGER = "hf_SomebodyElseWithATokenOfTheirs012"
USERS = {
    TOKEN: User("me", ("org",)),
    READER: User("me", ("org",), may_write=False),
    STRANGER: User("stranger"),
}

ALONE = """
from importlib.util import find_spec

found = [name for name in ("unireward_plugins", "hub", "trl_ext", "diffusers_ext", "eval_ext") if find_spec(name)]
assert not found, f"{found} can be imported"
"""
"""Begins what runs `elsewhere`: nothing of this project is there."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The client itself uses what its HTTP library warns of."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()) and "tests/hub" in item.nodeid:
            item.add_marker(pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"))


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has all that is installed here, but not this project."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home, symlinks=os.name != "nt")
    here = Path(sysconfig.get_path("purelib"))
    there = Path(sysconfig.get_path("purelib", scheme="venv", vars={"base": str(home)}))
    installed = distributions(name="unireward-plugins", path=[str(here)])
    ours = {file.parts[0] for project in installed for file in project.files or ()}
    for entry in here.iterdir():
        if entry.name not in ours:
            (there / entry.name).symlink_to(entry)
    return Path(sysconfig.get_path("scripts", scheme="venv", vars={"base": str(home)})) / "python"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A local Hub, and a client in this process that is logged in there.

    The client reads its settings when it is imported, so they are put in their places here. A local Hub has no Xet; and
    the client's waits between its own retries are noted, not waited for.
    """
    with HubServer(USERS) as local:
        constants: Any = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", local.url)
        template = local.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        local.waits = without_waits(monkeypatch)
        yield local


def without_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited before trying again, as they come."""
    import time

    from huggingface_hub.utils import _http

    import hub.publish

    waits: list[float] = []
    clock = SimpleNamespace(**{**vars(time), "sleep": waits.append})
    monkeypatch.setattr(_http, "time", clock)
    monkeypatch.setattr(hub.publish, "time", clock)
    return waits


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of two pairs of pictures."""
    return pairs_of(("red", "blue"), tmp_path / "pairs")


def pairs_of(colours: tuple[str, ...], folder: Path) -> Path:
    """A folder with a pair for each colour, which is preferred to black."""
    black = Media.of(Image.new("RGB", (6, 4), "black"))
    made = [Pair(f"a {one} flag", Media.of(Image.new("RGB", (6, 4), one)), black, 0.9, 0.25) for one in colours]
    return save_pairs(made, folder, judge="shapes", rubric="shapes.image_gen.point")


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    """A folder of a judge that is fit to be published."""
    return write(
        tmp_path / "judge",
        {
            "README.md": CARD,
            "config.json": '{"model_type": "qwen3_vl", "eos_token_id": 2}',
            "tokenizer_config.json": '{"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}',
            "tokenizer.json": '{"vocab": {"/home/user": 1, "password": 151643}}',
            "processor_config.json": "{}",
            "model.safetensors": safetensors(),
        },
    )


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder of an adapter that is."""
    settings = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    return write(
        tmp_path / "adapter",
        {
            "README.md": CARD,
            "adapter_config.json": json.dumps(settings),
            "adapter_model.safetensors": safetensors(),
        },
    )


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A folder of a diffusers pipeline that is."""
    parts: dict[str, Any] = {
        "_class_name": "SomePipeline",
        "unet": ["diffusers", "UNet"],
        "safety_checker": [None, None],
    }
    return write(
        tmp_path / "pipeline",
        {
            "README.md": CARD,
            "model_index.json": json.dumps(parts | {"scheduler": ["diffusers", "DDIM"]}),
            "unet/config.json": "{}",
            "unet/diffusion_pytorch_model.safetensors": safetensors(),
            "scheduler/scheduler_config.json": "{}",
        },
    )
