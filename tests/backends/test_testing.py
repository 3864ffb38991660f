"""The backend whose replies a test writes itself."""

from __future__ import annotations

import pickle
from math import inf

import pytest

from unireward_plugins.errors import BackendError
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Query, Reply


def shout(query: Query) -> str:
    return query.text.upper()


def test_it_says_what_the_script_says_behind_the_prefill_and_remembers_the_queries() -> None:
    backend = ScriptedBackend(shout)
    queries = [Query("a"), Query("b", prefill="I say: ")]
    assert backend(queries) == [Reply("A"), Reply("I say: B")]
    assert backend.queries == queries


def test_a_choice_is_certain() -> None:
    backend = ScriptedBackend(lambda query: "2")
    assert backend([Query("?", prefill="Image ", choices=("1", "2"))]) == [Reply("Image 2", (-inf, 0.0))]


def test_a_whole_reply_is_passed_on() -> None:
    reply = Reply("Image 1", (-0.5, -1.5))
    assert ScriptedBackend(lambda query: reply)([Query("?", choices=("1", "2"))]) == [reply]


@pytest.mark.parametrize("answer", ["3", Reply("1"), Reply("1", (-0.5,))])
def test_a_script_that_breaks_the_contract_of_backends_is_told(answer: str | Reply) -> None:
    with pytest.raises(ValueError, match="to a query with the choices"):
        ScriptedBackend(lambda query: answer)([Query("?", choices=("1", "2"))])
    if isinstance(answer, Reply) and answer.logprobs:
        with pytest.raises(ValueError, match="to a query with the choices"):
            ScriptedBackend(lambda query: answer)([Query("?")])


def test_it_can_play_a_server_that_is_gone() -> None:
    def gone(query: Query) -> str:
        raise BackendError("nobody there")

    with pytest.raises(BackendError, match="nobody there"):
        ScriptedBackend(gone)([Query("?")])


def test_it_pickles_with_its_function() -> None:
    backend = pickle.loads(pickle.dumps(ScriptedBackend(shout, revision="7")))
    assert backend([Query("a")]) == [Reply("A")]
    assert backend.revision == "7"
