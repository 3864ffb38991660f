"""Finds the place where a reply's choices part, and the one token that each choice is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from unireward_plugins.errors import BackendError


@dataclass(frozen=True, slots=True)
class Slot:
    """Where to read the choices of a query: what changes at the end of the prompt's tokens, and what comes next."""

    dropped: int
    """How many of the prompt's last tokens go: with a choice behind them they would be tokenised otherwise."""
    added: tuple[int, ...]
    """The tokens that all choices share before they part."""
    choice_ids: tuple[int, ...]
    """The token of each choice, in the order of the choices."""


def answer_slot(prompt: str, choices: Sequence[str], tokenise: Callable[[str], list[int]], model: str) -> Slot:
    """The slot behind `prompt`, whose tokens depend on what is next to them, so all is tokenised together.

    `" 1"` after `"Image"` and `"1"` after `"Image "` can be different tokens, or the same. Raises `BackendError` that
    names the `model` where a choice is not exactly one token that tells it from the others.
    """
    plain = tokenise(prompt)
    rows = [tokenise(prompt + choice) for choice in choices]
    # Of a single choice everything is "shared": it must not share its own last token.
    shared = _shared(rows)[: min(map(len, rows)) - 1]
    for choice, row in zip(choices, rows, strict=True):
        if len(row) != len(shared) + 1:
            raise BackendError(
                f"the tokenizer of {model!r} makes {len(row) - len(shared)} tokens, not one, of the choice {choice!r} "
                f"after {prompt[-20:]!r}, where the choices {list(choices)} part: it cannot be read in one step. "
                "Use readout='generate', or a rubric whose choices are single tokens"
            )
    choice_ids = tuple(row[-1] for row in rows)
    if len(set(choice_ids)) != len(choices):
        raise BackendError(
            f"the tokenizer of {model!r} gives the same token to two of the choices {list(choices)} after "
            f"{prompt[-20:]!r}, so they cannot be told apart"
        )
    kept = len(_shared([plain, shared]))
    return Slot(dropped=len(plain) - kept, added=tuple(shared[kept:]), choice_ids=choice_ids)


def _shared(rows: Sequence[Sequence[int]]) -> list[int]:
    """The tokens that all rows begin with."""
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))]
