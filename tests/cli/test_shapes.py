import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Invoke
from tests.cli.files import read_rows
from unireward_plugins.cli import output
from unireward_plugins.errors import BackendError
from unireward_plugins.judges import ModelJudge
from unireward_plugins.shapes import demo, truth
from unireward_plugins.shapes.data import draw_items
from unireward_plugins.shapes.exam import Exam
from unireward_plugins.shapes.findings import DemoResult, Judged, Point, Run
from unireward_plugins.shapes.rubrics import RUBRIC_OF
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Case, Verdict


def test_render_draws_pictures_that_the_checker_reads_back(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    code, out, _ = invoke("shapes", "render", str(folder), "--count", "5", "--json")
    assert code == 0
    drawn = json.loads(out)
    assert drawn["folder"] == str(folder)
    assert read_rows(folder / "cases.jsonl") == drawn["cases"]
    names = [case["id"] for case in drawn["cases"]]
    assert sorted(names) == sorted(path.name for path in folder.glob("*.png"))
    code, out, _ = invoke("shapes", "check", "--json", *(str(folder / name) for name in names))
    assert code == 0
    for found, case in zip(json.loads(out), drawn["cases"], strict=True):
        name = Path(found["picture"]).stem
        assert "-".join(found["shows"].split()[1:]) == name.split("-", 1)[1]
        assert case["prompt"].split()[1:] == name.split("-")[2:]


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
    assert "3 pictures and cases.jsonl are in pictures" in err
    arguments = ("rank", "--judge", "brightness", "--input", "pictures/cases.jsonl", "--output", "verdicts.jsonl")
    assert invoke(*arguments)[0] == 0
    assert [row["id"] for row in read_rows(tmp_path / "verdicts.jsonl")] == [
        case["id"] for case in read_rows(tmp_path / "pictures" / "cases.jsonl")
    ]


def test_check_says_what_shows_no_shape(invoke: Invoke, tmp_path: Path) -> None:
    Image.new("RGB", (56, 56), (40, 40, 40)).save(tmp_path / "blank.png")
    code, out, _ = invoke("shapes", "check", str(tmp_path / "blank.png"))
    assert code == 1
    assert out.splitlines()[1].endswith("blank.png\tno shape")


def test_check_measures_itself(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = invoke("shapes", "check", "--count", "300", "--json")
    assert (code, json.loads(out)) == (0, {"pictures": 300, "misread": 0})
    monkeypatch.setattr(truth, "count_errors", lambda *, pictures, seed: 3)
    assert invoke("shapes", "check", "--count", "3001")[:2] == (0, "3 of 3,001 pictures were misread (0.100%)\n")
    assert invoke("shapes", "check", "--count", "3000")[0] == 1


def test_evaluate_measures_the_judge_that_is_named(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    from unireward_plugins import shapes

    backend = ScriptedBackend(lambda query: "Image 1 is better" if len(query.media) == 2 else "hm")
    monkeypatch.setattr(shapes, "load", lambda: ModelJudge("shapes", backend, RUBRIC_OF))
    monkeypatch.setattr(output, "PLAIN_INTERVAL", 0.0)
    code, out, err = invoke("shapes", "evaluate", "--items", "20", "--json")
    rows = {row["cell"]: row for row in json.loads(out)}
    assert code == 0
    assert "asked 120/120" in err
    pair = rows["image generation, pair"]
    assert pair["first"] == {"value": 1.0, "interval": pair["first"]["interval"], "hits": 40, "trials": 40}
    assert pair["flips"]["value"] == 1.0
    assert pair["unread"]["value"] == 0.0
    assert rows["image understanding, point"]["unread"]["value"] == 1.0
    assert rows["image understanding, point"]["flips"] is None
    code, out, _ = invoke("shapes", "evaluate", "--items", "4")
    assert out.splitlines()[0].split("\t") == ["cell", "right", "right, held out", "flips", "first preferred", "unread"]
    assert len(out.splitlines()) == 5


def test_evaluate_takes_a_folder(invoke: Invoke, tmp_path: Path) -> None:
    code, _, err = invoke("shapes", "evaluate", "--judge", str(tmp_path), "--items", "1")
    assert code == 3, f"an empty folder is no checkpoint: {BackendError.__name__}"
    assert str(tmp_path) in err


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
        return DemoResult(judged, exam, ("red", "red"), runs, settings={}, seconds=2.0)

    monkeypatch.setattr(demo, "run_demo", run_demo)
    report = tmp_path / "report.html"
    code, out, _ = invoke("demo", "--output", str(report), "--seed", "4", "--seed", "5", "--steps", "9", "--json")
    assert code == 0
    assert asked["output"] == report
    assert (asked["seeds"], asked["steps"]) == ((4, 5), 9)
    assert json.loads(out) == {
        "report": str(report),
        "right_before": 0.25,
        "right_after": {"mean": 0.75, "deviation": 0.0, "runs": [0.75, 0.75]},
        "judge_agrees": 0.0,
        "seconds": 2.0,
    }
    code, out, err = invoke("demo")
    assert code == 0
    assert (asked["output"], asked["seeds"], asked["steps"]) == (Path("report.html"), demo.SEEDS, demo.STEPS)
    assert "75" in out
    assert "The report is in report.html" in err
