"""Writes what came of the papers' claims as a Markdown page with SVG plots: each judge, each difference, each seed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, stdev

from unireward_plugins.shapes.claims import ITEMS, SEEDS, STEPS, Result
from unireward_plugins.shapes.claims_plots import plot
from unireward_plugins.shapes.claims_questions import BOTH, CLAIMS, READOUT_COLUMNS, Column, PaperClaim
from unireward_plugins.shapes.claims_verdict import AGREEING, MINUS, SPREADS, points, verdict


def write_page(results: Sequence[Result], folder: Path) -> Path:
    """Write `claims.md`, and its plots to `pictures/` beside it; return its path."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for claim in CLAIMS:
        (pictures / f"claims-{claim.slug}.svg").write_text(plot(claim, results), encoding="utf-8")
    path = folder / "claims.md"
    path.write_text(page(results), encoding="utf-8")
    return path


def page(results: Sequence[Result]) -> str:
    """The page, in Markdown."""
    parts = [
        "# The papers' claims, tested here",
        introduction(results),
        "## What came out",
        summary(results),
        *(section(claim, results) for claim in CLAIMS),
        "### What both orders are for",
        orders(results),
        "## What this does not show",
        LIMITS,
    ]
    return "\n\n".join(parts) + "\n"


def introduction(results: Sequence[Result]) -> str:
    """What was done, and how to do it again."""
    plan = next(one.settings["plan"] for one in results if one.condition == BOTH)
    items = results[0].settings["items"]
    seeds = sorted({one.seed for one in results})
    hours = sum(one.seconds for one in results) / 3600
    options = {f"--steps {plan['judging_steps']}": plan["judging_steps"] != STEPS, f"--items {items}": items != ITEMS}
    options |= {f"--seed {seed}": seeds != list(SEEDS) for seed in seeds}
    return INTRODUCTION.format(
        command=" ".join(["unireward shapes claims --output claims", *(text for text in options if options[text])]),
        looking=f"{plan['looking_steps']:,}",
        batch=plan["judging_batch"],
        steps=f"{plan['judging_steps']:,}",
        items=items,
        chance=f"{196 * (0.25 / items) ** 0.5:.0f}",
        seeds=len(seeds),
        judges=len(results),
        hours=f"{hours:.1f}",
        software=", ".join(f"{name} {version(name)}" for name in ("unireward-plugins", "torch", "transformers")),
    )


def summary(results: Sequence[Result]) -> str:
    """Every comparison in one line: its mean over columns and seeds, and how often the first was the better one."""
    lines = [_line("", "points, mean", "the first is better in"), _line("---", "---", "---")]
    for claim in CLAIMS:
        lines.append(_line(f"**{claim.question}**", "", ""))
        for rows in claim.comparisons:
            found = [value for column in claim.columns for value in claim.differences(results, rows, column)]
            better = sum(value > 0 for value in found)
            lines.append(_line(_against(claim, rows), points(fmean(found)), f"{better} of {len(found)}"))
    return "\n".join(lines) + "\n\n" + VERDICTS.format(agreeing=f"{AGREEING:.0%}", spreads=f"{SPREADS:g}")


def section(claim: PaperClaim, results: Sequence[Result]) -> str:
    """One claim: the verdict, the plot, then what the paper says, then the figures and the differences."""
    return "\n\n".join(
        [
            f"## {claim.question}",
            verdict(claim, results),
            f"![{claim.question}](pictures/claims-{claim.slug}.svg)",
            claim.paper,
            shares_table(claim, results),
            differences_table(claim, results),
        ]
    )


def shares_table(claim: PaperClaim, results: Sequence[Result]) -> str:
    """Per cent right, mean and standard deviation over the seeds."""
    lines = [_line("right, %", *(column.title for column in claim.columns)), _rule(claim.columns)]
    for number, row in enumerate(claim.rows):
        cells = [_spread(claim.values(results, row, column)) for column in claim.columns]
        lines.append(_line(_name(claim, number), *cells))
    return "\n".join(lines)


def differences_table(claim: PaperClaim, results: Sequence[Result]) -> str:
    """Points of difference: the mean, and each seed; bold where all seeds agree."""
    lines = [_line("difference, points", *(column.title for column in claim.columns), "mean"), _rule(claim.columns, 2)]
    for rows in claim.comparisons:
        found = [claim.differences(results, rows, column) for column in claim.columns]
        lines.append(_line(_against(claim, rows), *map(_difference, found), points(fmean(map(fmean, found)))))
    return "\n".join(lines) + "\n\nIn brackets each seed; bold where all seeds agree on the sign."


def orders(results: Sequence[Result]) -> str:
    """How often the two orders agree, and how right they are where they do."""

    def shares(column: Column, name: str) -> list[float]:
        return [one.measures[column.task][f"{column.fills}, {name}"] for one in results if one.condition == BOTH]

    def right_of_agreed(column: Column) -> list[float]:
        parts, wholes = shares(column, "agreed, right"), shares(column, "agreed")
        return [part / whole if whole else 0.0 for part, whole in zip(parts, wholes, strict=True)]

    rows = {
        "the first candidate wins": [shares(column, "first") for column in READOUT_COLUMNS],
        "both orders name the same winner": [shares(column, "agreed") for column in READOUT_COLUMNS],
        "right, where they do": list(map(right_of_agreed, READOUT_COLUMNS)),
        "right, of all, in one order": [shares(column, "pair") for column in READOUT_COLUMNS],
        "no verdict": [shares(column, "unread") for column in READOUT_COLUMNS],
    }
    lines = [_line("%", *(column.title for column in READOUT_COLUMNS)), _rule(READOUT_COLUMNS)]
    lines += [_line(label, *map(_spread, found)) for label, found in rows.items()]
    return "\n".join(lines) + "\n\n" + ORDERS


def _name(claim: PaperClaim, number: int) -> str:
    """A row's label, with the heading that it stands under."""
    heading = next((row.heading for row in reversed(claim.rows[: number + 1]) if row.heading), "")
    label = claim.rows[number].label
    return f"{label} ({heading})" if heading else label


def _against(claim: PaperClaim, rows: tuple[int, int]) -> str:
    return f"{claim.rows[rows[0]].label} {MINUS} {_name(claim, rows[1])}"


def _difference(found: Sequence[float]) -> str:
    """The mean of a difference, and each seed's."""
    text = f"{points(fmean(found))} ({', '.join(map(points, found))})"
    agree = all(value > 0 for value in found) or all(value < 0 for value in found)
    return f"**{text}**" if agree and len(found) > 1 else text


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{deviation}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: Sequence[Column], besides: int = 1) -> str:
    return _line(*["---"] * (len(columns) + besides))


INTRODUCTION = """\
UnifiedReward's papers claim things about judges that can be tried in the embedded world of shapes, where the truth is
known and a judge is taught in minutes. One command does it:

```console no-run
$ {command}
```

For each of {seeds} seeds a judge of the embedded kind first learns to look ({looking} steps). Each condition goes on
from the same weights, with a fresh optimizer and a learning rate that falls to nearly nothing at its own last step. A
step is {batch} fresh lessons of one cell, and {batch} pictures to look at besides. Then each judge is asked about
{items} fresh items in each cell of the two image tasks: the same ones for every condition of a seed, others for each
seed. {judges} judges were taught, in {hours} hours of learning on a CPU ({software}).

*Equal steps in all* ({steps}) means that a judge of several tasks sees less of each of them. *Equal steps of the
task* means that every judge sees as much of an image task as the judge of both does, so that a judge of more tasks
takes more steps in all. Neither alone is the fair comparison: the first asks what to do with a given amount of
computing, the second what to do with given data.

*Alone* is one image task, for a point and for pairs; *both image tasks* is one and the same judge wherever it stands.
A *reply* is generated, with its reasons where the judge was taught any; *asked directly*, or *likelihood*, is the most
likely verdict without a word before it, as a judge that was taught reasons was taught in one lesson of five.

*Point* is the share of scores (1 to 5) within half a grade of the truth; *pair* the share of pairs whose better
candidate wins, where a tie counts a half, and a reply without a verdict nothing. From {items} items a share is known
to within {chance} points with 95 % confidence, the difference of two judges on the same items to somewhat less. Where
nothing matters, three seeds agree on a sign one time in four."""

VERDICTS = """\
One comparison for each seed and column of the tables below. Each section begins with a verdict that follows from these
figures: *yes* where the first is better in at least {agreeing} of the comparisons, *no* where it is worse in as many;
for both, the mean must lie more than {spreads} standard deviations (±) of the seeds' means from 0. Everything else
is *undecided*, and so is all that fewer than three seeds say."""

ORDERS = """\
A reply names a winner and knows no ties. Two replies that disagree make a tie, and a tie counts a half: on average,
both orders can then be neither better nor worse than one. What they give is that no position is preferred, and a
warning: where the orders disagree the judge does not know. Likelihoods are shares, and the mean of two can be better
than each."""

LIMITS = """\
It proves nothing about large checkpoints. The judges have 1.4 million weights, see pictures of three shapes at most,
and learn to reason from reasons that a program wrote, nearly all of them true. A large judge starts from a model that
has seen and read much already, and its reasons are its own. All conditions share what was learned by looking, which
is part of what joint training might have given them. The judges are taught for few steps: what helps an unfinished
judge need not help a finished one. A few seeds show large effects and hide small ones."""
