"""Writes what a demonstration found as one HTML file that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from math import isnan
from pathlib import Path
from statistics import fmean
from string import Template

from unireward_plugins.shapes.cards import kind_of_case, picture, quoted
from unireward_plugins.shapes.charts import Line, line_chart
from unireward_plugins.shapes.data import CELLS
from unireward_plugins.shapes.findings import DemoResult, Drawn, GeneratorRun, Judged, Point
from unireward_plugins.shapes.recipe import clock

ANSWERS_SHOWN = 12
SAMPLES_SHOWN = 12
SMOOTHED_OVER = 10


def write_report(result: DemoResult, path: Path) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), encoding="utf-8")


def page(result: DemoResult) -> str:
    """The page as HTML: `page.html` with its blanks filled in."""
    here = files("unireward_plugins.shapes")
    kinds = {name: [case for case in result.judged if case.item.cell == cell] for name, cell in CELLS.items()}
    shown = range(min(ANSWERS_SHOWN, len(result.exam)))
    return Template(here.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        style=here.joinpath("page.css").read_text(encoding="utf-8"),
        numbers=headline(result),
        kinds_of_cases="\n".join(kind_row(name, cases) for name, cases in kinds.items()),
        cases="\n".join(kind_of_case(name, cases) for name, cases in kinds.items()),
        case_count=len(result.judged),
        exam_size=len(result.exam),
        gap=points(abs(result.after(reward)[0] - result.after(truth)[0])),
        unread=unread_sentence(result),
        learning=learning_chart(result),
        rewards=rewards_chart(result),
        seed_heads="".join(f"<th>after, seed {run.seed}</th>" for run in result.runs),
        answers="\n".join(answers_row(result, index) for index in shown),
        generated="\n".join(map(drawn_figure, result.generator.samples[:SAMPLES_SHOWN])),
        generator=generator_sentence(result.generator),
        kinds_of_questions="\n".join(table_row(*row) for row in result.by_kind()),
        command=escape(command(result)),
        settings="\n".join(table_row(name, value) for name, value in result.settings.items()),
    )


def headline(result: DemoResult) -> str:
    """What came out, in six numbers; in five where the exam holds nothing that is held out."""
    return "\n".join(
        f'<div class="number"><b>{escape(number)}</b><span>{escape(meaning)}</span></div>'
        for number, meaning in numbers(result)
    )


def numbers(result: DemoResult) -> Iterator[tuple[str, str]]:
    """The numbers of the headline, each with what it means."""
    after, deviation = result.after(truth)
    mended, broken = result.turned()
    several = len(result.runs) > 1
    yield (
        f"{result.before(truth):.0%} → {after:.0%}",
        f"right answers to {len(result.exam)} fresh questions, before and after: "
        + (f"± {points(deviation)} over {len(result.runs)} seeds" if several else "one seed"),
    )
    if not isnan(result.before(held_out)):
        unseen, unseen_deviation = result.after(held_out)
        yield (
            f"{result.before(held_out):.0%} → {unseen:.0%}",
            "the same, where colour and shape are a pair that no training picture shows"
            + (f": ± {points(unseen_deviation)}" if several else ""),
        )
    yield (
        f"+{mended:.0f}, \N{MINUS SIGN}{broken:.0f}",
        "answers turned right, and turned wrong: mean over the seeds",
    )
    yield (
        f"{result.generator.before:.0%} → {result.generator.after:.0%}",
        "right pictures of captions without pairs, before and after a generator learned the judge's choices: one seed",
    )
    yield (
        f"{result.agreement:.0%}",
        f"of {len(result.judged)} fresh cases are judged as the exact checker grades them",
    )
    yield clock(result.seconds), "minutes for everything on this page, on a CPU"


def command(result: DemoResult) -> str:
    """What repeats the run on a command line."""
    seeds = " ".join(f"--seed {run.seed}" for run in result.runs)
    return f"unireward demo --output report.html --steps {result.runs[0].points[-1].step} {seeds}"


def unread_sentence(result: DemoResult) -> str:
    """How many of the exam's answers got no verdict, where there are any."""
    unread = sum(point.unread for run in result.runs for point in run.points)
    return f" Replies of the judge without a verdict, which are in no mean: {unread}." if unread else ""


def kind_row(name: str, cases: Sequence[Judged]) -> str:
    """How the judge did on one kind of case."""
    is_pair = cases[0].swapped is not None
    return table_row(
        name,
        len(cases),
        fmean(case.agrees for case in cases),
        fmean(case.flips for case in cases) if is_pair else "",
        sum(verdict.scores is None for case in cases for verdict in case.verdicts),
    )


def answers_row(result: DemoResult, index: int) -> str:
    """A question of the exam with the answers before and after."""
    cells = []
    for answers in (result.answers, *(run.answers for run in result.runs)):
        kind, mark = ("right", "✓") if result.exam.grade(answers)[index] else ("wrong", "✗")
        cells.append(f'<td><span class="{kind}">{mark}</span> {quoted(answers[index])}</td>')
    question = escape(result.exam.questions[index].text)
    drawn = picture(result.exam.media(index), side=64, shows=str(result.exam.scenes[index]))
    return f"<tr><td>{drawn}</td><td>{question}</td>{''.join(cells)}</tr>"


def generator_sentence(generator: GeneratorRun) -> str:
    """How it did, in words."""
    turned = sum(sample.is_right and not sample.was_right for sample in generator.samples)
    broken = sum(sample.was_right and not sample.is_right for sample in generator.samples)
    return (
        f"{generator.pairs} pairs. Of the samples of {len(generator.samples)} captions that none of the pairs had, "
        f"{generator.before:.1%} were right before and {generator.after:.1%} after. Of the first sample of each, "
        f"{turned} turned right and {broken} turned wrong."
    )


def drawn_figure(sample: Drawn) -> str:
    """What was drawn for one caption before and after, each with the checker's mark."""
    shown = "".join(
        f'<div>{picture(media, side=96, shows=when)}<span class="{"right" if right else "wrong"}">'
        f'{"✓" if right else "✗"}</span> <span class="quiet">{when}</span></div>'
        for media, right, when in (
            (sample.before, sample.was_right, "before"),
            (sample.after, sample.is_right, "after"),
        )
    )
    return f'<figure class="drawn"><div>{shown}</div><figcaption>{escape(sample.prompt)}</figcaption></figure>'


def table_row(*cells: str | float) -> str:
    """A row of texts, counts and shares from 0 to 1."""
    return f"<tr>{''.join(map(table_cell, cells))}</tr>"


def table_cell(value: str | float) -> str:
    """A text flush left, a number flush right."""
    match value:
        case str():
            return f"<td>{escape(value)}</td>"
        case int():
            return f'<td class="figure">{value}</td>'
    return f'<td class="figure">{value:.1%}</td>'


def learning_chart(result: DemoResult) -> str:
    """Truth and reward in the exam over the steps of training."""
    lines = []
    for name, style, measure in (("right answers", "truth", truth), ("judge's score", "reward", reward)):
        for run in result.runs:
            curve = [(point.step, measure(point)) for point in run.points]
            lines.append(Line(f"{name}, seed {run.seed}", known(curve), style, faint=True))
        together = zip(*(run.points for run in result.runs), strict=True)
        curve = [(seeds[0].step, fmean(map(measure, seeds))) for seeds in together]
        lines.append(Line(f"{name}, mean", known(curve), style))
    title = "The share of right answers and the judge's mean score over the steps of training"
    return line_chart(lines, title=title, across="step of training")


def known(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points of a curve but those of which nothing is known: where no reply of the judge was read."""
    return [(step, value) for step, value in curve if not isnan(value)]


def rewards_chart(result: DemoResult) -> str:
    """The reward of the sampled answers over the steps of training."""
    lines = [Line(f"seed {run.seed}", smoothed(run.rewards), "sampled", faint=True) for run in result.runs]
    return line_chart(lines, title="The mean reward of the sampled answers at each step", across="step of training")


def smoothed(curve: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """At each step the mean of its value and of those just before it."""
    return [
        (step, fmean(value for _, value in curve[max(0, index + 1 - SMOOTHED_OVER) : index + 1]))
        for index, (step, _) in enumerate(curve)
    ]


def points(share: float) -> str:
    """A difference of shares, in words."""
    return f"{100 * share:.1f} points"


def truth(point: Point) -> float:
    """The share of right answers."""
    return point.truth


def held_out(point: Point) -> float:
    """The share of right answers about held-out pairs of colour and shape."""
    return point.held_out


def reward(point: Point) -> float:
    """The judge's mean score."""
    return point.reward
