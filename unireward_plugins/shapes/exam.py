"""The exam of a policy: questions about fresh pictures, whose truth is read from their pixels and shown to no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count as count_up
from itertools import islice
from math import nan
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from unireward_plugins.shapes.data import AnswerItem, Split, draw_items
from unireward_plugins.shapes.questions import QUESTIONS, Question, answer_is_right
from unireward_plugins.shapes.render import Pictures, render
from unireward_plugins.shapes.scene import Scene
from unireward_plugins.shapes.truth import read_scenes

if TYPE_CHECKING:
    from unireward_plugins.media import Media
    from unireward_plugins.types import Case

BASE_POLICY = Path(__file__).parent / "policy"
"""The checkpoint of the policy before any reward: see its model card, and `train_policy` for how it was made."""
LONGEST_ANSWER = 12
"""The most tokens that a policy may answer with."""
BATCH = 128


def kind_of(question: Question) -> str:
    """What a question is about, or that it wants a yes or no."""
    return question.attribute if question.value is None else "yes or no"


def draw_questions(count: int, *, seed: str, split: Split) -> list[AnswerItem]:
    """So many questions about pictures of one shape, half of them open, half with yes or no for an answer.

    The ground is any, and every now and then something is wrong with the picture or with the shape.
    """
    drawn = (
        item
        for part in count_up()
        for item in draw_items(("image_understanding", 1), count, seed=f"{seed} {part}", split=split)
    )
    about_one = (item for item in drawn if isinstance(item, AnswerItem) and item.question in QUESTIONS)
    return list(islice(about_one, count))


def draw_pictures(items: Sequence[AnswerItem], *, seed: Sequence[int]) -> Pictures:
    """A picture for each question."""
    return render([item.subject for item in items if isinstance(item.subject, Scene)], seed=seed)


@dataclass(frozen=True, slots=True)
class Exam:
    """Questions about pictures of one shape, each with what the picture shows."""

    questions: tuple[Question, ...]
    pictures: Pictures
    """One for each question."""
    scenes: tuple[Scene, ...]
    """What the exact checker reads from the pixels of each."""

    @classmethod
    def draw(cls, size: int, *, seed: str) -> Exam:
        """So many questions: half of them open, half with yes or no for an answer."""
        items = draw_questions(size, seed=seed, split="fresh")
        pictures = draw_pictures(items, seed=list(seed.encode()))
        scenes = read_scenes(pictures)
        legible = [index for index, scene in enumerate(scenes) if scene is not None]
        return cls(
            tuple(items[index].question for index in legible),
            pictures[legible],
            tuple(scene for scene in scenes if scene is not None),
        )

    def __len__(self) -> int:
        return len(self.questions)

    def grade(self, answers: Sequence[str]) -> list[bool]:
        """Whether each answer is right."""
        graded = zip(self.scenes, self.questions, answers, strict=True)
        return [answer_is_right(scene, question, answer) for scene, question, answer in graded]

    def accuracy(self, answers: Sequence[str]) -> float:
        """The share of right answers, from 0 to 1."""
        return fmean(self.grade(answers))

    def held_out_accuracy(self, answers: Sequence[str]) -> float:
        """The share of right answers about colours and outlines that no training picture combines; NaN without any."""
        graded = zip(self.scenes, self.grade(answers), strict=True)
        marks = [right for scene, right in graded if scene.held_out]
        return fmean(marks) if marks else nan

    def media(self, index: int) -> Media:
        """One of the pictures."""
        from unireward_plugins.media import Media

        return Media.of(self.pictures[index])

    def case(self, index: int, answer: str) -> Case:
        """What a judge is asked about an answer to one of the questions."""
        from unireward_plugins.types import Case

        return Case(self.questions[index].text, (answer,), context=(self.media(index),))


@dataclass(frozen=True, slots=True)
class Policy:
    """A vision-language model that answers questions, with its processor."""

    model: Any
    processor: Any

    @classmethod
    def load(cls, folder: Path = BASE_POLICY) -> Policy:
        """The policy in a checkpoint folder, in float32."""
        import torch
        import transformers as hf

        model = hf.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        return cls(model, hf.AutoProcessor.from_pretrained(folder, backend="pil"))

    def answer(self, exam: Exam) -> list[str]:
        """The likeliest answer to every question, decoded greedily."""
        import torch

        from unireward_plugins.shapes.model import chat, pixel_values

        tokenizer = self.processor.tokenizer
        was_training = self.model.training
        self.model.eval()
        answers: list[str] = []
        for start in range(0, len(exam), BATCH):
            prompts = [chat(question.text, images=1) for question in exam.questions[start : start + BATCH]]
            asked = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt", add_special_tokens=False)
            pixels = pixel_values(exam.pictures[start : start + BATCH])
            with torch.inference_mode():
                rows = self.model.generate(**asked, pixel_values=pixels, max_new_tokens=LONGEST_ANSWER, do_sample=False)
            answers += tokenizer.batch_decode(rows[:, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        self.model.train(was_training)
        return answers
