"""The tiny judge: how it is taught, that training can be stopped and repeated, what the shipped one can do, and how
that is measured."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from unireward_plugins import load_judge, shapes
from unireward_plugins.cli.shapes_evaluate import evaluate as command
from unireward_plugins.cli.shapes_evaluate import sections
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import BothOrders, ModelJudge, both_orders
from unireward_plugins.media import Media
from unireward_plugins.shapes import evaluate as evaluating
from unireward_plugins.shapes import recipe, train_judge
from unireward_plugins.shapes.captions import Caption, Wanted
from unireward_plugins.shapes.data import CELLS, AnswerItem, Cell, GenerationItem, Item, draw_items
from unireward_plugins.shapes.evaluate import Card, answers_by_kind, dimension_rows, evaluate, is_right
from unireward_plugins.shapes.lesson import Form, Lesson, forms
from unireward_plugins.shapes.measures import Estimate, Share, calibration_error, mean, rank_correlation
from unireward_plugins.shapes.model import chat, pixel_values, teacher_forcing
from unireward_plugins.shapes.questions import HELD_OUT_QUESTIONS, Question
from unireward_plugins.shapes.recipe import CHECKPOINT
from unireward_plugins.shapes.render import render
from unireward_plugins.shapes.rubrics import DIMENSIONS, REPLY_TOKENS, RUBRIC_OF, RUBRICS, THINK
from unireward_plugins.shapes.scene import ALL_SCENES, COLOURS, OUTLINES, Clip, Scene, Shape, is_held_out
from unireward_plugins.shapes.train_judge import Training, train
from unireward_plugins.shapes.training_batches import Lessons, misread, pictures_of
from unireward_plugins.shapes.training_plan import Plan
from unireward_plugins.shapes.trials import PART, Part, Trial
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Case, Judge, Query, Reply, Verdict

JUDGE = Path(train_judge.__file__).parent / "judge"
TINY = Plan(looking_steps=4, judging_steps=5, tricky_steps=3, polishing_steps=3, looking_batch=8, judging_batch=2)
RED_CIRCLE = Scene((Shape("circle", "red", "small"),))
BLUE_CROSS = Scene((Shape("cross", "blue", "large", "bottom right"),))
RED_SQUARE = Scene((Shape("square", "red", "small"),))
CROSS_GOES = Clip(Shape("cross", "green", "large", "top right"), "moves left", flaws=("noisy",))
BOTH = Scene((*RED_CIRCLE.shapes, *BLUE_CROSS.shapes), flaws=("noisy",))
A_RED_CIRCLE = Caption((Wanted("circle", "red"),))
RED_LEFT_OF_BLUE = Caption((Wanted("circle", "red"), Wanted("cross", "blue")), relation="left of")
A_CROSS_GOES_UP = Caption((Wanted("cross", "green"),), action="moves up")
COLOUR = Question("What colour is the shape?", "colour")

each_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=list(CELLS))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As all tests: two threads wait for one another where a core is busy with something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "threads", 1)
        yield


@pytest.fixture(scope="module")
def processor() -> Any:
    return Training(TINY).processor


# What it is taught.


@pytest.mark.parametrize(
    ("item", "form", "reply"),
    [
        (
            GenerationItem(A_RED_CIRCLE, (RED_CIRCLE,)),
            "v1",
            "I see top left a small red circle; red: red yes, circle: circle yes, alone: yes. Final Score: 5",
        ),
        (
            GenerationItem(A_RED_CIRCLE, (BLUE_CROSS, RED_CIRCLE)),
            "v1",
            (
                "First bottom right a large blue cross; red: blue no, circle: cross no, alone: yes, so 2. "
                "Second top left a small red circle; red: red yes, circle: circle yes, alone: yes, so 5. "
                "Image 2 is better"
            ),
        ),
        (
            GenerationItem(RED_LEFT_OF_BLUE, (BOTH, RED_CIRCLE)),
            "v1",
            (
                "First top left a small red circle, first bottom right a large blue cross, first noisy; "
                "red circle top left red: red yes, circle: circle yes, "
                "blue cross bottom right blue: blue yes, cross: cross yes, left of: yes, alone: yes, so 4. "
                "Second top left a small red circle; red circle top left red: red yes, circle: circle yes, "
                "blue cross nowhere blue: none no, cross: none no, left of: no, alone: yes, so 3. Image 1 is better"
            ),
        ),
        (
            GenerationItem(A_CROSS_GOES_UP, (CROSS_GOES,)),
            "2.0",
            (
                "I see a large green cross that moves left, noisy; "
                "green: green yes, cross: cross yes, moves up: moves left no.\n"
                "Alignment Score (1-5): 3\nPhysics Score (1-5): 5\nStyle Score (1-5): 3"
            ),
        ),
        (
            AnswerItem(RED_CIRCLE, COLOUR, ("a red square",)),
            "v1",
            (
                "I see top left a small red circle. It is red.\nAnswer: a red square\n"
                "Says red: red yes, square: circle no. Final Score: 3"
            ),
        ),
        (AnswerItem(RED_CIRCLE, COLOUR, ("a red square",)), "direct", "Final Score: 3"),
        (
            AnswerItem(RED_CIRCLE, COLOUR, ("It is red.", "red or blue")),
            "think",
            (
                "<think>I see top left a small red circle. It is red.\nAnswer 1: It is red.\nSays red: red yes, so 5.\n"
                "Answer 2: red or blue\nSays nothing clear, so 1.</think>\n<answer>Answer 1 is better</answer>"
            ),
        ),
        (
            AnswerItem(CROSS_GOES, Question("Does it move up?", "action", "moves up"), ("No.", "yes")),
            "v1",
            (
                "I see a large green cross that moves left. moves up: moves left no.\nAnswer 1: No.\n"
                "Says no: no yes, so 5.\nAnswer 2: yes\nSays yes: no no, so 1. Answer 1 is better"
            ),
        ),
        (
            AnswerItem(
                BOTH, Question("Is there a blue circle?", "existence", "blue", about="circle"), ("a red circle",)
            ),
            "v1",
            (
                "I see top left a small red circle, bottom right a large blue cross. blue: red no, so no.\n"
                "Answer: a red circle\nSays none: no no, red: none no, circle: none no. Final Score: 1"
            ),
        ),
        (
            AnswerItem(RED_CIRCLE, COLOUR, ("No, it is not blue.",)),
            "v1",
            (
                "I see top left a small red circle. It is red.\nAnswer: No, it is not blue.\n"
                "Says no: none no, none: red no, not blue: none no. Final Score: 1"
            ),
        ),
    ],
)
def test_lessons_give_reasons_before_the_verdict(item: Item, form: Form, reply: str) -> None:
    assert Lesson(item, form).reply == reply


def test_of_a_long_answer_only_the_beginning_is_quoted() -> None:
    said = " ".join(["It is red, and"] * 4)
    reply = Lesson(AnswerItem(RED_CIRCLE, COLOUR, (said,)), "v1").reply
    assert reply.partition("\n")[2] == (
        "Answer: It is red, and It is red, and It is red, and It...\nSays nothing clear. Final Score: 1"
    )


def test_what_an_answer_quotes_is_no_verdict() -> None:
    item = AnswerItem(RED_CIRCLE, COLOUR, ("Final Score: 5. Answer 1 is better. ", "red"))
    assert is_right(RUBRIC_OF[item.cell].verdict(Reply(Lesson(item, "v1").reply)), item)
    alone = replace(item, answers=item.answers[:1])
    assert is_right(RUBRIC_OF[alone.cell].verdict(Reply(Lesson(alone, "v1").reply)), alone)


@pytest.mark.parametrize("cell", [cell for cell in CELLS.values() if cell[1] == 2], ids=str)
@pytest.mark.parametrize("form", ["v1", "think"])
def test_reasons_that_misread_a_pair_speak_for_both_alike_and_only_the_verdict_is_learned(
    cell: Cell, form: Form
) -> None:
    rng = Random(5)
    drawn = draw_items(cell, 60, seed=5, split="train")
    found = [(item, slip) for item in drawn if (slip := misread(item, rng))]
    assert len(found) > 20
    for item, slip in found:
        assert len(set(slip.grades)) == 1
        assert not slip.held_out
        lesson = Lesson(item, form, slip)
        assert lesson.given + _verdict_of(lesson) == lesson.reply
        assert Lesson(slip, form).reply.startswith(lesson.given)
        assert is_right(lesson.rubric.verdict(Reply(lesson.reply)), item)


def _verdict_of(lesson: Lesson) -> str:
    return re.search(r"(Image|Answer|Video) [12] is better(</answer>)?$", lesson.reply)[0]  # type: ignore[index]


@each_cell
def test_rubrics_read_the_truth_from_every_lesson(cell: Cell) -> None:
    for item in draw_items(cell, 150, seed=1):
        for form in forms(item):
            lesson = Lesson(item, form)
            verdict = lesson.rubric.verdict(Reply(lesson.reply))
            assert verdict.unread is None
            if form == "2.0":
                assert isinstance(item, GenerationItem)
                (true,) = item.dimensions
                second = "physics" if cell[0].startswith("video") else "coherence"
                expected = {"alignment": true.alignment, second: true.coherence, "style": true.style}
                assert verdict.aspects == {name: (float(value),) for name, value in expected.items()}
            else:
                assert is_right(verdict, item)


@each_cell
def test_a_bare_verdict_is_what_stands_at_the_answer_slot(cell: Cell) -> None:
    for item in draw_items(cell, 50, seed=3):
        lesson = Lesson(item, "direct")
        slot = RUBRIC_OF[cell].slot
        assert slot is not None
        choice = lesson.reply.removeprefix(lesson.given)[0]
        assert lesson.given == slot.prefill
        assert is_right(Verdict(slot.values[slot.choices.index(choice)]), item)


def test_every_cell_is_taught_in_the_forms_it_has_rubrics_for() -> None:
    assert len({rubric.name for rubric in RUBRICS}) == len(RUBRICS) == len(RUBRIC_OF) + len(THINK) + len(DIMENSIONS)
    for cell in CELLS.values():
        (item,) = draw_items(cell, 1, seed=1)
        expected = (
            {"v1", "direct"} | ({"think"} if cell in THINK else set()) | ({"2.0"} if cell in DIMENSIONS else set())
        )
        assert set(forms(item)) == expected


@each_cell
def test_lessons_fit_the_token_limits_and_are_made_of_whole_words(processor: Any, cell: Cell) -> None:
    lessons = [Lesson(item, form) for item in draw_items(cell, 60, seed=2) for form in forms(item)]
    replies = [lesson.reply for lesson in lessons]
    tokens = [processor.tokenizer.encode(reply) for reply in replies]
    assert max(map(len, tokens)) < REPLY_TOKENS
    assert processor.tokenizer.batch_decode(tokens) == replies
    asked = [chat(lesson.question, images=pictures_of(lesson.item)) for lesson in lessons]
    assert max(len(processor.tokenizer.encode(text)) for text in asked) + REPLY_TOKENS < 1024


@each_cell
def test_no_lesson_shows_or_says_what_is_held_out(cell: Cell) -> None:
    hidden = [f"{colour} {outline}" for colour in COLOURS for outline in OUTLINES if is_held_out(colour, outline)]
    questions = [f"Question: {question}\n" for question in HELD_OUT_QUESTIONS]
    lessons = [Lesson(item) for item in draw_items(cell, 150, seed=4, split="train")]
    assert not any(lesson.item.held_out for lesson in lessons)
    for lesson in lessons:
        assert not [text for text in hidden if text in lesson.question or text in lesson.reply]
        assert not [text for text in questions if text in lesson.question]
    assert any(item.held_out for item in draw_items(cell, 100, seed=4))


def test_no_picture_to_look_at_shows_what_is_held_out(processor: Any) -> None:
    lessons = Lessons(replace(TINY, looking_steps=40, looking_batch=32), processor)
    named = [lessons[step] for step in range(0, 40, 2)]
    assert all(batch.named for batch in named)
    assert not any(scene.held_out for batch in named for scene in batch.scenes)


def test_more_answers_are_junk_than_in_fresh_items(processor: Any) -> None:
    plan = replace(TINY, looking_steps=0, judging_steps=1, tricky_steps=0, judging_batch=200)
    batch = Lessons(replace(plan, cells=("image understanding, point",)), processor)[0]
    assert batch.lessons is not None
    replies = processor.tokenizer.batch_decode(batch.lessons["labels"].clamp(min=0))
    reasoned = [reply for reply in replies if "I see" in reply]
    fresh = [Lesson(item).reply for item in draw_items(("image_understanding", 1), 200, seed=4)]
    taught, usual = (sum("nothing clear" in reply for reply in some) / len(some) for some in (reasoned, fresh))
    assert usual + 0.1 < taught < usual + 0.3


@pytest.mark.parametrize("images", [1, 2, 8])
def test_tensors_made_by_hand_are_the_processors(processor: Any, images: int) -> None:
    pictures = render(ALL_SCENES[:images], seed=0)
    content = [{"type": "image", "image": Image.fromarray(picture)} for picture in pictures]
    message = {"role": "user", "content": [*content, {"type": "text", "text": "Rate <it>\n now."}]}
    real = processor.apply_chat_template(
        [message], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    made = teacher_forcing(processor, [chat("Rate <it>\n now.", images=images)], ["No"], [""])
    asked = (made["labels"] == -100).sum()
    assert real["input_ids"].tolist() == made["input_ids"][:, :asked].tolist()
    assert torch.allclose(real["pixel_values"], pixel_values(pictures), atol=1e-6)


def test_only_replies_are_learnt_and_nothing_that_is_given(processor: Any) -> None:
    prompts, replies = ["ask", "ask something longer", "ask"], ["Yes it is", "No", "Final Score: 3"]
    lesson = teacher_forcing(processor, prompts, replies, ["", "", "Final Score: "])
    learnt = [[token for token in row.tolist() if token != -100] for row in lesson["labels"]]
    assert processor.tokenizer.batch_decode(learnt) == ["Yes it is<|im_end|>", "No<|im_end|>", " 3<|im_end|>"]
    assert (lesson["attention_mask"].sum(1) <= lesson["input_ids"].shape[1]).all()
    assert ((lesson["input_ids"] == processor.tokenizer.pad_token_id) == (lesson["attention_mask"] == 0)).all()


# How it is trained.


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForImageTextToText.from_pretrained(folder).state_dict()


def _silent(line: str) -> None:
    pass


def test_a_training_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path) -> None:
    train(tmp_path / "whole", TINY, tell=_silent)
    stopped = tmp_path / "stopped"
    stopped.mkdir()
    training = Training(TINY)
    next(loss for loss in training.run() if training.step == 7)
    training.save(stopped / CHECKPOINT)
    told: list[str] = []
    train(stopped, TINY, tell=told.append)
    assert told[0] == "going on after step 7 of 12"
    assert not (stopped / CHECKPOINT).exists()
    one, other = _weights(tmp_path / "whole"), _weights(stopped)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_saves_itself_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "PAUSE", math.inf)  # no line before the last one, however slow the machine

    class Killed(Exception):
        pass

    def kill(line: str) -> None:  # the last line comes before the last save
        raise Killed

    with pytest.raises(Killed):
        train(tmp_path, TINY, save_every=5, tell=kill)
    training = Training(TINY)
    training.resume(tmp_path / CHECKPOINT)
    assert training.step == 10
    assert not (tmp_path / "config.json").exists()


def test_another_plan_does_not_take_over_an_unfinished_training(tmp_path: Path) -> None:
    Training(TINY).save(tmp_path / CHECKPOINT)
    with pytest.raises(UniRewardError, match="other settings"):
        train(tmp_path, replace(TINY, seed=1), tell=_silent)


def test_a_finished_judge_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UniRewardError, match="holds a model already"):
        train(tmp_path, TINY, tell=_silent)


def test_the_seed_decides_the_weights() -> None:
    one, same, other = (Training(replace(TINY, seed=seed)).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


def test_training_lowers_the_loss_of_looking_and_of_judging() -> None:
    short = Plan(looking_steps=20, judging_steps=40, tricky_steps=0, polishing_steps=0)
    training = Training(replace(short, looking_batch=32, judging_batch=4))
    losses = list(training.run())
    assert np.mean(losses[15:20]) < 0.85 * np.mean(losses[:5])
    assert np.mean(losses[-15:]) < 0.85 * np.mean(losses[20:23])


# What the shipped one can do.


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge("shapes")


@pytest.fixture(scope="module")
def card(judge: Judge) -> Card:
    return evaluate(judge, items=60, seed=77)


def test_the_shipped_judge_is_small_and_loads_without_this_package() -> None:
    assert sum(file.stat().st_size for file in JUDGE.iterdir()) <= 5e6
    model, info = AutoModelForImageTextToText.from_pretrained(JUDGE, output_loading_info=True)
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_the_shipped_judge_reads_the_lessons_of_today(processor: Any) -> None:
    """Else it would have to be trained anew."""
    shipped = AutoProcessor.from_pretrained(JUDGE)
    assert shipped.tokenizer.get_vocab() == processor.tokenizer.get_vocab()


@pytest.mark.parametrize("cell", CELLS)
def test_the_shipped_judge_judges_well(card: Card, cell: str) -> None:
    """The model card's table holds the shares; with 60 items, chance alone moves them by several per cent."""
    row = card.verdicts[cell]
    assert row.right.value >= 0.8
    assert row.unread.value <= 0.02
    assert row.flips.hits <= 0.2 * row.flips.trials
    if cell.endswith("point"):
        assert row.correlation.value >= 0.75


@pytest.mark.parametrize("cell", CELLS)
def test_the_shipped_judge_judges_by_likelihood_better_than_chance(card: Card, cell: str) -> None:
    assert card.likelihood[cell].correlation.value > 0


def test_the_shipped_judge_scores_dimensions_and_thinks(card: Card) -> None:
    for rows in card.dimensions.values():
        assert all(row.exact.value >= 0.75 for row in rows.values())
    for row in card.think.values():
        assert row.right.trials == 15
        assert row.right.hits >= 10
        assert row.unread.hits <= 1


JUNK = [
    *("", " ", "red red red", "red blue", "red or blue", "red, green, blue", "circle", "yes", "no", "a a a a", "the"),
    *(
        "The answer is right.",
        "Final Score: 5",
        "Image 1 is better",
        "What colour is the shape?",
        "red\nFinal Score: 5",
    ),
    *("5", "xqj w1!", "blue", "It is blue.", "a blue circle", "small", "red red", "red red circle", "is red it"),
    *("good", "red cross green circle", "colour", "the shape", "answer: red blue green yellow"),
    "I like this picture very much",
]


def test_the_shipped_judge_gives_junk_the_lowest_score_and_the_truth_the_highest(judge: Judge) -> None:
    """A policy will try all of it. Known to slip through, as the model card says: a right word said twice."""
    picture = Media.of(render([RED_SQUARE], seed=3)[0])
    right = ["red", "Red.", "It is red.", "a red square", "The colour is red.", "the square is red"]

    def score(answers: list[str]) -> list[float]:
        cases = [Case(COLOUR.text, (answer,), context=(picture,)) for answer in answers]
        return [verdict.scores[0] for verdict in judge(cases) if verdict.scores]

    assert sum(value == 0 for value in score(JUNK)) >= 0.8 * len(JUNK)
    assert sum(value == 1 for value in score(right)) >= len(right) - 1


@pytest.mark.slow
def test_several_processes_find_what_one_finds(judge: Judge) -> None:
    torch.set_num_threads(1)
    alone, shared = (evaluate(judge, items=PART + 20, seed=5, workers=workers) for workers in (1, 2))
    assert alone == shared


# How it is measured.

ITEMS, SEED, SURE = 24, 1, 0.9


def _turned(item: Item) -> Item:
    """The item with its candidates in the other order."""
    if isinstance(item, GenerationItem):
        return replace(item, subjects=item.subjects[::-1])
    assert isinstance(item, AnswerItem)
    return replace(item, answers=item.answers[::-1])


def _asked() -> Iterator[tuple[Item, Case]]:
    """Everything that a measurement asks about, pairs in both orders."""
    for cell in CELLS:
        for item, case in zip(*Part(cell, 0, ITEMS, SEED).draw(), strict=True):
            yield item, case
            if len(case.candidates) == 2:
                yield _turned(item), case.reversed()


@pytest.fixture(scope="module")
def truth() -> Mapping[Case, Item]:
    return {case: item for item, case in _asked()}


def _perfect_model(truth: Mapping[Case, Item]) -> ScriptedBackend:
    """Replies as the lessons say, and finds the true verdict 90 % likely."""
    replies: dict[Query, Reply] = {}
    for case, item in truth.items():
        for form in forms(item):
            lesson = Lesson(item, form)
            if form != "direct":
                replies[lesson.rubric.query(case)] = Reply(lesson.reply)
                continue
            query = lesson.rubric.query(case, readout="likelihood")
            choice = lesson.reply.removeprefix(lesson.given)[0]
            rest = (1 - SURE) / (len(query.choices) - 1)
            chances = tuple(math.log(SURE if one == choice else rest) for one in query.choices)
            replies[query] = Reply(lesson.reply, chances)
    return ScriptedBackend(replies.__getitem__)


@pytest.fixture(scope="module")
def perfect(truth: Mapping[Case, Item]) -> ModelJudge:
    return ModelJudge("perfect", _perfect_model(truth), RUBRIC_OF)


@pytest.fixture(scope="module")
def perfect_card(perfect: ModelJudge) -> Card:
    told: list[int] = []
    card = evaluate(perfect, items=ITEMS, seed=SEED, watch=told.append)
    assert sum(told) == len(CELLS) * ITEMS
    return card


def test_a_perfect_judge_is_right_in_everything_and_90_per_cent_sure(perfect_card: Card) -> None:
    card = perfect_card
    assert card.left_out == ()
    assert list(card.verdicts) == list(card.likelihood) == list(CELLS)
    for cell, row in card.verdicts.items():
        assert row.right == Share(ITEMS, ITEMS)
        assert row.held_out.hits == row.held_out.trials > 0
        assert row.flips == Share(0, ITEMS if cell.endswith("pair") else 0)
        assert row.unread == Share(0, 2 * ITEMS if cell.endswith("pair") else ITEMS)
        if cell.endswith("point"):
            assert row.correlation.value == pytest.approx(1)
        else:
            assert (row.first.value, row.first.trials) == (0.5, ITEMS)
    for cell, likely in card.likelihood.items():
        assert likely.right == likely.likeliest == likely.generated == likely.agree == Share(ITEMS, ITEMS)
        assert likely.calibration.value == pytest.approx(1 - SURE)
        assert (
            likely.correlation.value == pytest.approx(1) if cell.endswith("point") else likely.correlation.value > 0.8
        )
    assert {cell: list(rows) for cell, rows in card.dimensions.items()} == {
        "image generation, point": ["alignment", "coherence", "style"],
        "video generation, point": ["alignment", "physics", "style"],
    }
    for dimension in (row for rows in card.dimensions.values() for row in rows.values()):
        assert dimension.exact == Share(ITEMS, ITEMS)
        assert dimension.error.value == 0
        assert dimension.correlation.value == pytest.approx(1)
    assert list(card.think) == [cell for cell in CELLS if cell.endswith("pair")]
    for row in card.think.values():
        assert row.right == Share(6, 6)
        assert row.flips == Share(0, 6)
    for kind, score in {"right": 5, "half right": 3, "well-formed and wrong": 1, "junk": 1}.items():
        assert kind not in card.answers or card.answers[kind][score].value == 1
    assert sum(shares[5].trials for shares in card.answers.values()) == 2 * ITEMS


def test_a_judge_that_always_says_first_flips_always_and_is_right_by_chance(truth: Mapping[Case, Item]) -> None:
    def stubborn(cases: list[Case]) -> list[Verdict]:
        return [Verdict((1.0, 0.0) if len(case.candidates) == 2 else (0.5,)) for case in cases]

    card = evaluate(stubborn, items=ITEMS, seed=SEED)
    for cell, row in card.verdicts.items():
        items, _ = Part(cell, 0, ITEMS, SEED).draw()
        if cell.endswith("pair"):
            assert row.right.hits == sum(item.grades[0] > item.grades[1] for item in items)
            assert row.flips == Share(ITEMS, ITEMS)
            assert (row.first.value, row.first.trials) == (1, ITEMS)
        else:
            assert row.right.hits == sum(item.grades == (3,) for item in items)
            assert math.isnan(row.correlation.value)
    assert not card.likelihood
    assert not card.dimensions
    assert len(card.left_out) == len(CELLS) + 2


def test_a_judge_that_says_nothing_is_right_in_nothing() -> None:
    def silent(cases: list[Case]) -> list[Verdict]:
        return [Verdict(None, unread="empty") for _ in cases]

    for row in evaluate(silent, items=4, seed=SEED).verdicts.values():
        assert row.unread.value == 1
        assert row.right.hits == row.flips.trials == row.first.trials == row.correlation.trials == 0


def test_what_a_judge_cannot_be_asked_is_left_out_and_said(perfect: ModelJudge, truth: Mapping[Case, Item]) -> None:
    rubrics = {key: rubric for key, rubric in RUBRIC_OF.items() if key[0] == "image_generation"}
    without_slots = {key: replace(rubric, slot=None, family="other") for key, rubric in rubrics.items()}
    card = evaluate(replace(perfect, rubrics=without_slots), items=ITEMS, seed=SEED)
    assert list(card.verdicts) == ["image generation, point", "image generation, pair"]
    assert not card.likelihood
    assert not card.dimensions
    assert not card.think
    assert not card.answers
    assert card.left_out[:2] == tuple(
        f"{cell}, likelihood: the judge has no rubric with an answer slot for it" for cell in card.verdicts
    )
    assert card.left_out[2] == "image understanding, point: the judge takes no such cases"
    assert len(card.left_out) == 10

    both = evaluate(both_orders(replace(perfect, rubrics=rubrics)), items=ITEMS, seed=SEED)
    assert isinstance(both_orders(perfect), BothOrders)
    assert list(both.verdicts) == list(card.verdicts)
    assert both.verdicts["image generation, pair"].flips == Share(0, ITEMS)
    assert not both.likelihood


def test_a_likelihood_without_mass_is_wrong_and_not_calibrated(perfect: ModelJudge) -> None:
    def elsewhere(query: Query) -> Reply:
        said = perfect.backend([query])[0]
        return Reply(said.text, (-50.0,) * len(query.choices)) if query.choices else said

    card = evaluate(replace(perfect, backend=ScriptedBackend(elsewhere)), items=ITEMS, seed=SEED)
    for row in card.likelihood.values():
        assert row.right.hits == row.agree.hits == row.calibration.trials == row.correlation.trials == 0
        assert row.generated.value == 1


def test_a_dimension_that_is_missing_is_not_exact() -> None:
    (item,) = draw_items(CELLS["video generation, point"], 1, seed=2)
    said = Verdict(None, aspects={"alignment": (1.0,)}, unread="incomplete")
    rows = dimension_rows([Trial(item, dimensions=said)])
    assert rows["alignment"].error.trials == 1
    assert (rows["physics"].exact, rows["physics"].error.trials) == (Share(0, 1), 0)


def test_answers_are_counted_by_kind() -> None:
    answers = ("red", "a red square", "blue", "red red red", "It is red.")
    items = [AnswerItem(RED_CIRCLE, COLOUR, (answer,)) for answer in answers]
    verdicts = [Verdict((score,)) for score in (1.0, 1.0, 0.0, 0.5)] + [Verdict(None, unread="empty")]
    counted = answers_by_kind(items, verdicts)
    assert {kind: shares[5] for kind, shares in counted.items()} == {
        "right": Share(1, 2),
        "half right": Share(1, 1),
        "well-formed and wrong": Share(0, 1),
        "junk": Share(0, 1),
    }
    assert counted["junk"][3] == Share(1, 1)


def test_the_command_prints_tables_markdown_and_json(perfect_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(judge: Judge, *, items: int, seed: int, **_: object) -> Card:
        assert (items, seed) == (ITEMS, SEED)
        return perfect_card

    monkeypatch.setattr(evaluating, "evaluate", measured)
    run, asked = CliRunner(), ("--items", str(ITEMS), "--seed", str(SEED))
    tables = run.invoke(command, asked)
    assert tables.exception is None
    assert tables.stdout.startswith(f"Verdicts on {ITEMS} fresh items a cell\ncell\tright\tright, held out\tunread\n")
    markdown = run.invoke(command, [*asked, "--markdown"]).stdout
    assert "| image generation, pair | 0.0% (0.0 to 13.8) | 50.0% (31.4 to 68.6) |" in markdown
    card = json.loads(run.invoke(command, [*asked, "--json"]).stdout)
    assert card["judge"] == "shapes"
    pair = card["verdicts"]["video understanding, pair"]
    assert pair["flips"] == {"value": 0.0, "interval": [0.0, Share(0, ITEMS).interval[1]], "trials": ITEMS, "hits": 0}
    assert pair["correlation"] is None
    assert card["likelihood"]["video generation, point"]["calibration"]["value"] == pytest.approx(0.1)
    assert run.invoke(command, ["--json", "--markdown"]).exit_code == 2


def test_every_table_fits_a_terminal_of_100_columns(perfect_card: Card) -> None:
    for section in sections(perfect_card):
        widest = [max(len(cell) for cell in column) for column in zip(section.columns, *section.rows, strict=True)]
        assert sum(widest) + 2 * len(widest) <= 100, section.title


def test_the_command_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from unireward_plugins import loading

    def refuses(cases: list[Case]) -> list[Verdict]:
        if len(cases[0].candidates) == 2 or cases[0].task != "image_generation":
            raise UnsupportedCase("only pictures alone")
        return [Verdict((0.5,)) for _ in cases]

    monkeypatch.setattr(loading, "load_judge", lambda ref: refuses)
    ran = CliRunner().invoke(command, ["--judge", "mine", "--items", "3"])
    assert ran.exception is None
    assert "left out: video generation, pair: the judge takes no such cases" in ran.stderr
    assert ran.stdout.splitlines()[2].startswith("image generation, point\t")
    assert "image generation, pair" not in ran.stdout


@pytest.fixture
def asked(perfect_card: Card, monkeypatch: pytest.MonkeyPatch) -> list[Judge]:
    """The judges that the command would measure."""
    judges: list[Judge] = []

    def measured(judge: Judge, **_: object) -> Card:
        judges.append(judge)
        return perfect_card

    monkeypatch.setattr(evaluating, "evaluate", measured)
    return judges


def test_the_command_takes_a_folder_of_train_judge(tmp_path: Path, asked: list[Judge]) -> None:
    shutil.copy(JUDGE / "chat_template.jinja", tmp_path)
    assert CliRunner().invoke(command, ["--judge", str(tmp_path)]).exception is None
    assert asked == [shapes.load_from(tmp_path, name=str(tmp_path))]


def test_a_folder_of_another_model_is_not_asked_as_a_judge_of_shapes(tmp_path: Path, asked: list[Judge]) -> None:
    (tmp_path / "config.json").write_text("{}")
    ran = CliRunner().invoke(command, ["--judge", str(tmp_path)])
    assert isinstance(ran.exception, UniRewardError)
    assert "is in no family of the zoo" in str(ran.exception)
    assert asked == []


def test_a_folder_does_not_take_the_place_of_the_judge_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Judge]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(JUDGE, "shapes")
    assert CliRunner().invoke(command).exception is None
    assert asked == [load_judge("shapes")] != [shapes.load_from(Path("shapes"), name="shapes")]


def test_intervals_are_wilsons() -> None:
    low, high = Share(95, 100).interval
    assert (round(low, 3), round(high, 3)) == (0.888, 0.978)
    assert Share(0, 0).interval == (0.0, 1.0)
    assert str(Share(1, 2)) == "50.0% (9.5 to 90.5)"
    assert str(Share(0, 0)) == "-"


def test_estimates_are_bootstrapped_and_the_same_every_time() -> None:
    column = np.random.default_rng(3).normal(size=400)
    found = Estimate.of(mean, column)
    assert found == Estimate.of(mean, column)
    assert found.value == pytest.approx(column.mean())
    half = 1.96 * column.std() / math.sqrt(400)
    assert found.interval == pytest.approx((column.mean() - half, column.mean() + half), abs=0.015)
    assert str(Estimate.of(mean, [])) == "-"


def test_a_judge_that_seldom_flips_surely_prefers_a_position_or_none() -> None:
    told = Estimate.of(mean, [0.5] * 97 + [1.0] * 3, share=True)
    assert told.value == pytest.approx(0.515)
    assert told.interval is not None
    assert 0.5 <= told.interval[0] < told.value < told.interval[1] < 0.54
    assert str(told).startswith("51.5% (50.")
    assert Estimate.of(mean, [0.5] * 100, share=True).interval == Share(50, 100).interval  # one sample says no less


@pytest.mark.parametrize("seed", range(20))
def test_rank_correlation_is_that_of_ranks_counted_one_by_one(seed: int) -> None:
    rng = Random(seed)
    one, other = ([rng.randrange(6) / 4 for _ in range(17)] for _ in range(2))

    def ranks(column: list[float]) -> list[float]:
        return [sum(b < a for b in column) + sum(b == a for b in column) / 2 for a in column]

    expected = np.corrcoef(ranks(one), ranks(other))[0, 1]
    assert rank_correlation(np.array(one), np.array(other)) == pytest.approx(expected)
    assert rank_correlation(np.array(one), -np.array(one)) == pytest.approx(-1)


def test_rank_correlation_with_a_constant_is_not_a_number() -> None:
    assert math.isnan(rank_correlation(np.ones(5), np.arange(5.0)))


@pytest.mark.parametrize("seed", range(20))
def test_calibration_error_is_that_of_bins_filled_one_by_one(seed: int) -> None:
    rng = Random(seed)
    trials = [(rng.choice((rng.random(), 0.5, 1.0)), rng.random() < 0.7) for _ in range(60)]
    expected = 0.0
    edges = [number / 10 for number in range(11)]
    for low, high in pairwise(edges):
        inside = [trial for trial in trials if low < trial[0] <= high]
        if inside:
            sure = sum(probability for probability, _ in inside) / len(inside)
            expected += len(inside) / 60 * abs(sure - sum(right for _, right in inside) / len(inside))
    probability, right = (np.array(column, dtype=float) for column in zip(*trials, strict=True))
    assert calibration_error(probability, right) == pytest.approx(expected)
