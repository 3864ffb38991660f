"""Best of n with real, tiny diffusers pipelines, and judges whose taste is known."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import pytest
import torch
from PIL import Image

from diffusers_ext import best_of
from tests.diffusers_ext.tiny_pipelines import CLIP, PICTURE, clip_pipeline, picture_pipeline, safety_checker
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import ModelJudge
from unireward_plugins.loading import load_judge
from unireward_plugins.media import FrameRule, Media
from unireward_plugins.pairs import pairs_from
from unireward_plugins.rubrics import BUILTIN
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Case, Query, Verdict

torch.set_num_threads(1)
PROMPT = "a red circle"


def brightness(candidate: Any) -> float:
    pictures = [candidate] if candidate.kind == "image" else candidate.sample(FrameRule("linspace", 2))
    return fmean(fmean(picture.pil().convert("L").tobytes()) for picture in pictures) / 255


def bright(cases: Sequence[Case]) -> list[Verdict]:
    """Grades a candidate by how bright it is."""
    return [Verdict((brightness(case.candidates[0]),)) for case in cases]


def brighter(cases: Sequence[Case]) -> list[Verdict]:
    """Compares two candidates by brightness, and grades none."""
    if any(len(case.candidates) != 2 for case in cases):
        raise UnsupportedCase("compares two")
    light = [[brightness(candidate) for candidate in case.candidates] for case in cases]
    return [Verdict((1.0, 0.0) if first > second else (0.0, 1.0)) for first, second in light]


def silent(cases: Sequence[Case]) -> list[Verdict]:
    return [Verdict(None, unread="empty") for _ in cases]


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return picture_pipeline()


def alone(pipeline: Any, seed: int, **call: Any) -> Any:
    return pipeline(PROMPT, generator=torch.Generator().manual_seed(seed), output_type="pil", **call)[0][0]


def test_the_brightest_of_four_pictures_wins_and_can_be_made_again_alone(pipeline: Any) -> None:
    result = best_of(pipeline, PROMPT, judge=bright, seed=7, **PICTURE)
    assert result.seeds == (7, 8, 9, 10)
    assert len({picture.tobytes() for picture in result.outputs}) == 4
    assert result.scores == tuple(brightness(Media.of(picture)) for picture in result.outputs)
    assert result.best is result.outputs[result.winner]
    assert brightness(Media.of(result.best)) == max(result.scores)
    assert alone(pipeline, result.seed, **PICTURE).tobytes() == result.best.tobytes()


def test_the_prompt_and_the_call_reach_the_pipeline(pipeline: Any) -> None:
    result = best_of(pipeline, PROMPT, judge=bright, candidates=1, **{**PICTURE, "height": 64, "guidance_scale": 1.0})
    assert result.best.size == (32, 64)
    assert (
        result.best.tobytes()
        == alone(pipeline, 0, height=64, width=32, num_inference_steps=2, guidance_scale=1.0).tobytes()
    )
    other = best_of(pipeline, "blue", judge=bright, candidates=1, **PICTURE)
    assert other.best.tobytes() != alone(pipeline, 0, **PICTURE).tobytes()


def test_a_judge_that_only_compares_plays_a_round_robin_with_the_same_winner(pipeline: Any) -> None:
    result = best_of(pipeline, PROMPT, judge=brighter, **PICTURE)
    by_grade = best_of(pipeline, PROMPT, judge=bright, **PICTURE)
    assert result.winner == by_grade.winner
    assert sorted(result.scores) == [0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1]
    assert len(result.cases) == len(result.verdicts) == 6


def test_a_model_with_nothing_but_a_pair_rubric_is_asked_by_it(pipeline: Any) -> None:
    """The model is scripted: no checkpoint that can be loaded here knows the published rubric."""

    def reply(query: Query) -> str:
        first, second = (brightness(picture) for picture in query.media)
        return "Image 1 is better than Image 2" if first > second else "Image 2 is better than Image 1"

    backend = ScriptedBackend(reply)
    judge = ModelJudge("pairs", backend, {("image_generation", 2): BUILTIN["image_gen.pair_rank.llava"]})
    result = best_of(pipeline, PROMPT, judge=judge, **PICTURE)
    assert result.winner == best_of(pipeline, PROMPT, judge=bright, **PICTURE).winner
    assert len(backend.queries) == 12, "six pairs, each in both orders"


def test_a_judge_that_always_says_first_makes_everyone_equal(pipeline: Any) -> None:
    def first(cases: Sequence[Case]) -> list[Verdict]:
        if len(cases[0].candidates) == 1:
            raise UnsupportedCase("compares two")
        return [Verdict((1.0, 0.0)) for _ in cases]

    result = best_of(pipeline, PROMPT, judge=first, candidates=2, **PICTURE)
    assert result.scores == (0.5, 0.5)
    assert result.winner == 0


def test_clips_are_judged_as_clips_and_given_back_as_frames() -> None:
    wan = clip_pipeline()
    result = best_of(wan, PROMPT, judge=bright, candidates=3, **CLIP)
    assert {case.task for case in result.cases} == {"video_generation"}
    assert [frame.size for frame in result.best] == [(32, 32)] * 5
    assert result.scores[result.winner] == max(result.scores)
    again = alone(wan, result.seed, **CLIP)
    assert [frame.tobytes() for frame in again] == [frame.tobytes() for frame in result.best]


def test_context_makes_the_candidates_edits_of_it(pipeline: Any) -> None:
    source = Media.of(Image.new("RGB", (32, 32), "red"))
    result = best_of(pipeline, PROMPT, judge=bright, context=[source], **PICTURE)
    assert {case.task for case in result.cases} == {"image_editing"}


def test_a_result_gives_a_preference_pair(pipeline: Any) -> None:
    result = best_of(pipeline, PROMPT, judge=bright, **PICTURE)
    (pair,) = pairs_from(result.cases, result.verdicts).pairs
    assert pair.chosen == Media.of(result.best)
    assert pair.margin == max(result.scores) - min(result.scores)


def test_a_pipeline_of_ones_own_may_answer_with_a_tuple() -> None:
    flat = Image.new("RGB", (4, 4), "red")
    assert best_of(lambda prompt, **call: ([flat],), PROMPT, judge=bright, candidates=2).best is flat


def test_a_candidate_without_a_verdict_cannot_win(pipeline: Any) -> None:
    def half(cases: Sequence[Case]) -> list[Verdict]:
        order = sorted(bright(cases), key=lambda verdict: -verdict.scores[0])
        return [Verdict(None, unread="nan") if verdict in order[:2] else verdict for verdict in bright(cases)]

    result = best_of(pipeline, PROMPT, judge=half, **PICTURE)
    assert result.scores.count(None) == 2
    grades = [brightness(Media.of(picture)) for picture in result.outputs]
    assert grades[result.winner] == sorted(grades)[1]


def test_blanked_pictures_are_not_judged_and_cannot_win() -> None:
    parts = safety_checker()
    checker = parts["safety_checker"]
    pipeline = picture_pipeline(**parts)
    pictures = [alone(pipeline, seed, **PICTURE) for seed in range(4)]
    pixels = parts["feature_extractor"](pictures, return_tensors="pt").pixel_values
    features = checker.visual_projection(checker.vision_model(pixels)[1])
    likeness = torch.nn.functional.cosine_similarity(features[:, None], checker.concept_embeds[None], dim=-1).amax(-1)
    checker.concept_embeds_weights.data.fill_(likeness.median().item() + 1e-3)

    result = best_of(pipeline, PROMPT, judge=bright, **PICTURE)
    blanked = likeness > likeness.median() + 2e-3
    assert 0 < blanked.sum() < 4
    assert [score is None for score in result.scores] == blanked.tolist()
    assert len(result.cases) == 4 - blanked.sum()
    assert [picture.getextrema() == ((0, 0),) * 3 for picture in result.outputs] == blanked.tolist()

    checker.concept_embeds_weights.data.fill_(-1)
    with pytest.raises(UniRewardError, match="blanked all 3 candidates of 'a red circle'"):
        best_of(pipeline, PROMPT, judge=bright, candidates=3, **PICTURE)


def test_no_verdict_on_any_candidate_is_an_error_with_its_reasons(pipeline: Any) -> None:
    with pytest.raises(UniRewardError, match=r"no verdict on any of 4 candidate\(s\): 4 x empty"):
        best_of(pipeline, PROMPT, judge=silent, **PICTURE)
    with pytest.raises(UniRewardError, match="it only compares, and there is one"):
        best_of(pipeline, PROMPT, judge=brighter, candidates=1, **PICTURE)


def test_a_judge_of_something_else_says_so(pipeline: Any) -> None:
    def texts_only(cases: Sequence[Case]) -> list[Verdict]:
        raise UnsupportedCase("judges texts")

    with pytest.raises(UnsupportedCase, match="judges texts"):
        best_of(pipeline, PROMPT, judge=texts_only, **PICTURE)


@pytest.mark.parametrize(
    ("judge", "complaint"),
    [
        (lambda cases: bright(cases)[1:], "asked about 4 cases and gave 3 verdicts"),
        (lambda cases: [Verdict((0.5, 0.5))] * len(cases), r"gave 2 score\(s\) to a case with 1 candidate"),
    ],
    ids=["few", "pairs"],
)
def test_verdicts_that_do_not_fit_are_refused(
    pipeline: Any, judge: Callable[[Sequence[Case]], list[Verdict]], complaint: str
) -> None:
    with pytest.raises(UniRewardError, match=complaint):
        best_of(pipeline, PROMPT, judge=judge, **PICTURE)


@pytest.mark.parametrize("name", ["generator", "output_type", "return_dict", "num_images_per_prompt"])
def test_arguments_that_are_set_here_are_refused(pipeline: Any, name: str) -> None:
    with pytest.raises(UniRewardError, match=f"{name} cannot be passed on"):
        best_of(pipeline, PROMPT, judge=bright, **PICTURE, **{name: 1})


@pytest.mark.parametrize("preview", [None, 0.4])
def test_an_argument_that_the_pipeline_does_not_take_is_refused_and_a_picture_is_none(
    pipeline: Any, preview: float | None
) -> None:
    with pytest.raises(UniRewardError, match=r"no argument 'num_inference_step'\. Did you mean 'num_inference_steps'"):
        best_of(pipeline, PROMPT, judge=bright, preview=preview, num_inference_step=2)
    flat = Image.new("RGB", (4, 4), "red")
    assert best_of(lambda prompt, image, **_: ([image],), PROMPT, judge=bright, candidates=1, image=flat).best is flat


def test_a_judge_may_be_named(pipeline: Any) -> None:
    named = best_of(pipeline, PROMPT, judge="shapes", candidates=2, **PICTURE)
    assert named.scores == best_of(pipeline, PROMPT, judge=load_judge("shapes"), candidates=2, **PICTURE).scores
    with pytest.raises(UniRewardError, match="shape"):
        best_of(pipeline, PROMPT, judge="shape", **PICTURE)


def test_several_prompts_or_no_candidate_are_refused(pipeline: Any) -> None:
    with pytest.raises(UniRewardError, match=r"one prompt, a string, at a time; got \['a', 'b'\]"):
        best_of(pipeline, ["a", "b"], judge=bright)  # type: ignore[arg-type]
    with pytest.raises(UniRewardError, match="at least one candidate, got candidates=0"):
        best_of(pipeline, PROMPT, judge=bright, candidates=0)


@pytest.mark.parametrize(
    ("answer", "described"),
    [
        (torch.zeros(1, 4, 8, 8), "a Tensor where"),
        ([], r"a list of 0 \(empty\)"),
        ([Image.new("RGB", (4, 4))] * 2, r"a list of 2 \(Image\)"),
        ([[Image.new("RGB", (4, 4)), "frame"]], r"a list of 1 \(list\)"),
    ],
    ids=["latents", "none", "two", "mixed"],
)
def test_what_is_no_single_picture_or_clip_is_named(answer: Any, described: str) -> None:
    """No pipeline of diffusers answers "pil" like this; a user's own may."""
    with pytest.raises(UniRewardError, match=f"the pipeline gave {described}"):
        best_of(lambda prompt, **call: (answer,), PROMPT, judge=bright)
