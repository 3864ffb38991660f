"""From what TRL hands to a reward function to cases for a judge.

The question is what the user asked, the candidate is what the policy answered, and the context is the row's picture or
clip. All functions are pure, and none decodes a picture.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.types import Case

Message: TypeAlias = Mapping[str, Any]
"""`{"role": ..., "content": text or blocks}`, as in TRL's conversational format."""
Conversation: TypeAlias = str | Sequence[Message]
"""A prompt or a completion: plain text, or messages."""

MEDIA_COLUMNS = ("videos", "video", "images", "image")
"""The columns that may hold what a question is about, first choice first."""


@dataclass(frozen=True, slots=True)
class Row:
    """A completion that can be judged."""

    case: Case
    """The question, the answer and what they are about."""
    prompt: Hashable
    """What the completions of one prompt have in common: all of its text, and its pictures or clips by content."""


def rows_of(
    prompts: Sequence[Conversation], completions: Sequence[Conversation], columns: Mapping[str, object]
) -> list[Row | None]:
    """One row per completion; `None` where there is no picture or clip, so that nothing can be judged.

    `columns` may hold anything that TRL passes on; only `MEDIA_COLUMNS` are read. Raises `UniRewardError` where one is
    no list, lengths differ or a prompt asks nothing, and `MediaError` where a cell holds what is no picture or clip.
    """
    given: dict[str, Sequence[Any]] = {}
    for name in MEDIA_COLUMNS:
        column = columns.get(name)
        if isinstance(column, (list, tuple)):
            given[name] = column
        elif column is not None:
            raise UniRewardError(f"{name!r} is a {type(column).__name__}: pass a list with one entry a row")
    for name, column in {"completions": completions, **given}.items():
        if len(column) != len(prompts):
            raise UniRewardError(f"{name!r} has {len(column)} rows, but there are {len(prompts)} prompts")
    rows = []
    for index, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        try:
            rows.append(row_of(prompt, completion, {name: column[index] for name, column in given.items()}))
        except UniRewardError as error:
            raise type(error)(f"row {index}: {error}") from error
    return rows


def row_of(prompt: Conversation, completion: Conversation, cells: Mapping[str, object]) -> Row | None:
    """One completion with the cells of its row; `None` where it comes with no picture or clip."""
    context = context_of(prompt, cells)
    if not context:
        return None
    text = prompt if isinstance(prompt, str) else tuple((message["role"], text_of(message)) for message in prompt)
    return Row(Case(question_of(prompt), (answer_of(completion),), context), (text, context))


def question_of(prompt: Conversation) -> str:
    """What the judge is told the user asked: the text of the user's message.

    Where there are earlier turns it is the dialogue as a transcript, since a last message such as "and on the left?"
    asks nothing on its own. System messages are instructions to the policy and stay out.
    """
    if isinstance(prompt, str):
        return prompt
    turns = [message for message in prompt if message["role"] in ("user", "assistant")]
    if not any(turn["role"] == "user" for turn in turns):
        raise UniRewardError(f"the prompt has no user message, only {[message['role'] for message in prompt]}")
    if len(turns) == 1:
        return text_of(turns[0])
    return "\n".join(f"{turn['role'].capitalize()}: {text_of(turn)}" for turn in turns)


def answer_of(completion: Conversation) -> str:
    """What the policy answered: the text of its last message.

    What it wrote before calling a tool, the calls and their results are the way to the answer, not the answer. A policy
    that said nothing has answered with nothing, and that is judged too.
    """
    if isinstance(completion, str):
        return completion
    replies = [message for message in completion if message.get("role") == "assistant"]
    return text_of(replies[-1]) if replies else ""


def text_of(message: Message) -> str:
    """The text of a message, whose content is a string, a list of blocks, or nothing (a bare tool call)."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in content or () if block.get("type") == "text" and block.get("text"))


def context_of(prompt: Conversation, cells: Mapping[str, object]) -> tuple[Media, ...]:
    """The clips of a row or, where it has none, its pictures: from its cells, else from the blocks of its messages.

    Clips come first because TRL cannot show them to the policy: a row with both holds the clip to be judged by and, as
    pictures, the frames that the policy sees.
    """
    clips = listed(cells.get("videos")) or alone(cells.get("video")) or list(blocks_of(prompt, "video"))
    if clips:
        return tuple(Media.of(clip, kind="video") for clip in clips)
    pictures = listed(cells.get("images")) or alone(cells.get("image")) or list(blocks_of(prompt, "image"))
    return tuple(Media.of(picture, kind="image") for picture in pictures)


def blocks_of(prompt: Conversation, kind: Literal["image", "video"]) -> Iterator[object]:
    """What the blocks of one kind hold, in order; one that only marks the place of a column's picture holds nothing."""
    for message in () if isinstance(prompt, str) else prompt:
        content = message.get("content")
        for block in content if isinstance(content, (list, tuple)) else ():
            held = [block[key] for key in (kind, "path", "url") if block.get(key) is not None]
            if block.get("type") == kind and held:
                yield held[0]


def listed(value: object) -> list[object]:
    """The entries of a row of a plural column; one that is not a list stands for a list of one."""
    return [entry for entry in value if entry is not None] if isinstance(value, (list, tuple)) else alone(value)


def alone(value: object) -> list[object]:
    """A row of a singular column as a list of one, or of none."""
    return [] if value is None else [value]
