"""Puts into words what went wrong with a server, and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unireward_plugins.types import Query

if TYPE_CHECKING:
    import openai

WIDTH = 500
"""How much of a server's own words is passed on: some servers send the whole request back."""

_NO_ROOM = re.compile(
    r"(maximum|model's) context length|context_length_exceeded|maximum model length|available context size",
    re.IGNORECASE,
)
"""How OpenAI, vLLM (two ways), SGLang and llama.cpp say that a query is longer than what the model can hold."""


def lacks_room(error: BaseException | None) -> bool:
    """Whether a server refuses a query because the model's context does not hold it, or not also the reply to it."""
    import openai

    return isinstance(error, openai.BadRequestError) and _NO_ROOM.search(_words(error)) is not None


def complaint(error: openai.OpenAIError, query: Query | None) -> str:
    """What a server did, as the end of a sentence that begins with its name; `query` is what it was asked."""
    import openai

    match error:
        case openai.APIConnectionError():
            return (
                f"cannot be reached ({error.__cause__ or error}). Is it running, and is the URL right? "
                "A server is started with, for example, `vllm serve CHECKPOINT`"
            )
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return "does not accept the API key. Set OPENAI_API_KEY, or give api_key="
        case openai.NotFoundError():
            return (
                f"knows no such model or address ({_words(error)}). Its models are listed at the address /models below "
                "the URL, which for most servers ends with /v1"
            )
        case openai.APIStatusError(status_code=code) if code in {429, 408, 409} or code >= 500:
            return f"keeps failing with status {code}, also when asked again ({_words(error)})"
        case openai.APIStatusError(status_code=code):
            return f"rejects the query with status {code} ({_words(error)}){_advice(query)}"
    return f"answered with something that cannot be read ({_words(error)})"


def _words(error: Exception) -> str:
    """What the server said itself, else what the client says of it."""
    import openai

    words = (error.response.text.strip() if isinstance(error, openai.APIStatusError) else "") or str(error)
    return words if len(words) <= WIDTH else words[:WIDTH] + " ..."


def _advice(query: Query | None) -> str:
    """What may be wrong with a query that the server rejects, going by what the query asks for."""
    advice = []
    if query and query.prefill:
        advice.append(
            "The query forces the beginning of the reply (continue_final_message), which vLLM and SGLang know and "
            "transformers serve does not: use readout='generate' there"
        )
    if query and query.media:
        advice.append(
            f"The query holds {len(query.media)} pictures: vLLM must be started with at least "
            f"--limit-mm-per-prompt.image {len(query.media)} and a --max-model-len that holds them"
        )
    return "".join(f". {sentence}" for sentence in advice)
