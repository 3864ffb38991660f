"""Where choices are read: the place where their tokens part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from unireward_plugins.backends.slots import Slot, answer_slot
from unireward_plugins.errors import BackendError


def words(text: str) -> list[int]:
    """A tokenizer that makes one token of a space and the letter behind it, and else of each letter."""
    ids, place = [], 0
    while place < len(text):
        taken = text[place : place + 2] if text[place] == " " and text[place + 1 : place + 2].isalpha() else text[place]
        ids.append(sum(ord(letter) << (8 * index) for index, letter in enumerate(taken)))
        place += len(taken)
    return ids


def test_choices_right_behind_the_prompt() -> None:
    assert answer_slot("a:", ["1", "2"], words, "m") == Slot(0, (), (ord("1"), ord("2")))


def test_what_choices_share_becomes_part_of_the_prompt() -> None:
    assert answer_slot("a:", [":1", ":2"], words, "m") == Slot(0, (ord(":"),), (ord("1"), ord("2")))


def test_a_space_that_joins_the_choice_leaves_the_prompt() -> None:
    slot = answer_slot("a: ", ["x", "y"], words, "m")
    assert slot == Slot(1, (), (words(" x")[0], words(" y")[0]))


def test_one_choice_alone_has_a_probability_too() -> None:
    assert answer_slot("a: ", ["1"], words, "m") == Slot(0, (), (ord("1"),))


@pytest.mark.parametrize(
    ("choices", "complaint"),
    [
        (["1", "10"], r"makes 0 tokens.*'1'|makes 2 tokens, not one, of the choice '10'"),
        (["yes", "no"], r"makes 3 tokens, not one, of the choice 'yes' after 'a:'"),
        (["1", "1"], "the same token to two of the choices"),
        (["", "1"], r"of the choice"),
    ],
)
def test_choices_that_cannot_be_read_in_one_step_are_refused(choices: list[str], complaint: str) -> None:
    with pytest.raises(BackendError, match=complaint) as caught:
        answer_slot("a:", choices, words, "some/model")
    assert "some/model" in str(caught.value)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_5", "llava"])
@pytest.mark.parametrize("prefill", ["Image ", "Image", "<answer>Answer ", "Final Score: ", "[", '"', ""])
def test_the_tokens_of_a_slot_spell_the_text(kind: str, prefill: str, checkpoint: Callable[[str], Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint(kind))
    prompt = "<|im_start|>assistant\n" + prefill
    slot = answer_slot(prompt, ["1", "2"], lambda text: list(tokenizer(text)["input_ids"]), kind)
    ids = tokenizer(prompt)["input_ids"]
    for choice, token in zip(["1", "2"], slot.choice_ids, strict=True):
        read = [*ids[: len(ids) - slot.dropped], *slot.added, token]
        assert tokenizer.decode(read, skip_special_tokens=False).endswith(prompt + choice)
        assert read == tokenizer(prompt + choice)["input_ids"]
