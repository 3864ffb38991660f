"""What a judge said of cases, and what of that goes into rows and cards."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from hub import Asked, Known, Making, ask_both_ways
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair, pairs_from
from unireward_plugins.types import Case, Verdict

RED, GREEN, BLUE = (Media.of(Image.new("RGB", (6, 4), colour)) for colour in ("red", "green", "blue"))
CASES = [Case("a", (RED, BLUE)), Case("b", (GREEN, RED)), Case("c", (BLUE, GREEN)), Case("d", (RED, GREEN))]


def by_place(cases: Sequence[Case]) -> list[Verdict]:
    """Prefers red strongly, green a little, and otherwise whatever stands first; cannot read case `d`."""

    def grade(candidate: object, place: int) -> float:
        return 0.9 if candidate == RED else 0.3 if candidate == GREEN else 0.35 - 0.1 * place

    verdicts = []
    for case in cases:
        grades = [grade(candidate, place) for place, candidate in enumerate(case.candidates)]
        share = tuple(one / sum(grades) for one in grades)
        said = {"colour": tuple(10 * one for one in grades)}
        verdicts.append(Verdict(None, unread="empty") if case.prompt == "d" else Verdict(share, said))
    return verdicts


def test_both_orders_are_asked_in_one_call_and_counted() -> None:
    calls: list[int] = []

    def judge(cases: Sequence[Case]) -> list[Verdict]:
        calls.append(len(cases))
        return by_place(cases)

    asked = ask_both_ways(judge, CASES)
    assert calls == [8]
    assert asked.making(how="By hand.", licence="mit") == Making(
        "By hand.", "mit", asked=4, unread=1, compared=3, flipped=1
    ), "blue before green is preferred, after it not"


def test_what_is_known_of_each_pair() -> None:
    asked = ask_both_ways(by_place, CASES)
    sifted = pairs_from(CASES, asked.verdicts)
    known = asked.known(sifted.pairs)
    assert [pair.prompt for pair in sifted.pairs] == ["a", "b", "c"]
    assert [one.orders_agree for one in known] == [True, True, False]
    assert known[0].aspects == {"colour": (9.0, 3.0)}, "the means of both orders, of red and of blue"
    assert sifted.pairs[1].chosen == RED
    assert known[1].aspects == {"colour": (9.0, 3.0)}, "the chosen one first, though it stood second"


def test_grades_of_single_candidates_find_their_pair() -> None:
    cases = [Case("a", (picture,)) for picture in (RED, BLUE, GREEN)]
    verdicts = [Verdict((grade,), {"raw": (10 * grade,)}) for grade in (0.25, 0.75, 0.5)]
    asked = Asked(cases, verdicts)
    (known,) = asked.known(pairs_from(cases, verdicts).pairs)
    assert known == Known({"raw": (7.5, 2.5)})
    assert asked.making() == Making(asked=3)


def test_a_case_with_one_candidate_has_no_other_order() -> None:
    asked = ask_both_ways(lambda cases: [Verdict((0.5,)) for _ in cases], [Case("a", (RED,))])
    assert asked.swapped == [None]
    assert asked.making().compared == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UniRewardError, match="got 3 and, in the other order, 0 for 4 cases"):
        Asked(CASES, by_place(CASES)[:3])
    with pytest.raises(UniRewardError, match="the pair for 'x' comes from none of the cases"):
        ask_both_ways(by_place, CASES).known([Pair("x", RED, BLUE, 1.0, 0.0)])
