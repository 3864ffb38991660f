"""Tournaments conserve points, do not care how players are numbered, and find the order that there is."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unireward_plugins.errors import UniRewardError
from unireward_plugins.tournament import Game, Pairing, bradley_terry, knockout, round_robin, swiss, win_rates

SHARES = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@st.composite
def played(
    draw: st.DrawFn, *, max_players: int = 8, shares: st.SearchStrategy[float | None] = SHARES
) -> tuple[int, list[Game]]:
    """A number of players and any games between them, unread ones among them."""
    n = draw(st.integers(2, max_players))
    pairing = st.lists(st.integers(0, n - 1), min_size=2, max_size=2, unique=True)
    games = draw(st.lists(st.tuples(pairing, shares), max_size=30))
    return n, [(i, j, share) for (i, j), share in games]


class TotalOrder:
    """Plays by a hidden order of strength, and remembers the rounds that it was asked for."""

    def __init__(self, n: int, seed: int) -> None:
        self.strength = random.Random(seed).sample(range(n), n)
        self.rounds: list[list[Pairing]] = []

    @property
    def best(self) -> int:
        return self.strength.index(max(self.strength))

    def __call__(self, pairings: list[Pairing]) -> list[float | None]:
        self.rounds.append(pairings)
        return [float(self.strength[i] > self.strength[j]) for i, j in pairings]


def close(one: list[float | None], other: list[float | None]) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and math.isclose(a, b, abs_tol=1e-7))
        for a, b in zip(one, other, strict=True)
    )


@given(st.integers(0, 20))
def test_round_robin_has_every_two_players_once_and_is_fair_about_who_is_first(n: int) -> None:
    pairings = round_robin(n)
    assert sorted(tuple(sorted(pairing)) for pairing in pairings) == list(itertools.combinations(range(n), 2))
    firsts = [sum(i == player for i, _ in pairings) for player in range(n)]
    assert all(abs(first - (n - 1 - first)) <= 1 for first in firsts)


@given(played())
def test_points_are_conserved(case: tuple[int, list[Game]]) -> None:
    n, games = case
    read = [game for game in games if game[2] is not None]
    rates = win_rates(n, games)
    games_of = [sum(player in game[:2] for game in read) for player in range(n)]
    points = sum(rate * count for rate, count in zip(rates, games_of, strict=True) if rate is not None)
    assert points == pytest.approx(len(read))
    assert [rate is None for rate in rates] == [count == 0 for count in games_of]


@given(played(), st.randoms(use_true_random=False))
def test_neither_the_order_of_games_nor_the_numbering_of_players_matters(
    case: tuple[int, list[Game]], lots: random.Random
) -> None:
    n, games = case
    number = lots.sample(range(n), n)
    # A game may also be told from the other side.
    retold: list[Game] = [
        (number[j], number[i], None if share is None else 1 - share)
        if lots.random() < 0.5
        else (number[i], number[j], share)
        for i, j, share in games
    ]
    lots.shuffle(retold)
    for measure in (win_rates, bradley_terry):
        before, after = measure(n, games), measure(n, retold)
        assert close(before, [after[number[player]] for player in range(n)])


@given(played())
def test_unread_games_change_nothing_but_who_has_a_result(case: tuple[int, list[Game]]) -> None:
    n, games = case
    read = [game for game in games if game[2] is not None]
    assert win_rates(n, games) == win_rates(n, read)
    assert bradley_terry(n, games) == bradley_terry(n, read)


@given(st.integers(2, 12), st.integers(0, 1000))
def test_a_total_order_is_recovered_from_a_round_robin(n: int, seed: int) -> None:
    play = TotalOrder(n, seed)
    pairings = round_robin(n)
    games = [(i, j, share) for (i, j), share in zip(pairings, play(pairings), strict=True)]
    for measure in (win_rates, bradley_terry):
        results = measure(n, games)
        assert sorted(range(n), key=lambda player: results[player] or 0.0) == sorted(
            range(n), key=play.strength.__getitem__
        )


@given(st.integers(1, 40), st.integers(0, 1000), st.integers(0, 5))
def test_the_best_of_a_total_order_wins_the_knockout_in_the_fewest_rounds(n: int, order: int, seed: int) -> None:
    play = TotalOrder(n, order)
    champion, games = knockout(n, play, seed=seed)
    assert champion == play.best
    assert len(games) == n - 1
    assert len(play.rounds) == math.ceil(math.log2(n))
    losers = [j if share else i for i, j, share in games]
    assert sorted([*losers, champion]) == list(range(n))


@given(st.integers(1, 40), st.integers(0, 1000), st.integers(0, 5))
def test_the_best_of_a_total_order_is_the_only_one_who_never_lost_a_swiss_tournament(
    n: int, order: int, seed: int
) -> None:
    play = TotalOrder(n, order)
    games = swiss(n, play, seed=seed)
    assert len(play.rounds) == math.ceil(math.log2(n))
    losers = {j if share else i for i, j, share in games}
    assert set(range(n)) - losers == {play.best}


@settings(max_examples=200)
@given(st.data())
def test_swiss_never_repeats_a_pairing_and_sits_nobody_out_twice(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 13))
    rounds = data.draw(st.integers(0, (n + 1) // 2))
    asked: list[list[Pairing]] = []

    def play(pairings: list[Pairing]) -> list[float | None]:
        asked.append(pairings)
        return data.draw(st.lists(SHARES, min_size=len(pairings), max_size=len(pairings)))

    games = swiss(n, play, rounds=rounds, seed=data.draw(st.integers(0, 99)))
    assert len(asked) == rounds
    assert [game[:2] for game in games] == [pairing for pairings in asked for pairing in pairings]
    assert len({frozenset(game[:2]) for game in games}) == len(games) == rounds * (n // 2)
    for pairings in asked:
        assert len({player for pairing in pairings for player in pairing}) == 2 * len(pairings)
    played_by = [sum(player in game[:2] for game in games) for player in range(n)]
    assert all(count in (rounds, rounds - n % 2) for count in played_by)


def test_swiss_pairs_players_of_like_standing() -> None:
    play = TotalOrder(8, seed=3)
    swiss(8, play, seed=1)
    won_first = {max(pairing, key=play.strength.__getitem__) for pairing in play.rounds[0]}
    for i, j in play.rounds[1]:
        assert (i in won_first) == (j in won_first)


def test_swiss_names_everyone_first_about_equally_often() -> None:
    for seed in range(20):
        games = swiss(16, TotalOrder(16, seed), rounds=8, seed=seed)
        firsts = [sum(game[0] == player for game in games) for player in range(16)]
        assert 2 <= min(firsts) <= max(firsts) <= 6


@pytest.mark.parametrize("tournament", [swiss, knockout])
def test_a_tournament_is_the_same_for_the_same_seed_and_another_for_another(tournament: object) -> None:
    assert callable(tournament)
    runs = [tournament(9, TotalOrder(9, 0), seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_knockout_game_without_a_winner_is_recorded_as_it_was_and_decided_by_lot() -> None:
    for share in (None, 0.5):
        champions = set()
        for seed in range(40):
            champion, games = knockout(2, lambda pairings, share=share: [share] * len(pairings), seed=seed)  # type: ignore[misc]
            champions.add(champion)
            assert [game[2] for game in games] == [share]
        assert champions == {0, 1}


def test_a_soft_share_decides_a_knockout_game() -> None:
    assert knockout(2, lambda pairings: [0.6 if i == 0 else 0.4 for i, _ in pairings])[0] == 0


def test_a_tie_is_half_a_win_for_each() -> None:
    assert win_rates(2, [(0, 1, 0.5)]) == [0.5, 0.5]
    assert bradley_terry(2, [(0, 1, 0.5)]) == [0.0, 0.0]
    as_ties = bradley_terry(3, [(0, 1, 0.5), (0, 1, 0.5), (1, 2, 0.75)])
    as_wins = bradley_terry(3, [(0, 1, 1.0), (0, 1, 0.0), (1, 2, 0.75)])
    assert close(as_ties, as_wins)


def test_who_won_everything_has_a_finite_strength_that_grows_with_the_games() -> None:
    few, many = (bradley_terry(2, [(0, 1, 1.0)] * count) for count in (1, 100))
    assert few[0] is not None
    assert many[0] is not None
    assert 0 < few[0] < many[0] < math.inf
    assert few[1] == pytest.approx(-few[0])


def test_the_strength_of_two_players_is_the_one_worked_out_by_hand() -> None:
    # One win of 0 over 1: by symmetry s = strength[0] = -strength[1], and the log-posterior
    # log sigmoid(2s) + 2 log sigmoid(s) + 2 log sigmoid(-s) is flat where sigmoid(-2s) = 2 sigmoid(s) - 1.
    strength = bradley_terry(2, [(0, 1, 1.0)])[0]
    assert strength is not None
    assert 1 / (1 + math.exp(2 * strength)) == pytest.approx(2 / (1 + math.exp(-strength)) - 1)


@settings(max_examples=25, deadline=None)
@given(played(max_players=6, shares=st.one_of(st.none(), st.floats(0, 1))))
def test_bradley_terry_agrees_with_a_general_optimiser(case: tuple[int, list[Game]]) -> None:
    n, games = case
    torch.set_num_threads(1)
    strengths = torch.zeros(n, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [strengths], lr=1, max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def negative_log_posterior() -> torch.Tensor:
        optimiser.zero_grad()
        logsigmoid = torch.nn.functional.logsigmoid
        loss = -(logsigmoid(strengths) + logsigmoid(-strengths)).sum()
        for i, j, share in games:
            if share is not None:
                difference = strengths[i] - strengths[j]
                loss = loss - share * logsigmoid(difference) - (1 - share) * logsigmoid(-difference)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(negative_log_posterior)  # type: ignore[no-untyped-call]
    for ours, theirs in zip(bradley_terry(n, games), strengths.tolist(), strict=True):
        assert ours is None or ours == pytest.approx(theirs, abs=1e-5)


def test_bradley_terry_finds_the_odds_that_games_were_drawn_from() -> None:
    lots = random.Random(0)
    truth = [-1.0, -0.3, 0.3, 1.0]
    games: list[Game] = [
        (i, j, float(lots.random() < 1 / (1 + math.exp(truth[j] - truth[i]))))
        for i, j in round_robin(4)
        for _ in range(3000)
    ]
    assert bradley_terry(4, games) == pytest.approx(truth, abs=0.08)


def test_nobody_played() -> None:
    assert win_rates(2, []) == bradley_terry(2, [(0, 1, None)]) == [None, None]
    assert win_rates(0, []) == bradley_terry(0, []) == []
    assert knockout(1, lambda _: []) == (0, [])


@pytest.mark.parametrize("measure", [win_rates, bradley_terry])
@pytest.mark.parametrize(
    ("game", "message"),
    [
        ((0, 3, 1.0), "players 0 to 2"),
        ((-1, 0, 1.0), "players 0 to 2"),
        ((1, 1, None), "two of the players"),
        ((0, 1, 1.5), "between 0 and 1"),
        ((0, 1, math.nan), "between 0 and 1"),
    ],
)
def test_an_impossible_game_is_an_error_that_names_it(measure: object, game: Game, message: str) -> None:
    assert callable(measure)
    with pytest.raises(UniRewardError, match=message):
        measure(3, [game])


def test_a_round_that_comes_back_wrong_is_an_error() -> None:
    with pytest.raises(UniRewardError, match="a round of 2 games came back with 1 results"):
        knockout(4, lambda _: [1.0])
    with pytest.raises(UniRewardError, match="between 0 and 1"):
        swiss(2, lambda _: [2.0])


def test_a_tournament_that_cannot_be_held_is_an_error() -> None:
    with pytest.raises(UniRewardError, match="has 0 to 3 rounds, got 4: play a round robin"):
        swiss(6, lambda pairings: [1.0] * len(pairings), rounds=4)
    with pytest.raises(UniRewardError, match="at least one player"):
        knockout(0, lambda _: [])
