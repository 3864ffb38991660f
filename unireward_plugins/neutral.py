"""Makes text from a policy or a dataset harmless before it enters a judge's prompt."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"<(?=\|[^<>|\s]{1,60}\|>|/?(?:image|video|think|answer|s)>)", re.IGNORECASE)


def neutralise(text: str) -> str:
    """The same text for people, in which no tokenizer sees a special token and no reader a verdict."""
    return _TOKEN.sub("<\u200b", text)
