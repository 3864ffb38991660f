"""What every backend promises, whatever is behind it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import exp
from pathlib import Path

import pytest

from tests.backends.conftest import TINY
from tests.backends.queries import mixed_queries, picture
from unireward_plugins.backends.openai import OpenAIBackend
from unireward_plugins.backends.transformers import TransformersBackend
from unireward_plugins.backends.vllm import VllmBackend
from unireward_plugins.errors import BackendError
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Backend, Query

VLLM_ABSENT = (
    "vLLM is not installed: it needs a GPU that it supports. On a machine with one, "
    "`pip install 'unireward-plugins[vllm]'` and `pytest tests/backends` run these tests against it"
)


@dataclass(frozen=True)
class Subject:
    """A backend under test."""

    backend: Backend
    gone: Backend
    """The same kind of backend, with nothing behind it."""
    forces: bool = True
    """Whether it can force the beginning of a reply, and tell log-probabilities."""
    generates: bool = True
    """Whether there is a model that writes token by token."""


def scripted_reply(query: Query) -> str:
    return query.choices[0] if query.choices else f"{len(query.media)} pictures, {len(query.text)} letters"


def no_reply(query: Query) -> str:
    raise BackendError("nobody there")


@pytest.fixture(
    scope="module",
    params=[
        "scripted",
        "transformers",
        "server with vLLM's API",
        "transformers serve",
        pytest.param("vllm", marks=pytest.mark.skipif(find_spec("vllm") is None, reason=VLLM_ABSENT)),
    ],
)
def subject(
    request: pytest.FixtureRequest, checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Subject:
    nothing = tmp_path_factory.mktemp("empty")
    match request.param:
        case "scripted":
            return Subject(ScriptedBackend(scripted_reply), ScriptedBackend(no_reply), generates=False)
        case "transformers":
            return Subject(TransformersBackend(checkpoint(TINY)), TransformersBackend(nothing))
        case "vllm":
            options = {"max_model_len": 4096, "gpu_memory_utilization": 0.3, "enforce_eager": True}
            return Subject(VllmBackend(checkpoint(TINY), engine=options), VllmBackend(nothing))
        case "transformers serve":
            url, model, forces = request.getfixturevalue("transformers_serve"), str(checkpoint(TINY)), False
        case _:
            url, model, forces = request.getfixturevalue("vllm_like_server").url, "stub", True
    gone = OpenAIBackend("http://127.0.0.1:9/v1", model=model, retries=1)
    return Subject(OpenAIBackend(url, model=model), gone, forces=forces)


def test_importing_backends_loads_nothing_heavy() -> None:
    modules = ["transformers", "openai", "vllm"]
    code = f"""
import sys
import unireward_plugins.testing, {", ".join(f"unireward_plugins.backends.{name}" for name in modules)}
print(*sorted({{"torch", "PIL", "numpy", "transformers", "openai", "vllm"}} & set(sys.modules)))
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_nothing_asked_is_nothing_answered(subject: Subject) -> None:
    assert subject.backend([]) == []


def test_replies_come_in_the_order_of_the_queries(subject: Subject) -> None:
    queries = mixed_queries()
    together = subject.backend(queries)
    assert together == [subject.backend([query])[0] for query in queries]
    assert len({reply.text for reply in together}) > 5


def test_the_same_query_gets_the_same_reply(subject: Subject) -> None:
    queries = mixed_queries()[:4]
    assert subject.backend(queries) == subject.backend(queries)
    assert len(set(subject.backend([queries[1]] * 3))) == 1


def test_pictures_and_their_order_matter(subject: Subject) -> None:
    first, second = picture(1), picture(2)
    asked = [Query(text="x", media=media, max_tokens=8) for media in [(first, second), (second, first), (first,), ()]]
    replies = {reply.text for reply in subject.backend(asked)}
    assert len(replies) == 4 or not subject.generates


def test_many_pictures(subject: Subject) -> None:
    query = Query(text="Which is best?", media=tuple(picture(seed) for seed in range(16)), max_tokens=4)
    assert subject.backend([query])[0].text


@pytest.mark.parametrize(
    "text", ["naïve 東京 🟥🔺 \u202e مرحبا", "a" * 2000, "{braces} %s \\n <b>", " ", "zero\u200bwidth\ttab"]
)
def test_any_text_may_be_asked(subject: Subject, text: str) -> None:
    (reply,) = subject.backend([Query(text=text, max_tokens=4)])
    assert isinstance(reply.text, str)
    assert reply.logprobs is None


def test_a_reply_is_no_longer_than_the_token_limit(subject: Subject) -> None:
    if not subject.generates:
        pytest.skip("a script has no tokens")
    query = mixed_queries()[2]
    texts = [subject.backend([replace(query, max_tokens=limit)])[0].text.rstrip("\ufffd ") for limit in (1, 4, 12)]
    assert len(texts[0]) < len(texts[1]) < len(texts[2])
    assert texts[2].startswith(texts[1]), "decoding is greedy, so a shorter reply begins a longer one"
    assert texts[1].startswith(texts[0])


def test_token_limits_are_per_query(subject: Subject) -> None:
    query = mixed_queries()[2]
    asked = [replace(query, max_tokens=limit) for limit in (12, 1, 12, 4)]
    assert subject.backend(asked) == [subject.backend([one])[0] for one in asked]


@pytest.mark.parametrize("prefill", ["Image ", "The answer is", "<think>\n", "東京 🟥"])
def test_a_reply_begins_with_its_prefill(subject: Subject, prefill: str) -> None:
    query = replace(mixed_queries()[1], prefill=prefill, max_tokens=6)
    if not subject.forces:
        with pytest.raises(BackendError, match="readout='generate'"):
            subject.backend([query])
        return
    (reply,) = subject.backend([query])
    assert reply.text.startswith(prefill)
    assert len(reply.text) > len(prefill)


def test_choices_get_their_log_probabilities(subject: Subject) -> None:
    queries = mixed_queries(prefill="Image ", choices=("1", "2"))
    if not subject.forces:
        with pytest.raises(BackendError, match="readout='generate'"):
            subject.backend(queries)
        return
    for reply in subject.backend(queries):
        assert reply.logprobs is not None
        assert len(reply.logprobs) == 2
        assert 0 <= sum(exp(value) for value in reply.logprobs) <= 1 + 1e-6
        if max(reply.logprobs) > float("-inf"):
            assert reply.text == "Image " + ("1" if reply.logprobs[0] >= reply.logprobs[1] else "2")


def test_choices_without_a_prefill(subject: Subject) -> None:
    query = Query(text="1 or 2?", choices=("1", "2"))
    if subject.forces:
        (reply,) = subject.backend([query])
        assert reply.logprobs is not None
    else:
        with pytest.raises(BackendError, match="log-probabilities"):
            subject.backend([query])


def test_generated_and_chosen_queries_may_be_mixed(subject: Subject) -> None:
    if not subject.forces:
        pytest.skip("this server cannot do the one of the two, as the tests above show")
    generated, chosen = mixed_queries()[:4], mixed_queries(prefill="Image ", choices=("1", "2"))[:4]
    asked = [query for pair in zip(generated, chosen, strict=True) for query in pair]
    assert [reply.logprobs is not None for reply in subject.backend(asked)] == [False, True] * 4


def test_a_backend_pickles_small_before_and_after_use(subject: Subject) -> None:
    query = mixed_queries()[1]
    fresh = pickle.loads(pickle.dumps(subject.backend))
    reply = subject.backend([query])
    used = pickle.dumps(subject.backend)
    assert subject.backend([query]) == reply == fresh([query]) == pickle.loads(used)([query])
    assert len(used) < 50_000 or not subject.generates, "models and connections stay behind"


def test_nothing_behind_it_is_an_error_that_says_so(subject: Subject) -> None:
    with pytest.raises(BackendError):
        subject.gone([Query(text="anybody there?")])


def test_the_revision_is_the_same_for_the_same_weights(subject: Subject) -> None:
    revision = subject.backend.revision
    assert revision
    assert revision == pickle.loads(pickle.dumps(subject.backend)).revision
