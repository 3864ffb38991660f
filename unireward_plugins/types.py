"""The few values that travel through the project: cases go to a judge, verdicts come back.

Inside a judge, a rubric turns each case into a `Query`, a backend answers it with a `Reply`, and the rubric
reads the reply into a `Verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Literal, Protocol, TypeAlias

from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.media import Media

Candidate: TypeAlias = str | Media
"""What is judged: an answer, a picture or a clip."""

Task: TypeAlias = Literal[
    "image_generation", "video_generation", "image_understanding", "video_understanding", "image_editing"
]

TASKS: tuple[Task, ...] = (
    "image_generation",
    "video_generation",
    "image_understanding",
    "video_understanding",
    "image_editing",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to judge: a prompt and the candidates that answer it."""

    prompt: str
    """The caption, the question or the edit instruction that the candidates answer."""
    candidates: tuple[Candidate, ...]
    """One candidate to score alone, several to compare. All of one kind."""
    context: tuple[Media, ...] = ()
    """What a question is about, or the picture that an edit started from."""

    def __post_init__(self) -> None:
        for name, wanted, given in (("candidates", (str, Media), self.candidates), ("context", Media, self.context)):
            if not isinstance(given, tuple):
                raise UniRewardError(f"a case's {name} are a tuple, even if there is one: got {_kind_of(given)}")
            for index, one in enumerate(given):
                if not isinstance(one, wanted):
                    raise UniRewardError(
                        f"{name}[{index}] of a case is {_kind_of(one)}. Pass pictures and clips as Media.of(...)"
                    )

    def reversed(self) -> Case:
        """The same case with the candidates in the opposite order; its own inverse."""
        return replace(self, candidates=self.candidates[::-1])

    @property
    def task(self) -> Task:
        """The task that the case belongs to, from the kinds of its candidates and its context.

        Raises `UnsupportedCase` where they fit none: no candidate, candidates of several kinds, a text without a
        picture or clip to be about, mixed context, or an edited video.
        """
        candidates = {"text" if isinstance(candidate, str) else candidate.kind for candidate in self.candidates}
        context = {media.kind for media in self.context}
        match sorted(candidates), sorted(context):
            case ["image"], []:
                return "image_generation"
            case ["video"], []:
                return "video_generation"
            case ["text"], ["image"]:
                return "image_understanding"
            case ["text"], ["video"]:
                return "video_understanding"
            case ["image"], ["image"]:
                return "image_editing"
        raise UnsupportedCase(
            f"no task has candidates of kind {sorted(candidates)} with context of kind {sorted(context)}. Judge "
            "pictures or clips without context (generation), pictures with the source picture as context (editing), or "
            "texts with the picture or clip that they are about as context (understanding)"
        )


def _kind_of(given: object) -> str:
    return f"a {type(given).__module__}.{type(given).__qualname__}".replace("a builtins.", "a ")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge says of a case."""

    scores: tuple[float, ...] | None
    """One per candidate, in the order of the case: alone, how good it is from 0 to 1; several, shares that sum to 1.
    `None` where the reply held no verdict: never a guess, never 0, never a tie."""
    aspects: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Named numbers behind the scores, one per candidate, on the rubric's own scale (`alignment`, `final_score`, ...).
    An aspect that the reply left out is absent."""
    reply: str = ""
    """The judge's own words, for people to read."""
    unread: str | None = None
    """Why there is no verdict: one of `UNREAD_REASONS`; `None` where there is one."""

    def __post_init__(self) -> None:
        if (self.scores is None) != (self.unread is not None):
            raise UniRewardError(
                f"a verdict has either scores or a reason why not, got {self.scores!r} and {self.unread!r}"
            )
        if self.unread is not None and self.unread not in UNREAD_REASONS:
            raise UniRewardError(
                f"{self.unread!r} is no reason for an unread verdict; use one of {list(UNREAD_REASONS)}"
            )
        if not all(map(isfinite, self.scores or ())):
            raise UniRewardError(f"scores are finite numbers, got {self.scores!r}; without one say why in unread=")

    def reversed(self) -> Verdict:
        """The verdict on `case.reversed()` that means the same; its own inverse."""
        return replace(
            self,
            scores=None if self.scores is None else self.scores[::-1],
            aspects={name: values[::-1] for name, values in self.aspects.items()},
        )


UNREAD_REASONS: Mapping[str, str] = {
    "empty": "the reply is empty",
    "too_long": "the case does not fit into the model's context (use fewer or smaller pictures, or shorter texts)",
    "truncated": "the reasoning was cut off before a verdict (raise the token limit)",
    "no_verdict": "the reply holds nothing that reads as a verdict",
    "echo": "the reply repeats the prompt instead of answering it",
    "nan": "a score is not a number",
    "range": "a score lies outside the rubric's scale",
    "both": "the reply names both candidates as the winner",
    "json": "the reply should be JSON and is not",
    "incomplete": "some, not all, of the rubric's scores are there",
    "orders": "only one of the two orders of the pair was read",
    "mass": "the answer slot got almost none of the probability",
}
"""Every reason why a reply has no verdict, in words."""


Judge: TypeAlias = Callable[[Sequence[Case]], list[Verdict]]
"""A judge is any callable from cases to as many verdicts, in the same order."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a rubric asks a model: media first, then one text, in one user turn."""

    text: str
    media: tuple[Media, ...] = ()
    """Pictures in the order in which they stand before the text; clips are already sampled to frames."""
    prefill: str = ""
    """The beginning of the reply, forced on the model; the reply goes on from here."""
    choices: tuple[str, ...] = ()
    """Where given, nothing is generated: the reply is the log-probability of each choice after the prefill.
    Each choice must be one token of the model there."""
    max_tokens: int = 512
    """The most tokens that the model may generate."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answers to a query."""

    text: str
    """The reply from its very beginning: it starts with the query's prefill where there was one."""
    logprobs: tuple[float, ...] | None = None
    """One natural log-probability per choice, over the whole vocabulary; `-inf` where a server did not report it."""
    unread: str | None = None
    """Why the model could not be asked, one of `UNREAD_REASONS`; the text is empty then."""


TOO_LONG = Reply("", unread="too_long")
"""The reply to a query that, with the longest reply to it, does not fit into the model's context."""


class Backend(Protocol):
    """Something that answers queries: as many replies, in the same order.

    It owns batching, concurrency, retries and time limits; nothing else knows of them. It raises `BackendError` when
    the model cannot be reached or fails, and never returns a reply in place of an error. A query that the model has no
    room for is no such error, since the others can be answered: its reply is `TOO_LONG`. Building a backend is cheap,
    and it can be pickled.
    """

    def __call__(self, queries: Sequence[Query], /) -> list[Reply]:
        """One reply per query, in order."""
        ...

    @property
    def revision(self) -> str:
        """What identifies the weights behind the backend, for caches and reports: a Hub commit, a hash of a folder's
        files, or the name that a server reports."""
        ...
