"""A backend whose replies you write yourself, for tests of judges, rubrics and plug-ins without a model.

    backend = ScriptedBackend(lambda query: "Image 1 is better than Image 2")
    assert backend([query]) == [Reply("Image 1 is better than Image 2")]
    assert backend.queries == [query]

It is a backend like any other, so everything that takes one takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from unireward_plugins.types import Query, Reply


class ScriptedBackend:
    """A backend that answers each query with what a function says, and remembers the queries that it was asked.

    `reply` returns a `Reply`, which is passed on as it is, or a string: what the model says after the query's prefill
    or, where the query offers choices, the one choice that the model is certain of. An exception that `reply` raises
    reaches the caller: raise `BackendError` to play a server that is gone. Pickles if `reply` does.
    """

    def __init__(self, reply: Callable[[Query], str | Reply], *, revision: str = "scripted") -> None:
        self.reply = reply
        self.revision = revision
        self.queries: list[Query] = []
        """Every query so far, in the order in which they were asked."""

    def __call__(self, queries: Sequence[Query], /) -> list[Reply]:
        """Answer each query with what the script says.

        Raises `ValueError` where the script breaks the contract of a backend: a text that is not one of the query's
        choices, or a reply that has not one log-probability per choice.
        """
        replies = []
        for query in queries:
            self.queries.append(query)
            replies.append(_as_reply(query, self.reply(query)))
        return replies


def _as_reply(query: Query, answer: str | Reply) -> Reply:
    if isinstance(answer, str) and not query.choices:
        return Reply(text=query.prefill + answer)
    if isinstance(answer, str):
        if answer not in query.choices:
            raise ValueError(f"the script answers {answer!r} to a query with the choices {query.choices}")
        certain = tuple(0.0 if choice == answer else -inf for choice in query.choices)
        return Reply(text=query.prefill + answer, logprobs=certain)
    if answer.unread is None and len(answer.logprobs or ()) != len(query.choices):
        raise ValueError(f"the script answers {answer.logprobs} to a query with the choices {query.choices}")
    return answer
