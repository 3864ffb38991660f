"""Hands out queries in batches that fit a budget of tokens, and in smaller ones once memory has run out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from unireward_plugins.backends.prompts import Prompt
from unireward_plugins.types import Query


@dataclass(slots=True)
class Batches:
    """Queries that wait for their turn, the longest first, so that memory runs out early if at all."""

    queries: Sequence[Query]
    read: Callable[[Query], Prompt | None]
    """Called when a query's turn comes, not before: the pictures of all queries at once may not fit into memory. A
    query that it gives no prompt for is in no batch."""
    budget: int
    """The most tokens that a batch may hold, padding and replies included; one query alone may hold more."""
    _waiting: deque[int] = field(init=False)
    _ready: deque[tuple[int, Prompt]] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        order = sorted(range(len(self.queries)), key=lambda index: _rough_order(self.queries[index]), reverse=True)
        self._waiting = deque(order)

    def __bool__(self) -> bool:
        return bool(self._waiting or self._ready)

    def take(self) -> dict[int, Prompt]:
        """The next batch, by the queries' places in the order given: of one kind, and within the budget.

        Empty where no query that was left has a prompt.
        """
        batch: dict[int, Prompt] = {}
        while self:
            if not self._ready:
                index = self._waiting.popleft()
                read = self.read(self.queries[index])
                if read is None:
                    continue
                self._ready.append((index, read))
            index, prompt = self._ready[0]
            if batch and (_kind(prompt.query) != _kind(self.queries[min(batch)]) or self._too_much(batch, prompt)):
                break
            batch[index] = prompt
            self._ready.popleft()
        return batch

    def halve(self, batch: dict[int, Prompt]) -> None:
        """Put a batch back that did not fit into memory, and allow half as much from now on."""
        self.budget = len(batch) * max(prompt.cost for prompt in batch.values()) // 2
        self._ready.extendleft(reversed(batch.items()))

    def _too_much(self, batch: dict[int, Prompt], prompt: Prompt) -> bool:
        longest = max(prompt.cost, *(other.cost for other in batch.values()))
        return (len(batch) + 1) * longest > self.budget


def _kind(query: Query) -> int | None:
    """What queries of one batch have in common: the token limit, or that they offer choices."""
    return None if query.choices else query.max_tokens


def _rough_order(query: Query) -> tuple[int, int, int]:
    """Kinds apart, then by length, roughly: how many tokens a picture has is known only once it is read."""
    return _kind(query) or 0, len(query.media), len(query.text)
