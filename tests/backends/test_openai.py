"""The server backend against a server that misbehaves, and what it sends to one that does not."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import string
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from tests.backends.conftest import TINY
from tests.backends.queries import mixed_queries, picture
from tests.backends.stub_server import Answer, Request, StubServer, completion, error
from unireward_plugins.backends.openai import OpenAIBackend
from unireward_plugins.backends.transformers import TransformersBackend
from unireward_plugins.errors import BackendError
from unireward_plugins.types import TOO_LONG, Query, Reply

HELLO = Query(text="hello", max_tokens=7)


def echo(request: Request) -> Answer:
    """Says what it was asked."""
    return Answer(completion(str(request.body["messages"][0]["content"][-1]["text"])))


def first(bad: Answer, *, times: int = 1) -> Callable[[Request], Answer]:
    """Misbehaves so many times, and then answers."""
    return lambda request: bad if request.number < times else echo(request)


def always(bad: Answer) -> Callable[[Request], Answer]:
    return lambda request: bad


# What is sent


def test_requests_are_greedy_with_pictures_as_png_before_the_text() -> None:
    query = Query(text="which?", media=(picture(1), picture(2)), max_tokens=7)
    with StubServer(echo) as server:
        OpenAIBackend(server.url)([query])
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.body.keys() == {"model", "messages", "temperature", "max_tokens"}
    assert (request.body["temperature"], request.body["max_tokens"], request.body["model"]) == (0, 7, "stub")
    (turn,) = request.body["messages"]
    assert turn["role"] == "user"
    assert [part["type"] for part in turn["content"]] == ["image_url", "image_url", "text"]
    assert turn["content"][1]["image_url"]["url"] == picture(2).data_url()
    assert turn["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_a_prefill_is_a_message_to_be_gone_on_with() -> None:
    with StubServer(always(Answer(completion("1 is better")))) as server:
        assert OpenAIBackend(server.url)([replace(HELLO, prefill="Image ")]) == [Reply("Image 1 is better")]
    body = server.requests[0].body
    assert body["messages"][1] == {"role": "assistant", "content": "Image "}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def steps(*likeliest: dict[str, float]) -> Answer:
    """A completion of some tokens, each with what was likeliest in its place."""
    entries = [
        [{"token": token, "logprob": value, "bytes": None} for token, value in step.items()] for step in likeliest
    ]
    body = completion("".join(listed[0]["token"] for listed in entries), finish_reason="length")
    body["choices"][0]["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed} for listed in entries]}
    return Answer(body)


def test_choices_ask_for_one_token_and_the_likeliest_twenty() -> None:
    with StubServer(always(steps({"2": -0.1, "1": -2.5, "3": -9999.0}))) as server:
        (reply,) = OpenAIBackend(server.url)([replace(HELLO, choices=("1", "2", "3", "4"))])
    assert reply == Reply("2", (-2.5, -0.1, -inf, -inf))
    asked = server.requests[0].body
    assert (asked["max_tokens"], asked["logprobs"], asked["top_logprobs"], asked["temperature"]) == (1, True, 20, 0)


@pytest.mark.parametrize(
    ("prefill", "answer", "logprobs"),
    [
        ("Image ", steps({"1": -0.2, "2": -1.9}, {" is": -0.1, "1": -7.0}), (-0.2, -1.9)),
        ("Image ", steps({" ": -0.01, "x": -8.0}, {"1": -0.2, "2": -1.9}), (-0.2, -1.9)),
        ("Image ", steps({"x": -0.01, " ": -8.0}, {"1": -0.2, "2": -1.9}), (-inf, -inf)),
        ("Image ", steps({" ": -0.01}), (-inf, -inf)),
        ("Image", steps({" ": -0.01}, {"1": -0.2, "2": -1.9}), (-inf, -inf)),
    ],
    ids=["space kept", "space cut off and said again", "something else said", "broken off", "no space asked for"],
)
def test_the_space_that_a_chat_template_cuts_off_a_prefill_is_read_over(
    prefill: str, answer: Answer, logprobs: tuple[float, float]
) -> None:
    """Qwen3.5's template trims the message that the reply goes on from, so the model says the space once more."""
    with StubServer(always(answer)) as server:
        (reply,) = OpenAIBackend(server.url)([replace(HELLO, prefill=prefill, choices=("1", "2"))])
    assert reply.logprobs == logprobs
    assert server.requests[0].body["max_tokens"] == (2 if prefill == "Image " else 1)


def test_the_chat_template_is_told_what_the_user_says() -> None:
    with StubServer(echo) as server:
        OpenAIBackend(server.url, chat_template_kwargs={"enable_thinking": False})([HELLO])
    assert server.requests[0].body["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize("given", [None, "secret-1"])
def test_the_key_is_the_one_given_or_in_the_environment_or_none(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubServer(echo) as server:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        OpenAIBackend(server.url, api_key=given)([HELLO])
        monkeypatch.setenv("OPENAI_API_KEY", "secret-2")
        OpenAIBackend(server.url, api_key=given)([HELLO])
    sent = [request.headers["Authorization"] for request in server.requests]
    assert sent == (["Bearer none", "Bearer secret-2"] if given is None else ["Bearer secret-1"] * 2)


def test_a_server_with_a_real_model_answers_as_the_model_does_in_this_process(
    vllm_like_server: StubServer, checkpoint: Callable[[str], Path]
) -> None:
    served, local = OpenAIBackend(vllm_like_server.url), TransformersBackend(checkpoint(TINY))
    assert served(mixed_queries()) == local(mixed_queries())
    assert served(mixed_queries(prefill="Image ")) == local(mixed_queries(prefill="Image "))
    choices = mixed_queries(prefill="Image 1", choices=tuple(string.ascii_letters + string.digits))
    listed = [
        (theirs, ours)
        for reply, other in zip(served(choices), local(choices), strict=True)
        for theirs, ours in zip(reply.logprobs or (), other.logprobs or (), strict=True)
        if theirs > -inf
    ]
    assert len(listed) > 3
    assert all(theirs == pytest.approx(ours, abs=1e-5) for theirs, ours in listed)


def test_transformers_serve_answers_as_the_model_does_in_this_process(
    transformers_serve: str, checkpoint: Callable[[str], Path]
) -> None:
    served = OpenAIBackend(transformers_serve, model=str(checkpoint(TINY)))(mixed_queries())
    local = TransformersBackend(checkpoint(TINY))(mixed_queries())
    assert [reply.text for reply in served] == [reply.text.strip() for reply in local], "the server strips white space"


# What comes back


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (completion("cut off in the mid", finish_reason="length"), "cut off in the mid"),
        (completion(None), ""),
        (completion(""), ""),
        (completion("Image 1", reasoning_content="I see."), "<think>I see.</think>\nImage 1"),
        (completion("Image 1", reasoning="I see."), "<think>I see.</think>\nImage 1"),
        (completion(None, reasoning_content="I see a", finish_reason="length"), "<think>I see a"),
        (completion("Image 1", reasoning_content=None), "Image 1"),
        (completion("名 🟥"), "名 🟥"),
    ],
)
def test_a_message_becomes_the_whole_text_of_the_reply(body: object, text: str) -> None:
    with StubServer(always(Answer(body))) as server:
        assert OpenAIBackend(server.url)([HELLO]) == [Reply(text)]


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"choices": []}),
        Answer({"choices": None}),
        Answer({}),
        Answer({"choices": [{"index": 0}]}),
        Answer([1, 2]),
        Answer("text"),
        Answer(b'{"choices": [{"mess'),
        Answer(b"<html>Welcome to nginx</html>", content_type="text/html"),
        Answer(b""),
    ],
    ids=[
        "no choice",
        "null choices",
        "empty object",
        "no message",
        "a list",
        "a string",
        "cut JSON",
        "HTML",
        "nothing",
    ],
)
def test_what_is_no_chat_completion_is_an_error_and_no_reply(answer: Answer) -> None:
    with (
        StubServer(always(answer)) as server,
        pytest.raises(BackendError, match=r"the server at http.*'stub'\) answered with"),
    ):
        OpenAIBackend(server.url, retries=0)([HELLO])


def test_a_server_without_log_probabilities_is_said_to_have_none() -> None:
    with StubServer(echo) as server, pytest.raises(BackendError, match=r"no log-probabilities.*readout='generate'"):
        OpenAIBackend(server.url)([replace(HELLO, choices=("1", "2"))])


# Failures that pass


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_passing_failures_are_asked_again(status: int) -> None:
    with StubServer(first(Answer(error("busy"), status=status))) as server:
        assert OpenAIBackend(server.url)([HELLO]) == [Reply("hello")]
    assert len(server.requests) == 2


@pytest.mark.parametrize("cut_after", [0, 20], ids=["before the answer", "in its middle"])
def test_dropped_connections_are_asked_again(cut_after: int) -> None:
    with StubServer(first(Answer(completion("lost"), cut_after=cut_after), times=2)) as server:
        assert OpenAIBackend(server.url)([HELLO]) == [Reply("hello")]
    assert len(server.requests) == 3


def test_retry_after_is_honoured() -> None:
    with StubServer(first(Answer(error("slow down"), status=429, headers={"Retry-After": "2"}))) as server:
        assert OpenAIBackend(server.url)([HELLO]) == [Reply("hello")]
    before, after = server.requests
    assert after.time - before.time >= 1.9, "without it the pause is at most 0.5 seconds"


def test_only_the_query_that_failed_is_asked_again() -> None:
    queries = [Query(text=str(number)) for number in range(8)]
    with StubServer(first(Answer(error("busy"), status=503), times=3)) as server:
        assert [reply.text for reply in OpenAIBackend(server.url)(queries)] == [query.text for query in queries]
    assert len(server.requests) == 8 + 3


# Failures that stay


def test_failures_that_stay_become_an_error_after_the_last_attempt() -> None:
    with StubServer(always(Answer(error("on fire"), status=503))) as server:
        with pytest.raises(BackendError, match=r"keeps failing with status 503.*on fire"):
            OpenAIBackend(server.url, retries=1)([HELLO])
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "rejects the query with status 400.*what is this"),
        (401, "does not accept the API key. Set OPENAI_API_KEY"),
        (403, "does not accept the API key"),
        (404, "knows no such model or address.*what is this.*/models"),
        (422, r"rejects the query with status 422.*what is this"),
    ],
)
def test_refusals_are_not_asked_again_and_say_what_to_do(status: int, words: str) -> None:
    with StubServer(always(Answer(error("what is this"), status=status))) as server:
        with pytest.raises(BackendError, match=words):
            OpenAIBackend(server.url)([HELLO])
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 64 tokens. However, you requested 90 tokens (70 in the messages, ...",
        "The decoder prompt (length 70) is longer than the maximum model length of 64. Make sure that ...",
        "The input (70 tokens) is longer than the model's context length (64 tokens).",
        "Requested token count exceeds the model's maximum context length of 64 tokens.",
        "request (70 tokens) exceeds the available context size (64 tokens), try increasing it",
    ],
)
def test_a_query_that_the_served_model_has_no_room_for_costs_no_other_its_reply(words: str) -> None:
    """The words are those of vLLM (the first two), SGLang (the next two) and llama.cpp."""

    def answer(request: Request) -> Answer:
        asked = request.body["messages"][0]["content"][-1]["text"]
        return Answer(error(words), status=400) if len(asked) > 64 else echo(request)

    with StubServer(answer) as server:
        replies = OpenAIBackend(server.url)([HELLO, Query("x" * 70), HELLO])
        assert replies == [*OpenAIBackend(server.url)([HELLO]), TOO_LONG, replies[0]]


def test_a_refused_query_with_pictures_says_how_many_the_server_must_allow() -> None:
    query = Query(text="x", media=tuple(picture(seed) for seed in range(16)))
    with StubServer(always(Answer(error("At most 1 image(s)"), status=400))) as server:
        with pytest.raises(BackendError, match=r"--limit-mm-per-prompt.image 16"):
            OpenAIBackend(server.url)([query])


@pytest.mark.parametrize("status", [400, 401, 500])
def test_the_key_never_shows(status: int) -> None:
    backend_key = "sk-very-secret"
    with StubServer(always(Answer(error(f"key {backend_key} is bad"), status=status))) as server:
        backend = OpenAIBackend(server.url, api_key=backend_key, retries=0)
        with pytest.raises(BackendError) as caught:
            backend([HELLO])
    assert backend_key not in "".join(traceback.format_exception(caught.value))
    assert backend_key not in repr(backend)


def test_long_words_of_a_server_are_cut() -> None:
    with StubServer(always(Answer(error("x" * 100_000), status=400))) as server:
        with pytest.raises(BackendError) as caught:
            OpenAIBackend(server.url)([HELLO])
    assert len(str(caught.value)) < 1000


def test_a_server_that_is_not_there_is_named_with_a_way_to_start_one() -> None:
    with pytest.raises(BackendError, match=r"http://127.0.0.1:9/v1 .*'m'.* cannot be reached .*vllm serve"):
        OpenAIBackend("http://127.0.0.1:9/v1", model="m", retries=0)([HELLO])


def test_a_server_that_goes_away_between_calls_is_an_error_and_one_that_comes_back_is_fine() -> None:
    with StubServer(echo) as server:
        backend = OpenAIBackend(server.url, retries=0)
        backend([HELLO])
    with pytest.raises(BackendError, match="cannot be reached"):
        backend([HELLO])
    with StubServer(echo, port=server.port):
        assert backend([HELLO]) == [Reply("hello")]


def test_slow_replies_end_at_the_deadline() -> None:
    with StubServer(lambda request: replace(echo(request), delay=3.0)) as server:
        start = time.monotonic()
        with pytest.raises(BackendError, match=r"no answer within 0.4 s.*Raise timeout="):
            OpenAIBackend(server.url, timeout=0.4)([HELLO])
        assert time.monotonic() - start < 2
    assert len(server.requests) == 1, "a server that is too slow is not asked for more"


def test_the_deadline_includes_the_pauses_between_attempts() -> None:
    with StubServer(always(Answer(error("busy"), status=429, headers={"Retry-After": "60"}))) as server:
        start = time.monotonic()
        with pytest.raises(BackendError, match=r"no answer within 0.5 s"):
            OpenAIBackend(server.url, timeout=0.5)([HELLO])
        assert time.monotonic() - start < 5


def test_the_deadline_does_not_count_the_wait_for_a_turn() -> None:
    queries = [Query(text=str(number)) for number in range(6)]
    with StubServer(lambda request: replace(echo(request), delay=0.2)) as server:
        replies = OpenAIBackend(server.url, concurrency=1, timeout=0.9)(queries)
    assert len(replies) == 6


def test_one_failure_gives_up_the_other_queries() -> None:
    def fail_first(request: Request) -> Answer:
        return Answer(error("no"), status=400) if request.number == 0 else replace(echo(request), delay=1.0)

    with StubServer(fail_first) as server:
        start = time.monotonic()
        with pytest.raises(BackendError, match="status 400"):
            OpenAIBackend(server.url, concurrency=2)([Query(text=str(number)) for number in range(50)])
        assert time.monotonic() - start < 5
    assert len(server.requests) < 10


# Connections and concurrency


def test_concurrency_is_bounded_and_used_and_connections_are_reused() -> None:
    queries = [Query(text=str(number)) for number in range(40)]
    with StubServer(lambda request: replace(echo(request), delay=0.03)) as server:
        backend = OpenAIBackend(server.url, concurrency=4)
        for _ in range(2):
            assert [reply.text for reply in backend(queries)] == [query.text for query in queries]
    assert server.peak == 4
    assert server.connections <= 5, "four for the queries, and perhaps one for the list of models"


def test_concurrency_is_bounded_over_all_threads() -> None:
    with StubServer(lambda request: replace(echo(request), delay=0.03)) as server:
        backend = OpenAIBackend(server.url, concurrency=3)
        with ThreadPoolExecutor(4) as pool:
            batches = [[Query(text=f"{thread} {number}") for number in range(8)] for thread in range(4)]
            for batch, replies in zip(batches, pool.map(backend, batches), strict=True):
                assert [reply.text for reply in replies] == [query.text for query in batch]
    assert server.peak == 3


def test_it_works_inside_a_running_event_loop() -> None:
    async def reward() -> list[Reply]:
        return OpenAIBackend(server.url)([HELLO])

    async def rewards() -> list[list[Reply]]:
        return list(await asyncio.gather(reward(), asyncio.to_thread(OpenAIBackend(server.url), [HELLO])))

    with StubServer(echo) as server:
        assert asyncio.run(rewards()) == [[Reply("hello")]] * 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_connection_travels_neither_by_pickle_nor_into_a_forked_process() -> None:
    with StubServer(echo) as server:
        backend = OpenAIBackend(server.url)
        assert backend([HELLO]) == [Reply("hello")]
        assert pickle.loads(pickle.dumps(backend))([HELLO]) == [Reply("hello")]
        child = os.fork()
        if child == 0:
            os._exit(0 if backend([HELLO]) == [Reply("hello")] else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_threads_that_are_the_first_to_ask_share_one_event_loop() -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from unireward_plugins.backends import background

barrier = Barrier(16)
with ThreadPoolExecutor(16) as pool:
    print(len(set(pool.map(lambda _: (barrier.wait(), id(background.loop()))[1], range(16)))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_an_interrupted_call_leaves_the_backend_usable() -> None:
    def interrupt_first(request: Request) -> Answer:
        if request.number > 0:
            return echo(request)
        os.kill(os.getpid(), signal.SIGINT)  # the caller is waiting for this very answer
        return Answer(completion("too late"), delay=5.0)

    with StubServer(interrupt_first) as server:
        backend = OpenAIBackend(server.url)
        with pytest.raises(KeyboardInterrupt):
            backend([HELLO])
        assert backend([HELLO]) == [Reply("hello")]


# Which model


def test_the_only_model_is_asked_and_its_checkpoint_is_the_revision() -> None:
    with StubServer(echo, models={"UnifiedReward": "CodeGoat24/UnifiedReward-2.0-qwen3vl-8b"}) as server:
        backend = OpenAIBackend(server.url)
        backend([HELLO])
        assert backend.revision == backend.served_checkpoint() == "CodeGoat24/UnifiedReward-2.0-qwen3vl-8b"
    assert server.requests[0].body["model"] == "UnifiedReward"


@pytest.mark.parametrize(
    ("models", "words"), [({"b": "x", "a": "y"}, r"lists 2 models \(a, b\)"), ({}, r"lists 0 models \(none\)")]
)
def test_which_of_several_models_must_be_said(models: dict[str, str], words: str) -> None:
    with (
        StubServer(echo, models=models) as server,
        pytest.raises(BackendError, match=rf"{words}.* name the one to ask"),
    ):
        OpenAIBackend(server.url)([HELLO])


def test_a_named_model_is_asked_without_asking_for_the_list() -> None:
    with StubServer(echo, models={"a": "org/a", "b": "org/b"}) as server:
        backend = OpenAIBackend(server.url, model="b")
        backend([HELLO])
        assert backend.served_checkpoint() == "org/b"
        assert OpenAIBackend(server.url, model="c").served_checkpoint() == "c", "some servers list only what is loaded"
    assert server.requests[0].body["model"] == "b"


def test_a_mistyped_url_is_told_soon() -> None:
    start = time.monotonic()
    with pytest.raises(BackendError, match="cannot be reached"):
        OpenAIBackend("http://127.0.0.1:9/v1").served_checkpoint()
    assert time.monotonic() - start < 5


def test_building_one_asks_nobody() -> None:
    OpenAIBackend("http://127.0.0.1:9/v1")
