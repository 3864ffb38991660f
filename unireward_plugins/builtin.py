"""What this package itself brings, through the same hooks as a third party's plug-in."""

from __future__ import annotations

from unireward_plugins.families import FAMILIES, Family
from unireward_plugins.hookspecs import JudgeCard, hookimpl
from unireward_plugins.rubrics import BUILTIN, Rubric


@hookimpl
def unireward_judges() -> list[JudgeCard]:
    """The judge that is shipped with the package."""
    return [
        JudgeCard(
            name="shapes",
            load="unireward_plugins.shapes:load",
            judges=(
                ("image_generation", 1),
                ("image_generation", 2),
                ("image_understanding", 1),
                ("image_understanding", 2),
            ),
            summary="embedded tiny judge of pictures of coloured shapes, for demos and tests",
            extra="transformers",
        )
    ]


@hookimpl
def unireward_rubrics() -> list[Rubric]:
    """The rubrics of UnifiedReward and of the embedded judge."""
    from unireward_plugins.shapes.rubrics import RUBRICS

    return [*BUILTIN.values(), *RUBRICS]


@hookimpl
def unireward_families() -> list[Family]:
    """The published checkpoints."""
    return list(FAMILIES)
