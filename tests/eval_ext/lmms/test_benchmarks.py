"""The benchmarks: from rows of the published layout to documents, cases and questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_dataset

from eval_ext.lmms import (
    data,
    editreward,
    genai,
    mmrb2,
    multimodal_rewardbench,
    open_answers,
    videogen,
    vl_rewardbench,
)
from eval_ext.lmms.benchmark import BACKWARD, FORWARD, PairBenchmark, benchmark_of, metric_list
from eval_ext.lmms.functions import doc_to_text, doc_to_visual, rubric_for
from tests.eval_ext.lmms import samples
from unireward_plugins import MediaError, UniRewardError
from unireward_plugins.media import Media

ALL: list[tuple[PairBenchmark, str, str | None, str]] = [
    (genai.IMAGE, "TIGER-Lab/GenAI-Bench", "image_generation", "test"),
    (genai.VIDEO, "TIGER-Lab/GenAI-Bench", "video_generation", "test"),
    (videogen.OVERALL, "KwaiVGI/VideoGen-RewardBench", None, "eval"),
    (vl_rewardbench.ANSWERS, "MMInstruction/VL-RewardBench", None, "test"),
    (multimodal_rewardbench.ANSWERS, "syhuggingface/multimodal_rewardbench", None, "test"),
    (mmrb2.T2I, "rl-research/multimodal-rewardbench-2", "t2i", "test"),
    (mmrb2.EDIT, "rl-research/multimodal-rewardbench-2", "edit", "test"),
    (mmrb2.REASONING, "rl-research/multimodal-rewardbench-2", "reasoning", "test"),
    (editreward.SETS_OF_2, "TIGER-Lab/EditReward-Bench", None, "train"),
    (editreward.SETS_OF_3, "TIGER-Lab/EditReward-Bench", None, "train"),
    (editreward.SETS_OF_4, "TIGER-Lab/EditReward-Bench", None, "train"),
]
EVERY = pytest.mark.parametrize(
    ("benchmark", "repository", "name", "split"), ALL, ids=[one[0].home.removeprefix("eval_ext.lmms.") for one in ALL]
)


def docs_of(benchmark: PairBenchmark, repository: str, name: str | None, split: str) -> Any:
    where, how = (getattr(data, wanted) for wanted in (repository, f"{repository}/how"))
    return benchmark.docs(load_dataset(where, name, split=split, **how))


def media_digests(case: Any) -> list[object]:
    return [one.digest if isinstance(one, Media) else one for one in case.candidates]


@EVERY
@pytest.mark.usefixtures("copies")
def test_every_pair_stands_in_both_orders(
    benchmark: PairBenchmark, repository: str, name: str | None, split: str
) -> None:
    docs = docs_of(benchmark, repository, name, split)
    assert docs["unireward_order"][:] == [FORWARD, BACKWARD] * (len(docs) // 2)
    assert docs["unireward_item"][::2] == docs["unireward_item"][1::2]
    assert len(set(docs["unireward_item"])) == len(docs) // 2
    for forward, backward in zip(docs.select(range(0, len(docs), 2)), docs.select(range(1, len(docs), 2)), strict=True):
        case, turned = benchmark.case(forward), benchmark.case(backward)
        assert case.task == benchmark.task
        assert media_digests(case) == media_digests(turned)[::-1]
        assert (case.prompt, case.context) == (turned.prompt, turned.context)
        assert benchmark_of(forward) is benchmark or benchmark_of(forward) == benchmark


@EVERY
@pytest.mark.usefixtures("copies")
def test_other_models_get_the_words_and_pictures_of_the_rubric(
    benchmark: PairBenchmark, repository: str, name: str | None, split: str
) -> None:
    docs = docs_of(benchmark, repository, name, split)
    # lmms-eval makes the text of documents whose pictures it took out.
    texts = docs.remove_columns(
        [column for column in docs.column_names if "image" in column.lower() or "candidate" in column]
    )
    for doc, bare in list(zip(docs, texts, strict=True))[:2]:
        query = rubric_for(doc).query(benchmark.case(doc))
        assert doc_to_text(bare) == query.text
        assert [Media.of(picture) for picture in doc_to_visual(doc)] == list(query.media)


@pytest.mark.usefixtures("copies")
def test_genai_bench_calls_both_bad_a_tie() -> None:
    docs = docs_of(*ALL[0])
    assert docs["unireward_label"][-1] == "tie"
    assert {"first", "second"} >= set(docs["unireward_label"][:-2])
    assert genai.label({"vote_type": "tievote"}) == "tie"


def test_a_label_that_is_none_is_named() -> None:
    rows = Dataset.from_list([{"prompt": "a dog", "vote_type": "nobody"}])
    with pytest.raises(UniRewardError, match="the label of 'a dog' is 'nobody'"):
        genai.IMAGE.docs(rows)


@pytest.mark.usefixtures("copies")
def test_videogen_keeps_the_labels_of_the_dimensions() -> None:
    docs = docs_of(*ALL[2])
    overall, dimensions = docs["unireward_label"][0], json.loads(docs["unireward_group"][0])
    assert dimensions == {"VQ": "tie", "MQ": {"first": "second", "second": "first"}[overall], "TA": overall}


@pytest.mark.usefixtures("copies")
def test_videogen_is_measured_against_each_dimension() -> None:
    docs = docs_of(*ALL[2])
    said = [
        {
            "item": doc["unireward_item"],
            "order": doc["unireward_order"],
            "label": doc["unireward_label"],
            "group": doc["unireward_group"],
            "scores": [0.9, 0.1] if doc["unireward_label"] == "first" else [0.1, 0.9],
            "unread": None,
            "asked": "case",
        }
        for doc in docs
    ]
    measured = {name: videogen.METRICS[name](said) for name in videogen.METRICS if name != "provenance"}
    assert measured["accuracy_without_ties"] == measured["accuracy_without_ties_TA"] == 1
    assert measured["accuracy_without_ties_MQ"] == 0
    assert measured["accuracy_without_ties_VQ"] is None
    assert measured["accuracy_with_ties_at_best_threshold_VQ"] == 1


def test_a_benchmark_without_its_clips_says_how_to_get_them(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = load_dataset(str(written / "KwaiVGI/VideoGen-RewardBench"), split="eval")
    monkeypatch.setenv("UNIREWARD_DATA", str(tmp_path))
    docs = videogen.docs(rows)
    assert "hf download KwaiVGI/VideoGen-RewardBench" in docs["unireward_missing"][0]
    assert "is left out" in caplog.text
    assert len(docs) == 2
    assert doc_to_visual(docs[0]) == []
    with pytest.raises(MediaError, match=r"0A\.webp"):
        videogen.OVERALL.case(docs[0])


@pytest.mark.parametrize(
    ("name", "official", "upstream"),
    [
        ("RLAIF-V-1", "hallucination", "hallucination"),
        ("RLHF-V-2", "hallucination", "hallucination"),
        ("hallucination_pair-3", "hallucination", "general"),
        ("mathverse_4", "reasoning", "reasoning"),
        ("mmmu_5", "reasoning", "reasoning"),
        ("wildvision-battle_6", "general", "general"),
        ("VLFeedback-7", "general", "general"),
    ],
)
def test_vl_rewardbench_has_two_groupings(name: str, official: str, upstream: str) -> None:
    assert vl_rewardbench.official_group(name) == official
    assert vl_rewardbench.unifiedreward_group(name) == upstream


def test_vl_rewardbench_reports_both_groupings() -> None:
    def said(name: str, *, right: bool) -> dict[str, Any]:
        group = vl_rewardbench.official_group(name)
        scores = [1.0, 0.0] if right else [0.0, 1.0]
        return {
            "item": name, "order": FORWARD, "label": "first", "group": group, "scores": scores, "unread": None,
            "asked": "case",
        }  # fmt: skip

    once = [
        said("hallucination_pair-1", right=False),
        said("RLHF-2", right=True),
        said("mmmu_3", right=True),
        said("wildvision_4", right=True),
    ]
    answers = [*once, *({**one, "order": BACKWARD} for one in once)]
    measured = {name: measure(answers) for name, measure in vl_rewardbench.METRICS.items() if name != "provenance"}
    assert measured["accuracy_without_ties"] == 3 / 4
    assert measured["macro_accuracy_without_ties"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert measured["accuracy_without_ties_by_group"][0] == {"hallucination": 1 / 2, "reasoning": 1, "general": 1}
    # Upstream the first of them is general: hallucination is all right, and general half.
    assert measured["accuracy_without_ties_unifiedreward_groups_hallucination"] == 1
    assert measured["accuracy_without_ties_unifiedreward_groups_general"] == 1 / 2
    assert measured["macro_accuracy_without_ties_unifiedreward_groups"] == pytest.approx((1 + 1 / 2 + 1) / 3)


@pytest.mark.usefixtures("copies")
def test_pairs_of_one_name_are_told_apart() -> None:
    assert docs_of(*ALL[4])["unireward_item"][::2] == ["mathvista_0", "mathvista_0#2", "mathvista_1", "mathvista_1#2"]


@pytest.mark.usefixtures("copies")
def test_what_mmrb2_cannot_put_to_a_judge_is_left_out_and_counted() -> None:
    for number, kept in ((5, 3), (6, 2), (7, 2)):
        docs = docs_of(*ALL[number])
        assert len(docs) == 2 * kept
        assert docs["unireward_left_out"][0] == 3 - kept
    (edit,) = mmrb2.EDIT.docs(load_dataset(getattr(data, ALL[6][1]), "edit", split="test")).select([0])
    assert "<image_1>" not in doc_to_text(edit)


@pytest.mark.parametrize(
    ("ranking", "better"),
    [("A>B", "first"), ("B>A", "second"), ("A=B", "tie"), ("C>A", "second"), ("C > D", "first"), ("A>A>B", "A>A>B")],
)
def test_rankings_of_edits(ranking: str, better: str) -> None:
    assert editreward.label({"ranking": ranking}) == better


@pytest.mark.usefixtures("copies")
def test_edits_are_counted_by_the_set_they_belong_to() -> None:
    docs = docs_of(*ALL[9])
    assert len(docs) == 6
    assert set(docs["unireward_group"]) == {"set3"}
    assert docs["unireward_label"][::2][1] == "tie"


def test_a_repository_is_on_the_hub_unless_there_is_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIREWARD_DATA", raising=False)
    name = "TIGER-Lab/GenAI-Bench"
    assert getattr(data, name) == name
    monkeypatch.setenv("UNIREWARD_DATA", str(tmp_path))
    assert getattr(data, name) == name
    (tmp_path / name).mkdir(parents=True)
    assert getattr(data, name) == str(tmp_path / name)
    for wrong in ("nix", "a/b/c", "a/how"):
        with pytest.raises(AttributeError, match=wrong):
            getattr(data, wrong)


def test_two_copies_are_told_apart_and_so_are_two_states_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(copy: str) -> int:
        monkeypatch.setenv("UNIREWARD_DATA", str(tmp_path / copy))
        return len(docs_of(*ALL[0]))

    for copy, count in (("one", 2), ("other", 3)):
        samples.genai(tmp_path / copy, count=count)
    assert (lines("one"), lines("other"), lines("one")) == (4, 6, 4)
    samples.genai(tmp_path / "one", count=4)
    assert lines("one") == 8


def test_every_metric_says_which_way_is_better() -> None:
    ways = {one["metric"]: one["higher_is_better"] for one in metric_list(vl_rewardbench.METRICS)}
    assert ways["accuracy_without_ties"] is True
    assert ways["macro_accuracy_without_ties"] is True
    assert ways["flip_rate"] is ways["unread_share"] is False
    assert ways["provenance"] is ways["accuracy_without_ties_95"] is None
    ways = {one["metric"]: one["higher_is_better"] for one in metric_list(open_answers.MMHAL_METRICS)}
    assert (ways["score"], ways["hallucination_rate"]) == (True, False)


def test_a_document_of_another_task_is_refused() -> None:
    with pytest.raises(UniRewardError, match=r"the tasks unireward_\*.*'question'"):
        doc_to_text({"question": "what?"})


@pytest.mark.usefixtures("copies")
def test_the_rubric_for_other_models_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    doc = docs_of(*ALL[0])[0]
    edit = docs_of(*ALL[8])[0]
    assert (rubric_for(doc).name, rubric_for(edit).name) == ("image_gen.pair_rank.qwen", "edit.pair_rank")
    monkeypatch.setenv("UNIREWARD_RUBRICS", "think-qwen3vl")
    assert rubric_for(doc).name == "think.image_gen.qwen3"
    with pytest.raises(UniRewardError, match="has no rubric for 2 candidate"):
        rubric_for(edit)
    monkeypatch.setenv("UNIREWARD_RUBRICS", "edit.pair_score, image_gen.pair_rank.llava")
    assert (rubric_for(doc).name, rubric_for(edit).name) == ("image_gen.pair_rank.llava", "edit.pair_score")
    monkeypatch.setenv("UNIREWARD_RUBRICS", "nix")
    with pytest.raises(UniRewardError, match="'nix' is neither a family"):
        rubric_for(doc)


@pytest.mark.usefixtures("copies")
def test_every_document_says_its_dataset() -> None:
    for benchmark, repository, name, split in ALL:
        (origin,) = set(docs_of(benchmark, repository, name, split)["unireward_dataset"])
        assert origin.startswith(f"{repository} (a copy whose tables have the digest ")
