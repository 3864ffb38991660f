"""The benchmarks of models that answer, and the graders of their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from eval_ext.lmms import open_answers
from eval_ext.lmms.answers import encode
from eval_ext.lmms.grading import Grade, ask_grader, contains_match, exact_match, read_mmhal, read_video_qa
from eval_ext.lmms.open_answers import OpenAnswers, doc_to_text, doc_to_visual, process_results
from tests.backends.stub_server import Answer, Request, StubServer, completion, error
from unireward_plugins import BackendError, UniRewardError, UnsupportedCase

VIDEO = [open_answers.MSRVTT, open_answers.MSVD, open_answers.TGIF]
KEY = "UNIREWARD_GRADER"


def write_clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(8))
        stream.width, stream.height = 64, 48
        for shade in range(40):
            pixels = np.full((48, 64, 3), 6 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def dump(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four benchmarks, with one question each, in the layout of the scripts that published figures came from."""
    root = tmp_path_factory.mktemp("questions")
    question = {"id": 0, "question": "what is a man doing?", "answer": "singing"}
    dump(root / "MSRVTT-QA/test_qa.json", [{**question, "video_id": 7010}])
    write_clip(root / "MSRVTT-QA/videos/video7010.mp4")
    dump(root / "MSVD-QA/test_qa.json", [{**question, "video_id": 1301}])
    (root / "MSVD-QA/youtube_mapping.txt").write_text("other vid1\nabc_1_2 vid1301\n")
    write_clip(root / "MSVD-QA/videos/abc_1_2.avi")
    dump(root / "TGIF-QA/test_q.json", [{"question": question["question"], "video_name": "7", "question_id": "q"}])
    dump(root / "TGIF-QA/test_a.json", [{"answer": "singing", "type": 1, "question_id": "q"}])
    write_clip(root / "TGIF-QA/videos/7.mp4")
    hallucination = {
        "question_type": "attribute",
        "image_src": "https://example.org/8/hydrant_o.png",
        "image_content": ["Fire hydrant", "Tree"],
        "question": "What colour is the cap?",
        "gt_answer": "It is yellow.",
    }
    dump(root / "Shengcao1006/MMHal-Bench/response_template.json", [hallucination])
    (root / "Shengcao1006/MMHal-Bench/images").mkdir()
    Image.new("RGB", (9, 7), "yellow").save(root / "Shengcao1006/MMHal-Bench/images/hydrant_o.png")
    return root


@pytest.fixture(autouse=True)
def in_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREWARD_DATA", str(folder))
    monkeypatch.delenv(KEY, raising=False)


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    """A server that says yes, and gives a rating."""
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return Answer(completion("Rating: 4" if "Rating" in str(request.body) else "{'pred': 'yes', 'score': 4.8}"))

    with StubServer(answer) as server:
        monkeypatch.setenv(KEY, f"{server.url}#strict")
        yield asked


def only_doc(benchmark: OpenAnswers) -> dict[str, Any]:
    (doc,) = benchmark.docs(None)
    return dict(doc)


@pytest.mark.parametrize("benchmark", VIDEO, ids=lambda one: one.folder)
def test_clips_are_shown_as_published(benchmark: OpenAnswers) -> None:
    doc = only_doc(benchmark)
    assert doc_to_text(doc) == "what is a man doing?"
    frames = doc_to_visual(doc)
    assert len(frames) == 32
    assert {frame.size for frame in frames} == {(512, 512)}
    assert frames[0].getpixel((9, 9)) != frames[-1].getpixel((9, 9))


def test_pictures_are_shown_as_they_are() -> None:
    (picture,) = doc_to_visual(only_doc(open_answers.MMHAL))
    assert picture.size == (9, 7)


@pytest.mark.parametrize("benchmark", VIDEO, ids=lambda one: one.folder)
def test_a_grader_is_asked_by_the_published_prompt(benchmark: OpenAnswers, grader: list[Request]) -> None:
    found = process_results(only_doc(benchmark), ["He sings {question}."])
    (request,) = grader
    system, user = request.body["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert (
        "Question: what is a man doing?\nCorrect Answer: singing\nPredicted Answer: He sings {question}.\n"
        in (user["content"])
    )
    assert (request.body["model"], request.body["temperature"]) == ("strict", 0)
    said = [found["accuracy"]]
    assert benchmark.metrics["accuracy"](said) == 1
    assert benchmark.metrics["score"](said) == 4
    assert benchmark.metrics["contains_match"](said) == benchmark.metrics["unread_share"](said) == 0
    (record,) = benchmark.metrics["provenance"]([found["provenance"]])
    assert record["sources"][0]["grader"].endswith("#strict")


def test_mmhal_is_rated_with_what_the_picture_holds(grader: list[Request]) -> None:
    benchmark = open_answers.MMHAL
    found = process_results(only_doc(benchmark), ["Yellow."])
    (message,) = grader[0].body["messages"]
    assert message["content"].endswith(
        "### Image Contents\nFire hydrant, Tree\n\n### Question\nWhat colour is the cap?\n\n"
        "### Standard Human-Generated Answer\nIt is yellow.\n\n### LMM Response to Evaluate\nYellow.\n"
    )
    said = [found["score"]]
    assert (benchmark.metrics["score"](said), benchmark.metrics["hallucination_rate"](said)) == (4, 0)
    assert benchmark.metrics["score_by_kind"](said)[0] == {"attribute": 4}
    assert benchmark.metrics["score_95"](said) == [4, 4]


def test_without_a_grader_matches_are_counted_and_nothing_else() -> None:
    benchmark = open_answers.MSVD
    said = [process_results(only_doc(benchmark), ["He is Singing!"])["accuracy"]]
    assert benchmark.metrics["contains_match"](said) == 1
    assert benchmark.metrics["exact_match"](said) == 0
    for name in ("accuracy", "accuracy_95", "score", "unread_share"):
        assert benchmark.metrics[name](said) is None
    assert ask_grader("video_qa", question="", answer="", pred="") is None


def test_a_grader_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with StubServer(lambda _: Answer(error("no"), status=400)) as server:
        monkeypatch.setenv(KEY, f"{server.url}#m")
        with pytest.raises(BackendError, match=r"the grader http.*failed"):
            process_results(only_doc(open_answers.MSVD), ["x"])


@pytest.mark.parametrize("wanted", ["http://host/v1", "gpt-4", "ftp://host#m"])
def test_a_grader_that_is_none_is_named(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, wanted)
    with pytest.raises(UniRewardError, match="names no grader"):
        ask_grader("mmhal")


def test_data_that_is_not_in_place_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("UNIREWARD_DATA", str(tmp_path))
    doc = only_doc(open_answers.MSRVTT)
    assert "is left out: its data is not published" in caplog.text
    assert doc_to_visual(doc) == []
    found = process_results(doc, ["x"])
    assert open_answers.VIDEO_METRICS["contains_match"]([found["contains_match"]]) is None
    assert "MSRVTT-QA" in found["provenance"]["source"]["missing"]


def test_a_judge_answers_no_questions() -> None:
    doc = only_doc(open_answers.MSVD)
    with pytest.raises(UnsupportedCase, match="a judge answers none"):
        open_answers.MSVD.case(doc)
    found = process_results(doc, [encode(None, {"judge": "shapes"}, asked="not at all")])
    assert found["provenance"]["asked"] == "not at all"


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("{'pred': 'yes', 'score': 4}", Grade(4, True)),
        ("Sure: {'pred': 'No', 'score': 1.9}.", Grade(1, False)),
        ("{'pred': 'yes', 'score': 7}", Grade(None, unread="range")),
        ("{'pred': 'maybe', 'score': 3}", Grade(None, unread="no_verdict")),
        ("{'pred': 'yes'}", Grade(None, unread="no_verdict")),
        ("{'pred': yes, 'score': 3}", Grade(None, unread="no_verdict")),
        ("{'pred': 'yes', 'score': None}", Grade(None, unread="no_verdict")),
        ("{1, 2}", Grade(None, unread="no_verdict")),
        ("yes", Grade(None, unread="no_verdict")),
        ("", Grade(None, unread="no_verdict")),
    ],
)
def test_grades_of_clips(reply: str, grade: Grade) -> None:
    assert read_video_qa(reply) == grade


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("Good.\n- Rating: 5, very informative", Grade(5, True)),
        ("rating: 2", Grade(2, False)),
        ("Rating: 5 or Rating: 2", Grade(None, unread="both")),
        ("Rating: 9", Grade(None, unread="no_verdict")),
        ("fine", Grade(None, unread="no_verdict")),
    ],
)
def test_ratings_of_mmhal(reply: str, grade: Grade) -> None:
    assert read_mmhal(reply) == grade


@pytest.mark.parametrize(
    ("predicted", "answer", "exact", "contained"),
    [
        ("Singing.", "singing", True, True),
        ("He is singing a song", "singing", False, True),
        ("He is sing", "singing", False, False),
        ("a crossing", "sing", False, False),
        ("two red birds", "red birds", False, True),
        ("", "singing", False, False),
    ],
)
def test_matches(predicted: str, answer: str, exact: bool, contained: bool) -> None:
    assert (exact_match(predicted, answer), contains_match(predicted, answer)) == (exact, contained)
