"""What holds for all tests: they mean the same on a machine with an accelerator, and in the background."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from PIL import ImageFile

from unireward_plugins.backends import checkpoint


@pytest.fixture(autouse=True)
def broken_pictures_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """lmms-eval tells Pillow, for the whole process, to fill up pictures that are cut off."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)


@pytest.fixture(scope="session", autouse=True)
def interruptions_are_heard() -> None:
    """A shell starts what runs in the background deaf to Ctrl-C, and some tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def models_run_on_the_cpu(pytestconfig: pytest.Config) -> Iterator[None]:
    """In bfloat16 on an accelerator a tiny random model says other things; `pytest -m gpu` is about just that."""
    with pytest.MonkeyPatch.context() as patch:
        if pytestconfig.getoption("markexpr") != "gpu":
            patch.setattr(checkpoint, "default_device", lambda: "cpu")
        yield
