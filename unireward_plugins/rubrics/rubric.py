"""Rubrics: how a case becomes a question to a model, and how its answer becomes a verdict."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from unireward_plugins.errors import BackendError, UniRewardError, UnsupportedCase
from unireward_plugins.media import FrameRule, Media
from unireward_plugins.neutral import neutralise
from unireward_plugins.rubrics.slot import AnswerSlot
from unireward_plugins.types import TASKS, Case, Query, Reply, Task, Verdict

Readout: TypeAlias = Literal["generate", "likelihood"]
"""How a rubric is read: from the reply that the model writes, or from the probabilities of its verdicts."""

_PLACEHOLDER = re.compile(r"\{(?P<name>prompt|Query|instruction|Response|R[1-9])\}")
_PROMPT_NAMES = ("prompt", "Query", "instruction")
_SHORTEST_ECHO = 80
"""Characters of the template's own words, in one piece, that nobody repeats who answers the question."""


@dataclass(frozen=True, slots=True)
class Rubric:
    """One way to ask a model about cases of one task, with the scale and the reader that belong to it.

    In the template, `{prompt}` (also written `{Query}` or `{instruction}`) is the case's prompt, and `{R1}`, `{R2}`,
    ... are its candidates where they are texts (`{Response}` where there is one). All else stands as it is, braces
    included.

        Rubric(
            "mine.image_gen.point",
            task="image_generation",
            arity=1,
            template="{prompt}\\nHow well does the picture show this? Answer 'Final Score: ' and a number from 1 to 5.",
            read=final_score(1, 5),
        )
    """

    name: str
    """Unique among all rubrics: `unireward rubrics` lists it by this name."""
    _: KW_ONLY
    task: Task
    """What it judges."""
    arity: int
    """How many candidates it judges at a time: 1 scores, 2 and more compare."""
    template: str
    """The text after the pictures, with its placeholders."""
    read: Callable[[str], Verdict]
    """Reads a reply; usually one of `unireward_plugins.parsing`. Must pickle for the rubric to pickle."""
    family: str = "custom"
    """The models that were trained on it."""
    frames: FrameRule | None = None
    """Which frames of a clip the model sees; needed for videos."""
    max_tokens: int = 512
    """The most tokens of a reply: enough for the format, reasoning included."""
    slot: AnswerSlot | None = None
    """Where the verdict is one token that can be read without generating it, where there is such a place."""
    shows_context: bool = True
    """Whether the model sees the case's context: the source of an edit, the subject of a question."""

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise UniRewardError(f"rubric {self.name!r}: no task is called {self.task!r}; there are {', '.join(TASKS)}")
        if self.arity < 1:
            raise UniRewardError(f"rubric {self.name!r} must judge at least one candidate, got arity={self.arity}")
        if self.task.startswith("video") and self.frames is None:
            raise UniRewardError(f"rubric {self.name!r} judges videos and needs frames=FrameRule(...)")
        if self.slot is not None and any(len(values) != self.arity for values in self.slot.values):
            raise UniRewardError(f"rubric {self.name!r} judges {self.arity} candidate(s), its answer slot does not")
        texts = set(self._text_names())
        known = {*_PROMPT_NAMES, *texts}
        used = {found["name"] for found in _PLACEHOLDER.finditer(self.template)}
        if used - known:
            raise UniRewardError(
                f"rubric {self.name!r} has the placeholder {{{min(used - known)}}}, and {self.arity} candidate(s) of "
                f"{self.task} fill only: {', '.join(sorted(known))}"
            )
        if texts and not (used & texts == {"Response"} or texts - {"Response"} <= used):
            raise UniRewardError(f"rubric {self.name!r} does not show every answer: its template needs {sorted(texts)}")

    @property
    def digest(self) -> str:
        """By which results say what was asked: the first 16 hexadecimal digits of the SHA-256 of the template."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:16]

    def query(self, case: Case, readout: Readout = "generate") -> Query:
        """What to ask a model about a case.

        The pictures stand in the order that the models were trained with: context, then candidates; the frames of a
        clip take its place. Raises `UnsupportedCase` for a case of another task or number of candidates, and for a
        likelihood where the rubric has no answer slot.
        """
        self._check(case)
        text, media = self._fill(case), tuple(self._media(case))
        if readout == "generate":
            return Query(text, media=media, max_tokens=self.max_tokens)
        slot = self._slot()
        return Query(text, media=media, prefill=slot.prefill, choices=slot.choices, max_tokens=1)

    def verdict(self, reply: Reply, readout: Readout = "generate") -> Verdict:
        """What a model's reply to `query(case, readout)` says.

        A reply that repeats the prompt is no verdict, whatever examples stand in it, and neither is `TOO_LONG`. Raises
        `BackendError` where a likelihood was asked and the backend gave none, `UniRewardError` where the reader is for
        another number of candidates.
        """
        if reply.unread is not None:
            return Verdict(None, reply=reply.text, unread=reply.unread)
        if readout == "likelihood":
            slot = self._slot()
            if reply.logprobs is None or len(reply.logprobs) != len(slot.choices):
                raise BackendError(
                    f"rubric {self.name!r} asked for {len(slot.choices)} log-probabilities, "
                    f"the backend gave {reply.logprobs}"
                )
            return slot.verdict(reply)
        if self._is_echo(reply.text):
            return Verdict(None, reply=reply.text, unread="echo")
        found = self.read(reply.text)
        if found.scores is not None and len(found.scores) != self.arity:
            raise UniRewardError(
                f"rubric {self.name!r} judges {self.arity} candidate(s), its reader gave {len(found.scores)} score(s)"
            )
        return found

    def _check(self, case: Case) -> None:
        expected = f"rubric {self.name!r} judges {self.arity} candidate(s) of {self.task}"
        if case.task != self.task or len(case.candidates) != self.arity:
            raise UnsupportedCase(f"{expected}, got {len(case.candidates)} candidate(s) of {case.task}")
        if self.task == "image_editing" and len(case.context) != 1:
            raise UnsupportedCase(f"{expected} made from one source picture, got {len(case.context)} in the context")

    def _text_names(self) -> tuple[str, ...]:
        """The placeholders for candidates, where those are texts: one for each, and a second name for a single one."""
        if not self.task.endswith("understanding"):
            return ()
        return ("R1", "Response") if self.arity == 1 else tuple(f"R{number + 1}" for number in range(self.arity))

    def _fill(self, case: Case) -> str:
        """The template with the case's texts put in, in one pass: what is put in is never looked at again."""
        texts = [neutralise(candidate) for candidate in case.candidates if isinstance(candidate, str)]
        values = {
            **dict.fromkeys(_PROMPT_NAMES, neutralise(case.prompt)),
            **dict(zip(self._text_names(), texts * 2 if self.arity == 1 else texts, strict=True)),
        }
        return _PLACEHOLDER.sub(lambda found: values[found["name"]], self.template)

    def _media(self, case: Case) -> Iterator[Media]:
        candidates = [candidate for candidate in case.candidates if isinstance(candidate, Media)]
        for media in (*(case.context if self.shows_context else ()), *candidates):
            if media.kind == "video" and self.frames is not None:
                yield from media.sample(self.frames)
            else:
                yield media

    def _slot(self) -> AnswerSlot:
        if self.slot is None:
            from unireward_plugins.rubrics import BUILTIN

            same = (one for one in BUILTIN.values() if (one.task, one.arity) == (self.task, self.arity))
            able = [one.name for one in same if one.slot]
            raise UnsupportedCase(
                f"rubric {self.name!r} has no answer slot to read a likelihood at. Use readout='generate'"
                + (f", or one of these rubrics: {', '.join(able)}" if able else "")
            )
        return self.slot

    def _is_echo(self, reply: str) -> bool:
        """Whether the reply repeats a whole piece of the template between two placeholders."""
        # What splitting gives: pieces in turn with the names of the placeholders between them.
        pieces = (piece.strip() for piece in _PLACEHOLDER.split(self.template)[::2])
        return any(len(piece) >= _SHORTEST_ECHO and piece in reply for piece in pieces)
