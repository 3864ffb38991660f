"""Asks a model behind any OpenAI-compatible server: vLLM, SGLang, `transformers serve`, a hosted service.

    backend = OpenAIBackend("http://localhost:8000/v1")
    replies = backend([Query(text="Which image is better?", media=(first, second))])

Retries, pauses and connections are those of the `openai` client; the deadline, the concurrency and the words are ours.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, TypeVar

from unireward_plugins.backends import background, chat
from unireward_plugins.backends.complaints import complaint, lacks_room
from unireward_plugins.backends.fingerprint import with_template
from unireward_plugins.errors import BackendError, needs_extra
from unireward_plugins.types import TOO_LONG, Query, Reply

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletion

Answer = TypeVar("Answer")


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Line:
    """An open line to a server: what may only be used on the event loop that it was made for."""

    client: openai.AsyncOpenAI
    turns: asyncio.Semaphore
    loop: asyncio.AbstractEventLoop
    served: tuple[str, str] | None = None
    """The name of the model to ask and the checkpoint behind it, once the server has told."""


class _Connection:
    """Opens a line to the server when it is first needed. Pickles as one that is not open yet."""

    def __init__(self) -> None:
        self._line: _Line | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[_Connection], tuple[()]]:
        return _Connection, ()

    def line(self, backend: OpenAIBackend) -> _Line:
        with self._lock:
            if self._line is None or self._line.loop is not background.loop():  # another loop after a fork
                self._line = _open(backend)
            return self._line


def _open(backend: OpenAIBackend) -> _Line:
    with needs_extra("asking a server", "serve"):
        import openai
    client = openai.AsyncOpenAI(
        base_url=backend.base_url,
        api_key=backend.api_key or os.environ.get("OPENAI_API_KEY") or "none",
        max_retries=backend.retries,
        timeout=openai.Timeout(None, connect=10.0),  # a request as a whole has a deadline, see `_in_time`
    )
    line = _Line(client, asyncio.Semaphore(backend.concurrency), background.loop())
    weakref.finalize(line, _close, client, line.loop).atexit = False
    _open_lines.add(line)
    return line


def _close(client: openai.AsyncOpenAI, loop: asyncio.AbstractEventLoop) -> None:
    if loop is background.loop():  # else the process has forked, and the connections are its parent's
        background.start(client.close)


_open_lines: weakref.WeakSet[_Line] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for line in list(_open_lines):
        if line.loop is background.loop():
            background.run(line.client.close())


@dataclass(frozen=True, slots=True)
class OpenAIBackend:
    """Answers queries through the chat completions of a server; safe to use from threads and inside event loops.

    Decodes greedily: every request says temperature 0. Requests that meet 408, 409, 429, 5xx or a dropped connection
    are repeated after growing, jittered pauses, or when the server's `Retry-After` says. Connections are reused.
    """

    base_url: str
    """Where the API begins, as in `http://localhost:8000/v1`."""
    _: KW_ONLY
    model: str | None = None
    """Which of the server's models to ask; the only one where there is just one."""
    api_key: str | None = field(default=None, repr=False)
    """The key that the server wants; by default the environment variable `OPENAI_API_KEY`, else none."""
    concurrency: int = 32
    """How many requests are under way at once, over all threads."""
    timeout: float = 600.0
    """Seconds that a query may take from its first request on, repetitions and the pauses between them included."""
    retries: int = 6
    """How often a request is repeated; six times take about 20 seconds if the server fails at once each time."""
    chat_template_kwargs: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What the chat template is told: `{"enable_thinking": False}` for Qwen3.5."""
    _connection: _Connection = field(default_factory=_Connection, init=False, repr=False, compare=False)

    def __call__(self, queries: Sequence[Query], /) -> list[Reply]:
        """As many replies, in the same order. Raises `BackendError` where one cannot be had, and gives up the others.

        For choices the server lists its 20 likeliest tokens: a choice that is not among them gets `-inf`.
        """
        return background.run(self._answer_all(queries)) if queries else []

    @property
    def revision(self) -> str:
        """The name of the checkpoint as the server reports it, see `served_checkpoint`, and what its template is told.

        The server's address is no part of it, so that verdicts stay known when the same model moves. A server tells
        nothing of its weights: after training again under the same name, use another cache.
        """
        return with_template(self.served_checkpoint(), self.chat_template_kwargs)

    def served_checkpoint(self) -> str:
        """The checkpoint behind the model's name where the server tells it (vLLM does), else that name."""
        return background.run(self._served())[1]

    async def _answer_all(self, queries: Sequence[Query]) -> list[Reply]:
        model = self.model or (await self._served())[0]
        work = [asyncio.create_task(self._answer(query, model)) for query in queries]
        try:
            return await asyncio.gather(*work)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _answer(self, query: Query, model: str) -> Reply:
        line = self._connection.line(self)
        async with line.turns:
            # Compressing pictures takes a while, in which the other requests go on.
            messages = await asyncio.to_thread(chat.messages, query)
            request = line.client.chat.completions.create(
                model=model,
                messages=messages,  # type: ignore[arg-type]  # dicts of the very form that its typed dicts describe
                **chat.parameters(query, self.chat_template_kwargs),
            )
            try:
                completion: ChatCompletion = await self._in_time(request, query, model)
            except BackendError as error:
                if lacks_room(error.__cause__):
                    return TOO_LONG
                raise
        try:
            return chat.reply(query, completion)
        except ValueError as error:
            raise BackendError(f"the server at {self.base_url} (model {model!r}) {error}") from error

    async def _served(self) -> tuple[str, str]:
        line = self._connection.line(self)
        if line.served is None:
            # Asked first of all: whoever has mistyped the URL need not wait for every repetition.
            client = line.client.with_options(max_retries=min(self.retries, 2))
            listing = await self._in_time(client.models.list(), None, self.model)
            line.served = self._pick(
                {entry.id: str((entry.model_extra or {}).get("root") or entry.id) for entry in listing.data}
            )
        return line.served

    def _pick(self, checkpoints: Mapping[str, str]) -> tuple[str, str]:
        """The model to ask and the checkpoint behind it, among those that the server lists."""
        if self.model is not None:
            return self.model, checkpoints.get(self.model, self.model)
        if len(checkpoints) != 1:
            names = ", ".join(sorted(checkpoints)) or "none"
            raise BackendError(
                f"the server at {self.base_url} lists {len(checkpoints)} models ({names}): "
                "name the one to ask with model=, or behind the URL as in 'http://HOST:PORT/v1#NAME'"
            )
        return next(iter(checkpoints.items()))

    async def _in_time(self, request: Awaitable[Answer], query: Query | None, model: str | None) -> Answer:
        """What the server answers; `BackendError` that says what to do where it does not, or not in time."""
        import openai

        try:
            async with asyncio.timeout(self.timeout):
                return await request
        except TimeoutError as error:
            problem = (
                f"gave no answer within {self.timeout:g} s, repetitions included. Raise timeout=, or lower "
                "concurrency= if the server is overloaded"
            )
            cause: Exception = error
        except openai.OpenAIError as error:
            problem, cause = complaint(error, query), error
        except ValueError as error:  # JSON that is none
            problem, cause = f"answered with something that cannot be read: {error}", error
        message = f"the server at {self.base_url}{f' (model {model!r})' if model else ''} {problem}"
        secret = self.api_key or os.environ.get("OPENAI_API_KEY")
        if secret and secret in f"{message} {cause}":  # some servers say which key they refuse
            raise BackendError(message.replace(secret, "***")) from None
        raise BackendError(message) from cause
