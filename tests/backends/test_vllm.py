"""What vLLM is asked, and how its outputs are read.

vLLM needs a GPU that it supports, so here a stand-in with the documented shape of its API answers by a real tiny model.
It shows that prompts, pictures, sampling settings and outputs are put together rightly. That vLLM itself understands
them is for `test_contract.py` on a machine that has it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch

from tests.backends.conftest import TINY
from tests.backends.queries import mixed_queries, picture
from unireward_plugins.backends.checkpoint import Checkpoint, open_checkpoint
from unireward_plugins.backends.transformers import TransformersBackend
from unireward_plugins.backends.vllm import VllmBackend, request
from unireward_plugins.errors import BackendError, MissingExtra
from unireward_plugins.types import Query, Reply

Checkpoints = Callable[[str], Path]


@dataclass
class SamplingParams:
    """The settings of vLLM's class of this name that the backend uses, with its defaults."""

    temperature: float = 1.0
    max_tokens: int = 16
    repetition_penalty: float = 1.0
    logprobs: int | None = None


@dataclass
class Logprob:
    logprob: float


@dataclass
class CompletionOutput:
    token_ids: list[int]
    logprobs: list[dict[int, Logprob]] | None = None


@dataclass
class RequestOutput:
    outputs: list[CompletionOutput]


@dataclass
class LLM:
    """Does what `vllm.LLM` does with token ids and pictures, with transformers, one prompt at a time."""

    model: str
    revision: str | None = None
    tokenizer_revision: str | None = None
    max_model_len: int | None = None
    checkpoint: Checkpoint = field(init=False)
    calls: ClassVar[list[list[SamplingParams]]] = []

    def __post_init__(self) -> None:
        self.checkpoint = open_checkpoint(self.model, device="cpu")

    def get_default_sampling_params(self) -> SamplingParams:
        return SamplingParams(temperature=0.7, repetition_penalty=1.0)

    def generate(
        self, prompts: Sequence[dict[str, Any]], sampling: Sequence[SamplingParams], *, use_tqdm: bool
    ) -> list[RequestOutput]:
        self.calls.append(list(sampling))
        return [RequestOutput([self.one(*pair)]) for pair in zip(prompts, sampling, strict=True)]

    def one(self, prompt: dict[str, Any], sampling: SamplingParams) -> CompletionOutput:
        processor, model = self.checkpoint.processor, self.checkpoint.model
        assert sampling.temperature == 0
        assert set(prompt) <= {"prompt_token_ids", "multi_modal_data"}
        text = self.checkpoint.tokenizer.decode(prompt["prompt_token_ids"])
        images = prompt.get("multi_modal_data", {}).get("image")
        inputs = processor(text=[text], images=[images] if images else None, return_tensors="pt")
        if sampling.logprobs is None:
            ids = model.generate(**inputs, max_new_tokens=sampling.max_tokens)[0, inputs["input_ids"].shape[1] :]
            return CompletionOutput(ids.tolist())
        with torch.no_grad():
            values, ids = model(**inputs).logits[0, -1].log_softmax(-1).topk(sampling.logprobs)
        listed = {token: Logprob(value) for token, value in zip(ids.tolist(), values.tolist(), strict=True)}
        return CompletionOutput([int(ids[0])], [listed])


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[LLM]:
    module = ModuleType("vllm")
    module.LLM, module.SamplingParams, module.__version__ = LLM, SamplingParams, "0.11"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    LLM.calls.clear()
    return LLM


def test_replies_are_those_of_the_transformers_backend(vllm: type[LLM], checkpoint: Checkpoints) -> None:
    local, backend = TransformersBackend(checkpoint(TINY)), VllmBackend(checkpoint(TINY))
    for queries in (mixed_queries(), mixed_queries(prefill="Image ")):
        assert backend(queries) == local(queries)
    assert [one.max_tokens for one in vllm.calls[0]] == [10] * 9


def test_choices_are_read_among_the_likeliest_tokens(vllm: type[LLM], checkpoint: Checkpoints) -> None:
    choices = tuple("abcdefghijklmnopqrstuvwxyz0123456789")
    queries = mixed_queries(prefill="Image 1", choices=choices)
    local, backend = TransformersBackend(checkpoint(TINY)), VllmBackend(checkpoint(TINY))
    pairs = [
        pair
        for theirs, ours in zip(backend(queries), local(queries), strict=True)
        for pair in zip(theirs.logprobs or (), ours.logprobs or (), strict=True)
    ]
    listed = [(theirs, ours) for theirs, ours in pairs if theirs > -inf]
    assert 3 < len(listed) < len(pairs)
    assert all(theirs == pytest.approx(ours, abs=1e-5) for theirs, ours in listed)
    assert vllm.calls == [[SamplingParams(temperature=0, max_tokens=1, logprobs=20)] * len(queries)]


def test_generated_and_chosen_queries_go_in_one_call(vllm: type[LLM], checkpoint: Checkpoints) -> None:
    replies = VllmBackend(checkpoint(TINY))([Query("x", max_tokens=3), Query("x", choices=("1", "2"))])
    assert [reply.logprobs is None for reply in replies] == [True, False]
    assert len(vllm.calls) == 1


def test_the_engine_is_told_what_the_user_says(vllm: type[LLM], checkpoint: Checkpoints) -> None:
    backend = VllmBackend(checkpoint(TINY), engine={"max_model_len": 4096})
    backend([Query("x", max_tokens=1)])
    assert backend._open().model.max_model_len == 4096


def test_an_engine_that_fails_is_an_error_that_names_the_checkpoint(
    vllm: type[LLM], checkpoint: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("The decoder prompt (length 9000) is longer than the maximum model length of 4096")

    monkeypatch.setattr(vllm, "generate", fail)
    with pytest.raises(BackendError, match=r"vLLM failed on 1 queries to checkpoint '.*': The decoder prompt"):
        VllmBackend(checkpoint(TINY))([Query("x")])
    monkeypatch.setattr(vllm, "__init__", fail)
    with pytest.raises(BackendError, match=r"checkpoint '.*' cannot be loaded with vLLM 0.11: The decoder"):
        VllmBackend(checkpoint(TINY))([Query("x")])


def test_the_prompt_holds_one_placeholder_a_picture(checkpoint: Checkpoints) -> None:
    opened = open_checkpoint(str(checkpoint("qwen2_5_vl")), device="cpu")
    query = Query("which?", media=(picture(1), picture(2)), prefill="Image ")
    asked = request(query, opened, {})
    assert opened.tokenizer.decode(list(asked.ids)) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|><|vision_start|><|image_pad|><|vision_end|>which?<|im_end|>\n"
        "<|im_start|>assistant\nImage "
    )
    prompt = asked.prompt()
    assert [image.size for image in prompt["multi_modal_data"]["image"]] == [(64, 64), (64, 64)]
    assert "multi_modal_data" not in request(replace(query, media=()), opened, {}).prompt()


def test_sampling_is_greedy_and_keeps_the_repetition_penalty(checkpoint: Checkpoints) -> None:
    opened = open_checkpoint(str(checkpoint(TINY)), device="cpu")
    asked = request(Query("x", max_tokens=9), opened, {})
    assert asked.sampling(1.05) == {"temperature": 0.0, "max_tokens": 9, "repetition_penalty": 1.05}


def test_a_choice_that_is_not_listed_is_minus_infinity(checkpoint: Checkpoints) -> None:
    opened = open_checkpoint(str(checkpoint(TINY)), device="cpu")
    asked = request(Query("x", prefill="Image ", choices=("1", "2")), opened, {})
    second = CompletionOutput([5], [{asked.choice_ids[1]: Logprob(-0.5), 5: Logprob(-0.1)}])
    neither = CompletionOutput([5], [{5: Logprob(-0.1)}])
    assert asked.reply(second, opened.tokenizer) == Reply("Image 2", (-inf, -0.5))
    assert asked.reply(neither, opened.tokenizer) == Reply("Image ", (-inf, -inf))


@pytest.mark.skipif(
    find_spec("vllm") is not None, reason="vLLM is installed: what it is like without it cannot be seen here"
)
def test_without_vllm_the_error_says_how_to_install_it(checkpoint: Checkpoints) -> None:
    backend = VllmBackend(checkpoint(TINY))
    with pytest.raises(MissingExtra, match=r"pip install 'unireward-plugins\[vllm\]'"):
        backend([Query("x")])
