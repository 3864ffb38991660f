"""Turns the tokens that a model wrote into the text of a reply."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

READ_BY_RUBRICS = frozenset({"<think>", "</think>", "<answer>", "</answer>"})
"""Tags that stay in the text, also where a tokenizer calls them special."""


def written(ids: Sequence[int], tokenizer: Any, *, ends: Collection[int], prefill: str, before: int) -> str:
    """The text of a reply from its `prefill` on: up to the first token that `ends` it, without special tokens.

    `before` is the last token of the prompt. Where the reply goes on from a prefill it is decoded along, since some
    tokenizers drop the space before a word that nothing stands before.
    """
    end = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    hidden = {
        token
        for token, added in tokenizer.added_tokens_decoder.items()
        if added.special and added.content not in READ_BY_RUBRICS
    }
    shown = [token for token in ids[:end] if token not in hidden]
    if not prefill:
        return str(tokenizer.decode(shown))
    return prefill + str(tokenizer.decode([before, *shown])[len(tokenizer.decode([before])) :])
