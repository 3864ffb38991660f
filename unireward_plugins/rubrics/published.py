"""The rubrics that the published UnifiedReward models were trained on, one line each; `SOURCES.md` says where from.

Token limits leave room for the longest reply that a format calls for; models stop by themselves long before them.
"""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from unireward_plugins.media import FrameRule
from unireward_plugins.parsing import (
    Reader,
    dim_lines,
    edit_json,
    edit_pair_numbers,
    final_score,
    five_dim,
    flex_json,
    overall_judgment,
    pair_blocks,
    think_answer,
    verdict,
    word_scores,
)
from unireward_plugins.rubrics.rubric import Rubric
from unireward_plugins.rubrics.slot import AnswerSlot, digit_slot, pair_slot
from unireward_plugins.types import Task

EIGHT = FrameRule("linspace", count=8)
"""What v1, Think and Flex see of a clip."""
FLOOR_EIGHT = FrameRule("floor", count=8)
"""What 2.0 sees of each of two clips."""
FLOOR_SIXTEEN = FrameRule("floor", count=16)
"""What 2.0 sees of a clip that it scores alone."""

IMAGE, VIDEO, ANSWER, RESPONSE = (pair_slot(f"{noun} ") for noun in ("Image", "Video", "Answer", "Response"))
JUDGMENT = pair_slot("Overall Judgment: Answer ")
FINAL_1_5 = digit_slot("Final Score: ", 1, 5)

ACS = ("alignment", "coherence", "style")
APS = ("alignment", "physics", "style")

_PROMPTS = files("unireward_plugins.rubrics") / "prompts"


def _template(name: str) -> str:
    # Bytes, since reading as text would change line ends.
    return (_PROMPTS / f"{name}.txt").read_bytes().decode("utf-8")


def _rubric(  # noqa: PLR0913  # one argument a column of the table
    name: str,
    task: Task,
    arity: int,
    family: str,
    read: Reader,
    *,
    tokens: int,
    frames: FrameRule | None = None,
    slot: AnswerSlot | None = None,
    shows_context: bool = True,
) -> Rubric:
    return Rubric(
        name,
        task=task,
        arity=arity,
        template=_template(name),
        read=read,
        family=family,
        frames=frames,
        max_tokens=tokens,
        slot=slot,
        shows_context=shows_context,
    )


_picture = partial(_rubric, task="image_generation")
_clip = partial(_rubric, task="video_generation", frames=EIGHT)
_about_picture = partial(_rubric, task="image_understanding")
_about_clip = partial(_rubric, task="video_understanding", frames=EIGHT)
_edit = partial(_rubric, task="image_editing", family="edit")

WITH_TIES, NO_TIES = verdict(ties=True), verdict(ties=False)

PUBLISHED: tuple[Rubric, ...] = (
    # v1 and 1.5, LLaVA and Qwen
    _picture("image_gen.pair_rank.llava", arity=2, family="v1", read=WITH_TIES, tokens=64, slot=IMAGE),
    _picture("image_gen.pair_rank.qwen", arity=2, family="v1", read=WITH_TIES, tokens=64, slot=IMAGE),
    _picture("image_gen.point_score.v1", arity=1, family="v1", read=final_score(1, 5), tokens=512, slot=FINAL_1_5),
    _picture("image_gen.point_score.short", arity=1, family="v1", read=final_score(1, 5), tokens=64, slot=FINAL_1_5),
    _picture("image_gen.point_ACS_wordwise", arity=1, family="v1.5", read=word_scores(*ACS), tokens=2048),
    _clip("video_gen.pair_rank.llava", arity=2, family="v1", read=WITH_TIES, tokens=64, slot=VIDEO),
    _clip("video_gen.pair_rank.qwen", arity=2, family="v1", read=WITH_TIES, tokens=64, slot=VIDEO),
    _clip("video_gen.point_5dim", arity=1, family="v1", read=five_dim(), tokens=128),
    # The trained wording of this verdict is not known ("the first response" in the prompt), so it has no slot.
    _about_picture("image_und.pair_rank.llava", arity=2, family="v1", read=NO_TIES, tokens=512),
    _about_picture("image_und.pair_rank.qwen", arity=2, family="v1", read=NO_TIES, tokens=512, slot=ANSWER),
    _about_picture("image_und.point_score.llava", arity=1, family="v1", read=final_score(0, 100), tokens=512),
    _about_picture("image_und.point_score.qwen", arity=1, family="v1", read=final_score(0, 100), tokens=512),
    _about_clip("video_und.pair_rank.llava_5factor", arity=2, family="v1", read=NO_TIES, tokens=512, slot=RESPONSE),
    _about_clip("video_und.pair_rank.qwen", arity=2, family="v1", read=overall_judgment(), tokens=1024, slot=JUDGMENT),
    _about_clip("video_und.point_score", arity=1, family="v1", read=final_score(1, 5), tokens=512, slot=FINAL_1_5),
    # Used upstream to sift data with v1 models; "10" is two tokens, so 1..10 has no slot
    _picture("image_gen.point_score.sift_1_10", arity=1, family="sift", read=final_score(1, 10), tokens=512),
    _clip("video_gen.point_score.sift_1_10", arity=1, family="sift", read=final_score(1, 10), tokens=64),
    _about_picture(
        "image_und.pair_rank.sift", arity=2, family="sift", read=overall_judgment(), tokens=1024, slot=JUDGMENT
    ),
    # 2.0
    _picture("image_gen.point_ACS.v2", arity=1, family="2.0", read=dim_lines(*ACS), tokens=128),
    _picture("image_gen.pair_score_ACS.v2", arity=2, family="2.0", read=pair_blocks(*ACS), tokens=256),
    _clip("video_gen.point_APS.v2", arity=1, family="2.0", read=dim_lines(*APS), tokens=128, frames=FLOOR_SIXTEEN),
    _clip("video_gen.pair_score_ACS.v2", arity=2, family="2.0", read=pair_blocks(*ACS), tokens=256, frames=FLOOR_EIGHT),
    # Think
    _picture("think.image_gen.v1", arity=2, family="think", read=think_answer(), tokens=2048),
    _picture("think.image_gen.qwen3", arity=2, family="think", read=think_answer(), tokens=2048),
    _clip("think.video_gen.v1", arity=2, family="think", read=think_answer(), tokens=2048),
    _clip("think.video_gen.qwen3", arity=2, family="think", read=think_answer(), tokens=2048),
    _about_picture("think.image_und.v1", arity=2, family="think", read=think_answer(), tokens=2048),
    _about_picture("think.image_und.qwen3", arity=2, family="think", read=think_answer(), tokens=2048),
    _about_clip("think.video_und.v1", arity=2, family="think", read=think_answer(), tokens=2048),
    _about_clip("think.video_und.qwen3", arity=2, family="think", read=think_answer(), tokens=2048),
    # Edit
    _edit("edit.pair_rank", arity=2, read=NO_TIES, tokens=512, slot=pair_slot("Edited image ")),
    _edit("edit.pair_score", arity=2, read=edit_pair_numbers(), tokens=512),
    _edit("edit.point_instruction_following", arity=1, read=edit_json("edit_success", "no_overediting"), tokens=1024),
    # The quality of the edit alone, without the picture that it was made from
    _edit(
        "edit.point_quality", arity=1, read=edit_json("naturalness", "no_artifacts"), tokens=1024, shows_context=False
    ),
    # Flex
    _picture("flex.image_gen", arity=2, family="flex", read=flex_json(), tokens=4096),
    _clip("flex.video_gen", arity=2, family="flex", read=flex_json(), tokens=4096),
)
