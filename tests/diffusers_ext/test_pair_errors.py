"""The errors of pairs, from predictions in the precision they come in, and what of them is logged."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch

from diffusers_ext.losses import diffusion_dpo
from diffusers_ext.pair_errors import Errors, mean_squared_error, measures, pair_errors
from tests.diffusers_ext.paper_losses import paper_dpo
from tests.diffusers_ext.tiny_errors import errors
from unireward_plugins.errors import UniRewardError

torch.set_num_threads(1)


def test_the_whole_way_from_predictions_of_clips_is_as_in_double_precision() -> None:
    draw = np.random.default_rng(0)
    prediction, reference, target = (draw.normal(size=(6, 4, 2, 5, 3)) for _ in range(3))
    reference = prediction + 0.01 * reference
    e = np.array([np.mean((prediction[i] - target[i]) ** 2) for i in range(6)])
    r = np.array([np.mean((reference[i] - target[i]) ** 2) for i in range(6)])
    expected = [float(paper_dpo(*map(mpmath.mpf, (e[i], e[i + 3], r[i], r[i + 3])), mpmath.mpf(50))) for i in range(3)]
    single = [torch.tensor(values, dtype=torch.float32) for values in (prediction, target, reference)]
    loss = diffusion_dpo(pair_errors(*single), 50.0)
    assert loss.dtype == torch.float32
    assert loss.tolist() == pytest.approx(expected, rel=1e-4)


def test_half_precision_is_computed_in_float32() -> None:
    prediction, target = torch.randn(2, 8, 3, 8, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = mean_squared_error(prediction, target)
    expected = ((prediction.double() - target.double()) ** 2).mean((1, 2, 3))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)
    coarse = (prediction - target).pow(2).mean((1, 2, 3))
    assert (coarse.double() - expected).abs().max() > 1e-4 * expected.max()  # which is what it is for


def test_the_reference_gets_no_gradient_and_winners_come_first() -> None:
    prediction = torch.zeros(4, 3, requires_grad=True)
    reference = torch.zeros(4, 3, requires_grad=True)
    target = torch.tensor([[1.0] * 3, [2.0] * 3, [3.0] * 3, [4.0] * 3])
    found = pair_errors(prediction, target, reference)
    assert found.winner.tolist() == [1, 4]
    assert found.loser.tolist() == [9, 16]
    assert found.reference_loser is not None
    assert not found.reference_loser.requires_grad
    assert found.winner.requires_grad


def test_small_margins_are_not_lost_between_large_errors() -> None:
    """The reference is taken from like first, which is exact; the differences of the policy alone would round."""
    shift = 2.0**-22
    of = errors(1.0 - shift, 3e-4, 1.0, 3e-4, dtype=torch.float32)
    assert of.margin.item() == shift


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: mean_squared_error(torch.zeros(2, 3), torch.zeros(2, 1)),
        lambda: mean_squared_error(torch.zeros(2), torch.zeros(2)),
        lambda: pair_errors(torch.zeros(3, 4), torch.zeros(3, 4)),
        lambda: pair_errors(torch.zeros(4, 4), torch.zeros(4, 4), torch.zeros(2, 4)),
        lambda: Errors(torch.zeros(2), torch.zeros(3)),
        lambda: Errors(torch.zeros(2, 1), torch.zeros(2, 1)),
        lambda: Errors(torch.zeros(2), torch.zeros(2), torch.zeros(2)),
        lambda: Errors(torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
    ],
)
def test_wrong_errors_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(UniRewardError):
        wrong()


# What is logged


def test_a_winner_that_gets_worse_shows_while_accuracy_looks_perfect() -> None:
    reference = torch.tensor([0.10, 0.12, 0.11])
    of = Errors(reference + 0.02, reference + 0.05, reference, reference)
    found = measures(of)
    assert found["accuracy"].tolist() == [1, 1, 1]
    assert found["winner_worse"].tolist() == [1, 1, 1]
    torch.testing.assert_close(found["winner_over_reference"], torch.full((3,), 0.02))
    torch.testing.assert_close(found["loser_over_reference"], torch.full((3,), 0.05))
    torch.testing.assert_close(found["margin"], torch.full((3,), 0.03))
    torch.testing.assert_close(found["margin"], found["loser_over_reference"] - found["winner_over_reference"])


def test_measures_carry_no_gradient_and_need_no_reference() -> None:
    of = errors(0.3, 0.4, 0.35, 0.41)
    assert not any(value.requires_grad for value in measures(of).values())
    alone = measures(Errors(torch.rand(2), torch.rand(2)))
    assert sorted(alone) == ["loser_error", "winner_error"]
