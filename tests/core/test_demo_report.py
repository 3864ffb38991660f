from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from unireward_plugins.shapes.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, line_chart
from unireward_plugins.shapes.data import CELLS, draw_items
from unireward_plugins.shapes.evaluate import cases_of
from unireward_plugins.shapes.exam import Exam
from unireward_plugins.shapes.findings import DemoResult, Judged, Point, Run
from unireward_plugins.shapes.questions import Question
from unireward_plugins.shapes.report import page, smoothed, write_report
from unireward_plugins.types import Verdict

HOSTILE = "</p><script>alert('x')</script><img src=https://example.org/x onerror=\"x\"> & ${style}"
VOID = {"meta", "img", "br", "line", "circle", "polyline"}


class Elements(HTMLParser):
    """Every element of a page with its attributes; refuses what is not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID - {"polyline", "circle"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def judged(*, said: str = "I see it. Final Score: 5") -> Iterator[Judged]:
    """A few cases of each cell, judged by somebody who finds everything excellent and the first always better."""
    for cell in CELLS.values():
        items = draw_items(cell, 12, seed="report")
        for item, case in zip(items, cases_of(items, seed=[1]), strict=True):
            if cell[1] == 1:
                yield Judged(item, case, Verdict((1.0,), reply=said))
            else:
                yield Judged(item, case, Verdict((1.0, 0.0), reply=said), Verdict((0.0, 1.0), reply=said))


def result(*, answer: str = "No.", said: str = "Final Score: 5", seeds: tuple[int, ...] = (3, 4)) -> DemoResult:
    exam = Exam.draw(30, seed="report")
    right = tuple(
        question.right_answer(scene.shape) for question, scene in zip(exam.questions, exam.scenes, strict=True)
    )
    runs = [
        Run(
            seed,
            (Point(0, 0.25, 0.2, 0.3), Point(10, 0.5, 0.4, 0.55), Point(40, 0.9 - seed / 100, 0.8, 0.95)),
            rewards=tuple((step, step / 40) for step in range(1, 41)),
            answers=right,
            seconds=30.0,
        )
        for seed in seeds
    ]
    settings = {"Training": "40 steps", "Strange <b>name": HOSTILE}
    return DemoResult(tuple(judged(said=said)), exam, (answer,) * len(exam), tuple(runs), settings, seconds=185.0)


def test_report_needs_nothing_but_itself(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(result(), path)
    html = path.read_text(encoding="utf-8")
    elements = Elements(html)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in elements.found}
    for _, attributes in elements.found:
        assert all(not name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert not {"href", "xlink:href", "srcset", "action"} & attributes.keys()
    assert not re.search(r"url\(|@import|https?:", html.replace(escape(HOSTILE), ""))


def test_report_shows_what_models_wrote_as_text() -> None:
    html = page(result(answer=HOSTILE, said=HOSTILE))
    elements = Elements(html)
    assert "script" not in {tag for tag, _ in elements.found}
    assert "<script" not in html
    shown = "".join(elements.text)
    assert shown.count("<script>alert('x')</script>") > 20
    assert shown.count("${style}") > 20, "what looks like a blank of the template stays as it was written"


def test_report_says_what_came_out() -> None:
    elements = Elements(page(result()))
    text = " ".join(" ".join(elements.text).split())
    assert "25% → 86%" in text, "the mean of 0.87 and 0.86, rounded"
    assert "± 0.7 points over 2 seeds" in text
    assert "20% → 80%" in text
    assert "3:05" in text
    for heading in ("What the judge saw", "While it learned", "Before and after", "How to reproduce it", "Limits"):
        assert heading in text
    assert "after, seed 3" in text
    assert "after, seed 4" in text
    assert "seeds 3 4" in text
    assert "It proves nothing about large checkpoints" in text
    assert "in the other order" in text


def test_report_shows_candidates_of_every_grade_with_score_truth_and_words() -> None:
    html = page(result(said="the judge's own words"))
    for grade in ("right", "half right", "wrong"):
        assert f"score 1.00, checker: {grade}" in html
    assert html.count("the judge&#x27;s own words") >= 2 * 3 + 2 * 2 * 3
    assert "✗ graded otherwise than by the checker" in html
    assert "✓ graded as by the checker" in html


def test_report_shows_a_reply_without_a_verdict() -> None:
    found = result()
    unread = [Judged(one.item, one.case, Verdict(None, reply="", unread="empty")) for one in found.judged[:12]]
    html = page(DemoResult((*unread, *found.judged[12:]), *_rest(found)))
    assert "no verdict, checker: right" in html
    assert "(nothing)" in html


def _rest(found: DemoResult) -> tuple[Exam, tuple[str, ...], tuple[Run, ...], dict[str, str], float]:
    return found.exam, found.answers, found.runs, dict(found.settings), found.seconds


def test_report_of_one_seed_claims_no_spread() -> None:
    text = " ".join(" ".join(Elements(page(result(seeds=(7,)))).text).split())
    assert "before and after: one seed" in text
    assert "±" not in text


def test_findings_count_what_turned() -> None:
    found = result(answer="No.")
    noes = sum(
        question.right_answer(scene.shape) == "no"
        for question, scene in zip(found.exam.questions, found.exam.scenes, strict=True)
    )
    assert found.turned() == (len(found.exam) - noes, 0.0)
    kinds = {kind: (count, before, after) for kind, count, before, after in found.by_kind()}
    assert sum(count for count, _, _ in kinds.values()) == len(found.exam)
    assert all(after == 1.0 for _, _, after in kinds.values())
    assert kinds["yes or no"][1] == pytest.approx(noes / kinds["yes or no"][0])
    assert kinds["colour"][1] == 0.0


def test_mean_and_spread_are_those_of_the_last_points() -> None:
    found = result(seeds=(2, 4, 9))
    mean, deviation = found.after(lambda point: point.truth)
    assert mean == pytest.approx((0.88 + 0.86 + 0.81) / 3)
    assert deviation == pytest.approx(0.036056, abs=1e-6), "the sample standard deviation"
    assert found.before(lambda point: point.truth) == 0.25


def test_a_judge_agrees_on_a_pair_only_in_both_orders() -> None:
    item = next(item for item in draw_items(("image_understanding", 2), 50, seed=0) if item.grades[0] > item.grades[1])
    case = item.case([])
    first, second = Verdict((1.0, 0.0)), Verdict((0.0, 1.0))
    assert Judged(item, case, first, first).agrees
    assert not Judged(item, case, first, first).flips
    assert not Judged(item, case, first, second).agrees
    assert Judged(item, case, first, second).flips
    assert not Judged(item, case, second, second).agrees
    unread = Verdict(None, unread="empty")
    assert not Judged(item, case, first, unread).agrees
    assert not Judged(item, case, first, unread).flips, "nothing is known of the other order"


def test_chart_puts_points_where_they_belong() -> None:
    svg = line_chart([Line("rise <1>", [(0, 0.0), (50, 1.0), (100, 0.5)], "truth")], title="a & b", across="step")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    assert (
        f'points="{LEFT}.0,{HEIGHT - BOTTOM}.0 {(LEFT + WIDTH - RIGHT) / 2},{TOP}.0 {WIDTH - RIGHT}.0,{middle}"' in svg
    )
    assert 'aria-label="a &amp; b"' in svg
    assert "rise &lt;1&gt;, step 50: 100.0%" in svg


def test_chart_of_nothing_is_an_empty_frame() -> None:
    assert "polyline" not in line_chart([], title="", across="")


def test_smoothing_looks_back_only() -> None:
    curve = [(step, float(step)) for step in range(1, 31)]
    assert smoothed(curve)[0] == (1, 1.0)
    assert smoothed(curve)[4] == (5, 3.0)
    assert smoothed(curve)[29] == (30, 25.5)


def test_questions_of_the_exam_cannot_hold_markup() -> None:
    exam = Exam((Question("<i>?", "colour"),), result().exam.pictures[:1], result().exam.scenes[:1])
    run = Run(0, (Point(0, 0, 0, 0),), (), ("x",), 1.0)
    assert "<i>?" not in page(DemoResult(tuple(judged()), exam, ("x",), (run,), {}, 1.0))
