"""Copies of the benchmarks for the tests of their tasks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from eval_ext.lmms.data import clip
from tests.eval_ext.lmms.samples import write_all


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small copies of all benchmarks."""
    return write_all(tmp_path_factory.mktemp("benchmarks"))


@pytest.fixture
def copies(written: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, where the tasks look for them."""
    monkeypatch.setenv("UNIREWARD_DATA", str(written))
    clip.cache_clear()
    yield written
    clip.cache_clear()
