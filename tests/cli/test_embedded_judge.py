"""The command with the judge that is shipped: a real model, real pictures, no plug-in."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.cli.files import read_rows


@pytest.fixture
def drawn(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the working directory, with eight pictures of shapes and cases about them."""
    monkeypatch.chdir(tmp_path)
    assert invoke("shapes", "render", ".", "--count", "8", "--seed", "5")[0] == 0
    return tmp_path


def test_the_picture_that_was_asked_for_scores_higher(invoke: Invoke, drawn: Path) -> None:
    code, _, _ = invoke("score", "--judge", "shapes", "--input", "cases.jsonl", "--output", "verdicts.jsonl")
    verdicts = read_rows(drawn / "verdicts.jsonl")
    asked_for, other = zip(*(verdict["scores"] for verdict in verdicts), strict=True)
    assert code == 0
    assert sum(asked_for) / 8 > 0.9
    assert sum(other) / 8 < 0.5


@pytest.mark.parametrize("options", [(), ("--both-orders",)])
def test_the_picture_that_was_asked_for_ranks_first(invoke: Invoke, drawn: Path, options: tuple[str, ...]) -> None:
    arguments = ("rank", "--judge", "shapes", "--input", "cases.jsonl", "--output", "verdicts.jsonl", *options)
    assert invoke(*arguments)[0] == 0
    assert [verdict["ranking"][0] for verdict in read_rows(drawn / "verdicts.jsonl")].count(0) >= 7


def test_the_right_answer_scores_higher(invoke: Invoke, drawn: Path) -> None:
    [picture, *_] = [path.name for path in sorted(drawn.glob("*.png"))]
    colour = picture.split("-")[2]
    wrong = "red" if colour != "red" else "blue"
    code, out, _ = invoke(
        *("score", "--judge", "shapes", "--prompt", "What colour is the shape?", "--context", picture),
        *(colour, wrong, "--json"),
    )
    right_score, wrong_score = json.loads(out)["scores"]
    assert code == 0
    assert right_score > 0.9
    assert wrong_score < 0.5


def test_loading_it_draws_no_bar(invoke: Invoke, drawn: Path) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    logging.enable_progress_bar()
    [picture, *_] = [path.name for path in sorted(drawn.glob("*.png"))]
    code, _, err = invoke("score", "--judge", "shapes", "--prompt", "a red circle", picture)
    assert code == 0
    assert "Loading" not in err
    assert not are_progress_bars_disabled(), "downloads keep theirs"


def test_doctor_asks_it(invoke: Invoke) -> None:
    from unireward_plugins.cli.doctor import examine_embedded_judge

    found = examine_embedded_judge()
    assert found.state == "ok"
    assert found.detail.startswith("told a red circle from a blue square in ")


def test_a_task_that_it_does_not_know_is_bad_input(invoke: Invoke, drawn: Path) -> None:
    [source, edited, *_] = [path.name for path in sorted(drawn.glob("*.png"))]
    code, _, err = invoke("score", "--judge", "shapes", "--prompt", "make it red", "--context", source, edited)
    assert code == 2
    assert "judge 'shapes' cannot judge 1 candidate(s) of image_editing" in err
