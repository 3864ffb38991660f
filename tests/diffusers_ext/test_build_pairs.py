"""From prompts to pairs: with real, tiny pipelines and with a painter whose pictures are known to the pixel."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from diffusers_ext import build_pairs as module
from diffusers_ext.build_pairs import build_pairs
from diffusers_ext.load_pipeline import fingerprint
from diffusers_ext.preferences import read_preferences
from diffusers_ext.sample import samples
from tests.diffusers_ext.painter import bright, brightness, paint, shade
from tests.diffusers_ext.tiny_pairs import PROMPTS, graded, records, shade_of
from tests.diffusers_ext.tiny_pipelines import CLIP, PICTURE, clip_pipeline, picture_pipeline
from unireward_plugins.errors import BackendError, UniRewardError
from unireward_plugins.judges import ModelJudge, both_orders
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Verdict

torch.set_num_threads(1)


def repaint(prompt: str, **call: Any) -> Any:
    return paint(prompt, **call)


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

    prompts = ["a red circle", "a green circle"]
    build_pairs(painter, prompts, judge="shapes", folder=tmp_path, candidates=4)
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
    asked = load_judge("shapes")
    assert isinstance(asked, ModelJudge)
    reworded = {key: replace(rubric, template=f"{rubric.template} Hm?") for key, rubric in asked.rubrics.items()}
    with pytest.raises(UniRewardError, match=r"other settings: rubrics was \[{'name': 'shapes\.image_gen\.point'"):
        build_pairs(painter, prompts, judge=replace(asked, rubrics=reworded), folder=tmp_path, candidates=4)


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
    with pytest.raises(UniRewardError, match=r"makes the pairs in '.*p' is not finished: give the command"):
        read_preferences(tmp_path / "p")
    assert not (tmp_path / "p" / "README.md").exists()
    painted += [""] * 20
    first = len(painted)
    assert run().pairs == 7
    assert painted[first:] == [prompt for prompt in prompts[4:] for _ in range(2)]
    assert [record["number"] for record in records(tmp_path / "p")] == list(range(7))
    before = {path: path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file()}
    assert run().pairs == 7, "a run that is done says so again"
    assert before == {path: path.read_bytes() for path in (tmp_path / "p").rglob("*") if path.is_file()}
    assert len(read_preferences(tmp_path / "p")) == 7
    (tmp_path / "p" / "README.md").unlink()
    with pytest.raises(UniRewardError, match="is not finished"):
        read_preferences(tmp_path / "p")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"candidates": 4}, "candidates was 2 and is 4"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"call": {"side": 8}}, r"call was {} and is {'side': 8}"),
        ({"way": "grades"}, "way was None and is 'grades'"),
        ({"prompts": ["another"]}, "prompts was .* and is "),
        ({"judge": graded(shade_of)}, "judge was .*bright.* and is .*graded"),
        ({"pipeline": repaint}, "pipeline was .*paint.* and is .*repaint"),
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
    with pytest.raises(UniRewardError, match=f"holds a run with other settings: {complaint}"):
        build_pairs(**settings | changed)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_run_that_finished_nothing_does_not_stand_in_the_way(tmp_path: Path) -> None:
    def leaves(cases: Sequence[Case]) -> list[Verdict]:
        raise BackendError("the server is gone")

    settings: dict[str, Any] = {"pipeline": paint, "folder": tmp_path / "p", "candidates": 2}
    with pytest.raises(BackendError):
        build_pairs(prompts=PROMPTS, judge=leaves, **settings)
    (tmp_path / "p" / "shards" / ".00000.part").mkdir(parents=True)
    assert build_pairs(prompts=PROMPTS[:2], judge=bright, **settings).pairs == 2
    assert not (tmp_path / "p" / "shards").exists()
    with pytest.raises(UniRewardError, match="holds a run with other settings: prompts was"):
        build_pairs(prompts=PROMPTS, judge=bright, **settings)


def test_another_plan_beside_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"mine": 1}')
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UniRewardError, match="holds a run with other settings: mine was 1"):
        build_pairs(paint, PROMPTS, judge=bright, folder=tmp_path, candidates=2)
    assert (tmp_path / "plan.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize(("steps", "said"), [(0, "ZeroDivisionError|IndexError|ValueError"), ("abc", "TypeError")])
def test_a_call_that_the_pipeline_fails_at_is_bad_input(pipeline: Any, tmp_path: Path, steps: Any, said: str) -> None:
    call = {**PICTURE, "num_inference_steps": steps}
    with pytest.raises(UniRewardError, match=rf"was called with .*num_inference_steps={steps!r}.*: ({said}): .+Change"):
        build_pairs(pipeline, PROMPTS, judge=bright, folder=tmp_path, candidates=2, call=call)
    assert build_pairs(pipeline, PROMPTS, judge=bright, folder=tmp_path, candidates=2, call=PICTURE).pairs


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError("full"), BackendError("gone"), KeyboardInterrupt()])
def test_what_is_not_the_fault_of_the_call_is_not_blamed_on_it(tmp_path: Path, error: BaseException) -> None:
    def painter(prompt: str, *, side: int, **given: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as raised:
        build_pairs(painter, PROMPTS, judge=bright, folder=tmp_path, candidates=2, call={"side": 3})
    assert raised.value is error


def test_other_weights_are_another_pipeline(tmp_path: Path) -> None:
    trained = picture_pipeline()
    settings: dict[str, Any] = {"judge": bright, "folder": tmp_path, "candidates": 2, "call": PICTURE}
    build_pairs(trained, ["a"], **settings)
    with torch.no_grad():
        next(trained.unet.parameters()).add_(1e-3)
    with pytest.raises(UniRewardError, match=r"pipeline was .* and is {"):
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
