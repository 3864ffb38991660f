from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html import escape
from html.parser import HTMLParser
from math import nan
from pathlib import Path

import numpy as np
import pytest

from unireward_plugins.media import Media
from unireward_plugins.shapes.captions import Caption, Wanted
from unireward_plugins.shapes.cards import card, choose, filmstrip
from unireward_plugins.shapes.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, line_chart
from unireward_plugins.shapes.data import CELLS, GenerationItem, Item, draw_items
from unireward_plugins.shapes.exam import Exam
from unireward_plugins.shapes.findings import DemoResult, Drawn, GeneratorRun, Judged, Point, Run
from unireward_plugins.shapes.questions import Question
from unireward_plugins.shapes.report import page, smoothed, write_report
from unireward_plugins.shapes.rubrics import FRAMES
from unireward_plugins.shapes.scene import Scene, Shape
from unireward_plugins.shapes.trials import cases_of
from unireward_plugins.types import Case, Verdict

HOSTILE = "</p><script>alert('x')</script><img src=https://example.org/x onerror=\"x\"> & ${style}"
VOID = {"meta", "img", "br", "input"}


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
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def judged(*, said: str = "I see it. Final Score: 5") -> Iterator[Judged]:
    """A few cases of each cell, judged by somebody who finds everything excellent and the first always better."""
    for item, case in drawn():
        if len(item.grades) == 1:
            yield Judged(item, case, Verdict((1.0,), reply=said))
        else:
            yield Judged(item, case, Verdict((1.0, 0.0), reply=said), Verdict((0.0, 1.0), reply=said))


@cache
def drawn() -> list[tuple[Item, Case]]:
    items = [item for cell in CELLS.values() for item in draw_items(cell, 20, seed="report")]
    return list(zip(items, cases_of(items, seed=[1]), strict=True))


def of_cell(name: str) -> list[Judged]:
    return [one for one in judged() if one.item.cell == CELLS[name]]


def generated(caption: str = "a red square") -> GeneratorRun:
    before, after = (Media.of(np.full((8, 8, 3), shade, np.uint8)) for shade in (10, 200))
    samples = (Drawn(caption, before, after, was_right=False, is_right=True),) * 3
    return GeneratorRun(pairs=40, before=0.4, after=0.625, samples=samples, seconds=9.0)


def result(*, answer: str = "No.", said: str = "Final Score: 5", seeds: tuple[int, ...] = (3, 4)) -> DemoResult:
    exam = Exam.draw(30, seed="report")
    right = tuple(question.right_answer(scene) for question, scene in zip(exam.questions, exam.scenes, strict=True))
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
    addresses = ("https://hub.example/datasets/me/pairs",)
    return DemoResult(
        tuple(judged(said=said)), exam, (answer,) * len(exam), tuple(runs), generated(), addresses, settings, 185.0
    )


def test_report_needs_nothing_but_itself(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(result(), path)
    html = path.read_text(encoding="utf-8")
    elements = Elements(html)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in elements.found}
    for _, attributes in elements.found:
        assert all(not name.startswith("on") for name in attributes)
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert re.match(r"#clip-|data:image/png;base64,", attributes.get("href") or "#clip-"), "its own parts alone"
        assert not {"xlink:href", "srcset", "action"} & attributes.keys()
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
    assert "unireward demo --output report.html --steps 40 --seed 3 --seed 4" in text
    assert "It proves nothing about large checkpoints" in text
    assert "in the other order" in text


def test_report_shows_all_cells_with_words_and_truth() -> None:
    html = page(result(said="the judge's own words"))
    assert html.count('<article class="case">') == 4 * len(CELLS)
    assert html.count("the judge&#x27;s own words") == 4 * (4 + 2 * 4), "of pairs in both orders"
    for grade in ("right", "wrong"):
        assert f"Answer: {grade}" in html
    assert html.count("to be answered:") == 4 * 4
    assert len(re.findall(r"(?:Image|Video)[ 12]*: [1-5] of 5</span> .*?alignment [1-5]", html)) == 2 * (4 + 2 * 4)
    assert "✗ wrong" in html
    assert "✓ right" in html


@pytest.mark.parametrize("name", CELLS)
def test_shown_are_the_first_cases_and_the_first_that_the_judge_gets_wrong(name: str) -> None:
    cases = of_cell(name)
    right = [Judged(one.item, one.case, _truth(one)) for one in cases]
    if CELLS[name][1] == 2:
        right = [Judged(one.item, one.case, one.verdict, one.verdict) for one in right]
    assert all(one.agrees for one in right)
    assert choose(right)[0] in right[:3] if CELLS[name][1] == 2 else choose(right)[0].item.grades == (5,)
    unread = Verdict(None, unread="empty")
    wrong = {index: Judged(cases[index].item, cases[index].case, unread, cases[index].swapped) for index in (9, 11)}
    shown = choose([wrong.get(index, one) for index, one in enumerate(right)])
    assert len(shown) == len({id(one) for one in shown}) == 4
    assert [one for one in shown if not one.agrees][:1] == [wrong[9]]


def _truth(one: Judged) -> Verdict:
    grades = one.item.grades
    return Verdict(
        ((grades[0] - 1) / 4,) if len(grades) == 1 else tuple(float(grade == max(grades)) for grade in grades)
    )


def test_card_sets_the_verdict_apart_from_the_reasons() -> None:
    one = of_cell("image understanding, point")[0]
    said = Verdict((0.5,), reply="I see a <b>. It is red.\nAnswer: It is red\nSays red: red yes. Final Score: 3")
    html = card(Judged(one.item, one.case, said))
    lines = "I see a &lt;b&gt;.", "It is red.", "Answer: It is red", "Says red: red yes."
    assert f"<blockquote>{'<br>'.join(lines)}</blockquote>" in html
    assert '<p class="verdict"><b>Final Score: 3</b> <span class="quiet">score 0.50</span></p>' in html


def test_card_of_a_pair_says_whom_each_order_chooses() -> None:
    one = next(one for one in of_cell("video generation, pair") if one.item.grades[0] > one.item.grades[1])
    straight, swapped = Verdict((1.0, 0.0), reply="Video 1 is better"), Verdict((0.0, 1.0), reply="Video 1 is better")
    html = card(Judged(one.item, one.case, straight, swapped))
    assert html.index("chooses video 1 of this card") < html.index("The judge, swapped")
    assert html.index("The judge, swapped") < html.index("chooses video 2 of this card")
    assert "✗ wrong when swapped" in html
    assert "✗ wrong as shown" in card(Judged(one.item, one.case, swapped, straight))
    assert "✗ wrong in both orders" in card(Judged(one.item, one.case, swapped, swapped))
    assert "✓ right" in card(Judged(one.item, one.case, straight, straight))


def test_card_shows_a_reply_without_a_verdict() -> None:
    one = of_cell("image generation, point")[0]
    html = card(Judged(one.item, one.case, Verdict(None, reply=" ", unread="empty")))
    assert "no verdict: the reply is empty" in html
    assert "(nothing)" in html
    assert "✗ wrong" in html


def test_card_says_what_is_amiss() -> None:
    wanted = Caption((Wanted("circle", "red"),))
    shown = Scene((Shape("circle", "blue", "large", damage="bitten"),), flaws=("noisy",))
    item = GenerationItem(wanted, (shown,))
    (case,) = cases_of([item], seed=[0])
    text = " ".join("".join(Elements(card(Judged(item, case, Verdict((0.0,))))).text).split())
    assert "Image: 1 of 5 (alignment 3, coherence 3, style 3) not red, bitten, noisy" in text


def test_filmstrip_holds_every_frame_once_and_shows_it_twice() -> None:
    item = draw_items(CELLS["video understanding, point"], 1, seed="film")[0]
    (clip,) = cases_of([item], seed=[0])[0].context
    html = filmstrip(clip, shows='a "clip"')
    elements = Elements(html).found
    (image,) = (attributes for tag, attributes in elements if tag == "image")
    row = np.asarray(Media.of(image["href"]).pil())
    frames = [np.asarray(frame.pil()) for frame in clip.sample(FRAMES)]
    assert (row == np.concatenate(frames, axis=1)).all()
    uses = [attributes["href"] for tag, attributes in elements if tag == "use"]
    assert uses == [f"#{image['id']}"] * len(frames) == [f"#{image['id']}"] * 8
    windows = [attributes["viewbox"] for tag, attributes in elements if tag == "svg"]
    assert windows == ["0 0 64 64", *(f"{64 * index} 0 64 64" for index in range(8))]
    assert 'aria-label="a &quot;clip&quot;"' in html


def test_clips_move_only_for_those_who_like_motion() -> None:
    style = page(result()).partition("<style>")[2].partition("</style>")[0]
    assert len(re.findall(r"animation: ", style)) == 1
    assert re.search(r"@media \(prefers-reduced-motion: no-preference\) \{[^@]*animation: reel", style)
    assert "translateX(-448px)" in style, "the last of eight frames, 64 wide"


def test_report_of_one_seed_claims_no_spread() -> None:
    text = " ".join(" ".join(Elements(page(result(seeds=(7,)))).text).split())
    assert "before and after: one seed" in text
    assert "±" not in text


def test_report_keeps_numbers_of_its_headline_that_are_the_same() -> None:
    found = result()
    same = replace(found, generator=replace(found.generator, before=0.25, after=0.86))
    text = " ".join(" ".join(Elements(page(same)).text).split())
    assert text.count("25% → 86%") == 2
    assert "right answers to 30 fresh questions" in text
    assert "right pictures of captions without pairs" in text


def with_points(*points: Point) -> DemoResult:
    found = result()
    return replace(found, runs=tuple(replace(run, points=points) for run in found.runs))


def test_report_of_a_small_exam_says_nothing_of_held_out_pairs() -> None:
    text = " ".join(Elements(page(with_points(Point(0, 0.25, nan, 0.3), Point(40, 0.9, nan, 0.95)))).text)
    assert "no training picture shows" not in text
    assert "nan" not in text
    assert "25% → 90%" in text


def test_report_counts_answers_without_a_verdict_where_there_are_any() -> None:
    assert "without a verdict, which" not in page(result())
    html = page(with_points(Point(0, 0.25, 0.2, nan, unread=30), Point(40, 0.9, 0.8, 0.95, unread=2)))
    assert "without a verdict, which are in no mean: 64." in html
    assert "nan" not in html.partition("</style>")[2].partition("<h2>Before and after")[0].partition("<polyline")[2]


def test_findings_count_what_turned() -> None:
    found = result(answer="No.")
    noes = sum(
        question.right_answer(scene) == "no"
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
    assert "<i>?" not in page(DemoResult(tuple(judged()), exam, ("x",), (run,), generated(), (), {}, 1.0))


def test_report_shows_what_a_generator_drew_before_and_after() -> None:
    html = page(result())
    assert "40 pairs" in html
    assert "40.0% were right before and 62.5% after" in html
    assert "3 turned right and 0 turned wrong" in html
    assert html.count('<figure class="drawn">') == 3
    assert html.count("a red square</figcaption>") == 3
    hostile = replace(result(), generator=generated("<script>"))
    assert "<script>" not in page(hostile)
