"""Notices when a preference training makes the winners worse behind an accuracy that looks well."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class WinnerWatch:
    """Says when the winners get worse behind an accuracy that looks well.

    The rule: running means (decay 0.9, as of an even start) of `winner_over_reference` and `accuracy`; after 10 steps
    in a row with the one above 0 and the other above 0.6 there is a warning, and again each time the row has doubled.
    It is a rule of thumb, and ours. A rising error of the winners need not mean worse samples: in our own trials it
    rose in runs that helped as well as in those that did harm, so only samples tell.
    """

    steps: int = 0
    worse: float = 0.0
    accuracy: float = 0.0
    row: int = 0

    def update(self, values: Mapping[str, float]) -> str | None:
        """Take in the values of a step, and give the warning that is due, if any."""
        if "winner_over_reference" not in values:
            return None
        self.steps += 1
        self.worse = 0.9 * self.worse + 0.1 * values["winner_over_reference"]
        self.accuracy = 0.9 * self.accuracy + 0.1 * values["accuracy"]
        weight = 1 - 0.9**self.steps
        self.row = self.row + 1 if self.worse > 0 and self.accuracy / weight > 0.6 else 0
        if self.row < 10 or math.log2(self.row / 10) % 1:
            return None
        return (
            f"for {self.row} steps the model has predicted the winners worse than the reference does "
            f"(by {self.worse / weight:.3g}), though it prefers {self.accuracy / weight:.0%} of them: the margin grows "
            "because the losers get worse faster. Look at the held-out reward and the samples. If they suffer: a lower "
            "learning rate, fewer steps, safeguard: 0.9, or a winner_weight"
        )
