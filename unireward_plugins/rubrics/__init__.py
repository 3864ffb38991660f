"""Rubrics: the questions that judges are asked, each with the way its answers are read."""

from collections.abc import Mapping
from types import MappingProxyType

from unireward_plugins.rubrics.published import PUBLISHED
from unireward_plugins.rubrics.rubric import Readout, Rubric
from unireward_plugins.rubrics.slot import AnswerSlot, digit_slot, pair_slot

__all__ = ["BUILTIN", "AnswerSlot", "Readout", "Rubric", "digit_slot", "pair_slot"]

BUILTIN: Mapping[str, Rubric] = MappingProxyType({rubric.name: rubric for rubric in PUBLISHED})
"""The rubrics of the published UnifiedReward models, by name."""
