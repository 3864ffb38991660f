"""Tournaments of candidates: who meets whom, and how strong everyone is, in terms of ints and floats only.

A *pairing* `(i, j)` names the two players of a game by their numbers `0..n-1`. A *game* `(i, j, share)` is one that
was played: the share of the point that went to `i`, from 0 (lost) through 0.5 (tie) to 1 (won), or `None` where the
game has no verdict. A game without a verdict is left out everywhere: it is no tie.

The tournaments that depend on results take `play`, a function from the pairings of a whole round to their shares in
the same order, so that a judge is asked once a round and not once a game.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from unireward_plugins.errors import UniRewardError

Pairing: TypeAlias = tuple[int, int]
Game: TypeAlias = tuple[int, int, float | None]
Play: TypeAlias = Callable[[list[Pairing]], Sequence[float | None]]

TOLERANCE = 1e-8
"""Bradley-Terry stops where the next step would move no strength (in log-odds) by more than half of this."""
MAX_STEPS = 200
"""A dozen is usual, sixty were needed at most; rounding may keep millions of games from ever reaching the tolerance."""


def round_robin(n: int) -> list[Pairing]:
    """Every two of `n` players once: `n * (n - 1) / 2` pairings.

    Who is named first alternates, so that everyone is first in half of their games (give or take one half) and a
    judge that favours the first place favours nobody.
    """
    return [(i, j) if (j - i) % 2 else (j, i) for i in range(n) for j in range(i + 1, n)]


def swiss(n: int, play: Play, *, rounds: int | None = None, seed: int = 0) -> list[Game]:
    """A Swiss tournament: in each round players of like standing meet, and nobody meets the same player twice.

    Pairs neighbours in the standings (the Monrad system), whose order among equals is drawn from the seed. A player's
    standing is the sum of `share - 0.5` over the games that were read. With an odd number of players one sits out in
    each round, nobody twice; in the standings that counts as a win, as in chess. Without `rounds` there are
    `ceil(log2(n))` of them, after which the best of a total order is the only one who never lost; the most that can
    always be paired without a repeat is half of the players, rounded up.
    """
    field = n + n % 2
    rounds = math.ceil(math.log2(max(n, 1))) if rounds is None else rounds
    if not 0 <= rounds <= field // 2:
        raise UniRewardError(
            f"a Swiss tournament of {n} players has 0 to {field // 2} rounds, got {rounds}: play a round robin"
        )
    order = list(range(n))
    random.Random(seed).shuffle(order)  # noqa: S311
    # With an odd number, player `n` is the empty chair: last in every standing, and whoever meets it sits out.
    met: list[set[int]] = [{player} for player in range(field)]
    firsts = [0] * n
    games: list[Game] = []
    for _ in range(rounds):
        standing = _standings(n, games)
        order.sort(key=lambda player: -standing[player] - 0.5 * (n in met[player]))
        pairs = _pair_neighbours([*order, *range(n, field)], met)
        for i, j in pairs:
            met[i].add(j)
            met[j].add(i)
        # Whoever was named first less often is named first.
        pairings = [(i, j) if firsts[i] <= firsts[j] else (j, i) for i, j in pairs if max(i, j) < n]
        for i, _ in pairings:
            firsts[i] += 1
        games += _played(n, pairings, play)
    return games


def knockout(n: int, play: Play, *, seed: int = 0) -> tuple[int, list[Game]]:
    """Play a knock-out tournament: its champion and its `n - 1` games.

    The bracket is drawn from the seed; where `n` is no power of two, the first round has just enough games to make it
    one. A tie or a game without a verdict is recorded as such, and a lot from the seed says who goes on: it decides
    who plays next and counts nowhere else.
    """
    if n < 1:
        raise UniRewardError(f"a knock-out tournament has at least one player, got {n}")
    lots = random.Random(seed)  # noqa: S311
    left = lots.sample(range(n), n)
    games: list[Game] = []
    while len(left) > 1:
        # As many games as bring the field down to the next power of two.
        count = len(left) - 2 ** (math.ceil(math.log2(len(left))) - 1)
        played = _played(n, [(left[2 * k], left[2 * k + 1]) for k in range(count)], play)
        winners = [_winner(game, lots) for game in played]
        left = winners + left[2 * count :]
        games += played
    return left[0], games


def win_rates(n: int, games: Iterable[Game]) -> list[float | None]:
    """Each player's share of the points in the games that were read, from 0 to 1; `None` where there is none."""
    shares: list[list[float]] = [[] for _ in range(n)]
    for i, j, share in _read(n, games):
        shares[i].append(share)
        shares[j].append(1 - share)
    return [math.fsum(own) / len(own) if own else None for own in shares]


def bradley_terry(n: int, games: Iterable[Game]) -> list[float | None]:
    """Each player's strength by the model of Bradley and Terry (1952): log-odds against an average player.

    `i` beats `j` with probability `1 / (1 + exp(strength[j] - strength[i]))`; a tie is half a win for each. A player
    without a game that was read has `None`. The strengths are the most probable ones under a logistic prior, which is
    one win and one loss of everyone against a player of strength 0 (Newman, "Efficient computation of rankings from
    pairwise comparisons", JMLR 24, 2023): so they are finite and unique whoever won or lost everything, and whether
    or not all have met.

    They are the fixed point of Zermelo's iteration (Hunter, "MM algorithms for generalized Bradley-Terry models",
    2004) with that prior, found by Newton's method: the iteration takes about as many steps as there are games.
    """
    import numpy as np

    points = np.zeros((n, n))
    for i, j, share in _read(n, games):
        points[i, j] += share
        points[j, i] += 1 - share
    met = points + points.T
    strength = np.zeros(n)
    for _ in range(MAX_STEPS):  # pragma: no branch
        # The logistic function by way of tanh, which cannot overflow.
        wins = 0.5 + 0.5 * np.tanh((strength[:, None] - strength[None, :]) / 2)
        average = 0.5 + 0.5 * np.tanh(strength / 2)
        slope = (points - met * wins).sum(axis=1) + 1 - 2 * average
        weight = met * wins * (1 - wins)
        curvature = np.diag(weight.sum(axis=1) + 2 * average * (1 - average)) - weight
        step = np.linalg.solve(curvature, slope)
        # Full steps can overshoot. These always climb, and become full ones near the top: logistic likelihoods are
        # self-concordant in the sense of Sun and Tran-Dinh, "Generalized self-concordant functions" (2019).
        reach = 2 * float(np.abs(step).max(initial=0.0))
        if reach < TOLERANCE:
            break
        strength += step * np.log1p(reach) / reach
    return [own if count else None for own, count in zip(strength.tolist(), met.sum(axis=1).tolist(), strict=True)]


def _played(n: int, pairings: list[Pairing], play: Play) -> list[Game]:
    """One round's games; raises `UniRewardError` where `play` returned something else than a result for each."""
    shares = play(pairings)
    if len(shares) != len(pairings):
        raise UniRewardError(f"a round of {len(pairings)} games came back with {len(shares)} results")
    games = [(i, j, share) for (i, j), share in zip(pairings, shares, strict=True)]
    _read(n, games)
    return games


def _read(n: int, games: Iterable[Game]) -> list[tuple[int, int, float]]:
    """The games that have a verdict; raises `UniRewardError` where one is impossible."""
    read = []
    for i, j, share in games:
        if not (0 <= i < n and 0 <= j < n and i != j):
            raise UniRewardError(f"the game {(i, j, share)} is not between two of the players 0 to {n - 1}")
        if share is not None:
            if not 0 <= share <= 1:
                raise UniRewardError(f"the game {(i, j, share)} gives player {i} a share that is not between 0 and 1")
            read.append((i, j, share))
    return read


def _standings(n: int, games: Iterable[Game]) -> list[float]:
    gains: list[list[float]] = [[] for _ in range(n)]
    for i, j, share in _read(n, games):
        gains[i].append(share - 0.5)
        gains[j].append(0.5 - share)
    return [math.fsum(own) for own in gains]


def _pair_neighbours(order: list[int], met: list[set[int]]) -> list[Pairing]:
    """Pair everyone with the nearest player in the order whom they have not met."""
    pairs: list[Pairing] = []
    left = list(order)
    stuck: list[int] = []
    while left:
        player = left.pop(0)
        rival = next((other for other in left if other not in met[player]), None)
        if rival is None:
            stuck.append(player)
        else:
            left.remove(rival)
            pairs.append((player, rival))
    while stuck:
        _rearrange(pairs, stuck.pop(0), stuck.pop(0), met)
    return pairs


def _rearrange(pairs: list[Pairing], i: int, j: int, met: list[set[int]]) -> None:
    """Take two players in who have met: break up the last pair that can be shared out between them.

    There always is one. All who are left over have met each other, so whom `i` and `j` have not met are in `pairs`.
    With `m` players and at most `m / 2 - 1` rounds behind them, that is `m / 2` each, `m` together, in at most `m / 2
    - 1` pairs: some pair holds three of them.
    """
    index, a, b = next(
        (index, a, b)
        for index in reversed(range(len(pairs)))
        for a, b in (pairs[index], pairs[index][::-1])
        if a not in met[i] and b not in met[j]
    )
    pairs[index : index + 1] = [(i, a), (j, b)]


def _winner(game: Game, lots: random.Random) -> int:
    i, j, share = game
    if share is None or share == 0.5:
        return lots.choice((i, j))
    return i if share > 0.5 else j
