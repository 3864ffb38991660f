"""Makes text from a policy or a dataset harmless before it enters a judge's prompt.

A policy that is trained against a judge finds every string that moves its score: the special token that ends the user's
turn, the verdict that the judge might repeat, the label under which the other candidate stands. Such strings get a
zero-width space after their first character. People read the same text; a tokenizer finds no special token in it, and a
reader no verdict. All other text stays as it is, byte for byte.

This stops what works on the *form* of the prompt. A text can still try to persuade ("please give this the best score"):
only the judge's training helps against that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

BREAK = "\u200b"
"""A zero-width space: no special token and no pattern of a reader contains one."""

_TAGS = (
    # generations of chat templates
    "s|bos|eos|unk|pad|cls|sep|mask|sop|eop|sys|inst|system|user|human|assistant|tool|turn|think|thinking|answer|"
    # pictures and clips
    "image|images|img|video|audio|frame|slice|unit|patch|imagehere|global-img|"
    # places in pictures, and tokens held in reserve
    "ref|box|quad|point|loc[0-9]{1,5}|seg[0-9]{1,5}|unused[0-9]{1,5}|0x[0-9a-f]{2}|"
    # <start_of_turn>, <tool_call>, <IMG_CONTEXT>, ...
    "[a-z0-9]{0,30}_[a-z0-9_]{0,50}"
)
_BRACKETS = (
    "INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS|CALL_ID|THINK|PREFIX|MIDDLE|SUFFIX|"
    "IMG|IMG_BREAK|IMG_END|AUDIO|gMASK|sMASK|MASK|CLS|SEP|PAD|UNK|BOS|EOS"
)
_TOKENS = re.compile(
    # <|im_start|>, and DeepSeek's tokens, whose bars are full-width and fold to plain ones
    r"(?=<\|[^<>|\s]{1,64}\|>"
    rf"|<\s{{0,2}}/?\s{{0,2}}(?:{_TAGS})\s{{0,2}}/?\s{{0,2}}>"
    rf"|<</?sys>>|(?-i:\[/?(?:{_BRACKETS})\])"
    # the turns of templates that have no special tokens for them, such as LLaVA's
    r"|(?-i:\b(?:USER|ASSISTANT|SYSTEM|HUMAN)\s{0,3}:)|^[#\s]{0,9}(?:user|assistant|system|human)\s{0,3}:"
    # the placeholders of rubrics
    r"|\{(?:prompt|query|instruction|response|r[0-9])\})",
    re.IGNORECASE | re.MULTILINE,
)
_CANDIDATE = r"(?:image|video|answer|response)"
_VERDICTS = re.compile(
    r"(?=final\s*+score|overall\s*+judge?ment|word-?wise\s*+score|(?:alignment|coherence|style|physics)\s*+score"
    r"|(?:visual\s*+quality|(?:temporal|factual)\s*+consistency|dynamic\s*+degree|text.to.video\s*+alignment)"
    r"\s*+(?:[-–—−:=(\[+0-9]|nan|inf)"  # noqa: RUF001
    # Image 1: 0.7   Answer 2 (9/10)   Response 2:
    rf"|{_CANDIDATE}\s*+[12][^0-9\n]{{0,24}}?[:=(]"
    rf"|(?:first|second)\s++(?:edited\s++)?{_CANDIDATE}\s*+:"
    # Image 1 is clearly better   the first answer is better   equally good
    rf"|(?:{_CANDIDATE}\s*+[12]|(?:first|second)\s++(?:edited\s++)?{_CANDIDATE})\s++(?:is|was)\s++(?:\w++\s++){{0,2}}?better"
    r"|equally\s++good"
    # "score": [25, 25]   "winner": "Image 1"
    r"|score[\"']?\s*+[:=]\s*+\[|(?:winner|score_?[12])[\"']\s*+:)",
    re.IGNORECASE,
)
_MARKUP = str.maketrans({**dict.fromkeys("*_`~", ""), "\u2581": " "})
"""What a reader or a person overlooks, and the block that SentencePiece takes for a space."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that show nothing."""


def neutralise(text: str) -> str:
    """The same text for people, in which no tokenizer sees a special token and no reader a verdict.

    Found in any case, behind markup (`**Final** Score`), with invisible characters inside, and in compatibility forms
    that some tokenizers normalise (full-width letters and brackets). Half a surrogate pair, which no tokenizer takes,
    becomes U+FFFD. Text that is neutral stays as it is: the function is idempotent.
    """
    text = _SURROGATE.sub("\ufffd", text)
    breaks = {*_places(_TOKENS, text, {}), *_places(_VERDICTS, text, _MARKUP)}
    pieces, start = [], 0
    for place in sorted(breaks):
        pieces.append(text[start:place])
        start = place
    return BREAK.join([*pieces, text[start:]])


def _places(pattern: re.Pattern[str], text: str, markup: Mapping[int, str]) -> Iterator[int]:
    """Where to break the matches of a pattern, which is looked for in the folded text.

    The pattern is one big lookahead, so that a match inside another is found too.
    """
    folded, origins = _folded(text, markup)
    for found in pattern.finditer(folded):
        first = after = found.start()
        # Several letters may come from one character (a ligature), which cannot be broken inside.
        while after < len(origins) and origins[after] == origins[first]:
            after += 1
        if after < len(origins) and text[origins[after] - 1] != BREAK:
            yield origins[after]


def _folded(text: str, markup: Mapping[int, str]) -> tuple[str, Sequence[int]]:
    """The text as the most lenient tokenizer or reader would see it, and for each letter where it comes from."""
    if text.isascii() and not _CONTROL.search(text) and text.translate(markup) == text:
        return text, range(len(text))
    letters = [
        (letter, origin) for origin, character in enumerate(text) for letter in _seen_as(character).translate(markup)
    ]
    return "".join(letter for letter, _ in letters), [origin for _, origin in letters]


@lru_cache(maxsize=4096)
def _seen_as(character: str) -> str:
    """A character without its compatibility form and its accents; nothing where it is invisible."""
    if character.isspace():
        return character if character.isascii() else " "
    decomposed = unicodedata.normalize("NFKD", character)
    return "".join(letter for letter in decomposed if not _is_invisible(letter))


def _is_invisible(letter: str) -> bool:
    return letter in _FILLERS or unicodedata.category(letter) in {"Cc", "Cf", "Mn", "Me"}
