"""What `build_pairs` shows of its pairs: the card and the gallery."""

from __future__ import annotations

import base64
import io
import re
from itertools import combinations
from math import hypot
from pathlib import Path

import pytest
import torch
from PIL import Image

from diffusers_ext.build_pairs import build_pairs
from diffusers_ext.gallery import score_line
from tests.diffusers_ext.painter import bright, paint, shade
from tests.diffusers_ext.tiny_pairs import PROMPTS, records

torch.set_num_threads(1)


def test_the_card_shows_how_scores_are_spread_and_some_pairs(tmp_path: Path) -> None:
    build_pairs(paint, [str(number) for number in range(5)], judge=bright, folder=tmp_path, candidates=2)
    card = (tmp_path / "README.md").read_text()
    names = re.findall(r"!\[[^\]]*\]\((assets/[^)]*)\)", card)
    assert names == [
        "assets/scores.png",
        *(f"assets/{n}-{role}.png" for n in range(3) for role in ("chosen", "rejected")),
    ]
    for name in names:
        with Image.open(tmp_path / name) as picture:
            picture.load()
    kept = records(tmp_path)
    margins = [one["candidates"][one["chosen"]]["score"] - one["candidates"][one["rejected"]]["score"] for one in kept]
    order = sorted(range(5), key=margins.__getitem__)
    rows = re.findall(r"^\| (\d) \|", card, re.MULTILINE)
    assert rows == [kept[order[place]]["prompt"] for place in (0, 2, 4)], "the smallest margin, the middle, the largest"


def test_one_pair_is_no_pairs_and_a_list_of_nothing_is_not_written(tmp_path: Path) -> None:
    build_pairs(paint, ["a"], judge=bright, folder=tmp_path, candidates=4)
    assert "\n1 pair of image generation, " in (tmp_path / "README.md").read_text()
    page = (tmp_path / "gallery.html").read_text()
    assert "<b>1</b><span>prompt</span>" in page
    assert "<b>1</b><span>pair: 100% of the prompts" in page
    assert not (tmp_path / "dropped.jsonl").exists()


def test_the_gallery_shows_pairs_and_needs_nothing_else(tmp_path: Path) -> None:
    build_pairs(paint, PROMPTS, judge=bright, folder=tmp_path, candidates=4)
    page = (tmp_path / "gallery.html").read_text()
    assert page.count('<article class="pair">') == 3
    assert page.count('<div class="number">') == 4
    assert '<p class="legend">' in page
    assert "a green {cross} &amp; &lt;b&gt;more&lt;/b&gt;" in page
    assert "<b>more" not in page
    assert "&lt;b&gt;brighter&lt;/b&gt;" in page, "what the judge said"
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "//" not in re.sub(r"base64,[^\"]+", "", page), "no address"
    first = records(tmp_path)[0]
    pictures = [Image.open(io.BytesIO(base64.b64decode(found))) for found in re.findall(r"base64,([^\"]+)", page)]
    assert len(pictures) == 6
    assert pictures[0].convert("RGB").getpixel((0, 0)) == (shade(first["candidates"][first["chosen"]]["seed"]),) * 3
    assert f"{first['candidates'][first['chosen']]['score']:.3f}</b> chosen" in page


def test_dots_of_equal_scores_do_not_hide_each_other() -> None:
    scores = (1.0, 0.25, 1.0, None, 1.0, 0.26)
    record = {"candidates": [{"score": score} for score in scores], "chosen": 2, "rejected": 1}
    drawn = score_line(record)
    dots = [tuple(map(float, dot)) for dot in re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="(\d)"', drawn)]
    assert len(dots) == 5
    for (x, y, r), (other_x, other_y, other_r) in combinations(dots, 2):
        assert hypot(x - other_x, y - other_y) >= r + other_r - 2, "two coloured ones may overlap a little"
    on_line = float(re.search(r'y1="(\d+)"', drawn)[1])  # type: ignore[index]
    assert [y for _, y, r in dots if r == 6] == [on_line, on_line], "chosen and rejected"
    assert min(y - r for _, y, r in dots) >= 0
    apart = score_line({"candidates": [{"score": 1.0}, {"score": 0.0}], "chosen": 0, "rejected": 1})
    assert 'viewBox="0 0 320 32"' in apart


def test_a_large_gallery_is_spread_over_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusers_ext.gallery.PAIRS_SHOWN", 3)
    build_pairs(paint, [f"({n})" for n in range(8)], judge=bright, folder=tmp_path, candidates=2)
    page = (tmp_path / "gallery.html").read_text()
    assert re.findall(r'class="pair"><p>\((\d)\)', page) == ["0", "3", "6"]
    assert "3 of 8 are shown" in page
