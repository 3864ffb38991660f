"""The ways to say an answer, as a small grammar.

It knows "red", "It is red.", "a red circle", "The circle is red." and takes nothing else: not what is repeated, listed,
hedged or cut off.
"""

from __future__ import annotations

import re

from unireward_plugins.shapes.captions import NUMBERS
from unireward_plugins.shapes.scene import ACTIONS, COLOURS, GROUNDS, OUTLINES, PLACES, SIZES


def match_answer(answer: str) -> re.Match[str] | None:
    """The parts of an answer, in lower case; `None` for what is not one well-formed answer.

    `opening` is its yes or no, if it has one; `negation` what follows that with a not, and `denied` what is not so;
    `sentence` what follows and says what is so, `bare` the same of an answer without an opening.
    """
    return _ANSWER.fullmatch(" ".join(answer.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split()))


def _answer_grammar() -> re.Pattern[str]:
    """The ways to say an answer, in lower case with single spaces."""
    size, colour, outline = ("|".join(values) for values in (SIZES, COLOURS, OUTLINES))
    place, number, ground, action = ("|".join(values) for values in (PLACES, NUMBERS, GROUNDS, ACTIONS))
    noun = rf"(?:{outline}|shape)"
    described = rf"(?:(?:{size}) )?(?:(?:{colour}) )?{noun}"
    thing = rf"(?:(?:an?|the) )?{described}"
    quality = rf"(?:{size}|{colour}|(?:{size}) (?:and )?(?:{colour}))"
    sentence = "|".join(
        [
            quality,
            rf"(?:(?:it is|it's|this is|i see|there is|the answer is) )?{thing}",
            rf"(?:it is|it's|the answer is|the {described} is) {quality}",
            rf"(?:the colour is|the color is) (?:{colour})",
            rf"the size is (?:{size})",
            rf"the shape is (?:an? )?(?:{outline})",
            rf"(?:(?:there are|there is|i see|the answer is) )?(?:{number})",
            rf"(?:(?:it is|it's|the {described} is) )?(?:(?:at|in) the )?(?:{place})",
            rf"(?:the answer is )?(?:{place})",
            rf"(?:(?:it is|it's|the ground is|the answer is) )?(?:{ground})",
            rf"(?:(?:it|the {described}) )?(?:{action})",
        ]
    )
    negation = rf"(?:it is not|it's not|it isn't)(?: (?:an? )?(?P<denied>{size}|{colour}|{outline}))?"
    negation += "|it does not|it doesn't|there is not|there isn't"
    rest = rf"(?P<negation>{negation})|(?:it is|it does|there is)|(?P<sentence>{sentence})"
    return re.compile(rf"(?:(?P<opening>yes|no)(?:[,.] ?(?:{rest}))?|(?P<bare>{sentence}))[.!]?")


_ANSWER = _answer_grammar()
