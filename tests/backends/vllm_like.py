"""Answers chat requests as vLLM's server documents it, with a real tiny model behind.

vLLM itself needs a GPU. This plays the part of its API that goes beyond `transformers serve`: a forced beginning of the
reply (`continue_final_message`), and the 20 likeliest tokens with their log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.backends.stub_server import Answer, Request, completion, error
from unireward_plugins.backends.prompts import join, read
from unireward_plugins.backends.transformers import TransformersBackend
from unireward_plugins.media import Media
from unireward_plugins.types import Query

KNOWN = {"model", "messages", "temperature", "max_tokens", "logprobs", "top_logprobs"}
BEYOND_OPENAI = {"continue_final_message", "add_generation_prompt", "chat_template_kwargs"}


def vllm_like(folder: Path, name: str = "stub") -> Callable[[Request], Answer]:
    """What a server with the checkpoint in `folder`, served under `name`, does about a request."""
    backend = TransformersBackend(folder)

    def answer(request: Request) -> Answer:
        body = request.body
        if body["model"] != name:
            return Answer(error(f"The model `{body['model']}` does not exist."), status=404)
        if unknown := set(body) - KNOWN - BEYOND_OPENAI:
            return Answer(error(f"unknown fields: {sorted(unknown)}"), status=400)
        if body["temperature"] != 0:
            return Answer(error("this server only decodes greedily"), status=400)
        query = as_query(body)
        if body.get("logprobs"):
            return Answer(with_logprobs(query, backend, body["top_logprobs"]))
        said = backend([query])[0].text.removeprefix(query.prefill)
        return Answer(completion(said))

    return answer


def as_query(body: dict[str, Any]) -> Query:
    """The query that a request asks."""
    user, *assistant = body["messages"]
    assert user["role"] == "user"
    *pictures, text = user["content"]
    prefill = ""
    if assistant:
        assert body["continue_final_message"]
        assert not body["add_generation_prompt"]
        prefill = assistant[0]["content"]
    return Query(
        text=text["text"],
        media=tuple(Media.of(picture["image_url"]["url"]) for picture in pictures),
        prefill=prefill,
        max_tokens=body["max_tokens"],
    )


def with_logprobs(query: Query, backend: TransformersBackend, top: int) -> dict[str, Any]:
    """A completion of one token, with the `top` likeliest tokens."""
    checkpoint = backend._open()
    prompt = read(query, checkpoint, {})
    assert prompt is not None
    tensors = join([prompt], pad=0)
    with torch.inference_mode():
        row = checkpoint.model(**tensors).logits[0, -1].log_softmax(-1)
    values, ids = row.topk(top)
    listed = [
        {"token": checkpoint.tokenizer.decode([token]), "logprob": value, "bytes": None}
        for token, value in zip(ids.tolist(), values.tolist(), strict=True)
    ]
    body = completion(listed[0]["token"], finish_reason="length")
    body["choices"][0]["logprobs"] = {"content": [{**listed[0], "top_logprobs": listed}]}
    return body
