"""Judges the candidates of prompts and picks the best and the worst of each, or says why not.

Three ways, by what the judge can do:

* `neighbours`: the recipe of UnifiedReward (arXiv 2503.05236; `DiffusionDPO/sift_dpo_data.py` of
  CodeGoat24/UnifiedReward). Candidates 0 and 1, 2 and 3, ... are compared; all are graded; the best graded winner is
  chosen, the worst graded loser rejected, if the one has the higher grade. Unlike in the published scripts, comparisons
  are asked in both orders, ties and unread replies make no winner, and grades are numbers.
* `tournament`: everyone is compared with everyone in both orders; the score is the share of points.
* `grades`: all are graded, and the highest grade is chosen, the lowest rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, get_args

from diffusers_ext.sample import Sample
from hub.asked import ask_both_ways
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.games import Game
from unireward_plugins.judges import BothOrders, ModelJudge, ask, in_one_order
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.tournament import Pairing, round_robin, win_rates
from unireward_plugins.types import Case, Judge, Verdict

Way: TypeAlias = Literal["neighbours", "tournament", "grades"]
"""How candidates are judged."""

WAYS: Mapping[Way, tuple[int, ...]] = {"neighbours": (1, 2), "tournament": (2,), "grades": (1,)}
"""How many candidates a judge must be able to judge at a time for each way, the ways in the order of preference."""


@dataclass(frozen=True)
class Drawn:
    """A prompt and the samples that were drawn for it."""

    number: int
    """The place of the prompt among all, from 0."""
    prompt: str
    samples: Sequence[Sample]
    together: int
    """How many of them were drawn in one call at most."""

    @property
    def size(self) -> int:
        """How many bytes the pixels take."""
        pictures = [
            frame for one in self.samples for frame in (one.output if isinstance(one.output, list) else [one.output])
        ]
        return sum(3 * picture.width * picture.height for picture in pictures)

    @cached_property
    def media(self) -> list[Media]:
        """The samples for a judge."""
        return [sample.media for sample in self.samples]

    @property
    def shown(self) -> list[int]:
        """The candidates that a judge is shown: those that the safety checker did not blank."""
        return [index for index, sample in enumerate(self.samples) if not sample.blanked]

    def case(self, *candidates: int) -> Case:
        """These candidates, in this order."""
        return Case(self.prompt, tuple(self.media[candidate] for candidate in candidates))


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge said of the candidates of one prompt."""

    drawn: Drawn
    way: Way
    games: Sequence[Game]
    grades: Mapping[int, Verdict]
    """The verdict on each candidate that was graded alone."""

    @property
    def scores(self) -> list[float | None]:
        """What decides, one a candidate, from 0 to 1: the grade, in a tournament the share of points.

        `None` where nothing was read, or the candidate was not shown.
        """
        count = len(self.drawn.samples)
        if self.way == "tournament":
            return win_rates(count, [(game.first, game.second, game.share) for game in self.games])
        grades = [self.grades[index].scores if index in self.grades else None for index in range(count)]
        return [None if grade is None else grade[0] for grade in grades]


@dataclass(frozen=True, slots=True)
class Drop:
    """Something that does not count: one candidate, one comparison (two), or all candidates of a prompt."""

    of: Literal["candidate", "comparison", "prompt"]
    candidates: tuple[int, ...]
    reason: str
    """One of `unireward_plugins.pairs.DROP_REASONS`."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """The best and the worst candidate of a prompt, if there is a pair, and what did not count."""

    judged: Judged
    best: int | None
    worst: int | None
    dropped: Sequence[Drop]

    @property
    def pair(self) -> Pair | None:
        """The pair for training, where there is one."""
        if self.best is None or self.worst is None:
            return None
        media, scores = self.judged.drawn.media, self.judged.scores
        high, low = scores[self.best], scores[self.worst]
        assert high is not None
        assert low is not None
        return Pair(self.judged.drawn.prompt, media[self.best], media[self.worst], high, low)

    @property
    def orders_agree(self) -> bool | None:
        """Whether the judge preferred the same candidate both ways when it compared the two with each other, or,
        where it compared them with their neighbours only, each time; `None` where it did not compare, or not both
        replies were read."""
        both = {self.best, self.worst}
        own = [game for game in self.judged.games if both & {game.first, game.second}]
        own = [game for game in own if both == {game.first, game.second}] or own
        if not own or any(game.orders_agree is None for game in own):
            return None
        return all(game.orders_agree and game.winner is not None for game in own)

    @property
    def aspects(self) -> dict[str, tuple[float, float]]:
        """The numbers behind the grades of the best and of the worst; none in a tournament, where nobody is graded."""
        grades = self.judged.grades
        pair = [grades[one].aspects for one in (self.best, self.worst) if one is not None and one in grades]
        if len(pair) < 2:
            return {}
        chosen, rejected = pair
        return {name: (values[0], rejected[name][0]) for name, values in chosen.items() if name in rejected}


def way_for(judge: Judge, drawn: Drawn) -> Way:
    """The first of `WAYS` that the judge can do with so many candidates; an odd one out has no neighbour.

    Raises `UnsupportedCase` where the judge cannot judge such candidates. A model says so by itself. A plain callable
    is asked about the first candidates to find out.
    """
    able = {arity for arity in (1, 2) if _judges(judge, drawn.case(*range(arity)))}
    for way, needed in WAYS.items():
        if able.issuperset(needed) and not (way == "neighbours" and len(drawn.samples) % 2):
            return way
    raise UnsupportedCase(f"the judge judges no {drawn.case(0).task}, neither one at a time nor two")


def check_way(way: str | None, candidates: int) -> None:
    """Raise `UniRewardError` for a way that there is not, or a number of candidates that it cannot do with."""
    if way is not None and way not in get_args(Way):
        raise UniRewardError(f"there is no way {way!r} of judging; there are {', '.join(get_args(Way))}")
    if candidates < 2:
        raise UniRewardError(f"a pair takes at least two candidates of each prompt, got {candidates}")
    if way == "neighbours" and candidates % 2:
        raise UniRewardError(f"neighbours are compared two by two: give an even number of candidates, not {candidates}")


def judge_candidates(group: Sequence[Drawn], judge: BothOrders, way: Way) -> list[Judged]:
    """Judge the candidates of several prompts: all comparisons in one call of the judge, and all grades in another."""
    games = _play(group, judge, _PAIRINGS[way])
    shown = [drawn.shown if 1 in WAYS[way] else [] for drawn in group]
    cases = [drawn.case(index) for drawn, indices in zip(group, shown, strict=True) for index in indices]
    verdicts = iter(ask(judge, cases) if cases else [])
    return [
        Judged(drawn, way, played, {index: next(verdicts) for index in indices})
        for drawn, played, indices in zip(group, games, shown, strict=True)
    ]


def sift(judged: Judged) -> Sifted:
    """The best and the worst candidate, where one is better than the other."""
    dropped = _left_out(judged)
    winners, losers = _contenders(judged)
    reason = _why_no_pair(judged, winners, losers, dropped)
    if reason is not None:
        everyone = tuple(range(len(judged.drawn.samples)))
        return Sifted(judged, None, None, [*dropped, Drop("prompt", everyone, reason)])
    # Of equals the earlier counts, in `max` and `min` as in the recipe.
    return Sifted(judged, max(winners, key=winners.__getitem__), min(losers, key=losers.__getitem__), dropped)


def _why_no_pair(
    judged: Judged, winners: Mapping[int, float], losers: Mapping[int, float], dropped: Sequence[Drop]
) -> str | None:
    if not winners or not losers:
        # Nothing was read, or all are ties: the most frequent reason stands for all.
        reasons = Counter(drop.reason for drop in dropped).most_common(1)
        return reasons[0][0] if reasons else "alone"
    if winners.keys() == losers.keys() and len(winners) == 1:
        return "alone"
    best, worst = max(winners, key=winners.__getitem__), min(losers, key=losers.__getitem__)
    if winners[best] <= losers[worst]:
        return "not_better" if judged.way == "neighbours" else "tie"
    return "same" if judged.drawn.media[best] == judged.drawn.media[worst] else None


def _contenders(judged: Judged) -> tuple[dict[int, float], dict[int, float]]:
    """The scores of those who may be chosen, and of those who may be rejected."""
    scores = {index: score for index, score in enumerate(judged.scores) if score is not None}
    if judged.way != "neighbours":
        return scores, scores
    decided = [game for game in judged.games if game.winner is not None]
    won = {game.winner for game in decided}
    lost = {player for game in decided for player in (game.first, game.second)} - won
    return (
        {index: score for index, score in scores.items() if index in won},
        {index: score for index, score in scores.items() if index in lost},
    )


def _left_out(judged: Judged) -> list[Drop]:
    """The candidates and comparisons that do not count, with their reasons."""
    samples = judged.drawn.samples
    dropped = [Drop("candidate", (index,), "blanked") for index, sample in enumerate(samples) if sample.blanked]
    for game in judged.games:
        reason = "tie" if game.share == 0.5 else game.verdict.unread
        # In a tournament a tie counts: half a point for each.
        if reason is not None and (reason != "tie" or judged.way == "neighbours"):
            dropped.append(Drop("comparison", (game.first, game.second), reason))
    for index, verdict in judged.grades.items():
        if verdict.unread is not None:
            dropped.append(Drop("candidate", (index,), verdict.unread))
    return dropped


def _play(group: Sequence[Drawn], judge: BothOrders, pairings_of: Callable[[Drawn], list[Pairing]]) -> list[list[Game]]:
    pairings = [pairings_of(drawn) for drawn in group]
    cases = [drawn.case(i, j) for drawn, own in zip(group, pairings, strict=True) for i, j in own]
    if not cases:
        return [[] for _ in group]
    asked = ask_both_ways(judge.judge, cases)
    results = zip(asked.verdicts, asked.orders_agree, strict=True)
    return [[Game(i, j, *next(results)) for i, j in own] for own in pairings]


def _neighbours(drawn: Drawn) -> list[Pairing]:
    """Candidates 0 and 1, 2 and 3, ...; who lost the neighbour to the safety checker plays no game."""
    shown = set(drawn.shown)
    return [(i, i + 1) for i in range(0, len(drawn.samples) - 1, 2) if {i, i + 1} <= shown]


def _everyone(drawn: Drawn) -> list[Pairing]:
    shown = drawn.shown
    return [(shown[i], shown[j]) for i, j in round_robin(len(shown))]


_PAIRINGS: Mapping[Way, Callable[[Drawn], list[Pairing]]] = {
    "neighbours": _neighbours,
    "tournament": _everyone,
    "grades": lambda _: [],
}


def _judges(judge: Judge, case: Case) -> bool:
    asking = in_one_order(judge)
    if isinstance(asking, ModelJudge):
        return asking.supports(case.task, len(case.candidates))
    try:
        ask(asking, [case])
    except UnsupportedCase:
        return False
    return True
