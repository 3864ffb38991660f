"""The errors of pairs that preference losses are functions of, and what of them is to be logged.

For one pair E_w and E_l are the mean squared errors of the model being trained on the winner and on the loser, R_w and
R_l those of the reference model on the same noisy latents, and z = (E_l - R_l) - (E_w - R_w) is the margin.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from unireward_plugins.errors import UniRewardError


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """The mean squared errors of a batch of pairs, each `(batch,)`, at least 0 and at least float32.

    `UniRewardError` where the shapes differ, where only one error of the reference is given, or where an error is in
    half precision: at beta 5000 the last bit of a bfloat16 error of 0.1 moves the logit by more than 1.
    """

    winner: Tensor
    loser: Tensor
    reference_winner: Tensor | None = None
    """`None`, like `reference_loser`, for losses that need no reference."""
    reference_loser: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.reference_winner is None) != (self.reference_loser is None):
            raise UniRewardError(
                "the reference's errors come in twos: give reference_winner and reference_loser, or none"
            )
        given: dict[str, Tensor] = {
            field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None
        }
        if self.winner.dim() != 1 or len({value.shape for value in given.values()}) > 1:
            shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in given.items())
            raise UniRewardError(f"errors have one shape, (batch,), not: {shapes}. Use mean_squared_error")
        for name, value in given.items():
            if value.dtype not in (torch.float32, torch.float64):
                raise UniRewardError(
                    f"{name} is {value.dtype}, too coarse for a beta in thousands. Use mean_squared_error"
                )

    @property
    def margin(self) -> Tensor:
        """z, `(batch,)`; `UniRewardError` without a reference."""
        winner, loser = self.over_reference
        return loser - winner

    @property
    def over_reference(self) -> tuple[Tensor, Tensor]:
        """E_w - R_w and E_l - R_l, each `(batch,)`; `UniRewardError` without a reference.

        Like is taken from like first: model and reference are close, so that these differences are exact in float32,
        and exactly 0 before the first step.
        """
        if self.reference_winner is None or self.reference_loser is None:
            raise UniRewardError(
                "this loss compares with a reference model, and its errors are not given. Set reference_winner and "
                'reference_loser, or choose a loss without a reference: "mapo", "supervised"'
            )
        return self.winner - self.reference_winner, self.loser - self.reference_loser


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean of (prediction - target)^2 over all dimensions but the first, `(batch,)`, of a picture or a clip alike.

    Half precision is computed in float32, after each input is cast. `UniRewardError` where the shapes differ, which
    would otherwise broadcast.
    """
    if prediction.shape != target.shape or prediction.dim() < 2:
        raise UniRewardError(
            f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} have one shape, (batch, ...)"
        )
    return precise(prediction).sub(precise(target)).square().flatten(1).mean(1)


def pair_errors(prediction: Tensor, target: Tensor, reference: Tensor | None = None) -> Errors:
    """The errors of a batch that holds all winners first and then, in the same order, all losers: `(2 pairs, ...)`.

    `reference` is what the reference model predicts; no gradient flows through it. `UniRewardError` for an odd batch or
    shapes that differ.
    """
    check_pairs(prediction)
    winner, loser = mean_squared_error(prediction, target).chunk(2)
    if reference is None:
        return Errors(winner, loser)
    reference_winner, reference_loser = mean_squared_error(reference.detach(), target).chunk(2)
    return Errors(winner, loser, reference_winner, reference_loser)


def measures(errors: Errors) -> dict[str, Tensor]:
    """What must be logged apart, by name; each `(batch,)` and without gradient. Gather over processes, then average.

    Always `winner_error` and `loser_error`, E_w and E_l. With a reference also
    - `winner_over_reference`, `loser_over_reference`: E_w - R_w and E_l - R_l. **Above 0 a winner is worse than at the
      start**, and the margin may well be growing all the same, because the loser's error rises faster;
    - `winner_worse`: 1 where it is so, else 0, so that its mean is a share;
    - `margin`: z, which is what DPO raises;
    - `accuracy`: 1 where the margin is positive, 1/2 where it is 0, else 0; so 1/2 before the first step.
    """
    found = {"winner_error": errors.winner.detach(), "loser_error": errors.loser.detach()}
    if errors.reference_winner is None:
        return found
    winner, loser = (value.detach() for value in errors.over_reference)
    margin = loser - winner
    return found | {
        "winner_over_reference": winner,
        "loser_over_reference": loser,
        "winner_worse": (winner > 0).to(winner.dtype),
        "margin": margin,
        "accuracy": (margin.sign() + 1) / 2,
    }


def precise(values: Tensor) -> Tensor:
    """The same in float32, or in float64 where it came so."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_pairs(prediction: Tensor) -> None:
    """`UniRewardError` unless this is a batch of pairs, `(2 pairs, ...)`: all winners first, then all losers."""
    if prediction.dim() < 2 or not len(prediction) or len(prediction) % 2:
        raise UniRewardError(
            f"a batch of pairs is (2 pairs, ...): all winners, then all losers; not {tuple(prediction.shape)}"
        )
