"""How queries are put together: within the budget, one kind at a time, and all of them once."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from unireward_plugins.backends.batches import Batches
from unireward_plugins.backends.prompts import Prompt
from unireward_plugins.types import Query


def read(query: Query) -> Prompt:
    """A prompt as long as the query's text."""
    return Prompt(query, {"input_ids": torch.zeros(1, len(query.text), dtype=torch.long)})


def queries(*, most: int = 40) -> st.SearchStrategy[list[Query]]:
    one = st.builds(
        Query,
        text=st.integers(1, 30).map(lambda length: "x" * length),
        max_tokens=st.sampled_from([1, 8]),
        choices=st.sampled_from([(), ("1", "2")]),
    )
    return st.lists(one, max_size=most)


@given(asked=queries(), budget=st.integers(1, 200))
def test_every_query_is_handed_out_once_in_batches_of_one_kind_within_the_budget(
    asked: list[Query], budget: int
) -> None:
    batches = Batches(asked, read, budget)
    seen: list[int] = []
    while batches:
        batch = batches.take()
        assert batch
        seen.extend(batch)
        assert all(prompt.query is asked[index] for index, prompt in batch.items())
        assert len({bool(prompt.query.choices) for prompt in batch.values()}) == 1
        assert len({prompt.query.max_tokens for prompt in batch.values() if not prompt.query.choices}) <= 1
        assert len(batch) == 1 or len(batch) * max(prompt.cost for prompt in batch.values()) <= budget
    assert sorted(seen) == list(range(len(asked)))


@given(asked=queries(), budget=st.integers(1, 500), fits=st.integers(1, 5))
def test_halving_ends_with_every_query_answered(asked: list[Query], budget: int, fits: int) -> None:
    batches = Batches(asked, read, budget)
    answered: list[int] = []
    attempts = 0
    while batches:
        attempts += 1
        batch = batches.take()
        if len(batch) > fits:
            batches.halve(batch)
        else:
            answered.extend(batch)
    assert sorted(answered) == list(range(len(asked)))
    assert attempts <= 2 * len(asked) + 10


def test_queries_are_read_when_their_turn_comes_and_only_once() -> None:
    asked = [Query("x" * 10, choices=("1", "2")) for _ in range(6)]
    times: list[Query] = []

    def counted(query: Query) -> Prompt:
        times.append(query)
        return read(query)

    batches = Batches(asked, counted, budget=20)
    batches.halve(batches.take())
    assert len(times) == 3, "two for the batch, and the one that did not fit into it any more"
    while batches:
        batches.take()
    assert len(times) == 6


def test_the_longest_go_first() -> None:
    batches = Batches([Query("x" * length) for length in (1, 9, 5)], read, budget=1)
    assert [list(batches.take()) for _ in range(3)] == [[1], [2], [0]]
