"""The shapes world: pictures and clips of coloured shapes with an exact truth, and a tiny judge of them.

    scene <- render <- truth <- check            what a picture shows, its pixels, the scene read back, anyone's samples
    scene <- captions <- draws <- data           what is asked for and what is left to chance, and labelled cases
    grammar <- questions <- answers <- data      how answers are worded, what they are worth, and cases with them
    rubrics <- lesson <- train_judge             what the judge is asked, what it should reply, how it was taught
    data <- trials <- evaluate                   what a judge says of fresh cases, what it can do, with intervals

It proves nothing about large checkpoints: it is what tests and demonstrations run on, where the truth is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unireward_plugins.judges import ModelJudge


def load() -> ModelJudge:
    """The tiny judge that is shipped in `judge/`, run in this process by transformers."""
    return load_from(Path(__file__).parent / "judge", name="shapes")


def load_from(folder: Path, *, name: str) -> ModelJudge:
    """A judge of shapes that `train_judge` left in a folder."""
    from unireward_plugins.backends.transformers import TransformersBackend
    from unireward_plugins.judges import ModelJudge
    from unireward_plugins.shapes.rubrics import RUBRIC_OF

    return ModelJudge(name, TransformersBackend(folder), RUBRIC_OF)
