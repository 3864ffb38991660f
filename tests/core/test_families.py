"""The zoo: every id belongs to one family, and every family's rubrics exist and fit."""

import pytest

from unireward_plugins import plugins
from unireward_plugins.families import FAMILIES, Family

CHECKPOINTS = [(checkpoint, family.name) for family in FAMILIES for checkpoint in family.checkpoints]


@pytest.mark.parametrize(("checkpoint", "name"), CHECKPOINTS)
def test_every_published_id_belongs_to_its_family_alone_also_by_name(checkpoint: str, name: str) -> None:
    assert [family.name for family in FAMILIES if family.has(checkpoint)] == [name]
    folder = f"/models/{checkpoint.split('/')[1].lower()}/"
    assert [family.name for family in FAMILIES if family.has(folder)] == [name]


def test_a_size_that_is_published_later_is_recognised() -> None:
    assert [family.name for family in FAMILIES if family.has("CodeGoat24/UnifiedReward-Flex-qwen35-27b")] == [
        "flex-qwen35"
    ]


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen3-VL-8B-Instruct", "UnifiedReward", "UnifiedReward-2.0-qwen3vl-8b-mine", ""]
)
def test_other_names_belong_to_none(name: str) -> None:
    assert not [family.name for family in FAMILIES if family.has(name)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_rubrics_of_a_family_exist_and_judge_what_the_table_says(family: Family) -> None:
    for (task, arity), name in family.rubrics.items():
        rubric = plugins.find_rubric(name)
        assert (rubric.task, rubric.arity) == (task, arity)


def test_thinking_is_switched_off_for_the_qwen35_bases_alone() -> None:
    for family in FAMILIES:
        assert (family.chat_template_kwargs == {"enable_thinking": False}) == (family.base == "Qwen3.5")
