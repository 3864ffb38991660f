"""Line charts as SVG that stands by itself: no script, no network, colours from the page around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 18, 46
"""The margins around the plot, in the same units."""


@dataclass(frozen=True, slots=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float]]
    """x, and y from 0 to 1."""
    style: str
    """The CSS class that gives it colour and width: `truth`, `reward`."""
    faint: bool = False
    """One of several that a clear line sums up."""


def line_chart(lines: Sequence[Line], *, title: str, across: str) -> str:
    """The curves over one another, y as per cent; `across` names the x axis, `title` is what a screen reader says."""
    last = max((x for line in lines for x, _ in line.points), default=1) or 1
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(_row(share) for share in (0, 0.25, 0.5, 0.75, 1))}"
        f"{''.join(_column(last * part / 4, last) for part in range(5))}"
        f'<text class="axis" x="{LEFT}" y="{HEIGHT - 8}">{escape(across)}</text>'
        f"{''.join(_curve(line, last) for line in lines)}</svg>"
    )


def _row(share: float) -> str:
    y = _y(share)
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
    )


def _column(x: float, last: float) -> str:
    return f'<text class="axis" x="{_x(x, last):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:.0f}</text>'


def _curve(line: Line, last: float) -> str:
    path = " ".join(f"{_x(x, last):.1f},{_y(y):.1f}" for x, y in line.points)
    kind = f"{line.style} faint" if line.faint else line.style
    dots = "" if line.faint else "".join(_dot(line, x, y, last) for x, y in line.points)
    return f'<g class="{kind}"><polyline points="{path}"><title>{escape(line.name)}</title></polyline>{dots}</g>'


def _dot(line: Line, x: float, y: float, last: float) -> str:
    return (
        f'<circle cx="{_x(x, last):.1f}" cy="{_y(y):.1f}" r="3.5">'
        f"<title>{escape(line.name)}, step {x:.0f}: {y:.1%}</title></circle>"
    )


def _x(value: float, last: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * value / last


def _y(share: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)
