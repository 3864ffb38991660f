"""The preference losses, against formulas of their papers worked out with 40 digits, and at limits that are known."""

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffusers_ext.losses import (
    LOSSES,
    diffusion_dpo,
    diffusion_kto,
    dmpo,
    flow_dpo,
    hinge,
    ipo,
    kto_baseline,
    linear_dpo,
    mapo,
    supervised,
)
from diffusers_ext.pair_errors import Errors, measures, pair_errors
from tests.diffusers_ext.paper_losses import (
    Number,
    paper_dmpo,
    paper_dpo,
    paper_hinge,
    paper_ipo,
    paper_kto,
    paper_mapo,
    paper_supervised,
    sigma,
)
from tests.diffusers_ext.tiny_errors import errors, gradients
from unireward_plugins.errors import UniRewardError

torch.set_num_threads(1)
LN2 = math.log(2)

error = st.floats(1e-3, 4.0)
four = st.tuples(error, error, error, error)
beta_of_means = st.floats(0.1, 5000.0)


def kto(given: Errors, beta: float) -> Tensor:
    return diffusion_kto(given, beta, baseline=0.125)


PAPERS: list[tuple[Callable[..., Tensor], Callable[..., Number]]] = [
    (diffusion_dpo, paper_dpo),
    (flow_dpo, paper_dpo),
    (hinge, paper_hinge),
    (ipo, paper_ipo),
    (dmpo, paper_dmpo),
    (mapo, paper_mapo),
    (kto, paper_kto),
    (supervised, paper_supervised),
]


@pytest.mark.parametrize(("ours", "paper"), PAPERS)
@settings(max_examples=40, deadline=None)
@given(values=four, beta=beta_of_means)
def test_every_loss_is_its_papers_formula(
    ours: Callable[..., Tensor], paper: Callable[..., Number], values: tuple[float, ...], beta: float
) -> None:
    expected = float(paper(*map(mpmath.mpf, values), mpmath.mpf(beta)))
    assert ours(errors(*values), beta).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("ours", "paper"), PAPERS)
@settings(max_examples=15, deadline=None)
@given(values=four, beta=st.floats(0.1, 20.0))
def test_every_gradient_is_the_papers_formulas_own(
    ours: Callable[..., Tensor], paper: Callable[..., Number], values: tuple[float, ...], beta: float
) -> None:
    exact = [mpmath.mpf(value) for value in values]
    if ours is hinge and abs(paper(*exact, mpmath.mpf(beta))) < 1e-6:
        return  # the kink has no gradient
    of = errors(*values)
    winner, loser = gradients(ours(of, beta), of)
    by_winner = mpmath.diff(lambda ew: paper(ew, *exact[1:], mpmath.mpf(beta)), exact[0])
    by_loser = mpmath.diff(lambda el: paper(exact[0], el, *exact[2:], mpmath.mpf(beta)), exact[1])
    assert winner == pytest.approx(float(by_winner), rel=1e-7, abs=1e-7)
    assert loser == pytest.approx(float(by_loser), rel=1e-7, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(values=four, beta=st.floats(0.1, 500.0), eta=st.floats(0.0, 0.5))
def test_linear_dpo_pulls_with_a_clipped_line(values: tuple[float, ...], beta: float, eta: float) -> None:
    ew, el, rw, rl = map(mpmath.mpf, values)
    weight = min(max(mpmath.mpf(0.2) * beta * ((ew - el) - (rw - rl)) + mpmath.mpf(0.5), eta), 1 - mpmath.mpf(eta))
    of = errors(*values)
    loss = linear_dpo(of, beta, eta=eta)
    assert loss.item() == pytest.approx(float(weight * (ew - el)), rel=1e-9, abs=1e-9)
    assert gradients(loss, of) == pytest.approx((float(weight), -float(weight)), rel=1e-9, abs=1e-9)


def test_linear_dpo_never_lets_go_and_never_pulls_harder_than_its_bounds() -> None:
    wrong, right = errors(9.0, 0.0, 1.0, 1.0), errors(0.0, 9.0, 1.0, 1.0)
    assert gradients(linear_dpo(wrong, 100, eta=0.01), wrong) == pytest.approx((0.99, -0.99))
    assert gradients(linear_dpo(right, 100, eta=0.01), right) == pytest.approx((0.01, -0.01))
    assert gradients(linear_dpo(right, 100, eta=0.0), right) == (0, 0)
    assert gradients(diffusion_dpo(right, 100), right)[0] < 1e-100  # where the sigmoid has died out


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: linear_dpo(errors(1, 1, 1, 1), 1.0, eta=0.6),
        lambda: dmpo(errors(1, 1, 1, 1), 1.0, alpha=0.0),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(UniRewardError):
        wrong()


# Limits


@settings(max_examples=40, deadline=None)
@given(winner=st.floats(0, 100, width=32), loser=st.floats(0, 100, width=32), beta=beta_of_means)
def test_before_the_first_step_every_loss_is_at_its_known_value(winner: float, loser: float, beta: float) -> None:
    same = errors(winner, loser, winner, loser, dtype=torch.float32)
    known = {"diffusion_dpo": LN2, "flow_dpo": LN2, "hinge": 1.0, "ipo": 0.25, "dmpo": 1.6144630}
    for name, value in known.items():
        assert LOSSES[name].of(same, beta).item() == pytest.approx(value, rel=1e-6)
    baseline = kto_baseline(same)
    assert baseline.item() == 0
    assert diffusion_kto(same, beta, baseline=baseline).item() == 0.5
    assert linear_dpo(same, beta).item() == pytest.approx((winner - loser) / 2, abs=1e-5)
    assert measures(same)["accuracy"].item() == 0.5
    assert measures(same)["winner_worse"].item() == 0


@settings(max_examples=40, deadline=None)
@given(values=four)
def test_at_beta_zero_nothing_is_preferred(values: tuple[float, ...]) -> None:
    of = errors(*values)
    tiny = 1e-12
    assert diffusion_dpo(of, tiny).item() == pytest.approx(LN2)
    assert hinge(of, tiny).item() == pytest.approx(1)
    assert ipo(of, tiny).item() == pytest.approx(0.25)
    assert mapo(of, tiny).item() == pytest.approx(values[0])
    assert diffusion_kto(of, tiny, baseline=0.1).item() == pytest.approx(0.5)
    # To first order in beta Diffusion-DPO is ln 2 + beta / 4 d: half of it is the slope that Linear-DPO starts from.
    winner, loser = gradients(diffusion_dpo(of, tiny), of)
    assert (winner, loser) == pytest.approx((tiny / 4, -tiny / 4))
    assert gradients(linear_dpo(of, tiny), of) == pytest.approx((0.5, -0.5))


@settings(max_examples=60, deadline=None)
@given(values=four, beta=st.floats(0.1, 100.0))
def test_swapping_winner_and_loser_gives_the_other_side(values: tuple[float, ...], beta: float) -> None:
    ew, el, rw, rl = values
    one, other = errors(ew, el, rw, rl), errors(el, ew, rl, rw)
    logit = 0.5 * beta * one.margin.item()
    # The two probabilities add up to 1, and the losses differ by the logit.
    assert (diffusion_dpo(other, beta) - diffusion_dpo(one, beta)).item() == pytest.approx(logit, abs=1e-9)
    assert (ipo(other, beta) - ipo(one, beta)).item() == pytest.approx(2 * logit, rel=1e-6, abs=1e-6)
    assert dmpo(other, beta, alpha=0.5).item() == pytest.approx(dmpo(one, beta, alpha=0.5).item(), abs=1e-9)
    together = linear_dpo(one, beta, eta=0.0) - linear_dpo(other, beta, eta=0.0)
    assert together.item() == pytest.approx(ew - el, abs=1e-9)
    assert diffusion_kto(one, beta, baseline=0.0).item() + diffusion_kto(other, beta, baseline=0.0).item() == (
        pytest.approx(1)
    )


@settings(max_examples=60, deadline=None)
@given(values=four, beta=st.floats(0.1, 100.0))
def test_every_loss_pulls_the_winner_in_and_pushes_the_loser_out(values: tuple[float, ...], beta: float) -> None:
    for name, loss in LOSSES.items():
        of = errors(*values)
        options = {"baseline": 0.1} if loss.needs_baseline else {}
        winner, loser = gradients(loss.of(of, beta, **options), of)
        logit = 0.5 * beta * of.margin.item()
        # IPO and DMPO want a certain margin, and pull back beyond it.
        too_far = {"ipo": logit > 0.5, "dmpo": logit > math.log(0.99 / 0.01)}.get(name, False)
        sign = -1 if too_far else 1
        assert sign * winner >= 0
        assert sign * loser <= 0
        if name in {"diffusion_dpo", "flow_dpo", "hinge", "ipo", "dmpo", "linear_dpo"}:
            assert winner == pytest.approx(-loser, rel=1e-6, abs=1e-12)


def test_ipo_and_dmpo_rest_at_their_wanted_margin_and_hinge_from_there_on() -> None:
    beta = 10.0
    at_half = errors(1.0, 1.1, 1.0, 1.0)  # m = 10 x 0.1 / 2 = 1/2
    assert gradients(ipo(at_half, beta), at_half) == pytest.approx((0, 0), abs=1e-12)
    wanted = 2 * math.log(0.9 / 0.1) / beta
    at_alpha = errors(1.0, 1.0 + wanted, 1.0, 1.0)
    loss = dmpo(at_alpha, beta, alpha=0.1)
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert gradients(loss, at_alpha) == pytest.approx((0, 0), abs=1e-12)
    far = errors(1.0, 1.3, 1.0, 1.0)
    assert hinge(far, beta).item() == 0
    assert gradients(hinge(far, beta), far) == (0, 0)


def test_mapo_has_a_bounded_score_and_falls_back_to_the_winners_error() -> None:
    equal = errors(0.7, 0.7)
    assert mapo(equal, 0.1).item() == pytest.approx(0.7 + 0.1 * LN2)
    # g falls from 1 at error 0 to 0: with steps = 1 the preference is worth at most -beta log S(1).
    best = errors(0.0, 1e4)
    assert mapo(best, 2.0, steps=1.0).item() == pytest.approx(2 * math.log(1 + math.exp(-1)))
    worst = errors(1e4, 0.0)
    assert mapo(worst, 2.0, steps=1.0).item() == pytest.approx(1e4 + 2 * math.log(1 + math.exp(1)))
    # At error 0 g is 1 - c E / 2, so its slope is c / 2 = 1/4, and half of it counts at equal errors.
    none = errors(0.0, 0.0)
    assert gradients(mapo(none, 2.0, steps=1.0), none) == pytest.approx((1 + 2 * 0.25 / 2, -2 * 0.25 / 2))


@pytest.mark.parametrize("value", [1e-3 * 2, 1e-3 * 2 * (1 - 1e-7)])
def test_mapos_score_is_smooth_where_its_series_takes_over(value: float) -> None:
    of = errors(value, 0.5)
    exact = paper_mapo(mpmath.mpf(value), mpmath.mpf(0.5), 0, 0, mpmath.mpf(0.1))
    assert mapo(of, 0.1).item() == pytest.approx(float(exact), rel=1e-11)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("margin", [0.0, 1e-30, 1e-6, 1.0, 1e4])
@pytest.mark.parametrize("beta", [1e-3, 5000.0, 1e6])
def test_no_margin_is_too_large_for_float32(name: str, margin: float, beta: float) -> None:
    loss = LOSSES[name]
    options = {"baseline": 1e3} if loss.needs_baseline else {}
    for values in [(margin, 0.0, 0.0, margin), (0.0, margin, margin, 0.0), (margin, margin, 0.0, 0.0)]:
        of = errors(*values, dtype=torch.float32)
        found = loss.of(of, beta, **options)
        assert found.shape == (1,)
        assert torch.isfinite(found).all()
        assert all(map(math.isfinite, gradients(found, of)))


@given(values=four, baseline=st.floats(-2, 2))
@settings(max_examples=30, deadline=None)
def test_the_reference_point_of_kto_is_never_below_zero(values: tuple[float, ...], baseline: float) -> None:
    of = errors(*values)
    found = diffusion_kto(of, 3.0, baseline=torch.tensor(baseline, dtype=torch.float64))
    assert found.item() == pytest.approx(diffusion_kto(of, 3.0, baseline=max(baseline, 0.0)).item())


def test_kto_weighs_liked_and_disliked_apart_and_its_baseline_is_the_mean_reward() -> None:
    of = errors(0.5, 0.9, 1.0, 1.0)
    assert kto_baseline(of).item() == pytest.approx((0.5 + 0.1) / 2)
    assert not kto_baseline(of).requires_grad
    winner, loser = gradients(diffusion_kto(of, 3.0, baseline=0.0, disliked=0.0), of)
    assert winner > 0
    assert loser == 0
    both = diffusion_kto(of, 3.0, baseline=0.0, liked=1.6, disliked=0.4).item()
    liked, disliked = float(1 - sigma(3 * 0.5)), float(1 - sigma(-3 * 0.1))
    assert both == pytest.approx((1.6 * liked + 0.4 * disliked) / 2)


def test_each_pair_may_have_its_own_beta() -> None:
    of = Errors(*torch.rand(4, 3, generator=torch.Generator().manual_seed(0)))
    betas = torch.tensor([1.0, 50.0, 2000.0])
    for name in ["diffusion_dpo", "flow_dpo", "hinge", "ipo", "dmpo", "linear_dpo", "mapo", "supervised"]:
        found = LOSSES[name].of(of, betas)
        for index, beta in enumerate(betas.tolist()):
            alone = Errors(*(value[index : index + 1] for value in _values(of)))
            torch.testing.assert_close(found[index : index + 1], LOSSES[name].of(alone, beta))


def _values(of: Errors) -> list[Tensor]:
    assert of.reference_winner is not None
    assert of.reference_loser is not None
    return [of.winner, of.loser, of.reference_winner, of.reference_loser]


@pytest.mark.parametrize("name", ["diffusion_dpo", "flow_dpo", "hinge", "ipo", "dmpo", "linear_dpo", "diffusion_kto"])
def test_a_step_of_a_small_denoiser_raises_the_margin(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    denoiser = torch.nn.Linear(6, 6)
    noisy, target = torch.randn(2, 8, 6, generator=draw)
    with torch.no_grad():
        reference = denoiser(noisy)
    loss, options = LOSSES[name], {"baseline": 0.0} if name == "diffusion_kto" else {}
    loss.of(pair_errors(denoiser(noisy), target, reference), 10.0, **options).mean().backward()
    with torch.no_grad():
        for weight in denoiser.parameters():
            assert weight.grad is not None
            weight.sub_(1e-3 * weight.grad)
        found = measures(pair_errors(denoiser(noisy), target, reference))
    assert found["margin"].mean() > 0


# The registry


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_says_what_it_needs(name: str) -> None:
    loss = LOSSES[name]
    options = {"baseline": 0.0} if loss.needs_baseline else {}
    without = Errors(torch.rand(5), torch.rand(5))
    with_reference = Errors(*torch.rand(4, 5))
    assert loss.beta > 0
    assert loss.of(with_reference, loss.beta, **options).shape == (5,)
    if loss.needs_reference:
        with pytest.raises(UniRewardError, match="reference"):
            loss.of(without, loss.beta, **options)
    else:
        assert loss.of(without, loss.beta, **options).shape == (5,)
    if loss.needs_baseline:
        with pytest.raises(TypeError, match="baseline"):
            loss.of(with_reference, loss.beta)
