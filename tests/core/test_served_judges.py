"""Judges behind a server: whether it is asked when they are loaded, and what its chat template is told."""

from collections.abc import Iterator

import pytest
from PIL import Image

from tests.backends.stub_server import Answer, StubServer, completion
from unireward_plugins import BackendError, Case, Media, UniRewardError, load_judge
from unireward_plugins.judges import ModelJudge

QWEN35 = "CodeGoat24/UnifiedReward-2.0-qwen35-4b"
POINT = "image_gen.point_score.v1"
NOBODY = "http://127.0.0.1:9/v1"
RED = Case("a red square", (Media.of(Image.new("RGB", (28, 28), "red")),))


@pytest.fixture
def server() -> Iterator[StubServer]:
    with StubServer(lambda request: Answer(completion("Final Score: 4")), models={"judge": QWEN35}) as server:
        yield server


@pytest.mark.parametrize("fragment", ["", "#judge"])
def test_the_family_is_that_of_the_checkpoint_which_the_server_names(server: StubServer, fragment: str) -> None:
    judge = load_judge(server.url + fragment)
    assert isinstance(judge, ModelJudge)
    assert judge.rubric_for(RED).name == "image_gen.point_ACS.v2"


@pytest.mark.parametrize("fragment", ["", f"#{QWEN35}"])
def test_who_picks_the_rubric_need_not_know_what_the_chat_template_must_be_told(
    server: StubServer, fragment: str
) -> None:
    (verdict,) = load_judge(server.url + fragment, rubric=POINT)([RED])
    assert verdict.scores == (0.75,)
    assert server.requests[0].body["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_server_need_not_be_there_when_nothing_is_left_to_ask_it() -> None:
    by_family, by_rubric = load_judge(NOBODY, family="2.0-qwen35"), load_judge(f"{NOBODY}#mine", rubric=POINT)
    assert isinstance(by_family, ModelJudge)
    assert by_family.supports("video_understanding", 2)
    assert isinstance(by_rubric, ModelJudge)
    assert list(by_rubric.rubrics) == [("image_generation", 1)]


@pytest.mark.parametrize("options", [{}, {"rubric": POINT}])
def test_a_server_that_must_be_asked_and_cannot_be_reached_is_an_error_at_once(options: dict[str, str]) -> None:
    with pytest.raises(BackendError, match=r"127\.0\.0\.1:9"):
        load_judge(NOBODY, **options)  # type: ignore[arg-type]


def test_a_server_of_an_unknown_model_needs_a_family_or_a_rubric() -> None:
    with (
        StubServer(lambda request: Answer({}), models={"mine": "org/mine"}) as server,
        pytest.raises(UniRewardError, match="'org/mine' is in no family"),
    ):
        load_judge(server.url)
