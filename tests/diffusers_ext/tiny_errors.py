"""The errors of one pair, and what a loss of them pulls with."""

import torch
from torch import Tensor

from diffusers_ext.pair_errors import Errors


def errors(*values: float, dtype: torch.dtype = torch.float64) -> Errors:
    """One pair: E_w, E_l, R_w, R_l; the errors of the model take gradients."""
    made = [torch.tensor([value], dtype=dtype) for value in values]
    return Errors(made[0].requires_grad_(), made[1].requires_grad_(), *made[2:])


def gradients(loss: Tensor, of: Errors) -> tuple[float, float]:
    winner, loser = torch.autograd.grad(loss.sum(), [of.winner, of.loser], retain_graph=True, materialize_grads=True)
    return winner.item(), loser.item()
