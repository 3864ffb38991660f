"""The chat-completion form of queries and replies, which servers and vLLM share."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any

from unireward_plugins.types import Query, Reply

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionTokenLogprob
    from openai.types.chat.chat_completion import Choice

LISTED = 20
"""How many of the likeliest tokens a server is asked for: the most that OpenAI's API allows, and vLLM by default."""

NOT_LISTED = -9999.0
"""What vLLM's server writes for minus infinity, which JSON cannot hold."""


def messages(query: Query) -> list[dict[str, Any]]:
    """One user turn, pictures (PNG `data:` URLs) before the text; then the reply's beginning, where it is forced."""
    content: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": media.data_url()}} for media in query.media
    ]
    turns: list[dict[str, Any]] = [{"role": "user", "content": [*content, {"type": "text", "text": query.text}]}]
    if query.prefill:
        turns.append({"role": "assistant", "content": query.prefill})
    return turns


def parameters(query: Query, template: Mapping[str, object]) -> dict[str, Any]:
    """What a request says beside its messages.

    Temperature 0 always: without it servers sample as the checkpoint's `generation_config.json` says. A forced
    beginning is an assistant message to be gone on with, by two keys that vLLM and SGLang know beyond OpenAI's API.
    """
    said: dict[str, Any] = {"temperature": 0.0, "max_tokens": query.max_tokens}
    if query.choices:
        # The choice is the next token, or the one after where the chat template has cut off the prefill's last space.
        steps = 2 if query.prefill[-1:].isspace() else 1
        said |= {"max_tokens": steps, "logprobs": True, "top_logprobs": LISTED}
    beyond: dict[str, Any] = {}
    if query.prefill:
        beyond |= {"continue_final_message": True, "add_generation_prompt": False}
    if template:
        beyond["chat_template_kwargs"] = dict(template)
    return said | ({"extra_body": beyond} if beyond else {})


def reply(query: Query, completion: ChatCompletion) -> Reply:
    """The reply in a chat completion, from the prefill on.

    Raises `ValueError` with what is wrong, as the end of a sentence that begins with the server, where the completion
    holds no message, or lacks the log-probabilities that were asked for. A message without content is an empty reply.
    """
    try:
        choice = completion.choices[0]
        content, beyond = choice.message.content or "", choice.message.model_extra or {}
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError(
            f"answered with something that is no chat completion ({str(completion)[:200]!r}). Does the URL lead to an "
            "OpenAI-compatible API?"
        ) from error
    if query.choices:
        return _chosen(query, choice)
    reasoning = beyond.get("reasoning_content") or beyond.get("reasoning")
    return Reply(query.prefill + (_with_reasoning(choice, str(reasoning)) if reasoning else content))


def _with_reasoning(choice: Choice, reasoning: str) -> str:
    """The whole text where a server has taken the reasoning out of it; its tag stays open where the reply broke off."""
    content = choice.message.content
    if not content and choice.finish_reason == "length":
        return f"<think>{reasoning}"
    return f"<think>{reasoning}</think>\n{content or ''}"


def _chosen(query: Query, choice: Choice) -> Reply:
    """The log-probabilities of a query's choices, `-inf` for those that the server does not list."""
    if choice.logprobs is None or not choice.logprobs.content:
        raise ValueError(
            "reported no log-probabilities, which the likelihood readout needs. Use readout='generate' (as one must "
            "with transformers serve), or serve the model with vLLM or SGLang"
        )
    first, *later = choice.logprobs.content
    logprobs = _listed(query, first)
    if max(logprobs) == -inf and later and query.prefill[-1:].isspace() and first.token.isspace():
        logprobs = _listed(query, later[0])
    best = max(logprobs)
    said = "" if best == -inf else query.choices[logprobs.index(best)]
    return Reply(query.prefill + said, logprobs)


def _listed(query: Query, step: ChatCompletionTokenLogprob) -> tuple[float, ...]:
    likeliest = {entry.token: entry.logprob for entry in step.top_logprobs if entry.logprob > NOT_LISTED}
    return tuple(likeliest.get(choice, -inf) for choice in query.choices)
