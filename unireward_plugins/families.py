"""The model zoo: which checkpoints there are, and which rubric each was trained to answer for which task.

Source of ids, bases and rubrics: the model cards of huggingface.co/CodeGoat24 and the scripts of
github.com/CodeGoat24/UnifiedReward (MIT). Rubrics carry the frame rule and the token limit; decoding is greedy
everywhere, said explicitly, because the checkpoints' own generation configs sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from unireward_plugins.types import Task

RubricTable = Mapping[tuple[Task, int], str]
"""From a task and the number of candidates judged at a time to the name of a rubric."""


@dataclass(frozen=True, slots=True)
class Family:
    """Checkpoints that were trained together, and therefore share their rubrics."""

    name: str
    """What users write: `load_judge(..., family=name)`."""
    base: str
    """The model that it was trained from."""
    pattern: str
    """A regular expression for the last part of a checkpoint's id, folder or served name, matched whole."""
    checkpoints: tuple[str, ...]
    """The published ids, smallest first."""
    rubrics: RubricTable
    """The rubric to use where the user names none."""
    chat_template_kwargs: Mapping[str, object] = field(default_factory=dict)
    """What the chat template must be told."""
    only_served: str | None = None
    """Why neither transformers nor vLLM can load the checkpoints and a server must, where that is so."""

    def has(self, name: str) -> bool:
        """Whether a checkpoint id, a folder or a served model's name belongs to the family."""
        last = name.rstrip("/").rsplit("/", 1)[-1]
        return name in self.checkpoints or re.fullmatch(self.pattern, last, re.IGNORECASE) is not None


def published(name: str, *sizes: str) -> tuple[str, ...]:
    """The ids under which the authors published one model in several sizes."""
    return tuple(f"CodeGoat24/{name}-{size}" for size in sizes)


UNDERSTANDING_QWEN: RubricTable = {
    ("image_understanding", 1): "image_und.point_score.qwen",
    ("image_understanding", 2): "image_und.pair_rank.qwen",
    ("video_understanding", 1): "video_und.point_score",
    ("video_understanding", 2): "video_und.pair_rank.qwen",
}

V1_QWEN: RubricTable = {
    ("image_generation", 1): "image_gen.point_score.v1",
    ("image_generation", 2): "image_gen.pair_rank.qwen",
    ("video_generation", 1): "video_gen.point_5dim",
    ("video_generation", 2): "video_gen.pair_rank.qwen",
    **UNDERSTANDING_QWEN,
}

V1_LLAVA: RubricTable = {
    ("image_generation", 1): "image_gen.point_score.v1",
    ("image_generation", 2): "image_gen.pair_rank.llava",
    ("video_generation", 1): "video_gen.point_5dim",
    ("video_generation", 2): "video_gen.pair_rank.llava",
    ("image_understanding", 1): "image_und.point_score.llava",
    ("image_understanding", 2): "image_und.pair_rank.llava",
    ("video_understanding", 1): "video_und.point_score",
    ("video_understanding", 2): "video_und.pair_rank.llava_5factor",
}

V2: RubricTable = {
    ("image_generation", 1): "image_gen.point_ACS.v2",
    ("image_generation", 2): "image_gen.pair_score_ACS.v2",
    ("video_generation", 1): "video_gen.point_APS.v2",
    ("video_generation", 2): "video_gen.pair_score_ACS.v2",
    **UNDERSTANDING_QWEN,
}

THINK_V1: RubricTable = {
    ("image_generation", 2): "think.image_gen.v1",
    ("video_generation", 2): "think.video_gen.v1",
    ("image_understanding", 2): "think.image_und.v1",
    ("video_understanding", 2): "think.video_und.v1",
}

THINK_QWEN3: RubricTable = {
    ("image_generation", 2): "think.image_gen.qwen3",
    ("video_generation", 2): "think.video_gen.qwen3",
    ("image_understanding", 2): "think.image_und.qwen3",
    ("video_understanding", 2): "think.video_und.qwen3",
}

EDIT: RubricTable = {
    # Trained on top of 2.0, with its text-to-image prompts unchanged.
    ("image_generation", 1): "image_gen.point_ACS.v2",
    ("image_generation", 2): "image_gen.pair_score_ACS.v2",
    ("image_editing", 1): "edit.point_instruction_following",
    ("image_editing", 2): "edit.pair_rank",
}

FLEX: RubricTable = {("image_generation", 2): "flex.image_gen", ("video_generation", 2): "flex.video_gen"}

LLAVA_LAYOUT = (
    "its checkpoints have the layout of the original LLaVA code, which neither transformers nor vLLM loads. Serve it "
    "with SGLang (`python -m sglang.launch_server --model-path ID --chat-template chatml-llava`) and give the server's "
    "URL instead"
)

NO_THINKING = {"enable_thinking": False}

FAMILIES: tuple[Family, ...] = (
    Family(
        name="v1-llava",
        base="LLaVA-OneVision",
        pattern=r"UnifiedReward-(0\.5b|7b(-v1\.5)?)",
        checkpoints=published("UnifiedReward", "0.5b", "7b", "7b-v1.5"),
        rubrics=V1_LLAVA,
        only_served=LLAVA_LAYOUT,
    ),
    Family(
        name="v1-qwen",
        base="Qwen2.5-VL",
        pattern=r"UnifiedReward-qwen-\d+b",
        checkpoints=published("UnifiedReward-qwen", "3b", "7b", "32b"),
        rubrics=V1_QWEN,
    ),
    Family(
        name="2.0-qwen",
        base="Qwen2.5-VL",
        pattern=r"UnifiedReward-2\.0-qwen-\d+b",
        checkpoints=published("UnifiedReward-2.0-qwen", "3b", "7b", "32b", "72b"),
        rubrics=V2,
    ),
    Family(
        name="2.0-qwen3vl",
        base="Qwen3-VL",
        pattern=r"UnifiedReward-2\.0-qwen3vl-\d+b",
        checkpoints=published("UnifiedReward-2.0-qwen3vl", "2b", "4b", "8b", "32b"),
        rubrics=V2,
    ),
    Family(
        name="2.0-qwen35",
        base="Qwen3.5",
        pattern=r"UnifiedReward-2\.0-qwen35-[\d.]+b",
        checkpoints=published("UnifiedReward-2.0-qwen35", "4b", "9b"),
        rubrics=V2,
        chat_template_kwargs=NO_THINKING,
    ),
    Family(
        name="think-llava",
        base="LLaVA-OneVision",
        pattern=r"UnifiedReward-Think-7b",
        checkpoints=published("UnifiedReward-Think", "7b"),
        rubrics=THINK_V1,
        only_served=LLAVA_LAYOUT,
    ),
    Family(
        name="think-qwen",
        base="Qwen2.5-VL",
        pattern=r"UnifiedReward-Think-qwen-\d+b",
        checkpoints=published("UnifiedReward-Think-qwen", "7b"),
        rubrics=THINK_V1,
    ),
    Family(
        name="think-qwen3vl",
        base="Qwen3-VL",
        pattern=r"UnifiedReward-Think-qwen3vl-\d+b",
        checkpoints=published("UnifiedReward-Think-qwen3vl", "2b", "4b", "8b", "32b"),
        rubrics=THINK_QWEN3,
    ),
    Family(
        name="think-qwen35",
        base="Qwen3.5",
        pattern=r"UnifiedReward-Think-qwen35-[\d.]+b",
        checkpoints=published("UnifiedReward-Think-qwen35", "9b"),
        rubrics=THINK_QWEN3,
        chat_template_kwargs=NO_THINKING,
    ),
    Family(
        name="edit-qwen",
        base="Qwen2.5-VL",
        pattern=r"UnifiedReward-Edit-qwen-\d+b",
        checkpoints=published("UnifiedReward-Edit-qwen", "3b", "7b", "32b", "72b"),
        rubrics=EDIT,
    ),
    Family(
        name="edit-qwen3vl",
        base="Qwen3-VL",
        pattern=r"UnifiedReward-Edit-qwen3vl-\d+b",
        checkpoints=published("UnifiedReward-Edit-qwen3vl", "2b", "4b", "8b", "32b"),
        rubrics=EDIT,
    ),
    Family(
        name="edit-qwen35",
        base="Qwen3.5",
        pattern=r"UnifiedReward-Edit-qwen35-[\d.]+b",
        checkpoints=published("UnifiedReward-Edit-qwen35", "9b"),
        rubrics=EDIT,
        chat_template_kwargs=NO_THINKING,
    ),
    Family(
        name="flex-qwen3vl",
        base="Qwen3-VL",
        pattern=r"UnifiedReward-Flex-qwen3vl-\d+b",
        checkpoints=published("UnifiedReward-Flex-qwen3vl", "2b", "4b", "8b", "32b"),
        rubrics=FLEX,
    ),
    Family(
        name="flex-qwen35",
        base="Qwen3.5",
        pattern=r"UnifiedReward-Flex-qwen35-[\d.]+b",
        checkpoints=published("UnifiedReward-Flex-qwen35", "9b"),
        rubrics=FLEX,
        chat_template_kwargs=NO_THINKING,
    ),
)
"""Every published family. A size that is published later is recognised by its name."""
