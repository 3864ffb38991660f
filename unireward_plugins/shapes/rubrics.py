"""What the tiny judge is asked: one rubric for each cell, short, with the reply formats of UnifiedReward v1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from unireward_plugins.parsing import final_score, verdict
from unireward_plugins.rubrics import Rubric
from unireward_plugins.types import Task

REPLY_TOKENS = 64
"""The longest reply that the judge was taught is 44 tokens long."""

RUBRICS: tuple[Rubric, ...] = (
    Rubric(
        "shapes.image_gen.point",
        family="shapes",
        task="image_generation",
        arity=1,
        template="Caption: {prompt}\nRate the image.",
        read=final_score(1, 5),
        max_tokens=REPLY_TOKENS,
    ),
    Rubric(
        "shapes.image_gen.pair",
        family="shapes",
        task="image_generation",
        arity=2,
        template="Caption: {prompt}\nWhich image is better?",
        read=verdict(ties=False),
        max_tokens=REPLY_TOKENS,
    ),
    Rubric(
        "shapes.image_und.point",
        family="shapes",
        task="image_understanding",
        arity=1,
        template="Question: {Query}\nAnswer: {Response}\nRate the answer.",
        read=final_score(1, 5),
        max_tokens=REPLY_TOKENS,
    ),
    Rubric(
        "shapes.image_und.pair",
        family="shapes",
        task="image_understanding",
        arity=2,
        template="Question: {Query}\nAnswer 1: {R1}\nAnswer 2: {R2}\nWhich answer is better?",
        read=verdict(ties=False),
        max_tokens=REPLY_TOKENS,
    ),
)
"""The rubrics, all with reasons before the verdict; none can be read as a likelihood, which would skip the reasons."""

RUBRIC_OF: Mapping[tuple[Task, int], Rubric] = MappingProxyType(
    {(rubric.task, rubric.arity): rubric for rubric in RUBRICS}
)
"""The rubric for each cell."""
