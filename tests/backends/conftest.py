"""Tiny checkpoints, and servers that run them, shared by the tests of backends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.backends.stub_server import StubServer
from tests.backends.vllm_like import vllm_like
from tests.tiny_models import build

ROOT = Path(__file__).parents[2]
TINY = "qwen3_vl"
"""The kind of model where one kind is enough."""


@pytest.fixture(scope="session", autouse=True)
def settings_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hashes of checkpoints are not remembered in the user's cache folder; tiny models gain nothing from threads."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A tiny checkpoint of a kind, built once a session."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def of(kind: str) -> Path:
        return folder / kind if (folder / kind).exists() else build(kind, folder / kind)

    return of


@pytest.fixture(scope="session")
def vllm_like_server(checkpoint: Callable[[str], Path]) -> Iterator[StubServer]:
    """A server with vLLM's API and a tiny model."""
    with StubServer(vllm_like(checkpoint(TINY))) as server:
        yield server


@pytest.fixture(scope="session")
def transformers_serve(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real `transformers serve` process with a tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    command = [sys.executable, "-m", "tests.backends.serve", str(checkpoint(TINY)), "--port", str(port)]
    settings = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(log.parent)}
    settings["CUDA_VISIBLE_DEVICES"] = ""  # as the backends in this process, which it is compared with
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"transformers serve did not start (exit status {process.poll()}):\n{log.read_text()[-4000:]}")
