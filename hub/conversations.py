"""The conversations that UnifiedReward is trained on: a rubric's question with its pictures, and the judge's reply.

    {"conversations": [{"from": "human", "value": "<image>\\n<image>\\nYou are given a text caption ..."},
                       {"from": "gpt", "value": "Image 1 is better than Image 2."}],
     "images": ["images/a.png", "images/b.png"]}

`image` and `video` stand for `images` where there is one. All training sets of github.com/CodeGoat24/UnifiedReward have
this form; a clip is a list of frame files in most of them, and the frames of a pair stand one clip after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hub.entries import field, kind_of
from unireward_plugins.errors import UniRewardError
from unireward_plugins.families import FAMILIES
from unireward_plugins.media import Media
from unireward_plugins.rubrics import BUILTIN, Rubric
from unireward_plugins.types import Candidate, Case, Task, Verdict

TURNS = ("conversations", "messages")
"""The fields that hold the question and the reply; the first that is there counts."""
FILES = ("images", "image", "videos", "video")
"""The fields that hold pictures, clips or frames; the first that is there counts."""
_TOKEN = re.compile(r"<(?:image|video)>")
_PLACEHOLDER = re.compile(r"\\\{(prompt|Query|instruction|Response|R1|R2)\\\}")
_CAPTION = r"(?:Text Caption|Text Prompt|Prompt)\s*:(?:\*\*)?\s*"
_LABELS: Mapping[tuple[bool, int], re.Pattern[str]] = {
    (False, 1): re.compile(rf"{_CAPTION}\[?(?P<prompt>.+?)\]?\s*\Z", re.DOTALL),
    (False, 2): re.compile(rf"{_CAPTION}\[?(?P<prompt>.+?)\]?\s*\Z", re.DOTALL),
    (True, 1): re.compile(
        r"Question\s*:\s*\[?(?P<prompt>.+?)\]?\s*\n\s*(?:The )?(?:Response|Answer)\s*:\s*\[?(?P<R1>.+?)\]?\s*\Z",
        re.DOTALL | re.IGNORECASE,
    ),
    (True, 2): re.compile(
        r"Question\s*:\s*\[?(?P<prompt>.+?)\]?\s*\n\s*(?:The first response|Response 1|Answer 1)\s*:\s*\[?"
        r"(?P<R1>.+?)\]?\s*\n\s*(?:The second response|Response 2|Answer 2)\s*:\s*\[?(?P<R2>.+?)\]?"
        r"\s*(?:\n\s*(?:ASSISTANT:|Please evaluate).*)?\Z",
        re.DOTALL | re.IGNORECASE,
    ),
}
"""The labels before caption, question and answers, for texts that are in no known rubric's very words."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one entry says, its pictures unopened."""

    task: Task
    prompt: str
    answers: tuple[str, ...]
    """The answers that are judged; empty where pictures or clips are."""
    files: tuple[str | bytes, ...]
    """The pictures, clips or frames, in the order in which they are shown: paths, or what is in the files."""
    verdict: Verdict
    rubric: str
    """The rubric whose words the question has; empty where it is worded otherwise."""


def parse(entry: Mapping[str, Any], task: Task, arity: int, *, place: str) -> Conversation:
    """What an entry says of `arity` candidates of a task.

    The question is taken apart by the rubric in whose words it is, else by the labels before caption, question and
    answers; the reply is read as that rubric reads it. Raises `UniRewardError` with the place and what was found where
    the entry has no such conversation, or where its question cannot be taken apart.
    """
    human, reply = turns(entry, place)
    text = _TOKEN.sub("", human).strip()
    rubric, parts = _taken_apart(text, task, arity)
    if parts is None:
        raise UniRewardError(
            f"{place}: the question is in the words of no known rubric for {arity} candidate(s) of {task}, and has no "
            f"label such as 'Text Caption:' or 'Question:'. It ends with {text[-160:]!r}"
        )
    named = [parts[name] for name in ("R1", "R2")[:arity] if name in parts]
    return Conversation(
        task,
        parts.get("prompt", "").strip(),
        tuple(answer.strip() for answer in named),
        files(entry, place),
        _verdict(reply, task, arity, rubric),
        rubric.name if rubric else "",
    )


def turns(entry: Mapping[str, Any], place: str) -> tuple[str, str]:
    """The question and the reply of an entry; `UniRewardError` where there is no such exchange."""
    said = field(entry, TURNS, place)
    texts: dict[str, str] = {}
    for turn in said if isinstance(said, list) else []:
        if isinstance(turn, dict):
            who = str(turn.get("from", turn.get("role", "")))
            texts[{"user": "human", "assistant": "gpt"}.get(who, who)] = str(turn.get("value", turn.get("content", "")))
    if not {"human", "gpt"} <= texts.keys():
        raise UniRewardError(
            f"{place}: a conversation has a turn from 'human' and one from 'gpt', got {kind_of(said)} with "
            f"{', '.join(map(repr, texts)) or 'neither'}"
        )
    return texts["human"], texts["gpt"]


def files(entry: Mapping[str, Any], place: str) -> tuple[str | bytes, ...]:
    """An entry's pictures, clips or frames: paths, or the contents that a table holds beside or instead of them."""
    found = field(entry, FILES, place)
    cells = found if isinstance(found, list) else [found]
    names: list[Any] = [(cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell for cell in cells]
    if not names or not all(isinstance(name, str | bytes) for name in names):
        raise UniRewardError(f"{place}: pictures and clips are given by their paths, got {found!r:.200}")
    return tuple(names)


def case_of(said: Conversation, arity: int, media: Sequence[Media], place: str) -> Case:
    """The case that a conversation is about; `media` are its files, opened.

    Of a pair of clips that are given as frames, the first half of them are the first clip. Raises `UniRewardError`
    where the number of files does not fit.
    """
    if said.task.startswith("video") and all(one.kind == "image" for one in media):
        clips = 1 if said.task == "video_understanding" else arity
        if len(media) % clips:
            raise UniRewardError(f"{place}: {len(media)} frames cannot be those of {clips} clips of the same length")
        size = len(media) // clips
        media = [Media.of(list(media[start : start + size])) for start in range(0, len(media), size)]
    shown = 0 if said.task.endswith("understanding") else arity
    before = len(media) - shown
    if before < (0 if said.task.endswith("generation") else 1):
        raise UniRewardError(f"{place}: {len(media)} file(s) are too few for {arity} candidate(s) of {said.task}")
    candidates: tuple[Candidate, ...] = tuple(media[before:]) if shown else said.answers
    case = Case(said.prompt, candidates, tuple(media[:before]))
    if case.task != said.task or len(candidates) != arity:
        raise UniRewardError(
            f"{place}: {len(media)} file(s) and {len(said.answers)} answer(s) make {case.task} with {len(candidates)} "
            f"candidate(s), and {arity} of {said.task} were expected"
        )
    return case


def part_of(entry: Mapping[str, Any], parts: Sequence[tuple[Task, int]], place: str) -> tuple[Task, int]:
    """Which of several tasks, and of how many candidates, an entry is about: by its rubric, else by its nouns."""
    if len(parts) == 1:
        return parts[0]
    text = _TOKEN.sub("", turns(entry, place)[0]).strip()
    for task, arity in parts:
        if any(_pattern(rubric.name).fullmatch(text) for rubric in rubrics_for(task, arity)):
            return task, arity
    noun = "video" if len(re.findall("(?i)video", text)) > len(re.findall("(?i)image", text)) else "image"
    arity = 2 if re.search(r"(?i)(?:image|video|answer|response) 2|second", text) else 1
    fitting = [part for part in parts if part[0].startswith(noun) and part[1] == arity]
    if len(fitting) != 1:
        raise UniRewardError(
            f"{place}: the question is in the words of no known rubric, and could be of any of "
            f"{', '.join(f'{task} ({arity})' for task, arity in fitting or parts)}. It ends with {text[-160:]!r}"
        )
    return fitting[0]


def conversation(rubric: Rubric, question: str, reply: str, names: Sequence[str]) -> dict[str, Any]:
    """An entry with a question in the words of a rubric; `names` are its files, a token for each before the text."""
    tokens = "<image>\n" * len(names)
    said = [{"from": "human", "value": f"{tokens}{question}"}, {"from": "gpt", "value": reply}]
    return {"conversations": said, "images": list(names), "rubric": rubric.name}


def _taken_apart(text: str, task: Task, arity: int) -> tuple[Rubric | None, Mapping[str, str] | None]:
    for rubric in rubrics_for(task, arity):
        if found := _pattern(rubric.name).fullmatch(text):
            return rubric, found.groupdict()
    found = None
    pattern = _LABELS[task.endswith("understanding"), arity]
    # The last label counts: the words of a rubric may hold the others.
    for start in [match.start() for match in re.finditer(r"(?i)\b(?:Text|Prompt|Question)", text)][::-1]:
        if found := pattern.match(text, start):
            break
    return None, None if found is None else found.groupdict()


def rubrics_for(task: Task, arity: int) -> list[Rubric]:
    """The published rubrics for so many candidates of a task."""
    return [rubric for rubric in BUILTIN.values() if (rubric.task, rubric.arity) == (task, arity)]


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """A pattern for a rubric's text with anything in its places, and with or without the brackets around them."""
    pieces, seen, end = [], set[str](), 0
    escaped = re.escape(BUILTIN[name].template.strip())
    for place in _PLACEHOLDER.finditer(escaped):
        group = {"Query": "prompt", "instruction": "prompt", "Response": "R1"}.get(place[1], place[1])
        before = escaped[end : place.start()]
        pieces.append(re.sub(r"\\\[\Z", r"\\[?", re.sub(r"\A\\\]", r"\\]?", before)))
        pieces.append(f"(?P={group})" if group in seen else f"(?P<{group}>.*?)")
        seen.add(group)
        end = place.end()
    pieces.append(re.sub(r"\A\\\]", r"\\]?", escaped[end:]))
    return re.compile("".join(pieces).replace(r"\ ", r"\s").replace("\\\n", r"\s+"), re.DOTALL)


def _verdict(reply: str, task: Task, arity: int, rubric: Rubric | None) -> Verdict:
    """What the reply says, read by the question's rubric, else by whichever of the task's rubrics finds a verdict."""
    if rubric is not None:
        return rubric.read(reply)
    verdicts = [one.read(reply) for one in _by_age(rubrics_for(task, arity))]
    return next((verdict for verdict in verdicts if verdict.scores is not None), verdicts[0])


def _by_age(rubrics: Sequence[Rubric]) -> Iterator[Rubric]:
    """Rubrics whose replies have a form of their own first, so that nothing is read as a looser one's."""
    order = [name for family in FAMILIES[::-1] for name in family.rubrics.values()]
    return iter(sorted(rubrics, key=lambda rubric: order.index(rubric.name) if rubric.name in order else len(order)))
