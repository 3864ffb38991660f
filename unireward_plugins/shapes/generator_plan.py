"""How the tiny generators are trained: everything that their weights depend on, in numbers; by default of pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUGH = 850
"""The lowest of the levels of noise, of 1,000, that leave next to nothing to be seen: a signal of an eleventh of the
noise, or less."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the weights depend on."""

    seed: int = 0
    codec_steps: int = 1000
    codec_batch: int = 16
    codec_rate: float = 4e-3
    reading_steps: int = 300
    reading_batch: int = 64
    reading_rate: float = 2e-3
    painting_steps: int = 9000
    painting_batch: int = 32
    painting_rate: float = 1.2e-3
    cycles: int = 1
    """How often the learning rate of painting falls to 0, to rise again (SGDR, arXiv:1608.03983)."""
    rough_steps: int = 0
    """The first steps of the last cycle, which see levels of noise from `ROUGH` on alone: where next to nothing is
    seen, only the caption tells what is to come."""
    pictures: int = 12_000
    """How many pictures, or clips, there are to learn from, each with its caption."""
    blank: float = 0.1
    """How often the caption is left out, so that the generator can be guided."""
    average: float = 0.999
    """The decay of the moving average of the weights, which is what is shipped."""

    @property
    def painting_starts(self) -> int:
        """The first step of painting."""
        return self.codec_steps + self.reading_steps

    @property
    def steps(self) -> int:
        """The steps of all parts."""
        return self.painting_starts + self.painting_steps

    @property
    def cycle(self) -> int:
        """The steps of one cycle of painting."""
        return self.painting_steps // self.cycles

    def lowest_level(self, step: int) -> int:
        """The lowest level of noise, of 1,000, that a step of painting sees."""
        last = self.steps - self.cycle
        return ROUGH if last <= step < last + self.rough_steps else 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step: two thirds of a cosine for the codec; then even, and down to 0 in the end."""
        if step < self.codec_steps:
            cosine = 0.5 + 0.5 * math.cos(math.pi * step / (1.5 * self.codec_steps))
            return self.codec_rate * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * cosine)
        if step < self.painting_starts:
            return self.reading_rate * min(1.0, 2 * (1 - (step - self.codec_steps) / self.reading_steps))
        own = (step - self.painting_starts) % self.cycle
        return self.painting_rate * min(1.0, (own + 1) / 100, (1 - own / self.cycle) / 0.4)
