"""From prompts to pairs: with real, tiny pipelines and with a painter whose pictures are known to the pixel."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from diffusers_ext import build_pairs as module
from diffusers_ext.build_pairs import Built, build_pairs
from diffusers_ext.command import report
from diffusers_ext.load_pipeline import check_call, fingerprint, load_pipeline
from diffusers_ext.preferences import read_preferences
from diffusers_ext.sample import samples
from tests.diffusers_ext.painter import bright, brightness, paint, shade
from tests.diffusers_ext.tiny_pipelines import CLIP, PICTURE, clip_pipeline, picture_pipeline, safety_checker
from unireward_plugins import plugins
from unireward_plugins.cli import main
from unireward_plugins.errors import BackendError, UniRewardError, UnsupportedCase
from unireward_plugins.judges import both_orders
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.pairs import DROP_REASONS
from unireward_plugins.types import Case, Judge, Verdict

torch.set_num_threads(1)
PROMPTS = ["a red circle", "a blue square", "a green {cross} & <b>more</b>"]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return picture_pipeline()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    """`datasets.load_dataset` on a folder, with its cache in a temporary folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    return lambda folder: datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))


def records(folder: Path) -> list[dict[str, Any]]:
    files = sorted([*folder.glob("pairs-*/*/records.jsonl"), *folder.glob("shards/*/records.jsonl")])
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def dropped(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "dropped.jsonl").read_text().splitlines()]


def graded(by: Callable[[Case], float | None]) -> Judge:
    """A judge that grades by a function, and compares by the same; `None` is a reply without a verdict."""

    def judge(cases: Sequence[Case]) -> list[Verdict]:
        verdicts = []
        for case in cases:
            grades = [by(Case(case.prompt, (candidate,))) for candidate in case.candidates]
            if None in grades:
                verdicts.append(Verdict(None, unread="truncated"))
            elif len(grades) == 1:
                verdicts.append(Verdict((grades[0],)))  # type: ignore[arg-type]
            else:
                verdicts.append(Verdict({1: (1.0, 0.0), 0: (0.5, 0.5), -1: (0.0, 1.0)}[np.sign(grades[0] - grades[1])]))  # type: ignore[operator]
        return verdicts

    return judge


def repaint(prompt: str, **call: Any) -> Any:
    return paint(prompt, **call)


def shade_of(case: Case) -> int:
    return int(np.asarray(case.candidates[0].pil())[0, 0, 0])  # type: ignore[union-attr]


# --- what a run gives ------------------------------------------------------------------------------------------------


def test_pairs_of_pictures_are_a_dataset_that_diffusion_dpo_scripts_read(
    pipeline: Any, tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    built = build_pairs(pipeline, PROMPTS, judge=bright, folder=tmp_path / "p", candidates=4, seed=5, call=PICTURE)
    assert (built.prompts, built.pairs, built.dropped, built.left_out) == (3, 3, {}, {})
    rows = load(tmp_path / "p")
    assert rows["caption"][:] == rows["prompt"][:] == PROMPTS
    # The steps of `preprocess_train` in diffusers' `train_diffusion_dpo.py`: bytes to pictures, swapped by label.
    columns = rows[:]
    pictures = [
        [Image.open(io.BytesIO(content)).convert("RGB") for content in columns[name]] for name in ("jpg_0", "jpg_1")
    ]
    for first, second, label in zip(*pictures, columns["label_0"], strict=True):
        chosen, rejected = (first, second) if label else (second, first)
        assert brightness(Media.of(chosen)) > brightness(Media.of(rejected))
    for number, row in enumerate(rows):
        assert row["margin"] == row["chosen_score"] - row["rejected_score"] > 0
        for role in ("chosen", "rejected"):
            seed = row[f"{role}_seed"]
            assert seed in range(5 + 4 * number, 9 + 4 * number), "no two candidates share their noise"
            again = pipeline(
                PROMPTS[number], generator=torch.Generator().manual_seed(seed), output_type="pil", **PICTURE
            )
            difference = np.asarray(again[0][0]).astype(int) - np.asarray(row[role])
            assert abs(difference).max() <= 2, "a seed gives its picture again, but for the rounding of a batch"
        origin = json.loads(row["origin"])
        assert origin["class"] == "StableDiffusionPipeline"
        assert origin["weights"] == fingerprint(pipeline)
        assert (origin["dtype"], origin["device"], origin["noise"]) == ("float32", "cpu", "torch.Generator('cpu')")
        assert (origin["call"], origin["together"]) == (PICTURE, 4)
        assert {"torch", "diffusers", "unireward-plugins"} <= origin["versions"].keys()


def test_pairs_of_clips_are_lists_of_frames(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    wan = clip_pipeline()
    build_pairs(wan, PROMPTS[:2], judge=bright, folder=tmp_path / "p", candidates=2, call=CLIP)
    rows = load(tmp_path / "p")
    assert [len(row["chosen"]) for row in rows] == [5, 5]
    (row, _) = rows
    (drawn,) = samples(wan, PROMPTS[0], count=1, seed=row["chosen_seed"], call=CLIP)
    assert isinstance(drawn.output, list)
    for frame, again in zip(row["chosen"], drawn.output, strict=True):
        assert abs(np.asarray(frame).astype(int) - np.asarray(again)).max() <= 2
    assert "task_categories:\n- text-to-video" in (tmp_path / "p" / "README.md").read_text()
    page = (tmp_path / "p" / "gallery.html").read_text()
    (first, *_) = re.findall(r"data:image/webp;base64,([^\"]+)", page)
    assert Image.open(io.BytesIO(base64.b64decode(first))).n_frames > 1  # type: ignore[attr-defined]


def test_every_candidate_is_kept_with_its_seed_its_score_and_what_was_said(tmp_path: Path) -> None:
    build_pairs(paint, PROMPTS, judge=bright, folder=tmp_path, candidates=4, seed=100, call={"side": 8})
    kept = records(tmp_path)
    assert [one["number"] for one in kept] == [0, 1, 2]
    assert [candidate["seed"] for one in kept for candidate in one["candidates"]] == list(range(100, 112))
    for one in kept:
        assert [candidate["score"] for candidate in one["candidates"]] == [
            pytest.approx(shade(candidate["seed"]) / 255) for candidate in one["candidates"]
        ]
        assert one["candidates"][0]["said"].startswith("brightness 0.")
        assert [(game["first"], game["second"]) for game in one["games"]] == [(0, 1), (2, 3)]
        assert one["origin"]["call"] == {"side": 8}


def test_the_embedded_judge_is_asked_in_its_own_words(tmp_path: Path) -> None:
    from unireward_plugins.shapes.render import render
    from unireward_plugins.shapes.scene import Scene, Shape

    scenes = [Scene((Shape("circle", colour, "large"),)) for colour in ("red", "blue", "green", "yellow")]
    drawn = [Image.fromarray(pixels) for pixels in render(scenes, seed=0)]

    def painter(prompt: str, *, generator: Any, output_type: str) -> Any:
        return ([drawn[generator.initial_seed() % 4]],)

    build_pairs(painter, ["a red circle", "a green circle"], judge="shapes", folder=tmp_path, candidates=4)
    judge = both_orders(load_judge("shapes"))
    pictures = [Media.of(picture) for picture in drawn]
    for one in records(tmp_path):
        grades = judge([Case(one["prompt"], (picture,)) for picture in pictures])
        assert [(candidate["score"], candidate["said"]) for candidate in one["candidates"]] == [
            (None if grade.scores is None else grade.scores[0], grade.reply) for grade in grades
        ]
        games = judge([Case(one["prompt"], tuple(pictures[:2])), Case(one["prompt"], tuple(pictures[2:]))])
        assert [(game["share"], game["said"]) for game in one["games"]] == [
            (None if game.scores is None else game.scores[0], game.reply) for game in games
        ]
        assert (one["way"], one["rubric"]) == ("neighbours", "shapes.image_gen.pair, shapes.image_gen.point")
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["judge"]["name"] == "shapes"
    assert plan["judge"]["revision"].startswith("sha256:")


# --- ways of judging -------------------------------------------------------------------------------------------------


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
    with pytest.raises(UniRewardError, match="holds no pair yet: the run that makes it is not finished"):
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


# --- what does not count ---------------------------------------------------------------------------------------------


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


def test_where_most_prompts_are_ties_more_candidates_are_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    report(Built(Path("p"), prompts=4, pairs=1, dropped={"tie": 3}, left_out={}))
    told = capsys.readouterr()
    assert "no pair: a tie, no candidate is better than another\t3" in told.out
    assert "3 of 4 prompts gave no pair because of a tie: more candidates of each (--candidates) can help" in told.err
    assert "dropped.jsonl" in told.err
    report(Built(Path("p"), prompts=4, pairs=2, dropped={"tie": 2}, left_out={}))
    assert "--candidates" not in capsys.readouterr().err
    report(Built(Path("p"), prompts=4, pairs=4, dropped={}, left_out={}))
    assert capsys.readouterr().err == f"see {Path('p') / 'gallery.html'}\n"


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


# --- going on, and refusing to ---------------------------------------------------------------------------------------


def test_a_run_that_was_interrupted_goes_on_and_asks_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD_PROMPTS", 2)
    prompts = [f"prompt {number}" for number in range(7)]
    painted: list[str] = []

    def painter(prompt: str, **call: Any) -> Any:
        painted.append(prompt)
        return paint(prompt, **call)

    def leaves(cases: Sequence[Case]) -> list[Verdict]:
        if any(case.prompt == "prompt 4" for case in cases) and len(painted) < 20:
            raise BackendError("the server is gone")
        return bright(cases)

    def run() -> Any:
        return build_pairs(painter, prompts, judge=leaves, folder=tmp_path / "p", candidates=2)

    with pytest.raises(BackendError, match="the server is gone"):
        run()
    assert [record["number"] for record in records(tmp_path / "p")] == [0, 1, 2, 3]
    assert not (tmp_path / "p" / "README.md").exists()
    painted += [""] * 20
    first = len(painted)
    assert run().pairs == 7
    assert painted[first:] == [prompt for prompt in prompts[4:] for _ in range(2)]
    assert [record["number"] for record in records(tmp_path / "p")] == list(range(7))
    before = {path: path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file()}
    assert run().pairs == 7, "a run that is done says so again"
    assert before == {path: path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"candidates": 4}, "candidates was 2 and is now 4"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"call": {"side": 8}}, r'call was {} and is now {"side": 8}'),
        ({"way": "grades"}, 'way was null and is now "grades"'),
        ({"prompts": ["another"]}, "prompts was .* and is now"),
        ({"judge": graded(shade_of)}, "judge was .*bright.* and is now .*graded"),
        ({"pipeline": repaint}, "pipeline was .*paint.* and is now .*repaint"),
    ],
)
def test_a_run_with_other_settings_is_refused_and_nothing_is_touched(
    tmp_path: Path, changed: dict[str, Any], complaint: str
) -> None:
    settings: dict[str, Any] = {
        "pipeline": paint,
        "prompts": PROMPTS,
        "judge": bright,
        "folder": tmp_path,
        "candidates": 2,
    }
    build_pairs(**settings)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UniRewardError, match=f"begun with other settings: {complaint}"):
        build_pairs(**settings | changed)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_other_weights_are_another_pipeline(tmp_path: Path) -> None:
    trained = picture_pipeline()
    settings: dict[str, Any] = {"judge": bright, "folder": tmp_path, "candidates": 2, "call": PICTURE}
    build_pairs(trained, ["a"], **settings)
    with torch.no_grad():
        next(trained.unet.parameters()).add_(1e-3)
    with pytest.raises(UniRewardError, match=r"pipeline was .* and is now"):
        build_pairs(trained, ["a"], **settings)


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".mine.part").write_text("mine")
    with pytest.raises(UniRewardError, match="holds no run to go on with"):
        build_pairs(paint, PROMPTS, judge=bright, folder=tmp_path, candidates=2)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.part"]


def test_other_pairs_at_the_same_path_are_not_read_from_the_cache(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    import shutil

    for seed in (0, 50, 0):
        build_pairs(paint, ["a"], judge=bright, folder=tmp_path / "p", candidates=2, seed=seed)
        assert load(tmp_path / "p")["chosen_seed"][0] in (seed, seed + 1)
        shutil.rmtree(tmp_path / "p")


def test_large_samples_make_small_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 4 * 2 * 4 * 4 * 3)
    build_pairs(paint, [str(number) for number in range(10)], judge=bright, folder=tmp_path, candidates=2)
    sizes = [len(file.read_text().splitlines()) for file in sorted(tmp_path.glob("pairs-*/*/records.jsonl"))]
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"candidates": 1}, "at least two candidates of each prompt, got 1"),
        ({"candidates": 3, "way": "neighbours"}, "even number of candidates, not 3"),
        ({"way": "best"}, "no way 'best' of judging; there are neighbours, tournament, grades"),
        ({"call": {"sides": 3}}, "paint takes no argument 'sides'. Did you mean 'side'"),
        ({"call": {"generator": 3}}, "generator cannot be passed on"),
        ({"call": {"side": Image.new("RGB", (1, 1))}}, "call argument 'side' is a Image, which cannot be written down"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UniRewardError, match=complaint):
        build_pairs(paint, PROMPTS, judge=bright, folder=tmp_path, **settings)


# --- drawing ---------------------------------------------------------------------------------------------------------


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
    with pytest.raises(TypeError, match="string formatting"):
        # What is wrong with one prompt, too, is said.
        build_pairs(picky, ["a"], judge=bright, folder=tmp_path / "x", candidates=2, call=PICTURE | {"height": "tall"})


def test_a_pipeline_is_loaded_from_its_folder_and_known_by_its_weights(pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    loaded: Any = load_pipeline(tmp_path)
    assert isinstance(loaded, DiffusionPipeline)
    assert fingerprint(loaded) == fingerprint(pipeline)
    assert load_pipeline(paint) is paint
    assert fingerprint(loaded) != fingerprint(clip_pipeline())


@pytest.mark.parametrize(
    ("ref", "complaint"),
    [
        ("nothing-here", "'nothing-here' names no pipeline. Give a Hub id"),
        ("{empty}", "holds no diffusers pipeline: there is no model_index.json"),
    ],
)
def test_what_names_no_pipeline_is_refused(ref: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=re.escape(complaint)):
        load_pipeline(ref.format(empty=tmp_path))


def test_a_folder_that_cannot_be_loaded_is_a_backend_error(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(BackendError, match="cannot be loaded"):
        load_pipeline(tmp_path)


def test_arguments_are_checked_against_the_pipeline(pipeline: Any) -> None:
    check_call(pipeline, PICTURE)
    with pytest.raises(UniRewardError, match=r"takes no argument 'guidance'\. Did you mean 'guidance_"):
        check_call(pipeline, {"guidance": 1})


# --- the gallery and the command -------------------------------------------------------------------------------------


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


def test_a_large_gallery_is_spread_over_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffusers_ext.gallery.PAIRS_SHOWN", 3)
    build_pairs(paint, [f"({n})" for n in range(8)], judge=bright, folder=tmp_path, candidates=2)
    page = (tmp_path / "gallery.html").read_text()
    assert re.findall(r'class="pair"><p>\((\d)\)', page) == ["0", "3", "6"]
    assert "3 of 8 are shown" in page


@pytest.fixture
def brightness_judge(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example plug-in's judge, as `--judge brightness`."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "example_plugin")
    import unireward_brightness

    plugins.plugin_manager().register(unireward_brightness, name="unireward-brightness")
    yield
    plugins.plugin_manager().unregister(unireward_brightness)


@pytest.mark.usefixtures("brightness_judge")
def test_the_command_does_the_same(
    pipeline: Any, tmp_path: Path, load: Callable[[Path], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.save_pretrained(tmp_path / "pipeline")
    (tmp_path / "prompts.txt").write_text("a red circle\n\na blue square\n")
    command = ["pairs", "generation", str(tmp_path / "pipeline"), "--prompts", str(tmp_path / "prompts.txt")]
    command += ["--judge", "brightness", "--candidates", "4", "--output", str(tmp_path / "pairs")]
    command += [part for name, value in PICTURE.items() for part in ("--call", f"{name}={value}")]
    assert main([*command, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out == {
        "folder": str(tmp_path / "pairs"),
        "gallery": str(tmp_path / "pairs" / "gallery.html"),
        "prompts": 2,
        "pairs": 2,
        "dropped": {},
        "left_out": {},
    }
    assert load(tmp_path / "pairs")["prompt"][:] == ["a red circle", "a blue square"]
    origin = json.loads(load(tmp_path / "pairs")[0]["origin"])
    assert (origin["pipeline"], origin["call"]) == (f"pipeline@{origin['weights'][:8]}", PICTURE)
    assert main([*command]) == 0
    assert "pairs\t2" in capsys.readouterr().out
    assert main([*command, "--seed", "1"]) == 2
    assert "begun with other settings: seed was 0 and is now 1" in capsys.readouterr().err


@pytest.mark.usefixtures("brightness_judge")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--call", "height"], "'height' is not of the form name=value"),
        (["--call", "heigth=3"], "Did you mean 'height'"),
        (["--candidates", "1"], "1 is not in the range x>=2"),
    ],
)
def test_the_command_explains_what_is_wrong(
    pipeline: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    pipeline.save_pretrained(tmp_path / "pipeline")
    (tmp_path / "prompts.txt").write_text("a red circle")
    command = ["pairs", "generation", str(tmp_path / "pipeline"), "--prompts", str(tmp_path / "prompts.txt")]
    assert main([*command, "--judge", "brightness", "--output", str(tmp_path / "pairs"), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "pairs").exists()
