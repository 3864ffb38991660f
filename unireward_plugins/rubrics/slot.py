"""Answer slots: where a verdict is one token, so that its probabilities say more than a sample, for one prefill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, isnan

from unireward_plugins.errors import UniRewardError
from unireward_plugins.types import Reply, Verdict

LEAST_MASS = 0.05
"""The least probability that the choices must have together. A model that puts less than one part in twenty on
them was about to say something else, and their proportions are noise."""


@dataclass(frozen=True, slots=True)
class AnswerSlot:
    """A place in the reply where one of a few tokens is the verdict.

    The verdict is the expectation over the choices: their probabilities, normalised among themselves, weigh their
    values.
    """

    prefill: str
    """The reply up to the slot."""
    choices: tuple[str, ...]
    """What may stand there, each one token of the models it is for."""
    values: tuple[tuple[float, ...], ...]
    """For each choice, the scores that it means."""
    aspects: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict, hash=False)
    """Raw numbers by name: for each choice, the numbers that it means on the rubric's own scale."""

    def __post_init__(self) -> None:
        if len(self.choices) < 2 or len(set(self.choices)) < len(self.choices):
            raise UniRewardError(f"an answer slot needs at least two different choices, got {self.choices}")
        for name, values in {"values": self.values, **self.aspects}.items():
            if len(values) != len(self.choices) or len({len(scores) for scores in values}) != 1:
                raise UniRewardError(f"an answer slot needs {name} for each of {self.choices}, got {values}")

    def verdict(self, reply: Reply) -> Verdict:
        """The expected scores. Aspects: the expected raw numbers."""
        assert reply.logprobs is not None
        if any(isnan(logprob) for logprob in reply.logprobs):
            return Verdict(None, reply=reply.text, unread="nan")
        weights = [exp(min(logprob, 0.0)) for logprob in reply.logprobs]
        mass = sum(weights)
        if mass < LEAST_MASS:
            return Verdict(None, reply=reply.text, unread="mass")

        def expected(values: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
            return tuple(
                sum(weight * value for weight, value in zip(weights, column, strict=True)) / mass
                for column in zip(*values, strict=True)
            )

        raw = {name: expected(values) for name, values in self.aspects.items()}
        return Verdict(expected(self.values), aspects=raw, reply=reply.text)


def pair_slot(prefill: str) -> AnswerSlot:
    """The slot after `Image ` or the like, where `1` or `2` stands for the better candidate."""
    return AnswerSlot(prefill, choices=("1", "2"), values=((1.0, 0.0), (0.0, 1.0)))


def digit_slot(prefill: str, low: int, high: int) -> AnswerSlot:
    """The slot after `Final Score: ` or the like, where one of the digits from `low` to `high` stands.

    Fractions that the model would have written after the digit are lost.
    """
    digits = range(low, high + 1)
    return AnswerSlot(
        prefill,
        choices=tuple(str(digit) for digit in digits),
        values=tuple(((digit - low) / (high - low),) for digit in digits),
        aspects={"final_score": tuple((float(digit),) for digit in digits)},
    )
