"""A comparison of two candidates and what a judge said of them; `tournament` takes their numbers and shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unireward_plugins.types import Case, Judge, Verdict

DRAW = Verdict((0.5, 0.5), reply="(the same twice: a draw)")
"""What comes of two equal candidates."""


@dataclass(frozen=True, slots=True)
class Game:
    """One comparison: the numbers of the two candidates, and the verdict on them in this order."""

    first: int
    second: int
    verdict: Verdict
    orders_agree: bool | None = None
    """Whether the judge came to the same winner, or both times to none, when it was asked the other way round; `None`
    where that is not known."""

    @property
    def share(self) -> float | None:
        """The share of the point that went to the first, from 0 to 1; `None` where there is no verdict."""
        return None if self.verdict.scores is None else self.verdict.scores[0]

    @property
    def winner(self) -> int | None:
        """The candidate that got more than half of the point, if one did."""
        if self.share is None or self.share == 0.5:
            return None
        return self.first if self.share > 0.5 else self.second


def equals_draw(judge: Judge) -> Judge:
    """The same judge of pairs, for whom two equal candidates draw without being asked about.

    All that a judge could show there is its preference for a place.
    """

    def judge_the_others(cases: Sequence[Case]) -> list[Verdict]:
        verdicts = iter(judge([case for case in cases if not _is_draw(case)]))
        return [DRAW if _is_draw(case) else next(verdicts) for case in cases]

    return judge_the_others


def _is_draw(case: Case) -> bool:
    first, second = case.candidates
    return first == second
