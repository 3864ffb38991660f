"""Cases and verdicts: values with an inverse."""

from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unireward_plugins import Case, Media, UniRewardError, UnsupportedCase, Verdict
from unireward_plugins.types import UNREAD_REASONS, Candidate

PICTURE = Media.of(numpy.zeros((8, 8, 3), dtype=numpy.uint8))
CLIP = Media.of([numpy.zeros((8, 8, 3), dtype=numpy.uint8)] * 2)


@pytest.mark.parametrize(
    ("candidates", "context", "task"),
    [
        ((PICTURE,), (), "image_generation"),
        ((CLIP, CLIP), (), "video_generation"),
        (("yes",), (PICTURE,), "image_understanding"),
        (("yes", "no"), (PICTURE, PICTURE), "image_understanding"),
        (("yes",), (CLIP,), "video_understanding"),
        ((PICTURE, PICTURE), (PICTURE,), "image_editing"),
    ],
)
def test_the_task_follows_from_what_is_judged(
    candidates: tuple[Candidate, ...], context: tuple[Media, ...], task: str
) -> None:
    assert Case("a prompt", candidates, context).task == task


@pytest.mark.parametrize(
    ("candidates", "context"),
    [
        ((), ()),
        (("yes",), ()),
        ((PICTURE, "yes"), ()),
        ((PICTURE, CLIP), ()),
        (("yes",), (PICTURE, CLIP)),
        ((CLIP,), (CLIP,)),
        ((CLIP,), (PICTURE,)),
    ],
)
def test_what_fits_no_task_is_refused_with_the_way_out(
    candidates: tuple[Candidate, ...], context: tuple[Media, ...]
) -> None:
    with pytest.raises(UnsupportedCase, match="Judge pictures or clips without context"):
        _ = Case("a prompt", candidates, context).task


@given(st.lists(st.text(), max_size=4))
def test_reversing_a_case_twice_gives_it_back(candidates: list[str]) -> None:
    case = Case("a prompt", tuple(candidates), (PICTURE,))
    assert case.reversed().candidates == tuple(reversed(candidates))
    assert case.reversed().reversed() == case


@given(st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)), st.tuples(st.floats(1, 5), st.floats(1, 5)))
def test_reversing_a_verdict_turns_scores_and_aspects(
    scores: tuple[float, float] | None, style: tuple[float, float]
) -> None:
    verdict = Verdict(scores, {"style": style}, "words", None if scores else "no_verdict")
    assert verdict.reversed().aspects == {"style": style[::-1]}
    assert verdict.reversed().scores == (scores[::-1] if scores else None)
    assert verdict.reversed().reversed() == verdict


@pytest.mark.parametrize(("scores", "unread"), [(None, None), ((1.0,), "empty")])
def test_a_verdict_has_scores_or_a_reason_never_both_or_neither(
    scores: tuple[float, ...] | None, unread: str | None
) -> None:
    with pytest.raises(ValueError, match="either scores or a reason"):
        Verdict(scores, unread=unread)


@pytest.mark.parametrize(
    ("scores", "unread", "complaint"),
    [
        ((float("nan"),), None, r"scores are finite numbers, got \(nan,\)"),
        ((0.5, float("inf")), None, "scores are finite numbers"),
        (None, "bored", "'bored' is no reason for an unread verdict; use one of .*'no_verdict'"),
    ],
)
def test_a_verdict_holds_numbers_or_a_known_reason(
    scores: tuple[float, ...] | None, unread: str | None, complaint: str
) -> None:
    with pytest.raises(UniRewardError, match=complaint):
        Verdict(scores, unread=unread)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"candidates": "yes"}, "a case's candidates are a tuple, even if there is one: got a str"),
        ({"candidates": PICTURE}, "are a tuple, even if there is one: got a unireward_plugins.media.media.Media"),
        ({"candidates": ("yes",), "context": PICTURE}, "a case's context are a tuple"),
        (
            {"candidates": (PICTURE, PICTURE.pil())},
            r"candidates\[1\] of a case is a PIL.Image.Image. Pass pictures and clips as Media.of\(...\)",
        ),
        ({"candidates": ("yes",), "context": ("cat.png",)}, r"context\[0\] of a case is a str"),
    ],
)
def test_a_case_of_other_things_says_how_to_wrap_them(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UniRewardError, match=complaint):
        Case("a prompt", **fields)


def test_every_reason_is_explained() -> None:
    assert all(reason.isidentifier() and words for reason, words in UNREAD_REASONS.items())
