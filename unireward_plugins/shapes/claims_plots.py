"""Draws what came of the papers' claims: SVG that stands by itself, one plot for each question."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import fmean

from unireward_plugins.shapes.claims import Result
from unireward_plugins.shapes.claims_questions import Column, PaperClaim

LABELS, COLUMN, GAP, LINE, TOP, BOTTOM = 204, 130, 14, 22, 44, 36
"""Of a plot: the widths of the labels, of a column and between columns, and the heights of a row, of what stands above
the rows and of what stands below them."""
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1c1f23}.quiet{fill:#61676f}.head{font-weight:600}"
    ".edge{stroke:#e2e3df}.seed{fill:#0b7a5c;fill-opacity:.35}.mean{stroke:#0b7a5c;stroke-width:3}"
)


def plot(claim: PaperClaim, results: Sequence[Result]) -> str:
    """A line for each row, a column for each column: every seed a dot, the mean a stroke. SVG that stands by itself."""
    every = [value for row in claim.rows for column in claim.columns for value in claim.values(results, row, column)]
    low = min(int(10 * min(every)) / 10, 0.9)
    places, y = [], TOP
    for row in claim.rows:
        y += LINE if row.heading else 0
        places.append(y)
        y += LINE
    width = LABELS + len(claim.columns) * (COLUMN + GAP)
    drawn = [_labels(claim, places)]
    for number, column in enumerate(claim.columns):
        left = LABELS + number * (COLUMN + GAP)
        drawn.append(_axis(column, left, bottom=y, low=low))
        for row, place in zip(claim.rows, places, strict=True):
            drawn.append(_dots(claim.values(results, row, column), left, place + LINE / 2, low=low))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + BOTTOM}" role="img" '
        f'aria-label="{escape(claim.question)}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(drawn)}'
        f'<text class="quiet" x="{LABELS + 8}" y="{y + BOTTOM - 4}">% right; dots are seeds, strokes their means</text>'
        "</svg>\n"
    )


def _labels(claim: PaperClaim, places: Sequence[float]) -> str:
    drawn = []
    for row, place in zip(claim.rows, places, strict=True):
        if row.heading:
            drawn.append(f'<text class="quiet" x="6" y="{place - 6}">{escape(row.heading)}</text>')
        drawn.append(f'<text x="14" y="{place + LINE / 2 + 4}">{escape(row.label)}</text>')
    return "".join(drawn)


def _axis(column: Column, left: float, *, bottom: float, low: float) -> str:
    """A column's title in two lines, its edges and middle, and what they stand for."""
    drawn = [
        f'<text class="head" x="{left + 8}" y="{16 * line}">{escape(text)}</text>'
        for line, text in enumerate(column.title.split(", "), start=1)
    ]
    for share in (low, (1 + low) / 2, 1):
        x = _x(share, left, low=low)
        drawn.append(
            f'<line class="edge" x1="{x}" x2="{x}" y1="{TOP - 4}" y2="{bottom}"/>'
            f'<text class="quiet" x="{x}" y="{bottom + 14}" text-anchor="middle">{100 * share:.0f}</text>'
        )
    return "".join(drawn)


def _dots(values: Sequence[float], left: float, y: float, *, low: float) -> str:
    dots = [
        f'<circle class="seed" cx="{_x(value, left, low=low):.1f}" cy="{y}" r="4"><title>{value:.1%}</title></circle>'
        for value in values
    ]
    x = f"{_x(fmean(values), left, low=low):.1f}"
    return f'{"".join(dots)}<line class="mean" x1="{x}" x2="{x}" y1="{y - 7}" y2="{y + 7}"/>'


def _x(share: float, left: float, *, low: float) -> float:
    return round(left + 8 + (COLUMN - 16) * (share - low) / (1 - low), 1)
