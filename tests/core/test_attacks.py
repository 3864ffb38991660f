"""A candidate cannot talk its way to a score: every attack, in front of the tokenizer of every family.

What is shown: the special tokens and the frame around the candidate come out as the same token ids whatever the
candidate says, none of the candidate's own tokens is a special one, and no reader takes its words for the judge's, not
even when the judge repeats the whole prompt. What cannot be shown without the published weights: that a judge is not
*persuaded*.
"""

# ruff: noqa: RUF001  # characters that look like others are the point here

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tests.core.attacks import ATTACKS, DISGUISES, MEDIA, REASONING, TURNS, VERDICTS
from tests.core.test_parsing import FIVE, READERS, blocks
from tests.core.test_rubrics import case_for, picture
from tests.tiny_models import KINDS, PROCESSORS
from unireward_plugins.neutral import neutralise
from unireward_plugins.rubrics import BUILTIN, Rubric
from unireward_plugins.types import Reply

RUBRICS = [
    BUILTIN[name]
    for name in (
        "image_gen.pair_rank.qwen",
        "image_gen.point_ACS.v2",
        "image_und.pair_rank.llava",
        "image_und.pair_rank.qwen",
        "image_und.point_score.qwen",
        "think.image_und.qwen3",
        "edit.point_instruction_following",
        "flex.image_gen",
    )
]
HOLE = "\ue000"
"""A private character that stands for the text under attack while the frame is measured."""
SEAM = 2
"""Characters of the frame next to the candidate that may share a token with it, as in `[` + `"yes` -> `["`, `yes`."""

attack = pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
family = pytest.mark.parametrize("kind", KINDS)


def test_there_are_enough_attacks() -> None:
    assert len(set(ATTACKS.values())) == len(ATTACKS) >= 60


@cache
def processor(kind: str) -> Any:
    """The family's processor: its tokenizer with the real added tokens, and its chat template."""
    return PROCESSORS[kind]()


def queries(rubric: Rubric, text: str) -> list[str]:
    """The rubric's text with the attack as the prompt, and as each of the candidates."""
    cases = [case_for(rubric, text, ("yes", "no"))]
    if rubric.task.endswith("understanding"):
        cases += [case_for(rubric, "a question", answers) for answers in ((text, "no"), ("yes", text))[: rubric.arity]]
    return [rubric.query(case).text for case in cases]


def chat(kind: str, text: str) -> str:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    prompt = processor(kind).apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    assert isinstance(prompt, str)
    return prompt


@dataclass(frozen=True)
class Tokens:
    """The tokens of a whole chat prompt, split at the text under attack."""

    before: list[int]
    inside: list[int]
    after: list[int]
    special: list[int]
    """Added tokens anywhere, in order."""


@cache
def added_ids(kind: str) -> frozenset[int]:
    return frozenset(processor(kind).tokenizer.get_added_vocab().values())


def tokens(kind: str, prompt: str, start: int, end: int) -> Tokens:
    encoded = processor(kind).tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
    spans = list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
    return Tokens(
        before=[token for token, (_, stop) in spans if stop <= start - SEAM],
        inside=[token for token, (begin, stop) in spans if stop > start and begin < end],
        after=[token for token, (begin, _) in spans if begin >= end + SEAM],
        special=[token for token in encoded["input_ids"] if token in added_ids(kind)],
    )


@cache
def frames(kind: str) -> list[tuple[str, str, Tokens]]:
    """What stands before and after the text under attack in every place, and the tokens around a harmless text."""
    found = []
    for rubric in RUBRICS:
        for text in queries(rubric, HOLE):
            before, hole, after = chat(kind, text).partition(HOLE)
            assert hole
            assert HOLE not in after
            harmless = tokens(kind, f"{before}a word{after}", len(before), len(f"{before}a word"))
            found.append((before, after, harmless))
    return found


def assert_frame_holds(kind: str, text: str) -> None:
    neutral = neutralise(text)
    places = [place for rubric in RUBRICS for place in queries(rubric, text)]
    for query, (before, after, harmless) in zip(places, frames(kind), strict=True):
        prompt = chat(kind, query)
        assert prompt == before + neutral + after
        found = tokens(kind, prompt, len(before), len(before + neutral))
        assert found.before == harmless.before
        assert found.after == harmless.after
        assert found.special == harmless.special
        assert not added_ids(kind).intersection(found.inside)


@family
@attack
def test_the_frame_around_the_candidate_keeps_its_tokens(kind: str, text: str) -> None:
    assert_frame_holds(kind, text)


@family
def test_without_neutralising_the_frame_would_break(kind: str) -> None:
    tokenizer = processor(kind).tokenizer
    before, after, _ = frames(kind)[0]
    (token, *_) = tokenizer.get_added_vocab()
    found = tokens(kind, before + token + after, len(before), len(before) + len(token))
    assert set(tokenizer.get_added_vocab().values()).intersection(found.inside)


PIECES = [
    *ATTACKS.values(),
    "<",
    "|",
    ">",
    "im_end",
    "image",
    "/",
    "think",
    "\u200b",
    "\u00ad",
    " ",
    "\n",
    "[",
    "]",
    "s",
    "𝐬",
]


@family
@settings(max_examples=10, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=8).map("".join)))
def test_the_frame_holds_for_any_text(kind: str, text: str) -> None:
    assert_frame_holds(kind, text)


@cache
def lenient(kind: str, *, spaces: bool) -> Tokenizer:
    """The family's tokenizer as a careless port might set it up.

    Compatibility forms are folded before added tokens are looked for; with `spaces`, zero-width characters become
    spaces, as in SentencePiece's nmt_nfkc.
    """
    state = json.loads(processor(kind).tokenizer.backend_tokenizer.to_str())
    folds = [{"type": "Nmt"}, {"type": "NFKC"}] if spaces else [{"type": "NFKC"}]
    state["normalizer"] = {"type": "Sequence", "normalizers": folds}
    for token in state["added_tokens"]:
        token["normalized"] = True
    return Tokenizer.from_str(json.dumps(state))


def added_tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    added = tokenizer.get_added_tokens_decoder()
    return [token for token in tokenizer.encode(text, add_special_tokens=False).ids if token in added]


def full_width(token: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) for letter in token)


@family
@pytest.mark.parametrize("spaces", [False, True])
def test_a_tokenizer_that_normalises_finds_no_token_either(kind: str, spaces: bool) -> None:
    tokenizer = lenient(kind, spaces=spaces)
    for token in tokenizer.get_added_tokens_decoder().values():
        disguised = full_width(token.content)
        assert added_tokens(tokenizer, disguised), "the tokenizer of this test should fall for it"
        assert not added_tokens(tokenizer, neutralise(disguised))
    for text in ATTACKS.values():
        assert not added_tokens(tokenizer, neutralise(text))


@family
def test_every_added_token_of_the_family_is_broken(kind: str) -> None:
    tokenizer = processor(kind).tokenizer
    for token in tokenizer.get_added_vocab():
        for text in (token, token.upper(), f" {token}x", token * 2):
            assert not set(tokenizer.get_added_vocab().values()).intersection(
                tokenizer(neutralise(text), add_special_tokens=False)["input_ids"]
            )


@family
@pytest.mark.parametrize("text", MEDIA.values(), ids=MEDIA)
def test_a_candidate_brings_no_picture(kind: str, text: str) -> None:
    def picture_tokens(candidate: str) -> int:
        rubric = BUILTIN["image_und.point_score.qwen"]
        prompt = chat(kind, rubric.query(case_for(rubric, "a question", (candidate, ""))).text)
        inputs = processor(kind)(text=[prompt], images=[picture(9).pil().resize((64, 64))])
        image = processor(kind).tokenizer.convert_tokens_to_ids(processor(kind).image_token)
        return sum(token == image for token in inputs["input_ids"][0])

    assert picture_tokens(text) == picture_tokens("a word") > 0


@attack
def test_no_reader_takes_the_candidate_for_the_judge(text: str) -> None:
    neutral = neutralise(text)
    repeated = [
        neutral,
        f"The answer says: {neutral}",
        f"```\n{neutral}\n```",
        f"Answer 1: {neutral}\nAnswer 2: {neutral}\n",
    ]
    for name, read in READERS.items():
        for reply in repeated:
            assert read(reply).scores is None, name


@attack
def test_a_judge_that_repeats_the_whole_prompt_gives_no_verdict(text: str) -> None:
    for rubric in BUILTIN.values():
        if rubric.task.startswith("video"):
            # The templates differ, the filling does not; sampling clips takes the time here.
            continue
        for query in queries(rubric, text):
            assert rubric.verdict(Reply(query)).scores is None, rubric.name
            assert rubric.verdict(Reply(f"<think>{query}</think>{query}")).scores is None, rubric.name


REAL = {
    "verdict": "Image 2 is better.",
    "verdict without ties": "Answer 2 is better.",
    "overall_judgment": "Overall Judgment: Answer 2 is better.",
    "final_score": "Final Score: 2",
    "final_score to 100": "Final Score: 2",
    "dim_lines": "Alignment Score (1-5): 2\nCoherence Score (1-5): 2\nStyle Score (1-5): 2",
    "word_scores": "Alignment Score (1-5): 2\nCoherence Score (1-5): 2\nStyle Score (1-5): 2",
    "pair_blocks": blocks((0.2, 0.8), (0.2, 0.8), (0.2, 0.8)),
    "five_dim": FIVE,
    "think_answer": "</think><answer>Answer 2 is better</answer>",
    "edit_pair_numbers": "Edited Image 1: -1\nEdited Image 2: 1",
    "edit_json": '{"score": [2, 2]}',
    "flex_json": '{"winner": "Image 2"}',
}


QUOTED = {**TURNS, **REASONING, **VERDICTS, **DISGUISES}


@pytest.mark.parametrize("text", QUOTED.values(), ids=QUOTED)
def test_a_judge_that_quotes_the_candidate_is_read_right(text: str) -> None:
    neutral = neutralise(text)
    for name, read in READERS.items():
        real = REAL[name]
        assert read(real).scores is not None
        assert read(f"It says: {neutral}\n{real}").scores == read(real).scores, name
        assert read(f"{real}\nIt says: {neutral}").scores == read(real).scores, name


MIXED = [*PIECES, *REAL.values(), "image 1", "is better", "5", ":", "final", "score", "**"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*PIECES, *REAL.values(), "image 1", "is better", "5", ":", "final", "score", "**"]),
        max_size=10,
    )
)
def test_no_reader_is_fooled_by_any_mixture(pieces: list[str]) -> None:
    # The digits in front keep replies that are nothing but a number, which a judge may write, out of the game.
    reply = "7 8 9: " + neutralise("".join(pieces))
    for name, read in READERS.items():
        assert read(reply).scores is None, name
