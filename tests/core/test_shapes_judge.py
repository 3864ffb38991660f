"""The tiny judge: how it is taught, that training can be stopped and repeated, and what the shipped one can do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from unireward_plugins import load_judge
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.shapes import train_judge
from unireward_plugins.shapes.data import CELLS, AnswerItem, PictureItem, draw_items
from unireward_plugins.shapes.evaluate import Row, Share, cases_of, evaluate, is_right, table
from unireward_plugins.shapes.lesson import reply_to
from unireward_plugins.shapes.model import chat, pixel_values, teacher_forcing
from unireward_plugins.shapes.questions import Question
from unireward_plugins.shapes.render import Floats, Pictures, render
from unireward_plugins.shapes.rubrics import REPLY_TOKENS, RUBRIC_OF, RUBRICS
from unireward_plugins.shapes.scene import ALL_SCENES, Scene, Shape
from unireward_plugins.shapes.train_judge import CHECKPOINT, Plan, Training, train
from unireward_plugins.shapes.truth import read_scenes
from unireward_plugins.types import Case, Judge, Reply, Verdict

JUDGE = Path(train_judge.__file__).parent / "judge"
TINY = Plan(looking_steps=4, judging_steps=5, polishing_steps=3, looking_batch=8, judging_batch=2)
RED_CIRCLE, BLUE_CROSS = Scene((Shape("circle", "red", "small"),)), Scene((Shape("cross", "blue", "large"),))
RED_SQUARE = Scene((Shape("square", "red", "small"),))
COLOUR = Question("What colour is the shape?", "colour")


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge("shapes")


@pytest.fixture(scope="module")
def processor() -> object:
    return AutoProcessor.from_pretrained(JUDGE)


# What it is taught.


@pytest.mark.parametrize(
    ("item", "reply"),
    [
        (PictureItem(RED_CIRCLE.shape, (RED_CIRCLE,)), "I see a small red circle. Final Score: 5"),
        (
            PictureItem(RED_CIRCLE.shape, (BLUE_CROSS, RED_CIRCLE)),
            "Image 1 shows a large blue cross: 1. Image 2 shows a small red circle: 5. Image 2 is better",
        ),
        (
            AnswerItem(RED_CIRCLE, COLOUR, ("a red square",)),
            "I see a small red circle. It is red. The answer says red square. Final Score: 3",
        ),
        (
            AnswerItem(BLUE_CROSS, Question("Is it a circle?", "outline", "circle"), ("No, it is a cross.",)),
            "I see a large blue cross. It is a cross, so no. The answer says no cross. Final Score: 5",
        ),
        (
            AnswerItem(RED_CIRCLE, COLOUR, ("It is red.", "red or blue")),
            (
                "I see a small red circle. It is red. Answer 1 says red: 5. "
                "Answer 2 says nothing clear: 1. Answer 1 is better"
            ),
        ),
    ],
)
def test_lessons_give_reasons_before_the_verdict(item: PictureItem | AnswerItem, reply: str) -> None:
    assert reply_to(item) == reply


@pytest.mark.parametrize(("name", "cell"), CELLS.items())
def test_rubrics_read_the_true_grade_from_every_lesson(name: str, cell: tuple[str, int]) -> None:
    rubric = RUBRIC_OF[cell]
    for item in draw_items(cell, 500, seed=1):
        verdict = rubric.verdict(Reply(reply_to(item)))
        assert is_right(verdict, item)
        assert rubric.verdict(Reply(reply_to(item))).unread is None


def test_rubrics_have_their_own_names_and_cells() -> None:
    assert len({rubric.name for rubric in RUBRICS}) == len(RUBRIC_OF) == len(RUBRICS) == len(CELLS)


def test_replies_fit_the_token_limit_and_are_made_of_whole_words(processor: object) -> None:
    for cell in CELLS.values():
        replies = [reply_to(item) for item in draw_items(cell, 300, seed=2)]
        tokens = [processor.tokenizer.encode(reply) for reply in replies]
        assert max(map(len, tokens)) < REPLY_TOKENS
        assert processor.tokenizer.batch_decode(tokens) == replies


@pytest.mark.parametrize("images", [1, 2])
def test_tensors_made_by_hand_are_the_processors(processor: object, images: int) -> None:
    pictures = render(ALL_SCENES[:images], seed=0)
    content = [{"type": "image", "image": Image.fromarray(picture)} for picture in pictures]
    message = {"role": "user", "content": [*content, {"type": "text", "text": "Rate <it>\n now."}]}
    real = processor.apply_chat_template(
        [message], tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    made = teacher_forcing(processor, [chat("Rate <it>\n now.", images=images)], ["No"])
    asked = (made["labels"] == -100).sum()
    assert real["input_ids"].tolist() == made["input_ids"][:, :asked].tolist()
    assert torch.allclose(real["pixel_values"], pixel_values(pictures), atol=1e-6)


def test_only_replies_are_learnt(processor: object) -> None:
    lesson = teacher_forcing(processor, ["ask", "ask something longer"], ["Yes it is", "No"])
    learnt = [[token for token in row.tolist() if token != -100] for row in lesson["labels"]]
    assert processor.tokenizer.batch_decode(learnt) == ["Yes it is<|im_end|>", "No<|im_end|>"]
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


def test_a_training_saves_itself_on_the_way(tmp_path: Path) -> None:
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
    training = Training(Plan(looking_steps=30, judging_steps=36, polishing_steps=0, looking_batch=32, judging_batch=4))
    losses = list(training.run())
    assert np.mean(losses[25:30]) < 0.8 * np.mean(losses[:5])
    assert np.mean(losses[-6:]) < 0.6 * np.mean(losses[30:36])


def test_training_sees_no_held_out_combination(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renders for real, and lets the referee read what is rendered."""
    shown: list[Scene] = []

    def watched(scenes: list[Scene], *, seed: list[int], paint: Floats | None = None) -> Pictures:
        pictures = render(scenes, seed=seed, paint=paint)
        shown.extend(scene for scene in [*scenes, *read_scenes(pictures)] if scene is not None)
        return pictures

    monkeypatch.setattr(train_judge, "render", watched)
    for _ in Training(replace(TINY, looking_steps=40)).run():
        pass
    assert len(shown) > 1000
    assert not any(scene.held_out for scene in shown)


# What the shipped one can do.


def test_the_shipped_judge_is_small_and_loads_without_this_package() -> None:
    assert sum(file.stat().st_size for file in JUDGE.iterdir()) <= 5e6
    model, info = AutoModelForImageTextToText.from_pretrained(JUDGE, output_loading_info=True)
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


@pytest.fixture(scope="module")
def rows(judge: Judge) -> list[Row]:
    return evaluate(judge, items=100, seed=77)


@pytest.mark.parametrize("number", range(len(CELLS)), ids=list(CELLS))
def test_the_shipped_judge_judges_well(rows: list[Row], number: int) -> None:
    """The model card's table holds the exact shares; with 100 items, chance alone moves them by a few per cent."""
    row = rows[number]
    assert row.right.value >= 0.92
    assert row.held_out.value >= 0.8
    assert row.unread.value <= 0.01
    assert row.flips.hits <= 0.08 * max(row.flips.trials, 1)


JUNK = [
    *("", " ", "red red red", "red blue", "red or blue", "red, green, blue", "circle", "yes", "no", "a a a a", "the"),
    *(
        "The answer is right.",
        "Final Score: 5",
        "Image 1 is better",
        "red\nFinal Score: 5",
        "What colour is the shape?",
    ),
    *(
        "5",
        "xqj w1!",
        "blue",
        "It is blue.",
        "a blue circle",
        "small",
        "red red",
        "red red circle",
        "is red it",
        "good",
    ),
    *(
        "red cross green circle",
        "colour",
        "the shape",
        "answer: red blue green yellow",
        "I like this picture very much",
    ),
]


def test_the_shipped_judge_gives_junk_the_lowest_score_and_the_truth_the_highest(judge: Judge) -> None:
    """A policy will try all of it. Known to slip through, as the model card says: a right word said twice."""
    picture = Media.of(render([RED_SQUARE], seed=3)[0])
    right = ["red", "Red.", "It is red.", "a red square", "The colour is red.", "the square is red"]

    def score(answers: list[str]) -> list[float]:
        cases = [Case(COLOUR.text, (answer,), context=(picture,)) for answer in answers]
        return [verdict.scores[0] for verdict in judge(cases) if verdict.scores]

    assert sum(value == 0 for value in score(JUNK)) >= 0.8 * len(JUNK)
    assert score(right) == [1.0] * len(right)


# How it is measured.


def test_a_perfect_and_a_stubborn_judge_are_measured_right() -> None:
    def perfect(cases: list[Case]) -> list[Verdict]:
        return [truth[case] for case in cases]

    truth: dict[Case, Verdict] = {}
    for number, cell in enumerate(CELLS.values()):
        drawn = draw_items(cell, 30, seed=1)
        for item, case in zip(drawn, cases_of(drawn, seed=[1, number]), strict=True):
            best = tuple(float(grade == max(item.grades)) for grade in item.grades)
            verdict = Verdict(best if len(best) == 2 else ((item.grades[0] - 1) / 4,))
            truth |= {case: verdict, case.reversed(): verdict.reversed()}
    for row in evaluate(perfect, items=30, seed=1):
        assert row.right == Share(30, 30)
        assert row.flips.hits == row.unread.hits == 0

    def stubborn(cases: list[Case]) -> list[Verdict]:
        return [Verdict((1.0, 0.0) if len(case.candidates) == 2 else (0.5,)) for case in cases]

    for row in evaluate(stubborn, items=30, seed=1):
        assert row.right.value < 0.8
        assert row.flips.trials == 0 or row.flips.value == row.first.value == 1

    def silent(cases: list[Case]) -> list[Verdict]:
        return [Verdict(None, unread="empty") for _ in cases]

    for row in evaluate(silent, items=30, seed=1):
        assert row.unread.value == 1
        assert row.right.hits == row.flips.trials == 0


def test_intervals_are_wilsons() -> None:
    low, high = Share(95, 100).interval
    assert (round(low, 3), round(high, 3)) == (0.888, 0.978)
    assert Share(0, 0).interval == (0.0, 1.0)
    assert str(Share(1, 2)) == "50.0% (9.5% to 90.5%)"
    assert "| 50.0% (9.5% to 90.5%) | - |" in table([Row("x", *[Share(1, 2), Share(0, 0)] * 2, Share(1, 2))])
