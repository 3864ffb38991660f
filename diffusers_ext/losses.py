"""Preference losses of diffusion models as functions of four errors a pair.

errors = pair_errors(prediction, target, reference)      # winners first, losers second, in one batch
loss = LOSSES["diffusion_dpo"]
loss.of(errors, loss.beta).mean().backward()

In all that follows, for one pair: E_w and E_l are the errors of the model being trained on winner and loser, R_w and
R_l those of the reference model, as `pair_errors.py` has them; S is the logistic function, and

    z = (E_l - R_l) - (E_w - R_w)      the margin: positive where the model has moved towards the winner
    m = beta z / 2                     the logit of "the winner is preferred"

Every loss gives one number for each pair, `(batch,)`. A beta belongs to errors that are **means** over a sample, and to
the half in m, as in SalesforceAIResearch/DiffusionDPO `train.py`. The scripts of diffusers leave the half out: their
`beta_dpo=2500` is 5000 here. With sums in place of means beta is smaller by the number of elements of a latent.
What steadies the losses is in `stabilisers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from diffusers_ext.pair_errors import Errors
from unireward_plugins.errors import UniRewardError

Beta = float | Tensor
"""How steep a loss is: a number, or one for each pair, `(batch,)`."""


def diffusion_dpo(errors: Errors, beta: Beta) -> Tensor:
    """Diffusion-DPO: -log S(m) (arXiv:2311.12908, eq. 14, with its T omega(lambda_t) constant and within beta).

    ln 2 where model and reference agree. SalesforceAIResearch/DiffusionDPO `train.py`: beta 5000 by default, for SD 1.5
    and SDXL; the paper reports 2000 for SD 1.5 and 5000 for SDXL.
    """
    return -logsigmoid(_logit(errors, beta))


def flow_dpo(errors: Errors, beta: Beta) -> Tensor:
    """Flow-DPO: -log S(m), of errors of velocities, with one beta for all noise levels (arXiv:2501.13918).

    The theory gives a beta that falls with the noise level; the paper found a constant one better. Where the other is
    wanted, give a beta for each pair. yifan123/flow_grpo `scripts/train_sd3_dpo.py`: beta 100 for SD 3.5; its author
    advises up to 2000 where the loss has spikes.
    """
    return diffusion_dpo(errors, beta)


def hinge(errors: Errors, beta: Beta) -> Tensor:
    """The hinge in place of the logistic loss: max(0, 1 - m) (SLiC, arXiv:2305.10425).

    "hinge" of diffusers' DPO scripts. 1 where model and reference agree; a pair with m above 1 no longer pulls.
    """
    return (1 - _logit(errors, beta)).relu()


def ipo(errors: Errors, beta: Beta) -> Tensor:
    """IPO (arXiv:2310.12036, eq. 17), times beta^2: beta^2 (z / 2 - 1 / (2 beta))^2 = (m - 1/2)^2.

    The factor leaves the minimum where it is, at m = 1/2, and gives gradients of the size of Diffusion-DPO's; without
    it they are smaller by beta^2, where half precision and Adam's epsilon swallow them. 1/4 where model and reference
    agree.
    """
    return (_logit(errors, beta) - 0.5).square()


def dmpo(errors: Errors, beta: Beta, *, alpha: float = 0.01) -> Tensor:
    """DMPO: the divergence KL(Bernoulli(S(m)) || Bernoulli(1 - alpha)) (arXiv:2507.07510).

    Least, and 0, at S(m) = 1 - alpha: unlike Diffusion-DPO it then stops to pull. AIDC-AI/Diffusion-SDPO `train.py`
    ("dmpo"): alpha 0.01, beta 2000 for SD 1.5 and 6000 for SDXL. `UniRewardError` for an alpha outside (0, 0.5].
    """
    if not 0 < alpha <= 0.5:
        raise UniRewardError(f"dmpo's alpha is the share of labels taken to be wrong, in (0, 0.5], not {alpha}")
    logit = _logit(errors, beta)
    preferred = logit.sigmoid()
    return preferred * (logsigmoid(logit) - math.log1p(-alpha)) + (-logit).sigmoid() * (
        logsigmoid(-logit) - math.log(alpha)
    )


def linear_dpo(errors: Errors, beta: Beta, *, eta: float = 1e-3) -> Tensor:
    """Linear-DPO: c (E_w - E_l), c = clip(1/2 - beta z / 5, eta, 1 - eta) held constant (arXiv:2605.21123).

    c stands where Diffusion-DPO's gradient has S(-m), of which it is a straight line: a pair that is wrong by far pulls
    no more than 1 - eta, one that is right by far still pulls with eta. Its value says little; look at the measures.
    Whynot0101/Linear-DPO `train/train_sd_dpo.py`: SD 1.5 beta 100, eta 0.001, the reference an average of the weights
    (decay 0.95 to 0.995); SDXL beta 500, eta 0, a fixed reference. `UniRewardError` for an eta outside [0, 0.5].
    """
    if not 0 <= eta <= 0.5:
        raise UniRewardError(f"linear_dpo's eta bounds a pair's weight to [eta, 1 - eta], so is in [0, 0.5], not {eta}")
    weight = (0.5 - 0.2 * beta * errors.margin.detach()).clamp(eta, 1 - eta)
    return weight * (errors.winner - errors.loser)


def mapo(errors: Errors, beta: Beta, *, scale: float = 0.5, steps: float = 1000.0) -> Tensor:
    """MaPO, without a reference: E_w - beta log S(steps (g(E_w) - g(E_l))), g(E) = c E / (exp(c E) - 1), c = `scale`.

    arXiv:2406.06424; mapo-t2i/mapo `utils.py` `compute_loss`: c 0.5, beta 0.1, and `steps` the number of training
    timesteps, 1000. E_w + beta ln 2 where both errors are equal. As nothing holds the model back but E_w, beta weighs
    the preference against it.
    """
    return errors.winner - beta * logsigmoid(steps * (_bounded(scale * errors.winner) - _bounded(scale * errors.loser)))


def diffusion_kto(
    errors: Errors, beta: Beta, *, baseline: float | Tensor, liked: float = 1.0, disliked: float = 1.0
) -> Tensor:
    """Diffusion-KTO with winners as the liked and losers as the disliked pictures (arXiv:2404.04465).

    With r = R - E for each picture, the mean over the two of liked S(-beta (r_w - q)) and disliked S(beta (r_l - q)).
    No half here. `baseline` is `kto_baseline`, averaged over all processes; q is what of it lies above 0, and no
    gradient flows through it. 1/2 where model and reference agree. jacklishufan/diffusion-kto `train_kto_sd_v1.5.py`
    with `exps/example.sh`: beta 1000, both weights 1, 4 of 5 pictures liked (which weights of 1.6 and 0.4 stand for).
    """
    winner, loser = errors.over_reference
    reference_point = torch.as_tensor(baseline).detach().clamp(min=0)
    dissatisfied = (beta * (winner + reference_point)).sigmoid()
    satisfied = (-beta * (loser + reference_point)).sigmoid()
    return (liked * dissatisfied + disliked * satisfied) / 2


def kto_baseline(errors: Errors) -> Tensor:
    """The mean of R - E over the winners and losers of a batch, a number without gradient, for `diffusion_kto`.

    Average it over all processes and micro-batches of a step before it is used: in this the pictures of a step depend
    on each other.
    """
    winner, loser = errors.over_reference
    return -(winner + loser).detach().mean() / 2


def supervised(errors: Errors, beta: Beta) -> Tensor:
    """Fine-tuning on the winners alone: beta E_w.

    Added to another loss it is the winner term that keeps a model from drifting off (`sft_loss_weight` of
    bghira/SimpleTuner's `flow_dpo`). There mind the sizes: where model and reference agree Diffusion-DPO pulls at E_w
    with beta / 4, which is 1250 at beta 5000.
    """
    return beta * errors.winner


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss by name: `of(errors, beta, **options)` gives `(batch,)`; its own options are keywords of the function."""

    of: Callable[..., Tensor]
    beta: float
    """The published default, for errors that are means."""
    needs_reference: bool = True
    needs_baseline: bool = False
    """Whether `of` takes `baseline=`, from `kto_baseline`."""

    def check(self, options: Mapping[str, float]) -> None:
        """Raise `UniRewardError` for an option out of its range, as the loss itself does at its first pair."""
        equal = torch.zeros(1)
        baseline = {"baseline": 0.0} if self.needs_baseline else {}
        self.of(Errors(equal, equal, equal, equal), self.beta, **options, **baseline)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "diffusion_dpo": Loss(diffusion_dpo, 5000.0),
        "flow_dpo": Loss(flow_dpo, 100.0),
        "hinge": Loss(hinge, 5000.0),
        "ipo": Loss(ipo, 5000.0),
        "dmpo": Loss(dmpo, 2000.0),
        "linear_dpo": Loss(linear_dpo, 100.0),
        "mapo": Loss(mapo, 0.1, needs_reference=False),
        "diffusion_kto": Loss(diffusion_kto, 1000.0, needs_baseline=True),
        "supervised": Loss(supervised, 1.0, needs_reference=False),
    }
)
"""Every loss that a trainer can be asked for, by its name."""


def _logit(errors: Errors, beta: Beta) -> Tensor:
    """The logit m."""
    return 0.5 * beta * errors.margin


def _bounded(value: Tensor) -> Tensor:
    """MaPO's x / (exp(x) - 1) of x >= 0, which falls from 1 to 0, with its gradient, at 0 and at large x as well."""
    small = value < 1e-3
    series = 1 - value / 2 + value.square() / 12
    # exp(-x) in both places: exp(x) overflows, and its gradient is then inf / inf.
    safe = value.where(~small, torch.ones_like(value))
    return torch.where(small, series, safe * torch.exp(-safe) / -torch.expm1(-safe))
