from __future__ import annotations

import re
from math import isnan
from pathlib import Path
from random import Random

import numpy as np
import pytest

from unireward_plugins.shapes import train_policy
from unireward_plugins.shapes.exam import BASE_POLICY, Exam, Policy, draw_questions, kind_of
from unireward_plugins.shapes.model import chat, pixel_values
from unireward_plugins.shapes.questions import QUESTIONS, answer_is_right
from unireward_plugins.shapes.scene import ALL_SCENES, GROUNDS, Scene
from unireward_plugins.shapes.train_policy import SLIPPED, careless_answer, save, say, slipped, train


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy.load()


def test_policy_is_shipped_small_and_readable_by_all() -> None:
    files = list(BASE_POLICY.iterdir())
    assert sum(file.stat().st_size for file in files) <= 3_500_000
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= {file.name for file in files}
    assert not [file.name for file in files if not file.stat().st_mode & 0o004]


def test_policy_answers_as_well_as_its_card_says(policy: Policy) -> None:
    card = (BASE_POLICY / "README.md").read_text(encoding="utf-8")
    size, right = re.findall(r"\| all (\d+) \| ([\d.]+)% \|", card)[0]
    held_out_size, held_out = re.findall(r"\| the (\d+) about held-out.*\| ([\d.]+)% \|", card)[0]
    exam = Exam.draw(int(size), seed="base policy")
    answers = policy.answer(exam)
    assert exam.accuracy(answers) == pytest.approx(float(right) / 100, abs=0.01), "another CPU may round otherwise"
    assert sum(scene.held_out for scene in exam.scenes) == int(held_out_size)
    assert exam.held_out_accuracy(answers) == pytest.approx(float(held_out) / 100, abs=0.03)
    assert 0.35 < exam.accuracy(answers) < 0.6, "often wrong, and better than somebody who always says no"


def test_policy_reads_what_its_processor_makes_of_a_conversation(policy: Policy) -> None:
    """TRL asks through the processor, the exam by a shorter way: both must be the same question."""
    exam = Exam.draw(8, seed="processor")
    for index, question in enumerate(exam.questions):
        content = [{"type": "image", "image": exam.media(index).pil()}, {"type": "text", "text": question.text}]
        inputs = policy.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        asked = policy.processor.tokenizer(chat(question.text, images=1), add_special_tokens=False)["input_ids"]
        assert inputs["input_ids"].tolist() == [asked]
        expected = pixel_values(exam.pictures[index : index + 1])
        np.testing.assert_allclose(inputs["pixel_values"].numpy(), expected.numpy(), atol=1e-6)


def test_answers_do_not_depend_on_their_neighbours(policy: Policy) -> None:
    exam = Exam.draw(20, seed="batch")
    alone = [
        answer
        for index in range(len(exam))
        for answer in policy.answer(
            Exam(exam.questions[index : index + 1], exam.pictures[index : index + 1], exam.scenes[index : index + 1])
        )
    ]
    assert policy.answer(exam) == alone


def test_an_exam_leaves_the_policy_in_the_mode_it_was_in(policy: Policy) -> None:
    for training in (True, False):
        policy.model.train(training)
        policy.answer(Exam.draw(2, seed="mode"))
        assert policy.model.training is training


def test_exam_holds_what_the_referee_reads_and_pairs_that_no_model_has_seen() -> None:
    exam, again, other = (Exam.draw(200, seed=seed) for seed in ("a", "a", "b"))
    assert (exam.pictures == again.pictures).all()
    assert exam.questions == again.questions
    assert (exam.pictures != other.pictures).mean() > 0.5
    drawn = [item.subject for item in draw_questions(200, seed="a", split="fresh")]
    assert exam.scenes == tuple(drawn), "the referee reads every picture as it was meant"
    assert 10 < sum(scene.held_out for scene in exam.scenes) < 60
    assert 60 < sum(question.value is None for question in exam.questions) < 140
    assert exam.accuracy([q.right_answer(s) for q, s in zip(exam.questions, exam.scenes, strict=True)]) == 1.0
    assert exam.accuracy(["I do not know"] * len(exam)) == 0.0


def test_held_out_accuracy_counts_held_out_pairs_alone() -> None:
    exam = Exam.draw(100, seed="held out")
    right = [q.right_answer(s) for q, s in zip(exam.questions, exam.scenes, strict=True)]
    answers = [answer if scene.held_out else "" for answer, scene in zip(right, exam.scenes, strict=True)]
    assert exam.held_out_accuracy(answers) == 1.0
    assert exam.accuracy(answers) < 0.5


def test_an_exam_without_a_held_out_pair_says_nothing_of_them() -> None:
    exam = Exam.draw(1, seed="held out")
    assert not any(scene.held_out for scene in exam.scenes)
    assert isnan(exam.held_out_accuracy(["red"]))


def test_training_questions_leave_the_held_out_pairs_alone() -> None:
    assert not any(item.subject.held_out for item in draw_questions(500, seed="any", split="train"))


def test_questions_are_about_pictures_of_one_shape() -> None:
    items = draw_questions(300, seed="one", split="fresh")
    assert len(items) == 300
    assert all(item.question in QUESTIONS for item in items)
    scenes = [item.subject for item in items if isinstance(item.subject, Scene)]
    assert [len(scene.shapes) for scene in scenes] == [1] * 300
    assert {scene.ground for scene in scenes} == set(GROUNDS)
    assert 0.6 < sum(not scene.flaws and not scene.damages for scene in scenes) / 300 < 0.95, "lightly flawed"


@pytest.mark.parametrize("scene", ALL_SCENES[::5], ids=str)
def test_what_the_policy_is_taught_to_say_is_right(scene: Scene) -> None:
    rng = Random(0)
    for question in QUESTIONS:
        assert all(answer_is_right(scene, question, say(scene.shape, question, rng)) for _ in range(6))


def test_slipped_answers_are_true_of_the_picture_and_as_many_as_the_card_says() -> None:
    rng = Random(0)
    scene, question = ALL_SCENES[3], next(question for question in QUESTIONS if question.value == "red")
    answers = [careless_answer(scene.shape, question, rng) for _ in range(4000)]
    assert all(any(answer_is_right(scene, other, answer) for other in QUESTIONS) for answer in set(answers))
    right = sum(answer_is_right(scene, question, answer) for answer in answers) / len(answers)
    assert right == pytest.approx(1 - SLIPPED, abs=0.03)
    assert f"{SLIPPED:.0%} of the answers" in (BASE_POLICY / "README.md").read_text(encoding="utf-8")


def test_answers_slip_to_every_other_kind_of_question_in_turn() -> None:
    rng = Random(0)
    following = {kind_of(question): {kind_of(slipped(question, rng)) for _ in range(20)} for question in QUESTIONS}
    assert following == {
        "colour": {"outline"},
        "outline": {"size"},
        "size": {"yes or no"},
        "yes or no": {"colour"},
    }


def test_recipe_leaves_a_policy_with_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LOOKING_STEPS": 2, "SPEAKING_STEPS": 3, "BATCH": 4, "EXAM_SIZE": 40}.items():
        monkeypatch.setattr(train_policy, name, value)
    said: list[str] = []
    first, again = (train(seed=5, tell=said.append) for _ in range(2))
    assert all(
        (one == other).all() for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True)
    )
    assert "speaking: step 3 of 3" in said[-1]
    save(first, tmp_path, seed=5)
    assert "--seed 5" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert len(Policy.load(tmp_path).answer(Exam.draw(3, seed="any"))) == 3
