"""What this plug-in brings. It is imported whenever plug-ins are listed, so it imports nothing heavy."""

from unireward_plugins.families import Family
from unireward_plugins.hookspecs import JudgeCard, hookimpl
from unireward_plugins.rubrics import Rubric

from .rubric import BRIGHTNESS


@hookimpl
def unireward_judges() -> list[JudgeCard]:
    """A judge that is a function: load_judge("brightness")."""
    return [
        JudgeCard(
            name="brightness",
            load="unireward_brightness.judge:build",
            judges=(("image_generation", 1), ("image_generation", 2)),
            summary="how bright a picture is: an example that needs no model",
        )
    ]


@hookimpl
def unireward_rubrics() -> list[Rubric]:
    """A new question for any model: load_judge(model, rubric="brightness.image_gen.point")."""
    return [BRIGHTNESS]


@hookimpl
def unireward_families() -> list[Family]:
    """Models that were trained to answer it: load_judge("someone/BrightnessReward-2b")."""
    return [
        Family(
            name="brightness",
            base="Qwen3-VL",
            pattern=r"BrightnessReward-\d+b",
            checkpoints=("someone/BrightnessReward-2b",),
            rubrics={("image_generation", 1): BRIGHTNESS.name},
        )
    ]
