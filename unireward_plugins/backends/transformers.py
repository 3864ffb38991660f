"""Runs a vision-language checkpoint in this process with transformers.

    backend = TransformersBackend("CodeGoat24/UnifiedReward-2.0-qwen3vl-8b")
    replies = backend([Query(text="Which image is better?", media=(first, second))])

Tested with Qwen2.5-VL, Qwen3-VL, Qwen3.5, LLaVA-OneVision and LLaVA.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unireward_plugins.backends.batches import Batches
from unireward_plugins.backends.checkpoint import Checkpoint, open_checkpoint
from unireward_plugins.backends.decoding import written
from unireward_plugins.backends.fingerprint import with_template
from unireward_plugins.backends.loaded import Loaded
from unireward_plugins.backends.pictures import encoded_once
from unireward_plugins.backends.prompts import Prompt, join, read
from unireward_plugins.errors import BackendError
from unireward_plugins.types import TOO_LONG, Query, Reply

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TransformersBackend:
    """Answers queries with a checkpoint that is loaded when it is first asked; safe to use from several threads.

    Decodes greedily. Where memory runs out, the batch is halved and the work goes on.
    """

    model: str | Path
    """A Hub id, or a folder with a checkpoint."""
    _: KW_ONLY
    hub_revision: str | None = None
    """A branch, tag or commit of the Hub id; its default branch where not given."""
    device: str | None = None
    """`"cuda:1"`, `"cpu"`, ...; `"auto"` spreads a model over all GPUs. By default the process's own accelerator."""
    dtype: torch.dtype | None = None
    """bfloat16 by default, on a CPU float32."""
    attention: str = "sdpa"
    """Which attention transformers uses: `"sdpa"`, `"flash_attention_2"`, `"eager"`."""
    batch_tokens: int = 16_384
    """The most tokens that a batch holds, padding and replies included. A query alone may hold more."""
    chat_template_kwargs: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What the chat template is told: `{"enable_thinking": False}` for Qwen3.5."""
    trust_remote_code: bool = False
    """Whether Python code that lies beside the weights may run."""
    _loaded: Loaded = field(default_factory=Loaded, init=False, repr=False, compare=False)

    def __call__(self, queries: Sequence[Query], /) -> list[Reply]:
        """As many replies, in the same order. Raises `BackendError` where the model cannot be loaded, or fails."""
        if not queries:
            return []
        with self._loaded.lock:
            checkpoint = self._open()
            batches = Batches(
                queries,
                partial(read, checkpoint=checkpoint, template=self.chat_template_kwargs),
                self._loaded.budget or self.batch_tokens,
            )
            replies: dict[int, Reply] = {}
            while batches:
                replies.update(self._answer_next(batches, checkpoint))
        return [replies.get(index, TOO_LONG) for index in range(len(queries))]

    @property
    def revision(self) -> str:
        """The commit on the Hub, or for a folder `sha256:` and a hash of its weights, configuration and tokenizer.

        Behind it stands what the chat template is told, where it is told something. Found out when first asked; it
        stays what it was, as the loaded model does, if somebody pushes or writes anew.
        """
        return with_template(self._loaded.weights(self.model, self.hub_revision), self.chat_template_kwargs)

    def _open(self) -> Checkpoint:
        if self._loaded.checkpoint is None:
            name = str(self.model)
            self._loaded.checkpoint = open_checkpoint(
                name,
                revision=None if Path(name).is_dir() else self._loaded.weights(self.model, self.hub_revision),
                device=self.device,
                dtype=self.dtype,
                attention=self.attention,
                trust_remote_code=self.trust_remote_code,
            )
        return self._loaded.checkpoint

    def _answer_next(self, batches: Batches, checkpoint: Checkpoint) -> dict[int, Reply]:
        """The replies to the next batch, by place; none where memory ran out and the batch was put back."""
        batch = batches.take()
        if not batch:
            return {}
        answer = log_probabilities if next(iter(batch.values())).query.choices else generate
        try:
            return dict(zip(batch, answer(list(batch.values()), checkpoint), strict=True))
        except (RuntimeError, ValueError) as error:
            # Only the message outlives this block: the traceback holds the tensors that are in the way.
            failure = str(error)
            if not is_out_of_memory(error):
                raise BackendError(f"checkpoint {checkpoint.name!r} failed on {len(batch)} queries: {error}") from error
        free_memory()
        if len(batch) == 1:
            (prompt,) = batch.values()
            raise BackendError(
                f"memory does not suffice for one query of {prompt.length} tokens ({len(prompt.query.media)} pictures) "
                f"to checkpoint {checkpoint.name!r}: {failure}. Use smaller or fewer pictures, a smaller checkpoint, "
                "device='auto' to spread it over several GPUs, or a server"
            )
        batches.halve(batch)
        self._loaded.budget = batches.budget
        logger.warning("memory ran out for a batch of %d: going on with at most %d tokens", len(batch), batches.budget)
        return {}


def generate(prompts: Sequence[Prompt], checkpoint: Checkpoint) -> list[Reply]:
    """Decode a reply to each prompt of a batch, whose token limits are the same."""
    import torch

    tensors = _batch(prompts, checkpoint)
    with torch.inference_mode():
        rows = checkpoint.model.generate(**tensors, max_new_tokens=prompts[0].query.max_tokens)
    ends = checkpoint.model.generation_config.eos_token_id
    return [
        Reply(
            written(
                ids,
                checkpoint.tokenizer,
                ends={ends} if isinstance(ends, int) else set(ends or ()),
                prefill=prompt.query.prefill,
                before=int(prompt.tensors["input_ids"][0, -1]),
            )
        )
        for prompt, ids in zip(prompts, rows[:, tensors["input_ids"].shape[1] :].tolist(), strict=True)
    ]


def log_probabilities(prompts: Sequence[Prompt], checkpoint: Checkpoint) -> list[Reply]:
    """Read the log-probabilities of each prompt's choices, over the whole vocabulary, in one forward pass."""
    import torch

    with torch.inference_mode():
        logits = checkpoint.model(**_batch(prompts, checkpoint), logits_to_keep=1, use_cache=False).logits
        rows = logits[:, -1].float().log_softmax(-1).cpu()
    replies = []
    for prompt, row in zip(prompts, rows, strict=True):
        logprobs = tuple(row[list(prompt.choice_ids)].tolist())
        likeliest = prompt.query.choices[logprobs.index(max(logprobs))]
        replies.append(Reply(prompt.query.prefill + likeliest, logprobs))
    return replies


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any of the devices that accelerate knows."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, torch.OutOfMemoryError) or should_reduce_batch_size(error)


def free_memory() -> None:
    """Give memory that is no longer in use back to the device."""
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)


def _batch(prompts: Sequence[Prompt], checkpoint: Checkpoint) -> dict[str, Any]:
    """What the model is given for a batch: tensors where the model is, in its precision."""
    model = checkpoint.model
    pad = checkpoint.tokenizer.pad_token_id
    tensors = join(prompts, pad=0 if pad is None else pad)
    moved = {
        name: tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
        for name, tensor in tensors.items()
    }
    return encoded_once(prompts, moved, model)
