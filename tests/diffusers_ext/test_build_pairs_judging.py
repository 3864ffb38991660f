"""The ways in which `build_pairs` has a judge find the best and the worst of a prompt's candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from diffusers_ext.build_pairs import build_pairs
from diffusers_ext.preferences import read_preferences
from tests.diffusers_ext.painter import bright, brightness, paint, shade
from tests.diffusers_ext.tiny_pairs import PROMPTS, graded, records, shade_of
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.types import Case, Verdict

torch.set_num_threads(1)


def test_neighbours_are_the_published_recipe(tmp_path: Path) -> None:
    build_pairs(paint, PROMPTS, judge=bright, folder=tmp_path, candidates=10)
    for one in records(tmp_path):
        scores = [shade(candidate["seed"]) for candidate in one["candidates"]]
        winners = [max((2 * j, 2 * j + 1), key=scores.__getitem__) for j in range(5)]
        losers = [min((2 * j, 2 * j + 1), key=scores.__getitem__) for j in range(5)]
        assert one["way"] == "neighbours"
        assert (one["chosen"], one["rejected"]) == (
            max(winners, key=scores.__getitem__),
            min(losers, key=scores.__getitem__),
        )


def test_the_best_is_looked_for_among_winners_and_the_worst_among_losers(tmp_path: Path) -> None:
    """The judge compares against its grades: winners of comparisons are the darker ones."""

    def contrary(cases: Sequence[Case]) -> list[Verdict]:
        verdicts = bright(cases)
        return [
            verdict.reversed() if len(case.candidates) == 2 else verdict
            for case, verdict in zip(cases, verdicts, strict=True)
        ]

    built = build_pairs(paint, ["a"], judge=contrary, folder=tmp_path / "two", candidates=2)
    assert built.dropped == {"not_better": 1}
    build_pairs(paint, ["a"], judge=contrary, folder=tmp_path / "six", candidates=6)
    (one,) = records(tmp_path / "six")
    scores = [shade(seed) for seed in range(6)]
    winners = [min((2 * j, 2 * j + 1), key=scores.__getitem__) for j in range(3)]
    losers = [max((2 * j, 2 * j + 1), key=scores.__getitem__) for j in range(3)]
    best, worst = max(winners, key=scores.__getitem__), min(losers, key=scores.__getitem__)
    assert scores[best] > scores[worst]
    assert (one["chosen"], one["rejected"]) == (best, worst)


def test_a_judge_that_only_compares_plays_a_tournament_in_both_orders(tmp_path: Path) -> None:
    asked: list[Case] = []

    def compares(cases: Sequence[Case]) -> list[Verdict]:
        if any(len(case.candidates) != 2 for case in cases):
            raise UnsupportedCase("compares two")
        asked.extend(cases)
        return graded(shade_of)(cases)

    build_pairs(paint, ["a"], judge=compares, folder=tmp_path, candidates=4)
    (one,) = records(tmp_path)
    assert one["way"] == "tournament"
    assert sorted(candidate["score"] for candidate in one["candidates"]) == [
        0,
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
        1,
    ]
    shades = [shade(seed) for seed in range(4)]
    assert (shades[one["chosen"]], shades[one["rejected"]]) == (max(shades), min(shades))
    games = asked[1:]  # the first was to find out what the judge can do
    assert len(games) == 12
    assert all(game.reversed() in games for game in games)


def test_a_judge_that_only_grades_does(tmp_path: Path) -> None:
    def grades(cases: Sequence[Case]) -> list[Verdict]:
        if any(len(case.candidates) != 1 for case in cases):
            raise UnsupportedCase("grades one")
        return bright(cases)

    build_pairs(paint, ["a"], judge=grades, folder=tmp_path, candidates=5)
    (one,) = records(tmp_path)
    shades = [shade(seed) for seed in range(5)]
    assert (one["way"], one["games"]) == ("grades", [])
    assert (shades[one["chosen"]], shades[one["rejected"]]) == (max(shades), min(shades))


def test_an_odd_candidate_without_a_neighbour_is_compared_all_the_same(tmp_path: Path) -> None:
    build_pairs(paint, ["a"], judge=bright, folder=tmp_path, candidates=5)
    (one,) = records(tmp_path)
    shades = [shade(seed) for seed in range(5)]
    assert (one["way"], len(one["games"])) == ("tournament", 10)
    assert (shades[one["chosen"]], shades[one["rejected"]]) == (max(shades), min(shades))


def test_a_judge_that_always_says_first_gives_no_pair(tmp_path: Path) -> None:
    def first(cases: Sequence[Case]) -> list[Verdict]:
        return [Verdict((1.0, 0.0)) if len(case.candidates) == 2 else Verdict((0.5,)) for case in cases]

    for way in ("neighbours", "tournament"):
        built = build_pairs(paint, PROMPTS, judge=first, folder=tmp_path / way, candidates=4, way=way)
        assert built.dropped == {"tie": 3}
        assert not (tmp_path / way / "README.md").exists(), "a folder without a pair is no dataset"
        assert "There is none." in (tmp_path / way / "gallery.html").read_text()
        with pytest.raises(UniRewardError, match=r"holds no pair: none of its prompts gave one. .*dropped.jsonl says"):
            read_preferences(tmp_path / way)
    (tmp_path / "tournament" / "dropped.jsonl").unlink()
    with pytest.raises(UniRewardError, match="is not finished: give the command that began it"):
        read_preferences(tmp_path / "tournament")


def test_a_judge_of_something_else_says_so(tmp_path: Path) -> None:
    def texts_only(cases: Sequence[Case]) -> list[Verdict]:
        raise UnsupportedCase("judges texts")

    with pytest.raises(UnsupportedCase, match="judges no image_generation, neither one at a time nor two"):
        build_pairs(paint, PROMPTS, judge=texts_only, folder=tmp_path, candidates=4)


def leaning(cases: Sequence[Case]) -> list[Verdict]:
    """Likes what is bright, and a little what stands first; says how bright as well, on a scale of its own."""
    verdicts = []
    for case, verdict in zip(cases, bright(cases), strict=True):
        light = {"light": tuple(10 * brightness(candidate) for candidate in case.candidates)}
        first = verdict.scores[0] + (0.1 if len(case.candidates) == 2 else 0)  # type: ignore[index]
        verdicts.append(Verdict((first, 1 - first) if len(case.candidates) == 2 else (first,), light))
    return verdicts


def agree(*seeds: int) -> bool:
    """Whether that judge prefers the same of two samples both ways."""
    first, second = map(shade, seeds)
    return abs(first - second) / 255 > 0.2


def test_rows_say_whether_both_orders_agree_and_the_numbers_behind_the_grades(
    tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    prompts = [str(number) for number in range(12)]
    build_pairs(paint, prompts, judge=leaning, folder=tmp_path / "p", candidates=4)
    rows, seen = load(tmp_path / "p"), set[bool]()
    for one, row in zip(records(tmp_path / "p"), rows, strict=True):
        seeds = [candidate["seed"] for candidate in one["candidates"]]
        pairs = {one["chosen"] // 2, one["rejected"] // 2}
        expected = [agree(*seeds[2 * place : 2 * place + 2]) for place in range(2)]
        assert [game["orders_agree"] for game in one["games"]] == expected
        assert row["orders_agree"] == all(expected[place] for place in pairs), "each was compared with its neighbour"
        (light,) = row["aspects"]
        shades = [shade(row[f"{role}_seed"]) / 255 for role in ("chosen", "rejected")]
        assert (light["name"], light["chosen"], light["rejected"]) == (
            "light",
            *(pytest.approx(10 * s) for s in shades),
        )
        seen.add(row["orders_agree"])
    assert seen == {True, False}
    flips = sum(not game["orders_agree"] for one in records(tmp_path / "p") for game in one["games"])
    card = (tmp_path / "p" / "README.md").read_text()
    assert f"Order flips: {flips} of 24 (" in card
    assert "Unread: 0 of 72 (0.0%) of the verdicts." in card
    assert (
        "4 candidates of each of 12 prompts, drawn from `tests.diffusers_ext.painter.paint`, seeds from 0 on." in card
    )


def test_in_a_tournament_the_two_were_compared_and_alone_nobody_is(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    for way in ("tournament", "grades"):
        build_pairs(paint, ["a", "b"], judge=leaning, folder=tmp_path / way, candidates=2, seed=3, way=way)
    agreed = [agree(3, 4), agree(5, 6)]
    assert load(tmp_path / "tournament")["orders_agree"][:] == agreed
    assert {"aspects", "orders_agree"} & set(load(tmp_path / "tournament").column_names) == {"orders_agree"}
    assert {"aspects", "orders_agree"} & set(load(tmp_path / "grades").column_names) == {"aspects"}
    assert "Order flips" not in (tmp_path / "grades" / "README.md").read_text()


def test_what_was_not_read_both_ways_neither_agrees_nor_flips(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    def mute(cases: Sequence[Case]) -> list[Verdict]:
        """Says nothing of the darkest of three before the brightest."""
        ends = [sorted(map(shade, range(3)))[place] for place in (0, 2)]
        return [
            Verdict(None, unread="truncated")
            if [shade_of(Case("", (one,))) for one in case.candidates] == ends
            else told
            for case, told in zip(cases, bright(cases), strict=True)
        ]

    build_pairs(paint, ["a"], judge=mute, folder=tmp_path, candidates=3, way="tournament")
    (row,) = load(tmp_path)
    assert [shade(row[f"{role}_seed"]) for role in ("chosen", "rejected")] == [max(map(shade, range(3))), shade(0)]
    assert row["orders_agree"] is None
    card = (tmp_path / "README.md").read_text()
    assert "Order flips: 0 of 2 (0.0%)" in card
    assert "Unread: 1 of 3 (33.3%) of the verdicts." in card
