"""The trainer's chance: every draw depends on its place alone."""

from __future__ import annotations

import torch

from diffusers_ext import draws


def test_draws_depend_on_their_place_alone() -> None:
    one = draws.draw(0, 5, 3, total=8, shape=(4, 8, 8))
    again = draws.draw(0, 5, 3, total=8, shape=(4, 8, 8))
    assert torch.equal(one.noise, again.noise)
    assert (one.uniform, one.flips, one.drops) == (again.uniform, again.flips, again.drops)
    others = [draws.draw(*place, total=8, shape=(4, 8, 8)) for place in ((1, 5, 3), (0, 6, 3), (0, 5, 4))]
    assert not any(torch.equal(one.noise, other.noise) for other in others)
    uniform = torch.tensor([draws.draw(0, 1, place, total=64, shape=(1,)).uniform for place in range(64)])
    assert torch.equal((uniform * 64).long(), torch.arange(64))
    assert (torch.stack([draws.draw(0, 0, n, total=99, shape=(64,)).noise for n in range(99)]).std() - 1).abs() < 0.03


def test_every_pair_comes_up_in_every_epoch_in_batches_of_one_shape() -> None:
    shapes = [(4, 8, 8)] * 7 + [(4, 4, 16)] * 3 + [(4, 16, 4)]
    order = draws.Order(shapes, 2, seed=0)
    assert order.batches_an_epoch == 4 + 2 + 1
    for epoch in range(3):
        batches = [order[epoch * 7 + place] for place in range(7)]
        assert {index for batch in batches for index in batch} == set(range(11))
        assert all(len({shapes[index] for index in batch}) == 1 and len(batch) == 2 for batch in batches)
    assert [order[n] for n in range(7)] != [order[n] for n in range(7, 14)]
    assert draws.Order(shapes, 2, seed=0)[9] == order[9]
    finer, coarser = (draws.Order([(1,)] * 12, size, seed=3) for size in (2, 4))
    assert [coarser[n] for n in range(3)] == [finer[2 * n] + finer[2 * n + 1] for n in range(3)]
