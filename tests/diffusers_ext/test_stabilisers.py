"""What steadies the preference losses, against its papers' formulas and the promises that they make."""

import json
import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffusers_ext.losses import LOSSES, diffusion_dpo
from diffusers_ext.pair_errors import mean_squared_error, pair_errors
from diffusers_ext.stabilisers import AutoBeta, anchor, gap_weights, loser_scale, scale_loser
from tests.diffusers_ext.paper_losses import sigma
from tests.diffusers_ext.tiny_errors import errors, gradients
from unireward_plugins.errors import UniRewardError

torch.set_num_threads(1)


def shared_output(seed: int) -> tuple[Tensor, Tensor]:
    """Pairs whose winner and loser have one output in common, so that a step on either moves both as SDPO takes it."""
    draw = torch.Generator().manual_seed(seed)
    output = torch.randn(5, 4, 3, generator=draw, dtype=torch.float64)
    spread = torch.rand(10, 1, 1, generator=draw, dtype=torch.float64) * 3
    target = output.repeat(2, 1, 1) - spread * (
        0.7 * torch.randn(5, 4, 3, generator=draw, dtype=torch.float64).repeat(2, 1, 1)
        + torch.randn(10, 4, 3, generator=draw, dtype=torch.float64)
    )
    return output, target


def moved_along(loss: Tensor, output: Tensor, step: float) -> Tensor:
    (slope,) = torch.autograd.grad(loss.sum(), output, retain_graph=True)
    return output.detach() - step * slope


@pytest.mark.parametrize("mu", [0.0, 0.2, 0.9, 1.0])
def test_a_safeguarded_step_never_raises_a_winners_error_and_a_plain_one_does(mu: float) -> None:
    step, beta, plain_rises, scaled = 1e-7, 2.0, 0, 0
    second_order = 1e-5 * step  # what remains is of the size of `step` squared
    for seed in range(40):
        output, target = shared_output(seed)
        both = output.requires_grad_().repeat(2, 1, 1)
        plain = pair_errors(both, target, both + 0.01)
        scale = loser_scale(both, target, mu=mu)
        safe = scale_loser(plain, scale)
        rise, plain_rise = (
            mean_squared_error(moved_along(diffusion_dpo(of, beta), output, step), target[:5]) - plain.winner.detach()
            for of in (safe, plain)
        )
        # The promise: at least the share mu of what the winner's own gradient, as DPO weighs it, would gain.
        (pull,) = torch.autograd.grad(plain.winner.sum(), output, retain_graph=True)
        weight = 0.5 * beta * (-0.5 * beta * plain.margin.detach()).sigmoid()
        assert (rise <= -mu * step * weight * pull.square().sum((1, 2)) + second_order).all()
        plain_rises += int((plain_rise > second_order).sum())
        scaled += int((scale < 1).sum())
    assert plain_rises > 10
    assert scaled >= plain_rises


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), mu=st.floats(0, 1))
def test_the_losers_share_is_sdpos_formula(seed: int, mu: float) -> None:
    output, target = shared_output(seed)
    both = output.repeat(2, 1, 1)
    found = loser_scale(both, target, mu=mu)
    for pair in range(5):
        winner = 2 * (both[pair] - target[pair]).numpy().ravel() / 12
        loser = 2 * (both[pair + 5] - target[pair + 5]).numpy().ravel() / 12
        inner = mpmath.fdot(loser.tolist(), winner.tolist())
        bound = (1 - mpmath.mpf(mu)) * mpmath.fdot(winner.tolist(), winner.tolist()) / inner if inner > 0 else 1
        assert found[pair].item() == pytest.approx(float(min(bound, 1)), rel=1e-9, abs=1e-12)


def test_an_opposed_loser_is_left_alone_and_an_equal_one_is_held_back() -> None:
    target = torch.zeros(2, 4)
    up = torch.ones(1, 4)
    assert loser_scale(torch.cat([up, -up]), target, mu=0.9).tolist() == [1]
    assert loser_scale(torch.cat([up, up]), target, mu=0.9).item() == pytest.approx(0.1)
    assert loser_scale(torch.cat([up, 100 * up]), target, mu=0.9).item() == pytest.approx(0.001)
    assert loser_scale(torch.cat([0 * up, up]), target).tolist() == [1]  # no winner's gradient to protect
    assert loser_scale(torch.cat([up, up]).bfloat16(), target.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_the_share_does_not_depend_on_how_a_batch_is_cut(cut: int) -> None:
    prediction, target = torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(1))
    whole = loser_scale(prediction, target, mu=0.5)
    parts = [
        loser_scale(
            torch.cat([prediction[at : at + cut], prediction[4 + at : 4 + at + cut]]),
            torch.cat([target[at : at + cut], target[4 + at : 4 + at + cut]]),
            mu=0.5,
        )
        for at in range(0, 4, cut)
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_scaling_the_loser_changes_gradients_and_nothing_else() -> None:
    of = errors(0.3, 0.4, 0.35, 0.41)
    scaled = scale_loser(of, torch.tensor([0.25], dtype=torch.float64))
    assert scaled.loser.item() == of.loser.item()
    for name, loss in LOSSES.items():
        options = {"baseline": 0.0} if loss.needs_baseline else {}
        assert loss.of(scaled, 3.0, **options).item() == loss.of(of, 3.0, **options).item()
        winner, loser = gradients(loss.of(of, 3.0, **options), of)
        assert gradients(loss.of(scaled, 3.0, **options), of) == pytest.approx((winner, loser / 4)), name


def test_the_anchor_is_half_the_squared_distance_of_both_outputs() -> None:
    prediction = torch.tensor([[1.0, 1.0], [0.0, 0.0], [3.0, 3.0], [0.0, 2.0]], requires_grad=True)
    found = anchor(prediction, torch.zeros(4, 2))
    assert found.tolist() == [(1 + 9) / 2, (0 + 2) / 2]
    assert anchor(prediction, prediction).sum().item() == 0


class SumBeta:
    """SimpleTuner's rule as it stands, for errors that are sums; with its limits of 0.001 and 1."""

    def __init__(self) -> None:
        self.mean: float | None = None

    def step(self, margins: list[float]) -> float:
        size = float(np.mean(np.abs(margins)))
        self.mean = size if self.mean is None else 0.99 * self.mean + 0.01 * size
        return min(max(-2 * float(mpmath.log(0.2 / 0.8)) / self.mean, 1e-3), 1.0)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=4), min_size=1, max_size=20),
    elements=st.integers(1, 2_000_000),
)
def test_auto_beta_on_means_is_simple_tuners_on_sums(steps: list[list[float]], elements: int) -> None:
    ours, theirs = AutoBeta(elements), SumBeta()
    for means in steps:
        beta = ours.update(float(np.mean(means)))
        assert beta == pytest.approx(theirs.step([mean * elements for mean in means]) * elements, rel=1e-6)


def test_auto_beta_leaves_a_usual_pair_the_wanted_share_of_its_gradient() -> None:
    auto = AutoBeta(elements=4 * 64 * 64, target=0.3, decay=0.5)
    for _ in range(40):
        auto.update(torch.tensor(1e-3))
    of = errors(0.1, 0.1 + 1e-3, 0.1, 0.1)
    beta = auto.beta
    assert float(sigma(-0.5 * beta * 1e-3)) == pytest.approx(0.3)
    assert gradients(diffusion_dpo(of, beta), of)[0] == pytest.approx(0.5 * beta * 0.3)


def test_auto_beta_is_not_fooled_by_the_first_steps_and_survives_a_checkpoint() -> None:
    auto = AutoBeta(elements=1000)
    assert [auto.update(0.0) for _ in range(5)] == [1000] * 5
    assert auto.average is None
    assert auto.update(0.01) == pytest.approx(2 * math.log(4) / 0.01)
    restored = AutoBeta(elements=1000)
    restored.load_state_dict(json.loads(json.dumps(auto.state_dict())))
    assert [restored.update(0.5), restored.beta] == [auto.update(0.5), auto.beta]
    assert AutoBeta(elements=1000, average=1e9).beta == 1


def test_rare_gaps_weigh_more_as_counted_by_numpy() -> None:
    gaps = np.random.default_rng(0).exponential(size=2000)
    count, edges = np.histogram(gaps, bins=12)
    where = np.clip(np.searchsorted(edges, gaps, side="right") - 1, 0, 11)
    share = count / count.sum()
    for alpha, largest in [(1.0, math.inf), (0.5, math.inf), (1.0, 10.0), (0.0, 10.0)]:
        expected = np.minimum((share.max() / share[where]) ** alpha, largest)
        found = gap_weights(torch.tensor(gaps), bins=12, alpha=alpha, largest=largest)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
        assert found.min() == 1


def test_equal_gaps_weigh_alike_and_an_odd_one_is_limited() -> None:
    assert gap_weights(torch.full((7,), 0.3)).tolist() == [1] * 7
    assert gap_weights(torch.tensor([0.3])).tolist() == [1]
    odd = gap_weights(torch.tensor([0.0] * 99 + [5.0]))
    assert odd.tolist() == [1] * 99 + [10]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: loser_scale(torch.zeros(2, 3), torch.zeros(2, 3), mu=1.1),
        lambda: loser_scale(torch.zeros(3, 3), torch.zeros(3, 3)),
        lambda: anchor(torch.zeros(3, 3), torch.zeros(3, 3)),
        lambda: AutoBeta(elements=0),
        lambda: AutoBeta(elements=4, target=0.5),
        lambda: AutoBeta(elements=4, decay=1.0),
        lambda: AutoBeta(elements=4).update(math.nan),
        lambda: AutoBeta(elements=4).update(-1.0),
        lambda: gap_weights(torch.tensor([])),
        lambda: gap_weights(torch.tensor([1.0, math.inf])),
        lambda: gap_weights(torch.tensor([1.0]), bins=0),
        lambda: gap_weights(torch.tensor([1.0]), largest=0.5),
    ],
)
def test_wrong_settings_of_stabilisers_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(UniRewardError):
        wrong()
