"""Turns each query into the tensors that a transformers model reads, and those of a batch into one set."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unireward_plugins.backends.checkpoint import Checkpoint
from unireward_plugins.errors import BackendError
from unireward_plugins.types import Query

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A query as a model reads it."""

    query: Query
    tensors: Mapping[str, torch.Tensor]
    """What the processor made of it: `input_ids` and its companions of shape (1, length), and the pictures."""
    choice_ids: tuple[int, ...] = ()
    """The token of each choice, where the query offers choices: it would stand right after `input_ids`."""

    @property
    def length(self) -> int:
        """How many tokens the model reads, pictures included."""
        return int(self.tensors["input_ids"].shape[1])

    @property
    def cost(self) -> int:
        """How many tokens the model holds at most: those it reads, and those it may write."""
        return self.length + (0 if self.query.choices else self.query.max_tokens)


def read(query: Query, checkpoint: Checkpoint, template: Mapping[str, object]) -> Prompt | None:
    """The query as the checkpoint's model reads it: media, text, and the beginning of a reply.

    `template` is what the chat template is told. `None` where the query and the longest reply to it are more than the
    model can hold. Raises `BackendError` where a choice is not one token after the prefill.
    """
    from unireward_plugins.backends.slots import answer_slot

    text = chat(query, checkpoint, template)
    pictures = [media.pil() for media in query.media]
    tensors = tokenise(text, checkpoint, pictures)
    choice_ids: tuple[int, ...] = ()
    if query.choices:
        slot = answer_slot(text, query.choices, lambda string: token_ids(string, checkpoint), checkpoint.name)
        tensors, choice_ids = end_with(tensors, slot.dropped, slot.added), slot.choice_ids
    prompt = Prompt(query, tensors, choice_ids)
    return prompt if _fits(prompt, checkpoint) else None


def chat(query: Query, checkpoint: Checkpoint, template: Mapping[str, object]) -> str:
    """The query in the checkpoint's chat format, up to and with the prefill; a placeholder stands for each picture."""
    content = [*({"type": "image"} for _ in query.media), {"type": "text", "text": query.text}]
    text: str = checkpoint.processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True, **template
    )
    return text + query.prefill


def tokenise(text: str, checkpoint: Checkpoint, pictures: Sequence[Any]) -> dict[str, torch.Tensor]:
    """What the processor makes of one text and its pictures."""
    images = {"images": [list(pictures)]} if pictures else {}
    try:
        return dict(checkpoint.processor(text=[text], **images, **_special(text, checkpoint), return_tensors="pt"))
    except ValueError as error:
        sizes = ", ".join(f"{picture.width}x{picture.height}" for picture in pictures) or "none"
        raise BackendError(
            f"checkpoint {checkpoint.name!r} cannot read a query (its pictures: {sizes}): {error}"
        ) from error


def token_ids(text: str, checkpoint: Checkpoint) -> list[int]:
    """The tokens of a text in which a picture is still one placeholder."""
    ids: list[int] = checkpoint.tokenizer(text, **_special(text, checkpoint))["input_ids"]
    return ids


def _special(text: str, checkpoint: Checkpoint) -> dict[str, bool]:
    # Some chat templates write the token that begins a text, others leave it to the tokenizer: never twice.
    begin = checkpoint.tokenizer.bos_token
    return {"add_special_tokens": begin is None or not text.startswith(begin)}


def end_with(tensors: Mapping[str, torch.Tensor], dropped: int, added: Sequence[int]) -> dict[str, torch.Tensor]:
    """The tensors of a prompt without the last `dropped` tokens of text, and with the tokens `added` instead."""
    import torch

    length = tensors["input_ids"].shape[1]
    ends = {"input_ids": list(added), "attention_mask": [1] * len(added)}
    return {
        name: torch.cat([tensor[:, : length - dropped], tensor.new_tensor([ends.get(name, [0] * len(added))])], dim=1)
        if _runs_along(tensor, tensors)
        else tensor
        for name, tensor in tensors.items()
    }


def join(prompts: Sequence[Prompt], pad: int) -> dict[str, torch.Tensor]:
    """One batch: rows of tokens padded on the left with `pad`, the pictures of all rows one after the other."""
    longest = max(prompt.length for prompt in prompts)
    together: dict[str, list[torch.Tensor]] = {}
    for prompt in prompts:
        for name, tensor in prompt.tensors.items():
            rows = together.setdefault(name, [])
            if _runs_along(tensor, prompt.tensors):
                rows.append(_padded_left(tensor, longest, pad if name == "input_ids" else 0))
            else:
                rows.append(tensor)
    return {name: _stacked(tensors) for name, tensors in together.items()}


def _runs_along(tensor: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether a tensor has one entry per token, as masks and token types do."""
    return tensor.shape == tensors["input_ids"].shape


def _padded_left(tensor: torch.Tensor, length: int, value: int) -> torch.Tensor:
    from torch.nn.functional import pad

    return pad(tensor, (length - tensor.shape[1], 0), value=value)


def _stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """The tensors joined in their first dimension; the others filled up with zeros, as processors do with tiles."""
    import torch
    from torch.nn.functional import pad

    sizes = [max(tensor.shape[axis] for tensor in tensors) for axis in range(1, tensors[0].dim())]
    filled = []
    for tensor in tensors:
        missing = [size - have for size, have in zip(sizes, tensor.shape[1:], strict=True)]
        filled.append(
            pad(tensor, [edge for lack in reversed(missing) for edge in (0, lack)]) if any(missing) else tensor
        )
    return torch.cat(filled)


def _fits(prompt: Prompt, checkpoint: Checkpoint) -> bool:
    limit: int = checkpoint.model.config.get_text_config().max_position_embeddings
    if prompt.cost > limit:
        logger.info(
            "a query of %d tokens (%d pictures) and a reply of up to %d do not fit into checkpoint %r, which holds %d",
            prompt.length,
            len(prompt.query.media),
            prompt.cost - prompt.length,
            checkpoint.name,
            limit,
        )
    return prompt.cost <= limit
