"""How the tiny judge is trained: everything that its weights depend on, in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from unireward_plugins.shapes.data import CELLS, Cell

EMPHASIS: Mapping[str, int] = {
    "image generation, point": 4,
    "image generation, pair": 3,
    "image understanding, point": 2,
    "image understanding, pair": 2,
    "video generation, point": 2,
    "video generation, pair": 2,
    "video understanding, point": 1,
    "video understanding, pair": 2,
}
"""How often each cell comes up in a round; every step is of one cell."""
POLISHING_EMPHASIS: Mapping[str, int] = {
    "image generation, point": 5,
    "image generation, pair": 2,
    "image understanding, point": 2,
    "image understanding, pair": 2,
    "video generation, point": 1,
    "video generation, pair": 6,
    "video understanding, point": 1,
    "video understanding, pair": 1,
}
"""The same while polishing: mostly what is still judged worst."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the weights depend on."""

    seed: int = 0
    looking_steps: int = 2000
    judging_steps: int = 11_500
    looking_batch: int = 64
    judging_batch: int = 16
    rate: float = 3e-3
    """The highest learning rate while looking, and again while judging."""
    tricky_steps: int = 5500
    """The last steps of judging, with more of what is hard: answers that are easily taken for better ones, and two
    different shapes in one caption."""
    polishing_steps: int = 3500
    """At half the rate."""
    cells: tuple[str, ...] = tuple(CELLS)
    """What it learns to judge."""
    reasons: bool = True
    """Whether it gives reasons before the verdict, but for some; else never."""

    @property
    def parts(self) -> tuple[tuple[int, float], ...]:
        """How many steps each part has, and its highest learning rate."""
        return (
            (self.looking_steps, self.rate),
            (self.judging_steps, self.rate),
            (self.polishing_steps, self.rate / 2),
        )

    @property
    def steps(self) -> int:
        """The steps of all parts."""
        return sum(steps for steps, _ in self.parts)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step: in each part a short rise, then a cosine down to a fiftieth."""
        starts = accumulate((steps for steps, _ in self.parts), initial=0)
        begun = ((start, part) for start, part in zip(starts, self.parts, strict=False) if start <= step and part[0])
        start, (steps, highest) = max(begun)
        done = step - start
        cosine = 0.5 + 0.5 * math.cos(math.pi * done / steps)
        return highest * min(1.0, (done + 1) / 30) * (0.02 + 0.98 * cosine)

    @property
    def polishing_starts(self) -> int:
        """The first step of polishing."""
        return self.looking_steps + self.judging_steps

    def round(self, emphasis: Mapping[str, int]) -> tuple[Cell, ...]:
        """The cells of the steps of one round, well mixed."""
        order = [name for name in self.cells for _ in range(emphasis[name])]
        Random(0).shuffle(order)  # noqa: S311 - pictures, not secrets
        return tuple(CELLS[name] for name in order)
