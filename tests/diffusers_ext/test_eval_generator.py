"""Measuring generators: with real, tiny pipelines, and with painters whose pictures are known to the pixel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from diffusers_ext.estimates import grouped_mean
from diffusers_ext.eval_generator import FORMAT, Results, eval_generator
from diffusers_ext.prompt_list import read_prompt_list
from tests.diffusers_ext.painter import bright, paint, shade
from tests.diffusers_ext.tiny_pipelines import CLIP, PICTURE, clip_pipeline, picture_pipeline
from unireward_plugins import plugins
from unireward_plugins.cli import main
from unireward_plugins.errors import BackendError, UniRewardError, UnsupportedCase
from unireward_plugins.judges import ModelJudge
from unireward_plugins.loading import load_judge, rubric_table
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import UNREAD_REASONS, Case, Query, Verdict

torch.set_num_threads(1)
PROMPTS = ["a red circle", "a blue square", "a green {cross} & <b>more</b>"]
BRIGHTER = 40
VBENCH = [
    {"prompt_en": "a red circle", "dimension": ["color"], "auxiliary_info": {"color": {"color": "red"}}},
    {"prompt_en": "a blue square, moving", "dimension": ["motion_smoothness", "dynamic_degree"]},
    {"prompt_en": "a red circle", "dimension": ["object_class"]},
]


def paint_brighter(prompt: str, *, generator: Any, output_type: str, side: int = 4) -> tuple[list[Image.Image]]:
    """What `paint` gives from the same seed, brighter."""
    tone = min(255, shade(generator.initial_seed()) + BRIGHTER)
    return ([Image.new("RGB", (side, side), (tone,) * 3)],)


def only_grades(cases: Sequence[Case]) -> list[Verdict]:
    if any(len(case.candidates) > 1 for case in cases):
        raise UnsupportedCase("it only grades")
    return bright(cases)


def only_compares(cases: Sequence[Case]) -> list[Verdict]:
    if any(len(case.candidates) == 1 for case in cases):
        raise UnsupportedCase("it only compares")
    return bright(cases)


def always_first(cases: Sequence[Case]) -> list[Verdict]:
    return [Verdict((1.0,) if len(case.candidates) == 1 else (1.0, 0.0), reply="first") for case in cases]


def measure(folder: Path, **settings: Any) -> Results:
    given = {"judges": [bright], "against": paint_brighter, "samples": 2, "seed": 5}
    return eval_generator(paint, PROMPTS, folder=folder, **(given | settings))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def pixels(file: Path) -> Any:
    with Image.open(file) as picture:
        return np.asarray(picture)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def without_seconds(folder: Path) -> Any:
    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: cleaned(one) for name, one in value.items() if not name.startswith("seconds")}
        return [cleaned(one) for one in value] if isinstance(value, list) else value

    return cleaned(json.loads((folder / "results.json").read_text()))


# --- the numbers -----------------------------------------------------------------------------------------------------


def test_scores_and_win_rates_are_what_the_pictures_say(tmp_path: Path) -> None:
    results = measure(tmp_path / "m")
    (judge,) = results.judges
    tones = [shade(seed) for seed in range(5, 11)]
    brighter = [min(255, tone + BRIGHTER) for tone in tones]
    assert judge["scores"]["pipeline"]["score"]["value"] == pytest.approx(fmean(tones) / 255)
    assert judge["scores"]["against"]["score"]["value"] == pytest.approx(fmean(brighter) / 255)
    gaps = [(one - other) / 255 for one, other in zip(tones, brighter, strict=True)]
    assert judge["difference"]["score"]["value"] == pytest.approx(fmean(gaps))
    games = judge["games"]
    assert games["win_rate"]["value"] == pytest.approx(0.5 + fmean(gaps) / 2)
    assert games["win_rate"]["low"] <= games["win_rate"]["value"] <= games["win_rate"]["high"] < 0.5
    assert (games["by"], games["won"], games["tied"], games["lost"]) == ("comparison", 0, 0, 6)
    assert (games["flip_rate"]["value"], games["flip_rate"]["cases"], games["unread"]) == (0, 6, {})
    assert games["first_rate"]["value"] == pytest.approx(0.5)
    assert games["first_rate"]["cases"] == 12


def test_all_that_was_drawn_and_said_is_written_down(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    results = measure(folder)
    written = json.loads((folder / "results.json").read_text())
    assert written["format"] == FORMAT
    assert (written["task"], written["seed"], written["samples_per_prompt"]) == ("image_generation", 5, 2)
    assert written["frames_per_second"] is None
    assert {"torch", "diffusers", "unireward-plugins"} <= written["versions"].keys()
    key = results.judges[0]["key"]
    items = lines(folder)
    assert [item["prompt"] for item in items] == PROMPTS
    seeds = [sample["seed"] for item in items for sample in item["samples"]["pipeline"]]
    assert seeds == list(range(5, 11)) == [one["seed"] for item in items for one in item["samples"]["against"]]
    for item in items:
        for index, sample in enumerate(item["samples"]["pipeline"]):
            tone = pixels(folder / sample["file"])[0, 0, 0]
            assert tone == shade(sample["seed"])
            assert item["verdicts"][key]["pipeline"][index]["score"] == pytest.approx(tone / 255)
            game = item["verdicts"][key]["games"][index]
            straight, turned = game["orders"]
            assert straight["share"] == pytest.approx(turned["share"])
            assert (straight["said"], game["flipped"]) == ("<b>brighter</b>", False)
    assert len(list((folder / "pipeline").iterdir())) == len(list((folder / "against").iterdir())) == 6
    page = (folder / "gallery.html").read_text()
    assert "a green {cross} &amp; &lt;b&gt;more&lt;/b&gt;" in page
    assert "<b>brighter</b>" not in page
    assert page.count("<img ") == 6


def test_each_dimension_of_a_rubric_has_its_mean_and_its_win_rate(tmp_path: Path) -> None:
    """The words of the judge are made up here: no checkpoint of UnifiedReward runs in a test."""

    def reply(query: Query) -> str:
        light = [float(np.asarray(one.pil()).mean()) / 255 for one in query.media]
        if len(light) == 1:
            return f"Alignment Score (1-5): {1 + 4 * light[0]:.4f}\nCoherence Score (1-5): 3.5\nStyle Score (1-5): 2"
        share = 0.5 + (light[0] - light[1]) / 2
        shares = {"Alignment": share, "Coherence": 0.5, "Style": 1 - share}
        return "\n".join(f"{name} Score:\n Image 1: {one}\n Image 2: {1 - one}\n" for name, one in shares.items())

    judge = ModelJudge("scripted", ScriptedBackend(reply), rubric_table(plugins.find_family("2.0-qwen"), None))
    (told,) = measure(tmp_path / "m", judges=[judge]).judges
    aspects = told["scores"]["pipeline"]["aspects"]
    tones = [shade(seed) / 255 for seed in range(5, 11)]
    assert aspects["alignment"]["value"] == pytest.approx(1 + 4 * fmean(tones), abs=1e-3)
    assert (aspects["coherence"]["value"], aspects["style"]["value"]) == (3.5, 2)
    assert told["difference"]["aspects"]["style"]["value"] == 0
    rates = {name: rate["value"] for name, rate in told["games"]["aspects"].items()}
    assert rates == {"alignment": 0, "coherence": 0.5, "style": 1}, "the other one is brighter"
    assert [one["name"] for one in told["rubrics"]] == ["image_gen.point_ACS.v2", "image_gen.pair_score_ACS.v2"]


def test_a_judge_that_always_says_first_flips_every_game_and_wins_half(tmp_path: Path) -> None:
    (judge,) = measure(tmp_path / "m", judges=[always_first]).judges
    games = judge["games"]
    assert (games["flip_rate"]["value"], games["first_rate"]["value"]) == (1, 1)
    assert (games["win_rate"]["value"], games["tied"]) == (0.5, 6)


def test_answers_that_cancel_out_tie_though_their_shares_miss_1_by_rounding(tmp_path: Path) -> None:
    shares = 1 / 1.3, 0.3 / 1.3
    assert sum(shares) / 2 != 0.5

    def softly_first(cases: Sequence[Case]) -> list[Verdict]:
        return [Verdict(shares[: len(case.candidates)]) for case in cases]

    (judge,) = measure(tmp_path / "m", judges=[softly_first]).judges
    games = judge["games"]
    assert (games["win_rate"]["value"], games["tied"], games["flip_rate"]["value"]) == (0.5, 6, 1)


def test_a_judge_that_only_grades_decides_games_by_its_grades(tmp_path: Path) -> None:
    (judge,) = measure(tmp_path / "m", judges=[only_grades]).judges
    games = judge["games"]
    assert (games["by"], games["win_rate"]["value"], games["lost"]) == ("grades", 0, 6)
    assert games["flip_rate"] is None
    assert games["first_rate"] is None


def test_a_judge_that_only_compares_needs_a_second_pipeline(tmp_path: Path) -> None:
    (judge,) = measure(tmp_path / "m", judges=[only_compares]).judges
    assert judge["scores"] is None
    assert judge["games"]["lost"] == 6
    with pytest.raises(UniRewardError, match=r"only_compares.* only compares .*second pipeline"):
        measure(tmp_path / "alone", judges=[only_compares], against=None)


def test_a_judge_that_can_do_neither_says_so(tmp_path: Path) -> None:
    def refuse(cases: Sequence[Case]) -> list[Verdict]:
        raise UnsupportedCase("texts only")

    with pytest.raises(UnsupportedCase, match="texts only"):
        measure(tmp_path / "m", judges=[refuse])


def test_what_is_unread_counts_nowhere_but_as_unread(tmp_path: Path) -> None:
    def mute(cases: Sequence[Case]) -> list[Verdict]:
        """Has no verdict on the first prompt, and of the second's games only one order."""
        silent = {PROMPTS[0]: lambda case: True, PROMPTS[1]: lambda case: shades(case)[0] > shades(case)[-1]}
        return [
            Verdict(None, unread="truncated") if silent.get(case.prompt, lambda case: False)(case) else verdict
            for case, verdict in zip(cases, bright(cases), strict=True)
        ]

    def shades(case: Case) -> list[float]:
        return [float(np.asarray(one.pil()).mean()) for one in case.candidates]  # type: ignore[union-attr]

    (judge,) = measure(tmp_path / "m", judges=[mute]).judges
    assert judge["scores"]["pipeline"]["unread"] == {"truncated": 2}
    page = (tmp_path / "m" / "gallery.html").read_text()
    assert f"which count nowhere above: 10: {UNREAD_REASONS['truncated']}." in page, "2, 2 and 6"
    assert judge["scores"]["pipeline"]["score"]["cases"] == 4
    games = judge["games"]
    assert (games["unread"], games["win_rate"]["cases"], games["lost"]) == ({"truncated": 6}, 2, 2)
    assert games["win_rate"]["low"] is None, "one prompt is no sample of prompts"
    assert [cell["share"] for item in lines(tmp_path / "m") for cell in item["verdicts"][judge["key"]]["games"]][
        :4
    ] == [None] * 4


def test_samples_that_the_safety_checker_blanked_are_not_judged(tmp_path: Path) -> None:
    class Answer(dict[str, Any]):
        def __getitem__(self, key: Any) -> Any:
            return self["images"] if key == 0 else super().__getitem__(key)

    def paint_checked(prompt: str, *, generator: Any, output_type: str) -> Answer:
        found = generator.initial_seed() == 5
        return Answer(images=paint(prompt, generator=generator, output_type="pil")[0], nsfw_content_detected=[found])

    results = eval_generator(
        paint_checked, PROMPTS, judges=[bright], folder=tmp_path / "m", against=paint, samples=2, seed=5
    )
    assert results.generators["pipeline"]["blanked"] == 1
    (judge,) = results.judges
    assert judge["scores"]["pipeline"]["score"]["cases"] == 5
    assert judge["games"]["win_rate"]["cases"] == 5
    first = lines(tmp_path / "m")[0]
    assert first["verdicts"][judge["key"]]["pipeline"][0] is None
    assert first["verdicts"][judge["key"]]["games"][0] is None


def test_the_mean_of_groups_and_its_interval() -> None:
    generator = np.random.default_rng(3)
    groups = [list(generator.random(size)) for size in generator.integers(1, 5, 40)]
    found = grouped_mean([*groups, [None], []])
    numbers = [number for group in groups for number in group]
    assert (found["value"], found["cases"]) == (pytest.approx(fmean(numbers)), len(numbers))
    means = []
    for _ in range(4000):
        drawn = [groups[index] for index in generator.integers(0, 40, 40)]
        means.append(fmean(number for group in drawn for number in group))
    low, high = np.percentile(means, [2.5, 97.5])
    assert found["low"] == pytest.approx(low, abs=0.015)
    assert found["high"] == pytest.approx(high, abs=0.015)
    assert grouped_mean([[0.5]]) == {"value": 0.5, "low": None, "high": None, "cases": 1}
    assert grouped_mean([[None]])["value"] is None


# --- VBench ----------------------------------------------------------------------------------------------------------


def vbench_list(folder: Path) -> Path:
    file = folder / "VBench_full_info.json"
    file.write_text(json.dumps(VBENCH))
    return file


SCORER = """
import json, sys, torch
from vbench import VBench
from vbench.utils import load_video
videos, listed, output = sys.argv[1:]
scorer = VBench(torch.device("cpu"), listed, output)
found = json.load(open(scorer.build_full_info_json(videos, "found", scorer.build_full_dimension_list())))
scorer.evaluate(videos, "measured", dimension_list=["temporal_flickering"])
shapes = {file: list(load_video(file).shape) for row in found for file in row["video_list"]}
told = json.load(open(output + "/measured_eval_results.json"))
print(json.dumps([found, shapes, told["temporal_flickering"]]))
"""
"""VBench's own reading of a folder and a list, and its own number for the one dimension that needs no weights."""


@pytest.mark.skipif("UNIREWARD_VBENCH" not in os.environ, reason="names the Python of an environment with vbench 0.1.5")
def test_vbench_itself_finds_every_clip_and_measures_what_is_in_it(tmp_path: Path) -> None:
    def flicker(prompt: str, *, generator: Any, output_type: str) -> tuple[list[list[Image.Image]]]:
        tone = shade(generator.initial_seed())
        return ([[Image.new("RGB", (32, 32), (tone + 3 * frame,) * 3) for frame in range(4)]],)

    rows = [*VBENCH, {"prompt_en": "In a still frame, a 'stop' sign", "dimension": ["temporal_flickering"]}]
    (listed := tmp_path / "VBench_full_info.json").write_text(json.dumps(rows))
    eval_generator(flicker, listed, judges=[always_first], folder=tmp_path / "m")
    command = [os.environ["UNIREWARD_VBENCH"], "-c", SCORER, tmp_path / "m" / "pipeline", listed, tmp_path / "scored"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found, shapes, (mean, each) = json.loads(done.stdout.splitlines()[-1])
    assert [(row["prompt_en"], row["dimension"]) for row in found] == [
        (row["prompt_en"], row["dimension"]) for row in rows
    ]
    assert [[Path(file).name for file in row["video_list"]] for row in found] == [
        [f"{row['prompt_en']}-{index}.mp4" for index in range(5)] for row in rows
    ]
    assert set(map(tuple, shapes.values())) == {(4, 3, 32, 32)}
    assert len(each) == 5
    assert mean == pytest.approx(1 - 3 / 255, abs=0.5 / 255), "each frame is 3 of 255 brighter than the last"


def test_clips_for_vbench_lie_where_its_scorer_looks(tmp_path: Path) -> None:
    wan = tmp_path / "wan"
    clip_pipeline().save_pretrained(wan)
    call = [word for name, value in CLIP.items() for word in ("--call", f"{name}={value}")]
    code = main(
        f"eval-generator {wan} --prompts {vbench_list(tmp_path)} --judge shapes --fps 16 --output {tmp_path}/m".split()
        + call
    )
    assert code in (0, 1), "random clips may get a reply without a verdict"
    results = json.loads((tmp_path / "m" / "results.json").read_text())
    assert (results["task"], results["samples_per_prompt"], results["frames_per_second"]) == ("video_generation", 5, 16)
    folder = tmp_path / "m" / "pipeline"
    # As VBench looks for them: all of a folder have the ending of its first file, five for each prompt.
    names = [file.name for file in folder.iterdir()]
    ending = Path(names[0]).suffix
    wanted = {f"{row['prompt_en']}-{index}{ending}" for row in VBENCH for index in range(5)}
    assert set(names) == wanted
    with av.open(folder / "a red circle-0.mp4") as clip:
        stream = clip.streams.video[0]
        assert (stream.average_rate, sum(1 for _ in clip.decode(video=0))) == (16, 5)
    (judge,) = results["judges"]
    assert judge["by_dimension"].keys() == {"color", "object_class", "motion_smoothness", "dynamic_degree"}
    assert judge["by_dimension"]["color"]["pipeline"]["cases"] <= 5
    assert judge["rubrics"][0]["frames"] == {"name": "linspace", "count": 8, "fps": None}
    assert lines(tmp_path / "m")[0]["dimensions"] == ["color", "object_class"]


def test_the_table_and_the_page_show_what_there_is_and_no_empty_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from diffusers_ext.generator_command import report

    alone = eval_generator(paint, vbench_list(tmp_path), judges=[bright], folder=tmp_path / "alone", call={"side": 6})
    report(alone, tmp_path / "alone")
    told, notes = capsys.readouterr()
    header, *rows = (line.split("\t") for line in told.splitlines())
    assert header == ["judge", "measured", "pipeline"]
    assert [row[1] for row in rows] == ["score, 0 to 1"] + [
        f"{name}: score, 0 to 1" for name in ("color", "object_class", "motion_smoothness", "dynamic_degree")
    ]
    assert "paint (side=6), 10 samples" in notes
    page = (tmp_path / "alone" / "gallery.html").read_text()
    assert ("motion_smoothness: score" in page, ">against<" in page, ">difference<" in page) == (True, False, False)
    both = measure(tmp_path / "both", against_call={"side": 2})
    report(both, tmp_path / "both")
    header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header[2:] == ["pipeline", "against", "difference"]
    assert [row[1] for row in rows] == ["score, 0 to 1", "win rate by comparison: 0 won, 0 tied, 6 lost", "order flips"]
    assert all(rows[0][2:])
    assert "paint_brighter (side=2): 3 prompts, 2 samples of each" in (tmp_path / "both" / "gallery.html").read_text()


def test_prompts_of_vbench_that_are_no_file_names_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    for prompt, told in (("a/b", "can be no file's name"), ("x" * 250, "can be no file's name"), ("", "has no text")):
        file.write_text(json.dumps([{"prompt_en": prompt, "dimension": []}]))
        with pytest.raises(UniRewardError, match=told):
            read_prompt_list(file)
    file.write_text(json.dumps([{"prompt_en": "a", "dimension": "color"}]))
    with pytest.raises(UniRewardError, match="must be a list of names"):
        read_prompt_list(file)


def test_other_lists_are_read_as_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text(json.dumps([{"prompt": "a/b"}, "c"]))
    found = read_prompt_list(file)
    assert (found.prompts, found.layout, found.stem(1, 0), found.samples) == (("a/b", "c"), "plain", "00001-0", 1)
    file.write_text("{")
    with pytest.raises(UniRewardError, match="is not JSON"):
        read_prompt_list(file)


# --- real pipelines, the embedded judge, and runs that are cut off ---------------------------------------------------


def test_two_pipelines_by_the_embedded_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = picture_pipeline()
    pipeline.save_pretrained(tmp_path / "one")
    with torch.no_grad():
        for weight in pipeline.unet.parameters():
            weight.mul_(1.5)
    pipeline.save_pretrained(tmp_path / "other")
    (tmp_path / "prompts.txt").write_text("a red circle\na blue square\n")
    call = [word for name, value in PICTURE.items() for word in ("--call", f"{name}={value}")]
    code = main(
        f"eval-generator {tmp_path}/one --against {tmp_path}/other --judge shapes --prompts {tmp_path}/prompts.txt "
        f"--samples 2 --json --output {tmp_path}/m".split()
        + call
    )
    printed = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert printed == json.loads((tmp_path / "m" / "results.json").read_text())
    generators = printed["generators"]
    assert generators["pipeline"]["weights"] != generators["against"]["weights"]
    (judge,) = printed["judges"]
    assert judge["revision"].startswith("sha256:")
    assert [rubric["name"] for rubric in judge["rubrics"]] == ["shapes.image_gen.point", "shapes.image_gen.pair"]
    scores = judge["scores"]["pipeline"]
    assert scores["score"]["value"] == pytest.approx((scores["aspects"]["final_score"]["value"] - 1) / 4)
    # What the judge says of a file is what it said in the run, and the file is what its seed gives.
    item = lines(tmp_path / "m")[1]
    sample = item["samples"]["against"][1]
    (again,) = pipeline(
        "a blue square", generator=torch.Generator().manual_seed(sample["seed"]), output_type="pil", **PICTURE
    ).images
    assert np.array_equal(np.asarray(again), pixels(tmp_path / "m" / sample["file"]))
    from unireward_plugins.media import Media

    (verdict,) = load_judge("shapes")([Case("a blue square", (Media.of(tmp_path / "m" / sample["file"]),))])
    assert verdict.reply == item["verdicts"][judge["key"]]["against"][1]["said"]


def test_the_same_folder_takes_another_judge_and_draws_nothing_again(tmp_path: Path) -> None:
    count = 0

    def counted(prompt: str, **call: Any) -> Any:
        nonlocal count
        count += 1
        return paint(prompt, **call)

    def run(judge: Callable[..., Any]) -> Results:
        return eval_generator(counted, PROMPTS, judges=[judge], folder=tmp_path / "m")

    assert len(run(bright).judges) == 1
    assert {judge["name"].rpartition(".")[2] for judge in run(only_grades).judges} == {"bright", "only_grades"}
    assert count == 3
    with pytest.raises(UniRewardError, match="other settings: seed was 0 and is 1"):
        eval_generator(counted, PROMPTS, judges=[bright], folder=tmp_path / "m", seed=1)


def test_a_judge_that_fails_costs_what_it_was_asked_last(tmp_path: Path) -> None:
    left, asked = 3, 0

    def fragile(cases: Sequence[Case]) -> list[Verdict]:
        nonlocal left, asked
        if not left:
            raise BackendError("the server went away")
        left -= 1
        asked += len(cases)
        return bright(cases)

    with pytest.raises(BackendError, match="went away"):
        measure(tmp_path / "m", judges=[fragile])
    assert not (tmp_path / "m" / "results.json").exists()
    left = 100
    measure(tmp_path / "m", judges=[fragile])
    assert asked == 3 * (2 + 2 + 4), "every question once"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forks")
@pytest.mark.parametrize("after", [0, 4, 14, 21, 30])
def test_a_run_that_is_killed_ends_as_an_undisturbed_one(tmp_path: Path, after: int) -> None:
    whole = measure(tmp_path / "whole")
    child = os.fork()
    if not child:  # pragma: no cover (dies)
        count = 0

        def deadly(original: Callable[..., Any]) -> Callable[..., Any]:
            def replace(*arguments: Any) -> Any:
                nonlocal count
                count += 1
                if count > after:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments)

            return replace

        Path.replace = deadly(Path.replace)  # type: ignore[method-assign]
        measure(tmp_path / "killed")
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    again = measure(tmp_path / "killed")
    assert [judge["key"] for judge in again.judges] == [judge["key"] for judge in whole.judges]
    assert without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "whole")
    assert (tmp_path / "killed" / "items.jsonl").read_bytes() == (tmp_path / "whole" / "items.jsonl").read_bytes()
    for folder in ("pipeline", "against"):
        assert contents(tmp_path / "killed" / folder) == contents(tmp_path / "whole" / folder)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"judges": []}, "one judge at least"),
        ({"judges": [bright, bright]}, "two of the judges are called"),
        ({"samples": 0}, "at least one sample"),
        ({"against": "nix/da/war"}, "names no pipeline"),
        ({"call": {"stride": 3}}, "takes no argument 'stride'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_drawn(tmp_path: Path, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UniRewardError, match=told):
        measure(tmp_path / "m", **settings)
    assert not (tmp_path / "m").exists()


def test_arguments_for_a_second_pipeline_want_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.txt").write_text("a\n")
    words = ["eval-generator", "a/b", "--prompts", str(tmp_path / "p.txt"), "--judge", "shapes", "--output", "m"]
    assert main([*words, "--against-call", "side=3"]) == 2
    assert "--against-call goes with --against" in capsys.readouterr().err


def test_the_second_pipeline_may_have_arguments_of_its_own(tmp_path: Path) -> None:
    measure(tmp_path / "m", call={"side": 6}, against_call={"side": 2})
    for role, side in (("pipeline", 6), ("against", 2)):
        with Image.open(tmp_path / "m" / role / "00000-0.png") as picture:
            assert picture.size == (side, side)
