"""What `build_pairs` does not count, and the reasons that it lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from diffusers_ext.build_pairs import build_pairs
from tests.diffusers_ext.painter import bright
from tests.diffusers_ext.tiny_pairs import dropped, graded, records, shade_of
from tests.diffusers_ext.tiny_pipelines import PICTURE, picture_pipeline, safety_checker
from unireward_plugins.pairs import DROP_REASONS
from unireward_plugins.types import Case, Verdict

torch.set_num_threads(1)


def test_what_does_not_count_is_listed_with_its_reason(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    grades: dict[str, list[float | None]] = {
        "whole": [0.1, 0.2, 0.3, 0.4],
        "tie": [0.5, 0.5, 0.5, 0.5],
        "half": [None, 0.2, 0.3, 0.4],
        "silent": [None, None, None, None],
        "mixed": [0.1, None, 0.7, 0.7],
    }

    def by(case: Case) -> float | None:
        return grades[case.prompt][(shade_of(case) - 50) // 10]

    def painter(prompt: str, *, generator: Any, output_type: str) -> Any:
        place = generator.initial_seed() % 4
        return ([Image.new("RGB", (4, 4), (50 + 10 * place,) * 3)],)

    built = build_pairs(painter, list(grades), judge=graded(by), folder=tmp_path / "p", candidates=4)
    assert built.pairs == 2
    assert built.dropped == {"truncated": 2, "tie": 1}
    assert load(tmp_path / "p")["prompt"][:] == ["whole", "half"]
    listed = dropped(tmp_path / "p")
    assert {drop["reason"] for drop in listed} <= DROP_REASONS.keys()
    told = [(drop["prompt"], drop["of"], tuple(drop["candidates"]), drop["reason"]) for drop in listed]
    assert told[:3] == [
        ("tie", "comparison", (0, 1), "tie"),
        ("tie", "comparison", (2, 3), "tie"),
        ("tie", "prompt", (0, 1, 2, 3), "tie"),
    ]
    assert told[3:5] == [("half", "comparison", (0, 1), "truncated"), ("half", "candidate", (0,), "truncated")]
    assert ("silent", "prompt", (0, 1, 2, 3), "truncated") in told
    assert ("mixed", "prompt", (0, 1, 2, 3), "truncated") in told
    assert listed[0]["seeds"] == [4, 5]
    # The last pair of neighbours alone decided for "half": 0.4 against 0.3.
    assert (records(tmp_path / "p")[2]["chosen"], records(tmp_path / "p")[2]["rejected"]) == (3, 2)
    assert built.left_out == {"truncated": 10, "tie": 3}
    card = (tmp_path / "p" / "README.md").read_text()
    assert "Judged and dropped: 2 x the reasoning was cut off" in card
    assert "`chosen_seed`" in card


def test_candidates_that_show_the_same_are_no_pair(tmp_path: Path) -> None:
    seen: list[int] = []

    def moody(cases: Sequence[Case]) -> list[Verdict]:
        seen.extend(range(len(cases)))
        return [Verdict((len(seen) - place,)) for place in range(len(cases))]

    def painter(prompt: str, *, generator: Any, output_type: str) -> Any:
        return ([Image.new("RGB", (4, 4), "red")],)

    built = build_pairs(painter, ["a"], judge=moody, folder=tmp_path, candidates=2, way="grades")
    assert built.dropped == {"same": 1}


def test_blanked_pictures_are_not_judged(tmp_path: Path) -> None:
    parts = safety_checker()
    parts["safety_checker"].concept_embeds_weights.data.fill_(-1)
    shown: list[Case] = []

    def judge(cases: Sequence[Case]) -> list[Verdict]:
        shown.extend(cases)
        return bright(cases)

    everything = picture_pipeline(**parts)
    built = build_pairs(everything, ["a"], judge=judge, folder=tmp_path, candidates=2, way="neighbours", call=PICTURE)
    assert (built.dropped, built.left_out) == ({"blanked": 1}, {"blanked": 2})
    assert shown == []
    assert [drop["of"] for drop in dropped(tmp_path)] == ["candidate", "candidate", "prompt"]
