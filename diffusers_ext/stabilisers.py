"""What steadies the preference losses of `losses.py`, whose symbols hold here, too.

loss.of(scale_loser(errors, loser_scale(prediction, target)), auto_beta.beta) + weight * anchor(prediction, reference)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from diffusers_ext.pair_errors import Errors, check_pairs, mean_squared_error, precise
from unireward_plugins.errors import UniRewardError


def loser_scale(prediction: Tensor, target: Tensor, *, mu: float = 0.9) -> Tensor:
    """Diffusion-SDPO's safe share of each loser's gradient, `(pairs,)` in [0, 1], for `scale_loser` (arXiv:2511.03317).

    Of a batch with all winners first and then all losers, `(2 pairs, ...)`, with e = prediction - target:
    (1 - mu) |e_w|^2 / <e_l, e_w>, at most 1; and 1 where <e_l, e_w> is not positive, as the loser's gradient then does
    the winner no harm. A step along the pair's gradient, taken in the space of outputs, lowers the winner's error by at
    least the share mu of what the winner's gradient alone would, to first order. mu is in [0, 1]: 0 lets the winner's
    error stand still, 1 drops a loser that does any harm. This is so of losses that pull at both with one strength:
    not of MaPO and Diffusion-KTO, nor of IPO and DMPO beyond the margin that they want.

    AIDC-AI/Diffusion-SDPO `train.py`: mu 0.9 for SD 1.5, 0.6 for SDXL. There one share serves a whole micro-batch;
    here each pair has its own, so that the bound holds for every winner, whatever the pairs' weights, and the result
    does not depend on how a batch is cut up over processes. `UniRewardError` for a mu out of range or an odd batch.
    """
    if not 0 <= mu <= 1:
        raise UniRewardError(f"mu is a share, in [0, 1], not {mu}")
    check_pairs(prediction)
    residual = precise(prediction.detach()) - precise(target.detach())
    winner, loser = residual.flatten(1).chunk(2)
    alike = (winner * loser).sum(1)
    harmful = alike > 0
    share = (1 - mu) * winner.square().sum(1) / alike.where(harmful, torch.ones_like(alike))
    return share.clamp(0, 1).where(harmful, torch.ones_like(share))


def scale_loser(errors: Errors, scale: Tensor) -> Errors:
    """The same errors with a share of the gradient through the loser's: E_l becomes sg(E_l) + scale (E_l - sg(E_l)).

    sg stops the gradient; `scale`, `(batch,)`, is held constant too: `loser_scale`. Values, and so every measure, are
    as before (arXiv:2511.03317).
    """
    held = errors.loser.detach()
    return replace(errors, loser=held + scale.detach() * (errors.loser - held))


def anchor(prediction: Tensor, reference: Tensor) -> Tensor:
    """How far the model's outputs are from the reference's: half of winner's plus loser's squared distance, `(pairs,)`.

    For a batch with all winners first, `(2 pairs, ...)`; means over a sample, so at least 0. Weigh it and add it to a
    loss: `anchor_alpha` of bghira/SimpleTuner's `flow_dpo`. `UniRewardError` for an odd batch or shapes that differ.
    """
    check_pairs(prediction)
    winner, loser = mean_squared_error(prediction, reference.detach()).chunk(2)
    return (winner + loser) / 2


@dataclass(slots=True)
class AutoBeta:
    """The beta at which a pair of usual margin keeps a wanted share of its gradient, as margins grow.

    beta = -2 logit(target) / A, with A a running mean of |z|: then S(-beta A / 2) = target. After bghira/SimpleTuner
    `simpletuner/helpers/distillation/flow_dpo/distiller.py`, which has target 0.2, decay 0.99 and keeps beta within
    [0.001, 1] for errors that are **sums**. A beta for means is that for sums times the number of elements of one
    latent sample, and so are its limits: [0.001 elements, elements], which is [16, 16384] for SD 1.5 at 512 pixels,
    and would hold every beta at 1 if left as they are.

    A step whose margins are all exactly 0 says nothing of their size and is left out (there it starts the mean at 0,
    which the decay then takes hundreds of steps to forget). Until the first other step beta is the upper limit. For
    losses of m; Diffusion-KTO, which has no half, needs half this beta. `UniRewardError` for settings out of range.
    """

    elements: int
    """How many numbers one latent sample has, over which errors are averaged: 4 x 64 x 64 for SD 1.5."""
    target: float = 0.2
    """In (0, 0.5); nearer to 0.5 is a smaller, gentler beta."""
    decay: float = 0.99
    """How much of the running mean a step keeps, in [0, 1)."""
    average: float | None = None
    """The running mean of |z|, or `None` before a margin has moved."""

    def __post_init__(self) -> None:
        if self.elements < 1 or not 0 < self.target < 0.5 or not 0 <= self.decay < 1:
            raise UniRewardError(
                f"AutoBeta(elements={self.elements}, target={self.target}, decay={self.decay}): "
                "elements is at least 1, target in (0, 0.5), decay in [0, 1)"
            )

    @property
    def beta(self) -> float:
        """What to train the next step with."""
        low, high = 1e-3 * self.elements, 1.0 * self.elements
        if self.average is None:
            return high
        wanted = -2 * math.log(self.target / (1 - self.target)) / self.average
        return min(max(wanted, low), high)

    def update(self, size: float | Tensor) -> float:
        """Take in the mean |z| of a step, averaged over all processes, and give the new beta.

        `UniRewardError` for a size that is negative or not finite, which would stay in the mean for good.
        """
        size = float(size)
        if not (math.isfinite(size) and size >= 0):
            raise UniRewardError(f"the mean size of the margins is {size}: the errors of this step are not usable")
        if size > 0:
            self.average = size if self.average is None else self.decay * self.average + (1 - self.decay) * size
        return self.beta

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep."""
        return {"average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.average = state["average"]


def gap_weights(gaps: Tensor, *, bins: int = 10, alpha: float = 1.0, largest: float = 10.0) -> Tensor:
    """VideoDPO's weights, `(pairs,)` at least 1, by which pairs with a rare gap between the scores count for more.

    `gaps`, `(pairs,)`, are score of winner minus score of loser for **all** pairs of a data set; the trainer
    multiplies a pair's loss by its weight. Weight = (P / p)^alpha with p the share of pairs in the gap's bin, of
    `bins` of equal width from least to greatest gap, and P the share in the fullest bin (arXiv:2412.14167).
    CIntellifusion/VideoDPO `data/video_data.py` has P = 0.72 as a constant of its data and reads p from them; alpha
    is 1 there. Ours is the limit `largest`: a single odd pair among thousands would otherwise weigh as much as all
    others. `UniRewardError` for no gaps, for one that is not finite, and for settings out of range.
    """
    if bins < 1 or alpha < 0 or largest < 1:
        raise UniRewardError(
            f"bins={bins} is at least 1, alpha={alpha} not negative and largest={largest} at least 1, the least weight"
        )
    if gaps.dim() != 1 or not len(gaps) or not bool(gaps.isfinite().all()):
        raise UniRewardError(f"gaps are finite numbers, one for each pair, (pairs,), not {tuple(gaps.shape)}: {gaps}")
    gaps = gaps.double()
    width = gaps.max() - gaps.min()
    if width == 0:
        return torch.ones_like(gaps, dtype=torch.float32)
    index = ((gaps - gaps.min()) / width * bins).long().clamp(max=bins - 1)
    count = index.bincount(minlength=bins).double()
    return (count.max() / count[index]).pow(alpha).clamp(max=largest).float()
