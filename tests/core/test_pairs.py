"""Pairs from judged cases: the best against the worst, and nothing guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import DROP_REASONS, Dropped, Pair, Sifted, pairs_from
from unireward_plugins.types import Case, Verdict

RED, BLUE = (Media.of(Image.new("RGB", (4, 4), colour)) for colour in ("red", "blue"))


def points(*scores: float | None, prompt: str = "a") -> tuple[list[Case], list[Verdict]]:
    """Candidates "0", "1", ... of one prompt, each judged alone."""
    return [Case(prompt, (str(index),)) for index, _ in enumerate(scores)], [
        Verdict(None, unread="empty") if score is None else Verdict((score,)) for score in scores
    ]


def test_the_best_graded_candidate_stands_against_the_worst() -> None:
    sifted = pairs_from(*points(0.4, 0.9, 0.1, 0.9, 0.1))
    assert sifted == Sifted((Pair("a", "1", "2", 0.9, 0.1),), ())
    assert sifted.pairs[0].margin == pytest.approx(0.8)
    assert sifted.pairs[0].case == Case("a", ("1", "2"))


def test_a_compared_case_gives_its_own_pair_whichever_is_better() -> None:
    cases = [Case("a", (RED, BLUE)), Case("a", (RED, BLUE)), Case("a", ("x", "y", "z"))]
    verdicts = [Verdict((0.3, 0.7)), Verdict((1.0, 0.0)), Verdict((0.2, 0.5, 0.3))]
    assert pairs_from(cases, verdicts).pairs == (
        Pair("a", BLUE, RED, 0.7, 0.3),
        Pair("a", RED, BLUE, 1.0, 0.0),
        Pair("a", "y", "x", 0.5, 0.2),
    )


def test_candidates_are_put_together_by_prompt_and_context() -> None:
    cases = [
        Case("What colour?", ("red",), (RED,)),
        Case("What colour?", ("red",), (BLUE,)),
        Case("What colour?", ("blue",), (Media.of(Image.new("RGB", (4, 4), "red")),)),
        Case("What colour?", ("blue",), (BLUE,)),
    ]
    pairs = pairs_from(cases, [Verdict((1.0,)), Verdict((0.0,)), Verdict((0.0,)), Verdict((1.0,))]).pairs
    assert pairs == (
        Pair("What colour?", "red", "blue", 1.0, 0.0, (RED,)),
        Pair("What colour?", "blue", "red", 1.0, 0.0, (BLUE,)),
    )
    assert [pair.case.task for pair in pairs] == ["image_understanding"] * 2


def test_what_gives_no_pair_is_listed_with_its_reason() -> None:
    cases = [Case("tie", ("x", "y")), Case("unread", ("x", "y")), Case("same", ("x", "x")), Case("alone", ("x",))]
    verdicts = [Verdict((0.5, 0.5)), Verdict(None, unread="truncated"), Verdict((1.0, 0.0)), Verdict((0.5,))]
    sifted = pairs_from(cases, verdicts)
    assert sifted.pairs == ()
    assert set(sifted.dropped) == {
        Dropped("tie", ("x", "y"), "tie"),
        Dropped("unread", ("x", "y"), "truncated"),
        Dropped("same", ("x", "x"), "same"),
        Dropped("alone", ("x",), "alone"),
    }
    assert sifted.counts == {"truncated": 1, "tie": 1, "same": 1, "alone": 1}


def test_an_unread_grade_is_dropped_and_the_others_still_meet() -> None:
    sifted = pairs_from(*points(None, 0.2, None, 0.6))
    assert sifted.pairs == (Pair("a", "3", "1", 0.6, 0.2),)
    assert sifted.counts == {"empty": 2}
    assert pairs_from(*points(None, 0.2)).counts == {"empty": 1, "alone": 1}


@given(st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=12))
def test_every_candidate_is_in_the_pair_or_beaten_or_dropped(scores: list[float | None]) -> None:
    sifted = pairs_from(*points(*scores))
    read = [score for score in scores if score is not None]
    assert sifted.counts.get("empty", 0) == scores.count(None)
    assert len(sifted.pairs) == (len(set(read)) > 1)
    for pair in sifted.pairs:
        assert (pair.chosen_score, pair.rejected_score) == (max(read), min(read))
        assert scores[int(str(pair.chosen))] == max(read)
        assert scores[int(str(pair.rejected))] == min(read)
    assert all(dropped.reason in DROP_REASONS for dropped in sifted.dropped)


def test_verdicts_that_do_not_fit_the_cases_are_named() -> None:
    with pytest.raises(UniRewardError, match="got 0 for 1 cases"):
        pairs_from([Case("a", ("x",))], [])
    with pytest.raises(UniRewardError, match=r"verdict 0 has 2 score\(s\) for 1 candidate\(s\)"):
        pairs_from([Case("a", ("x",))], [Verdict((0.5, 0.5))])
