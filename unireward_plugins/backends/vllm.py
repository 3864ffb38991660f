"""Runs a vision-language checkpoint in this process with vLLM, which needs a GPU that it supports.

    backend = VllmBackend("CodeGoat24/UnifiedReward-2.0-qwen3vl-8b", engine={"tensor_parallel_size": 2})
    replies = backend([Query(text="Which image is better?", media=(first, second))])

Written against the documented API of vLLM 0.11: `LLM.generate` with token ids and pictures. Prompts are made by the
same code as for transformers, so both read the same tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from unireward_plugins.backends.chat import LISTED
from unireward_plugins.backends.checkpoint import Checkpoint
from unireward_plugins.backends.decoding import written
from unireward_plugins.backends.fingerprint import with_template
from unireward_plugins.backends.loaded import Loaded
from unireward_plugins.backends.prompts import chat, token_ids
from unireward_plugins.backends.slots import answer_slot
from unireward_plugins.errors import BackendError, needs_extra
from unireward_plugins.types import Query, Reply

AT_ONCE = 512
"""How many queries the engine is given at a time: it schedules them itself, but holds the pictures of all."""


@dataclass(frozen=True, slots=True)
class Request:
    """A query as vLLM reads it."""

    query: Query
    ids: tuple[int, ...]
    """The tokens of the prompt; each picture is still one placeholder, which vLLM fills up itself."""
    choice_ids: tuple[int, ...] = ()

    def prompt(self) -> dict[str, Any]:
        """What `LLM.generate` takes."""
        pictures = [media.pil() for media in self.query.media]
        return {"prompt_token_ids": list(self.ids)} | ({"multi_modal_data": {"image": pictures}} if pictures else {})

    def sampling(self, repetition_penalty: float) -> dict[str, Any]:
        """What `SamplingParams` takes: greedy, with the checkpoint's own repetition penalty, as in a vLLM server."""
        if self.query.choices:
            return {"temperature": 0.0, "max_tokens": 1, "logprobs": LISTED}
        return {
            "temperature": 0.0,
            "max_tokens": self.query.max_tokens,
            "repetition_penalty": repetition_penalty,
        }

    def reply(self, output: Any, tokenizer: Any) -> Reply:
        """The reply in a `CompletionOutput` of vLLM; a choice that is not among its likeliest tokens gets `-inf`."""
        if not self.query.choices:
            prefill, before = self.query.prefill, self.ids[-1]
            return Reply(written(output.token_ids, tokenizer, ends=(), prefill=prefill, before=before))
        listed = output.logprobs[0]
        logprobs = tuple(listed[token].logprob if token in listed else -inf for token in self.choice_ids)
        best = max(logprobs)
        return Reply(self.query.prefill + ("" if best == -inf else self.query.choices[logprobs.index(best)]), logprobs)


def request(query: Query, checkpoint: Checkpoint, template: Mapping[str, object]) -> Request:
    """The query as vLLM reads it; `BackendError` where a choice is not one token after the prefill."""
    text = chat(query, checkpoint, template)
    ids = token_ids(text, checkpoint)
    if not query.choices:
        return Request(query, tuple(ids))
    slot = answer_slot(text, query.choices, lambda string: token_ids(string, checkpoint), checkpoint.name)
    return Request(query, (*ids[: len(ids) - slot.dropped], *slot.added), slot.choice_ids)


@dataclass(frozen=True, slots=True)
class VllmBackend:
    """Answers queries with a checkpoint that vLLM loads when it is first asked; safe to use from several threads."""

    model: str | Path
    """A Hub id, or a folder with a checkpoint."""
    _: KW_ONLY
    hub_revision: str | None = None
    """A branch, tag or commit of the Hub id; its default branch where not given."""
    engine: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What `vllm.LLM` is told beside the model: `tensor_parallel_size`, `max_model_len`, ..."""
    chat_template_kwargs: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What the chat template is told: `{"enable_thinking": False}` for Qwen3.5."""
    _loaded: Loaded = field(default_factory=Loaded, init=False, repr=False, compare=False)

    def __call__(self, queries: Sequence[Query], /) -> list[Reply]:
        """As many replies, in the same order. Raises `BackendError` where the model cannot be loaded, or fails.

        For choices vLLM lists its 20 likeliest tokens: a choice that is not among them gets `-inf`.
        """
        with self._loaded.lock:
            return [
                reply
                for start in range(0, len(queries), AT_ONCE)
                for reply in self._answer(queries[start : start + AT_ONCE], self._open())
            ]

    @property
    def revision(self) -> str:
        """The commit on the Hub, or for a folder `sha256:` and a hash of its weights, configuration and tokenizer.

        Behind it stands what the chat template is told, where it is told something. Found out when first asked; it
        stays what it was, as the loaded model does, if somebody pushes or writes anew.
        """
        return with_template(self._loaded.weights(self.model, self.hub_revision), self.chat_template_kwargs)

    def _open(self) -> Checkpoint:
        if self._loaded.checkpoint is None:
            with needs_extra("running a model in this process with vLLM", "vllm"):
                import transformers
                import vllm
            name = str(self.model)
            commit = None if Path(name).is_dir() else self._loaded.weights(self.model, self.hub_revision)
            try:
                engine = vllm.LLM(name, revision=commit, tokenizer_revision=commit, **self.engine)
                processor = transformers.AutoProcessor.from_pretrained(name, revision=commit)
            except (OSError, ValueError, RuntimeError) as error:
                raise BackendError(
                    f"checkpoint {name!r} cannot be loaded with vLLM {vllm.__version__}: {error}"
                ) from error
            self._loaded.checkpoint = Checkpoint(name, engine, processor)
        return self._loaded.checkpoint

    def _answer(self, queries: Sequence[Query], checkpoint: Checkpoint) -> list[Reply]:
        import vllm

        requests = [request(query, checkpoint, self.chat_template_kwargs) for query in queries]
        penalty = checkpoint.model.get_default_sampling_params().repetition_penalty
        try:
            outputs = checkpoint.model.generate(
                [one.prompt() for one in requests],
                [vllm.SamplingParams(**one.sampling(penalty)) for one in requests],
                use_tqdm=False,
            )
        except (ValueError, RuntimeError) as error:
            raise BackendError(
                f"vLLM failed on {len(queries)} queries to checkpoint {checkpoint.name!r}: {error}"
            ) from error
        return [
            one.reply(output.outputs[0], checkpoint.tokenizer) for one, output in zip(requests, outputs, strict=True)
        ]
