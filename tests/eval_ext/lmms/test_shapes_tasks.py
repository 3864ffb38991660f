"""The eight cells as tasks: the items and figures of `unireward shapes evaluate`."""

from __future__ import annotations

from typing import Any

import pytest

from eval_ext.lmms import shapes
from eval_ext.lmms.benchmark import benchmark_of
from eval_ext.lmms.functions import doc_to_text, doc_to_visual, process_results, rubric_for
from unireward_plugins import UniRewardError
from unireward_plugins.intervals import wilson_interval
from unireward_plugins.media import Media
from unireward_plugins.shapes.data import CELLS
from unireward_plugins.shapes.evaluate import FRESH_SEED
from unireward_plugins.shapes.trials import Part

NAMES = [name.replace(", ", " ").replace(" ", "_") for name in CELLS]
EVERY = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREWARD_SHAPES_ITEMS", "3")


def docs_of(name: str) -> Any:
    return getattr(shapes, f"{name}_docs")(None)


@EVERY
def test_the_items_are_those_of_the_command(name: str) -> None:
    cell = getattr(shapes, name)
    items, cases = Part(cell.name, 0, 3, FRESH_SEED).draw()
    docs = docs_of(name)
    assert len(docs) == 3 * cell.arity
    assert [benchmark_of(doc).case(doc) for doc in docs][:: cell.arity] == cases
    assert [doc["unireward_label"] for doc in docs][:: cell.arity] == [
        ",".join(map(str, item.grades)) for item in items
    ]
    if cell.arity == 2:
        assert [cell.case(doc) for doc in docs][1::2] == [case.reversed() for case in cases]


@EVERY
def test_other_models_get_the_words_and_pictures_of_the_rubric(name: str) -> None:
    for doc in docs_of(name).select(range(2)):
        query = rubric_for(doc).query(benchmark_of(doc).case(doc))
        assert doc_to_text(doc) == query.text
        assert [Media.of(picture) for picture in doc_to_visual(doc)] == list(query.media)


def test_a_reply_is_measured_as_the_command_measures() -> None:
    docs = list(docs_of("image_generation_pair"))
    said = [process_results(doc, ["Image 1 is better."])["right"] for doc in docs]
    first_is_better = [max(grades) == grades[0] for grades in (doc["unireward_label"].split(",") for doc in docs[::2])]
    metrics = shapes.image_generation_pair.metrics
    assert metrics["right"](said) == pytest.approx(sum(first_is_better) / 3)
    assert metrics["flip_rate"](said) == 1
    assert metrics["first_preferred"](said) == 1
    assert metrics["unread_share"](said) == 0
    traced = [process_results(doc, ["Image 1 is better."])["provenance"] for doc in docs]
    (found,) = metrics["provenance"](traced)
    assert (found["items"], found["items_seed"]) == (3, FRESH_SEED)
    assert found["asked"] == {"case": 6}
    low, high = metrics["right_95"](said)
    assert 0 <= low <= metrics["right"](said) <= high <= 1


def test_unread_replies_are_not_right_and_failed_requests_are_counted_apart() -> None:
    docs = list(docs_of("image_generation_point"))
    replies = ["hm", "[LMMS_EVAL_REQUEST_FAILED after 5 retries]", "nan"]
    said = [process_results(doc, [reply])["right"] for doc, reply in zip(docs, replies, strict=True)]
    metrics = shapes.image_generation_point.metrics
    assert metrics["right"](said) == 0
    assert metrics["right_95"](said) == [round(bound, 4) for bound in wilson_interval(0, 2)]
    assert metrics["unread_share"](said) == 1
    assert metrics["failed_share"](said) == 1 / 3
    assert metrics["rank_correlation"](said) is None
    assert metrics["rank_correlation_95"](said) is None


def test_half_a_pair_is_in_no_figure() -> None:
    docs = list(docs_of("image_generation_pair"))
    said = [process_results(doc, ["Image 1 is better."])["right"] for doc in docs]
    metrics = shapes.image_generation_pair.metrics
    for name in ("right", "flip_rate", "first_preferred", "unread_share", "right_95"):
        assert metrics[name](said[:5]) == metrics[name](said[:4])
    assert metrics["right"](said[:1]) is None


@pytest.mark.parametrize("wanted", ["0", "-1", "many", ""])
def test_a_number_of_items_that_is_none_is_named(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREWARD_SHAPES_ITEMS", wanted)
    with pytest.raises(UniRewardError, match="is no number of items"):
        shapes.how_many()


def test_the_module_knows_the_cells_and_nothing_else() -> None:
    with pytest.raises(AttributeError, match="nix_docs"):
        shapes.nix_docs  # noqa: B018
