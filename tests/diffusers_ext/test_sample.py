"""Drawing samples: together, as many as memory allows, and one by one where a pipeline takes one prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffusers_ext import build_pairs as module
from diffusers_ext.build_pairs import build_pairs
from diffusers_ext.sample import samples
from tests.diffusers_ext.painter import bright
from tests.diffusers_ext.tiny_pairs import records
from tests.diffusers_ext.tiny_pipelines import PICTURE, picture_pipeline
from unireward_plugins.errors import UniRewardError

torch.set_num_threads(1)


def test_samples_drawn_together_are_those_drawn_alone(pipeline: Any) -> None:
    alone = samples(pipeline, "a circle", count=5, seed=3, call=PICTURE)
    together = samples(pipeline, "a circle", count=5, seed=3, call=PICTURE, together=2)
    assert [sample.seed for sample in together] == [3, 4, 5, 6, 7]
    for one, other in zip(alone, together, strict=True):
        assert abs(np.asarray(one.output).astype(int) - np.asarray(other.output)).max() <= 2


def test_as_many_are_drawn_together_as_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, sizes = picture_pipeline(), []
    whole = type(narrow).__call__

    def short_of_memory(self: Any, prompt: Any, **call: Any) -> Any:
        sizes.append(len(prompt) if isinstance(prompt, list) else 1)
        if sizes[-1] > 3:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return whole(self, prompt, **call)

    monkeypatch.setattr(type(narrow), "__call__", short_of_memory)
    monkeypatch.setattr(module, "check_call", lambda *_: None)
    build_pairs(narrow, ["a", "b"], judge=bright, folder=tmp_path, candidates=6, call=PICTURE)
    assert sizes == [6, 3, 3, 3, 3]
    assert [record["origin"]["together"] for record in records(tmp_path)] == [3, 3]


def test_a_pipeline_that_takes_one_prompt_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picky = picture_pipeline()
    whole = type(picky).__call__

    def one_at_a_time(self: Any, prompt: Any, **call: Any) -> Any:
        if isinstance(prompt, list):
            raise TypeError("prompt must be a string")
        return whole(self, prompt, **call)

    monkeypatch.setattr(type(picky), "__call__", one_at_a_time)
    monkeypatch.setattr(module, "check_call", lambda *_: None)
    build_pairs(picky, ["a"], judge=bright, folder=tmp_path, candidates=2, call=PICTURE)
    assert records(tmp_path)[0]["origin"]["together"] == 1
    with pytest.raises(UniRewardError, match="string formatting"):
        # What is wrong with one prompt, too, is said.
        build_pairs(picky, ["a"], judge=bright, folder=tmp_path / "x", candidates=2, call=PICTURE | {"height": "tall"})
