"""The judge class that VLMEvalKit sees: the model behind any judge of ours, in the place of its GPT.

Many of VLMEvalKit's own datasets have a language model read or grade the answers, and find it by the name that
`--judge` gives. Here that name may be one of ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from vlmeval.api.base import BaseAPI

from unireward_plugins.errors import BackendError, UniRewardError
from unireward_plugins.judges import ModelJudge, in_one_order
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.types import Backend, Query


class UniRewardGrader(BaseAPI):  # type: ignore[misc]  # VLMEvalKit ships without types
    """Answers whatever a dataset of VLMEvalKit asks its judge. A failure ends the dataset: it is never a grade."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(verbose=False)
        self.backend = backend
        self.lock = threading.Lock()  # VLMEvalKit asks from several threads, and a model answers one

    def working(self) -> bool:
        """Whether it answers; a model that does not has raised when it was loaded."""
        return True

    def generate(self, message: Any, **_settings: Any) -> str:
        """The reply to a text, or to texts with pictures.

        Raises `UniRewardError` for clips, `BackendError` where the model cannot be reached or fails.
        """
        parts = self.preproc_content(message)
        files = [part["value"] for part in parts if part["type"] == "image"]
        texts = [part["value"] for part in parts if part["type"] == "text"]
        if len(files) + len(texts) != len(parts):
            raise UniRewardError("a grader takes no clips from VLMEvalKit")
        media = tuple(Media.of(file, kind="image") for file in files)
        with self.lock:
            return replied(self.backend, Query("\n".join(texts), media=media))


def replied(backend: Backend, query: Query) -> str:
    """The reply to one query of VLMEvalKit's; `BackendError` also where the model has no room for it."""
    (reply,) = backend([query])
    if reply.unread is not None:
        raise BackendError(
            f"a question of {len(query.text)} characters and {len(query.media)} pictures does not fit into the model's "
            "context: choose a model that holds more, or serve it with a larger --max-model-len"
        )
    return reply.text


def grading(judges: Mapping[str, Mapping[str, Any]], others: Callable[..., Any]) -> Callable[..., Any]:
    """What makes VLMEvalKit's judges by their names: ours, each loaded once, and all others as before."""

    @cache
    def ours(name: str) -> UniRewardGrader:
        return UniRewardGrader(backend_of(**judges[name]))

    def make(model: str, *arguments: Any, **settings: Any) -> Any:
        return ours(model) if model in judges else others(model, *arguments, **settings)

    return make


def backend_of(ref: str, **choice: Any) -> Backend:
    """The model behind a judge; `UniRewardError` where there is none. `choice` as of `load_judge`."""
    judge = in_one_order(load_judge(ref, **choice))
    if not isinstance(judge, ModelJudge):
        raise UniRewardError(f"judge {ref!r} is no model that could grade the answers to other questions than its own")
    return judge.backend
