"""No text makes a reader raise, guess or stall."""

# ruff: noqa: RUF001  # characters that look like others are the point here

import math
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_parsing import FIVE, FLEX, LINES, THOUGHT, WORDS, blocks, every_reader
from unireward_plugins.parsing import Reader
from unireward_plugins.types import UNREAD_REASONS, Verdict

FRAGMENTS = [
    "Image 1",
    "image 2",
    "Answer 1",
    "Video 2",
    "first response",
    "is",
    "was",
    "better",
    "not",
    "equally good",
    "or",
    "nor",
    "Overall Judgment",
    "therefore",
    "Final Score",
    "Alignment Score",
    "coherence score",
    "Style Score",
    "visual quality",
    "Word-wise Scores:",
    '[["dog", 0.5]]',
    "(1-5)",
    "[",
    "]",
    "(",
    ")",
    ":",
    "：",
    "=",
    "-",
    "−",
    "–",
    "/",
    ".",
    ",",
    "\n",
    " ",
    "\xa0",
    "**",
    "__",
    "`",
    "nan",
    "inf",
    "0",
    "1",
    "2",
    "5",
    "3.7",
    "10",
    "99999999999999999999",
    "9" * 5000,
    "٣",
    "²",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "{",
    "}",
    '"',
    "'",
    "\\",
    '"score"',
    '"winner"',
    '"cat_winner"',
    '"name"',
    '"dims"',
    '"score_1"',
    '"score_2"',
    "```json",
    "\x00",
    "\ud800",
    "\udc00",
    "\u200b",
    "\u202e",
    "ſ",
    "K",
    "e5",
    "%",
]
replies = st.one_of(
    st.text(),
    st.text(st.characters(codec=None, exclude_categories=[])),
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join),
    st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(" ".join),
    st.lists(st.sampled_from([FLEX, THOUGHT, FIVE, LINES, WORDS, blocks((0.4, 0.6)), "\n"]), max_size=4).map("".join),
)


def assert_is_a_verdict(found: Verdict, reply: str) -> None:
    """What holds of every verdict, whatever it was read from."""
    assert found.reply == reply
    if found.scores is None:
        assert found.unread in UNREAD_REASONS
    else:
        assert found.unread is None
        assert all(0 <= score <= 1 for score in found.scores)
        assert len(found.scores) == 1 or math.isclose(sum(found.scores), 1)
    for name, values in found.aspects.items():
        assert len(values) in {1, 2}, name
        assert all(math.isfinite(value) for value in values), name
        assert len(name) < 150


@every_reader
@settings(max_examples=150, deadline=None)
@given(reply=replies)
def test_any_text_is_read_or_refused(read: Reader, reply: str) -> None:
    assert_is_a_verdict(read(reply), reply)


def mutated(reply: str) -> st.SearchStrategy[str]:
    """A good reply with a piece cut out or put in."""

    def changed(start: int, length: int, piece: str) -> str:
        return reply[:start] + piece + reply[start + length :]

    places = st.integers(0, len(reply))
    return st.builds(changed, places, st.integers(0, 20), st.sampled_from(["", *FRAGMENTS]))


@every_reader
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_reply_is_read_or_refused(read: Reader, data: st.DataObject) -> None:
    good = data.draw(
        st.sampled_from([FLEX, THOUGHT + "<answer>Image 1 is better</answer>", FIVE, WORDS + LINES, blocks((0.4, 0.6))])
    )
    reply = data.draw(mutated(good))
    assert_is_a_verdict(read(reply), reply)


HUGE: dict[str, Callable[[int], str]] = {
    "digits": lambda n: "Final Score: " + "9" * n,
    "dotted digits": lambda n: "Final Score: " + "9." * n,
    "nested brackets": lambda n: "[" * n,
    "nested objects": lambda n: '{"score":' * n,
    "labels": lambda n: "Final Score " * n,
    "open parentheses": lambda n: "Final Score (" * n,
    "spaces after a label": lambda n: "Final Score" + " " * n,
    "spaces inside a label": lambda n: "final" + " " * n + "final" + "\n" * n,
    "spaces in a verdict": lambda n: "image 1 is " + " " * n + "better",
    "verdicts": lambda n: "Image 1 is " * n,
    "words of a verdict": lambda n: "Image 1 is " + "a" * n,
    "both winners": lambda n: "Image 1 is better. Image 2 is better. " * n,
    "both winners in one sentence": lambda n: "Image 1 is better, Image 2 is better, " * n,
    "conclusions": lambda n: "therefore image 1 is better " * n,
    "thoughts": lambda n: "<think></think>" * n,
    "open thoughts": lambda n: "<think>" * n,
    "answers": lambda n: "<answer>" * n + "</answer>" * n,
    "points": lambda n: "<think>" + "Image 1 (9/10) " * n + "</think>",
    "point lines": lambda n: "<think>" + "Image 1 (9/10)\n" * n + "</think>",
    "headings": lambda n: "<think>" + ":" * n + "a" + ":" * n + "</think>",
    "word list": lambda n: "Word-wise Scores: " + '["a", ' * n,
    "word quotes": lambda n: "Word-wise Scores: " + "['[\"" * n,
    "backslashes": lambda n: 'Word-wise Scores: ["' + "\\" * n,
    "elements": lambda n: "a (" * n + "\n" + "dog (animal): 1\n" * n,
    "blocks": lambda n: "Alignment Score:\nImage 1: 0.5\n" * n,
    "signs": lambda n: "image 1 " + "-" * n,
    "numbers": lambda n: "1 " * n,
    "decimals": lambda n: "1." * n,
    "score lists": lambda n: "score: [" * n,
    "long score list": lambda n: "score: [" + "1," * n,
    "names": lambda n: '"name": "' * n,
    "dims": lambda n: '"name": "x", "dims": [{"name": "y", "score_1": 5, "score_2": 5}], ' * n,
    "winners": lambda n: '"winner": "Image 1"} ' * n,
    "closing braces": lambda n: '"winner": "Image 1"' + " }" * n,
    "markup": lambda n: "*_`" * n,
    "surrogates": lambda n: "\ud800" * n,
}


@every_reader
@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_reading_takes_time_linear_in_the_length(read: Reader, text: Callable[[int], str]) -> None:
    reply = text(20_000)
    start = time.process_time()
    assert_is_a_verdict(read(reply), reply)
    # Linear reading takes a tenth of a second for these; quadratic backtracking takes minutes.
    assert time.process_time() - start < 3
