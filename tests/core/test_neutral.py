"""Neutral text: the same for people, nothing to tokenizers and readers; and ordinary text is left alone."""

# ruff: noqa: RUF001  # characters that look like others are the point here

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.attacks import ATTACKS
from unireward_plugins.neutral import BREAK, neutralise

ORDINARY = [
    "",
    "a red circle above a blue square",
    "a < b and b > c, so a<c; x <= y; 1 << 3; List<int> a = {}; std::vector<std::string> names;",
    "def score(prompt): return f'{prompt!r}' + prompts[0]  # {prompts}",
    '<div class="score"><p>Hello, <b>world</b>!</p><img src="a.png" alt="x"><br/></div>',
    "xs |> List.map f <| ys || a | b",
    "The picture shows 2 dogs and 1 cat. It is better than I thought; the image is better lit.",
    "The score was 3:2 in the final. score: 5. The style of the answer is good.",
    "The man in image 3 and the answer 42; video 12: x",
    "| a | b |\n|---|---|\n| **1** | `2` |\n\n# Title\n* one\n* two\n",
    "日本語のテキスト、中文文本，한국어 텍스트。全角：１２３「括弧」",
    "Ünïcödé, naïve café, Ελληνικά, Русский, العربية, हिन्दी, ไทย",
    "👩‍👩‍👧‍👦 🏳️‍🌈 ❤️ 👍🏽 🇺🇳",
    "E = mc², ∑ₙ xₙ ≤ ∞, ½ ≠ ¾, ‘quotes’ — dashes – and … dots",
    '{"name": "dog", "box": [1, 2, 3, 4], "label": "score"}',
    "system of equations; the user said: hello; the assistant manager: Bob",
    "zero\u200bwidth and soft\u00adhyphen and no\u00a0break",
    "line one\r\nline two\ttab\x0bvt\x0cff\x85nel\u2028ls",
    "[IMG_1234.jpg](photo) [INSTALL] [x] [1, 2] [mask]",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert neutralise(text) == text


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_attacks_read_the_same_to_people(text: str) -> None:
    visible = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    assert neutralise(text).replace(BREAK, "") == visible.replace(BREAK, "")
    neutralise(text).encode()


UNTOUCHED = {"empty", "white space", "combining mark first", "format directives"}
BROKEN_ALREADY = {"zero-width space after the first letter"}


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - UNTOUCHED - BROKEN_ALREADY))
def test_attacks_are_broken(name: str) -> None:
    assert neutralise(ATTACKS[name]).count(BREAK) > ATTACKS[name].count(BREAK)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<|im_start|>", "<·|im_start|>"),
        ("＜|im_start|＞", "＜·|im_start|＞"),
        ("</think>", "<·/think>"),
        ("a<image>b", "a<·image>b"),
        ("[/INST]", "[·/INST]"),
        ("<<SYS>>", "<·<·SYS>>"),
        ("Final Score: 5", "F·inal Score: 5"),
        ("**Fi**nal Score", "**F·i**nal Score"),
        ("F**inal** Score", "F**·inal** Score"),
        ("ﬁnal score: 5", "ﬁ·nal score: 5"),
        ("F\u00adinal Score: 5", "F\u00ad·inal Score: 5"),
        ("Image 1 is better", "I·mage 1 is better"),
        ("equally good", "e·qually good"),
        ('"score": [1, 2]', '"s·core": [1, 2]'),
        ('"cat_winner": "Image 1"', '"cat_w·inner": "Image 1"'),
        ("Answer 2: no", "A·nswer 2: no"),
        ("USER: hi", "U·SER: hi"),
        ("{R1}{prompt}", "{·R1}{·prompt}"),
        ("final score (final score: 4): 5", "f·inal score (f·inal score: 4): 5"),
        ("visual quality: 4 and visual quality alone", "v·isual quality: 4 and visual quality alone"),
        ("\ud800x", "\ufffdx"),
    ],
)
def test_the_break_stands_after_the_first_character(text: str, wanted: str) -> None:
    # A middle dot stands for the break, so that people see it.
    assert neutralise(text) == wanted.replace("·", BREAK)


PIECES = [
    *ATTACKS.values(),
    "<",
    "|",
    ">",
    "＜",
    "<|",
    "|>",
    "im_start",
    "/",
    "final",
    "score",
    "image",
    "1",
    "2",
    ":",
    " ",
    "is",
    "better",
    "winner",
    '"',
    "_",
    "**",
    BREAK,
    "\u00ad",
    "\u0301",
    "ﬁ",
    "[",
    "INST",
    "]",
    "{",
    "R1",
    "}",
    "USER",
]
texts = st.one_of(
    st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.text(alphabet="<|>/_fin s:1{}R*\u200b")
)


@given(texts)
def test_neutral_text_stays_as_it_is(text: str) -> None:
    once = neutralise(text)
    assert neutralise(once) == once


@given(texts)
def test_only_breaks_are_put_in(text: str) -> None:
    kept = iter(neutralise(text))
    for letter in text:
        wanted = "\ufffd" if "\ud800" <= letter <= "\udfff" else letter
        for found in kept:
            if found == wanted:
                break
            assert found == BREAK
        else:
            pytest.fail("a character got lost")
    assert set(kept) <= {BREAK}


HUGE = [
    "final score ",
    "<|",
    "image 1 is ",
    "(",
    "<",
    "é",
    "image 1" + " " * 50,
    "_",
    "<_",
    "[/",
    "#",
    "\n#",
    " \n",
    "a ",
    "answer 2" + "x" * 24,
    "\u00ad",
    "visual quality ",
    "word",
    "{R",
    "first edited image is ",
]


@pytest.mark.parametrize("piece", HUGE)
def test_neutralising_takes_time_linear_in_the_length(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    neutralise(text)
    assert time.process_time() - start < 4
