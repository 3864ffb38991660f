import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Invoke
from tests.cli.files import read_rows
from unireward_plugins.shapes import clip_truth, demo, truth
from unireward_plugins.shapes.data import draw_items
from unireward_plugins.shapes.dataset import CONFIGURATIONS
from unireward_plugins.shapes.exam import Exam
from unireward_plugins.shapes.findings import DemoResult, GeneratorRun, Judged, Point, Run
from unireward_plugins.types import Case, Verdict


def test_every_command_of_the_world_is_there(invoke: Invoke) -> None:
    code, out, _ = invoke("shapes", "--help")
    assert code == 0
    for command in ("check", "claims", "dataset", "evaluate", "render"):
        assert f"\n  {command} " in out


@pytest.mark.parametrize("options", [(), ("--everything",), ("--clips",), ("--clips", "--everything")])
def test_render_draws_what_the_checker_reads_back_as_right(
    invoke: Invoke, tmp_path: Path, options: tuple[str, ...]
) -> None:
    folder = tmp_path / "drawn"
    code, out, _ = invoke("shapes", "render", str(folder), "--count", "5", "--json", *options)
    assert code == 0
    drawn = json.loads(out)
    assert drawn["folder"] == str(folder)
    assert read_rows(folder / "cases.jsonl") == drawn["cases"]
    names = [case["id"] for case in drawn["cases"]]
    assert sorted(names) == sorted(path.name for path in folder.glob("*.webp" if "--clips" in options else "*.png"))
    code, out, _ = invoke("shapes", "check", "--json", str(folder))
    assert code == 0
    found = json.loads(out)
    assert (found["right"]["hits"], found["right"]["trials"]) == (5, 5)
    for sample, case in zip(found["samples"], drawn["cases"], strict=True):
        assert (Path(sample["file"]).name, sample["prompt"]) == (case["id"], case["prompt"])
        assert sample["grades"]["alignment"] == 5
        if "--everything" not in options:
            assert sample["grades"]["overall"] == 5
            assert sample["scene"]["ground"] == "dark"


def test_pictures_are_named_after_their_one_shape(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("shapes", "render", str(tmp_path), "--count", "4")[0] == 0
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names[:2] == ["0000-small-yellow-cross.png", "0001-small-red-cross.png"]
    assert read_rows(tmp_path / "metadata.jsonl")[0] == {"file_name": names[0], "prompt": "a yellow cross"}


def test_render_is_the_same_for_the_same_seed(invoke: Invoke, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder, seed in zip(folders, ("3", "3", "4"), strict=True):
        assert invoke("shapes", "render", str(folder), "--count", "4", "--seed", seed)[0] == 0
    one, same, other = ([path.read_bytes() for path in sorted(folder.glob("*.png"))] for folder in folders)
    assert one == same
    assert one != other


def test_the_rendered_cases_can_be_judged_as_they_are(
    invoke: Invoke, tmp_path: Path, example: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke("shapes", "render", "pictures", "--count", "3")
    assert code == 0
    assert out.splitlines()[0] == "picture\tcaption"
    assert "3 pictures, cases.jsonl and metadata.jsonl are in pictures" in err
    arguments = ("rank", "--judge", "brightness", "--input", "pictures/cases.jsonl", "--output", "verdicts.jsonl")
    assert invoke(*arguments)[0] == 0
    assert [row["id"] for row in read_rows(tmp_path / "verdicts.jsonl")] == [
        case["id"] for case in read_rows(tmp_path / "pictures" / "cases.jsonl")
    ]


def test_check_grades_samples_by_their_prompts_and_draws_them(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("shapes", "render", "samples", "--count", "3")[0] == 0
    (tmp_path / "prompts.txt").write_text("a yellow cross\na blue cross\nan orange square\n")
    code, out, err = invoke("shapes", "check", "samples", "--prompts", "prompts.txt", "--sheet", "sheet.png")
    assert code == 0, "a wrong sample is a finding, not a failure"
    header, *rows = (line.split("\t") for line in out.splitlines())
    assert header == ["sample", "prompt", "shows", "alignment", "coherence", "style", "overall", "misses"]
    assert [row[3] for row in rows] == ["5", "3", "5"]
    assert [row[7] for row in rows] == ["", "blue", ""]
    assert "2 of 3 are right: 66.7%" in err
    with Image.open("sheet.png") as sheet:
        assert sheet.height > 3 * 128


def test_render_leaves_a_folder_alone_that_holds_something(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    assert invoke("shapes", "render", str(folder), "--count", "2")[0] == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, _, err = invoke("shapes", "render", str(folder), "--count", "1", "--seed", "5")
    assert code == 2
    assert "exists and is not empty" in err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_case_of_a_single_picture_has_no_rival(invoke: Invoke, tmp_path: Path) -> None:
    code, out, _ = invoke("shapes", "render", str(tmp_path), "--count", "1", "--json")
    assert code == 0
    assert json.loads(out)["cases"][0]["candidates"] == ["0000-small-yellow-cross.png"]


@pytest.mark.parametrize(("sheet", "problem"), [("sheet", "does not end like a picture"), ("no/a.png", "no folder")])
def test_check_refuses_a_sheet_that_cannot_be_drawn_before_it_reads_anything(
    invoke: Invoke, tmp_path: Path, sheet: str, problem: str
) -> None:
    (tmp_path / "0000.png").write_bytes(b"no picture")
    code, out, err = invoke("shapes", "check", str(tmp_path), "--sheet", str(tmp_path / sheet))
    assert (code, out) == (2, "")
    assert problem in err


def test_check_shows_what_it_found_even_where_the_sheet_fails(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("unireward_plugins.shapes.sheet.write_sheet", fails)
    assert invoke("shapes", "render", str(tmp_path), "--count", "2")[0] == 0
    code, out, err = invoke("shapes", "check", str(tmp_path), "--sheet", str(tmp_path / "sheet.png"))
    assert (code, len(out.splitlines())) == (2, 3)
    assert "the disk is full" in err


def test_check_without_prompts_says_what_is_seen(invoke: Invoke, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (40, 40, 40)).save(tmp_path / "blank.png")
    code, out, _ = invoke("shapes", "check", str(tmp_path / "blank.png"))
    assert code == 0
    assert out.splitlines()[1].endswith("blank.png\tnothing of the shapes world")


def test_check_goes_on_where_a_file_cannot_be_read_and_says_so_in_its_exit_code(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("shapes", "render", str(tmp_path), "--count", "1")[0] == 0
    (tmp_path / "0001.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "0002.png")
    pictures = [str(path) for path in sorted(tmp_path.glob("*.png"))]
    code, out, _ = invoke("shapes", "check", "--json", *pictures)
    samples = json.loads(out)["samples"]
    assert code == 1
    assert [sample["problem"] is None for sample in samples] == [True, False, False]
    assert "32 x 32" in samples[2]["problem"]
    assert samples[0]["shows"].startswith("a small yellow cross")


def test_check_refuses_prompts_that_do_not_fit(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("shapes", "render", str(tmp_path), "--count", "1")[0] == 0
    (tmp_path / "prompts.txt").write_text("a photograph of a dog\n")
    code, _, err = invoke("shapes", "check", str(tmp_path), "--prompts", str(tmp_path / "prompts.txt"))
    assert code == 2
    assert "prompts.txt:1: 'a photograph of a dog' is no caption" in err
    code, _, err = invoke("shapes", "check", "--prompts", str(tmp_path / "prompts.txt"))
    assert code == 2
    assert "go with samples" in err


def test_check_measures_itself(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = invoke("shapes", "check", "--count", "20", "--json")
    nothing = {"read": 20, "misread": 0}
    assert (code, json.loads(out)) == (0, {"pictures": nothing, "clips": nothing})
    asked: list[tuple[int, int]] = []

    def count(*, pictures: int, seed: int) -> int:
        asked.append((pictures, seed))
        return 1

    monkeypatch.setattr(truth, "count_errors", count)
    monkeypatch.setattr(clip_truth, "count_clip_errors", lambda *, clips, seed: 0)
    code, out, _ = invoke("shapes", "check", "--count", "1200")
    assert (code, asked) == (1, [(500, 0), (500, 1), (200, 2)])
    assert out == "3 of 1,200 pictures were misread (0.250%)\n0 of 1,200 clips were misread (0.000%)\n"
    monkeypatch.setattr(truth, "count_errors", lambda *, pictures, seed: int(seed == 0))
    assert invoke("shapes", "check", "--count", "1001")[0] == 0, "one in 1,001 is less than 0.1 %"


def test_dataset_writes_a_folder_and_says_how_to_load_it(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    code, out, err = invoke("shapes", "dataset", str(folder), "--items", "1")
    assert code == 0
    assert dict(line.split("\t") for line in out.splitlines()[1:]) == dict.fromkeys(CONFIGURATIONS, "2")
    assert "load_dataset(" in err
    assert (folder / "README.md").is_file()
    code, _, err = invoke("shapes", "dataset", str(folder), "--items", "1")
    assert code == 2
    assert "is not empty" in err


def test_demo_hands_on_what_was_asked_and_prints_what_was_found(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demonstration itself takes minutes and has tests of its own; here it is played by its result."""
    exam = Exam.draw(2, seed="test")
    points = (Point(0, 0.25, 0.2, 0.3), Point(9, 0.75, 0.7, 0.8))
    runs = tuple(Run(seed, points, rewards=(), answers=("red", "red"), seconds=1.0) for seed in (4, 5))
    case = draw_items(("image_understanding", 2), 1, seed="test", split="fresh")[0]
    judged = (Judged(case, Case("", ("", "")), Verdict(None, unread="empty")),)
    asked: dict[str, object] = {}

    def run_demo(output: Path, **options: object) -> DemoResult:
        asked.update(options, output=output)
        generator = GeneratorRun(pairs=3, before=0.5, after=0.625, samples=(), seconds=1.0)
        published = ("https://hub.example/me/adapter",)
        return DemoResult(judged, exam, ("red", "red"), runs, generator, published, settings={}, seconds=2.0)

    monkeypatch.setattr(demo, "run_demo", run_demo)
    report = tmp_path / "report.html"
    code, out, _ = invoke(
        "demo", "--output", str(report), "--seed", "4", "--seed", "5", "--steps", "9", "--publish", "me", "--json"
    )
    assert code == 0
    assert asked["output"] == report
    assert (asked["seeds"], asked["steps"], asked["owner"]) == ((4, 5), 9, "me")
    assert json.loads(out) == {
        "report": str(report),
        "right_before": 0.25,
        "right_after": {"mean": 0.75, "deviation": 0.0, "runs": [0.75, 0.75]},
        "right_pictures": {"before": 0.5, "after": 0.625},
        "judge_agrees": 0.0,
        "published": ["https://hub.example/me/adapter"],
        "seconds": 2.0,
    }
    code, out, err = invoke("demo")
    assert code == 0
    assert (asked["output"], asked["seeds"], asked["steps"]) == (Path("report.html"), demo.SEEDS, demo.STEPS)
    assert "75" in out
    assert "62.5%" in out
    assert "loaded back: https://hub.example/me/adapter" in out
    assert asked["owner"] == ""
    assert "The report is in report.html" in err
