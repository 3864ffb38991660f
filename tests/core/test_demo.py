from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError
from unireward_plugins.shapes import align_policy, demo
from unireward_plugins.shapes.align_policy import Examiner
from unireward_plugins.shapes.demo import Watcher, run_demo, summary
from unireward_plugins.shapes.exam import Exam, Policy
from unireward_plugins.shapes.findings import DemoResult, Point
from unireward_plugins.shapes.recipe import clock
from unireward_plugins.types import Case, Verdict


def truth(point: Point) -> float:
    return point.truth


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoResult, Path, list[tuple[str, float]]]:
    """The whole demonstration, with the real judge and the real trainer, but of a few steps."""
    told: list[tuple[str, float]] = []
    path = tmp_path_factory.mktemp("demo") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "CASES_A_CELL", 12)
        patch.setattr(demo, "CHECKS", 2)
        patch.setattr(demo, "ALIGN_GENERATOR", "tests.diffusers_ext.tiny_proof:align_a_little")
        result = run_demo(path, seeds=(3,), steps=6, exam_size=60, watch=lambda *what: told.append(what))
    return result, path, told


def test_demo_trains_and_examines_a_policy(short: tuple[DemoResult, Path, list[tuple[str, float]]]) -> None:
    result, _, _ = short
    (run,) = result.runs
    assert [point.step for point in run.points] == [0, 2, 6]
    assert [step for step, _ in run.rewards] == [1, 2, 3, 4, 5, 6]
    assert all(0 < reward < 1 for _, reward in run.rewards)
    assert result.exam.accuracy(result.answers) == run.points[0].truth
    assert result.exam.accuracy(run.answers) == run.points[-1].truth
    assert run.answers != result.answers
    assert len(result.judged) == 96


def test_demo_tells_how_far_it_is(short: tuple[DemoResult, Path, list[tuple[str, float]]]) -> None:
    _, path, told = short
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert ("training policy 1 of 1, step 3 of 6", pytest.approx(0.37)) in told
    assert told[-1][0] == f"wrote {path}"


def test_demo_writes_its_report(short: tuple[DemoResult, Path, list[tuple[str, float]]]) -> None:
    result, path, _ = short
    html = path.read_text(encoding="utf-8")
    assert "A judge at work, and models that learn from it" in html
    assert "sha256:" in html, "which weights judged"
    assert f"{result.exam.accuracy(result.answers):.0%} → " in html
    assert "fresh questions" in summary(result)


def test_demo_trains_a_generator_and_shows_what_it_drew(
    short: tuple[DemoResult, Path, list[tuple[str, float]]],
) -> None:
    result, path, _ = short
    generator = result.generator
    assert 0 < generator.pairs <= 6
    assert generator.before == sum(sample.was_right for sample in generator.samples) / 8
    assert generator.after == sum(sample.is_right for sample in generator.samples) / 8
    assert path.read_text(encoding="utf-8").count('<figure class="drawn">') == 8
    assert "captions that no pair was made for" in summary(result)
    assert result.published == ()


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [({"seeds": ()}, "nothing to train"), ({"steps": 0}, "nothing to train"), ({}, "is a folder")],
)
def test_demo_finds_out_at_once_what_it_cannot_do(tmp_path: Path, asked: dict[str, Any], complaint: str) -> None:
    told: list[str] = []
    with pytest.raises(UniRewardError, match=complaint):
        run_demo(tmp_path, **asked, watch=lambda doing, _: told.append(doing))
    assert told == []


@pytest.mark.parametrize("package", ["diffusers", "peft"])
def test_demo_misses_a_package_before_it_trains_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    importlib.import_module("diffusers")  # which remembers whether PEFT is there
    monkeypatch.setitem(sys.modules, package, None)
    told: list[str] = []
    with pytest.raises(MissingExtra, match=package):
        run_demo(tmp_path / "report.html", steps=1, watch=lambda doing, _: told.append(doing))
    assert told == ["starting"]


def refuses_pairs(folder: Path, repo: str, *, kind: str) -> SimpleNamespace:
    """A Hub that takes a generator and fails afterwards; the real way there is in tests/hub/test_demo.py."""
    if kind == "pairs":
        raise BackendError("the Hub is gone")
    return SimpleNamespace(url=f"https://hub.example/{repo}")


def test_demo_writes_its_report_before_it_publishes_what_was_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CASES_A_CELL", 12)
    monkeypatch.setattr(demo, "CHECKS", 1)
    monkeypatch.setattr(demo, "ALIGN_GENERATOR", "tests.diffusers_ext.tiny_proof:align_a_little")
    monkeypatch.setattr(demo, "THERE_AND_BACK", "tests.core.test_demo:refuses_pairs")
    path = tmp_path / "report.html"
    with pytest.raises(BackendError, match="the Hub is gone"):
        run_demo(path, seeds=(3,), steps=1, exam_size=20, owner="me", watch=lambda *_: None)
    assert "A judge at work, and models that learn from it" in path.read_text(encoding="utf-8")


def test_answers_without_a_verdict_are_counted_and_in_no_mean() -> None:
    def reads_the_first_half(cases: Sequence[Case]) -> list[Verdict]:
        half = len(cases) // 2
        return [Verdict((0.5,))] * half + [Verdict(None, unread="empty")] * (len(cases) - half)

    exam, policy = Exam.draw(6, seed="unread"), Policy.load()
    point, answers = Examiner(exam, reads_the_first_half).examine(policy, step=0)
    assert (point.reward, point.unread, len(answers)) == (0.5, 3, 6)
    silent, _ = Examiner(exam, lambda cases: [Verdict(None, unread="empty") for _ in cases]).examine(policy, step=0)
    assert isnan(silent.reward)
    assert silent.unread == 6


@pytest.mark.slow
def test_policies_learn_to_answer_from_the_judge_alone(tmp_path: Path) -> None:
    """The claim of the demonstration, on an exam and with a seed of this test's own."""
    result = run_demo(tmp_path / "report.html", seeds=(11,), steps=60, exam_size=500, watch=lambda *_: None)
    after, _ = result.after(truth)
    assert result.before(truth) < 0.6
    assert after > 0.85
    assert result.after(lambda point: point.held_out)[0] > 0.75
    last = result.runs[0].points[-1]
    assert abs(last.reward - last.truth) < 0.08, "the judge is pleased because the answers are right"


def test_training_is_told_questions_and_no_answers() -> None:
    dataset = align_policy.questions(20, seed=0)
    assert set(dataset.column_names) == {"prompt", "image"}
    assert all([message["role"] for message in prompt] == ["user"] for prompt in dataset["prompt"])
    again, other = align_policy.questions(20, seed=0), align_policy.questions(20, seed=1)
    assert dataset["prompt"][:] == again["prompt"][:]
    assert dataset["prompt"][:] != other["prompt"][:]


def test_progress_outside_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watcher(pause=0)
    watch.started -= 60
    watch("judging", 0.01)
    watch("training", 0.25)
    watch("done", 1)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["  1%  judging (1:00 gone)", " 25%  training (1:00 gone, 3:00 left)", "100%  done (1:00 gone)"]
    patient = Watcher(pause=1000)
    patient("first", 0)
    patient("too soon", 0.5)
    patient("last", 1)
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["first", "last"]


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3601, "60:01")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
