"""The published figures: whole, sourced, and marked where arithmetic shows that they do not compare."""

from statistics import mean

import pytest

from eval_ext import benchmark_metrics
from eval_ext.published import Row, Table, published, tables_for

SIZES = {"official": (183, 749, 318), "unifiedreward": (631, 301, 318)}
"""How many pairs of VL-RewardBench are general, hallucination and reasoning, by whose grouping it is."""


def table(name: str) -> Table:
    (found,) = (one for one in published() if one.name == name)
    return found


def grouping(row: Row) -> set[str]:
    """With which sizes of the groups the overall accuracy follows from the three of them, but for rounding."""
    general, hallucination, reasoning, overall, _ = row.values
    assert general is not None
    assert hallucination is not None
    assert reasoning is not None
    assert overall is not None
    found = set()
    for name, sizes in SIZES.items():
        expected = sum(n * v for n, v in zip(sizes, (general, hallucination, reasoning), strict=True)) / sum(sizes)
        if abs(expected - overall) < 0.35:
            found.add(name)
    return found


@pytest.mark.parametrize("row", table("vl_rewardbench").rows[:-1], ids=lambda row: row.model)
def test_the_mark_of_a_row_of_vl_rewardbench_follows_from_its_own_figures(row: Row) -> None:
    match grouping(row):
        case found if found == {"official"}:
            assert row.mark is None
        case found if found == {"unifiedreward"}:
            assert row.mark is not None
            assert row.mark.startswith("Other groups")
        case found:
            assert found == set()
            assert row.mark is not None
            assert row.mark.startswith("Groups unknown")


@pytest.mark.parametrize("row", table("vl_rewardbench").rows[:-1], ids=lambda row: row.model)
def test_macro_is_the_mean_of_the_three_groups(row: Row) -> None:
    *groups, _, macro = row.values
    assert macro == pytest.approx(mean(one for one in groups if one is not None), abs=0.08)


def test_every_figure_is_on_its_scale_and_every_row_has_one() -> None:
    for one in published():
        for row in one.rows:
            assert any(value is not None for value in row.values), (one.name, row.model)
            for column, value in zip(one.columns, row.values, strict=True):
                assert value is None or 0 < value < 105, (one.name, row.model)
                assert column.unit == "points" or value is None or value < 100, (one.name, row.model)


def test_names_and_models_are_told_apart() -> None:
    assert len({one.name for one in published()}) == len(published())
    for one in published():
        assert len({row.model for row in one.rows}) == len(one.rows), one.name


def test_the_metrics_of_our_pair_tasks_are_those_that_we_define() -> None:
    pairs = [column for one in published() for column in one.columns if "accuracy_" in (column.metric or "")]
    assert len(pairs) > 10
    for column in pairs:
        assert hasattr(benchmark_metrics, str(column.metric).removeprefix("macro_")), column


def test_accuracy_with_ties_is_marked_where_the_official_one_fits_a_threshold() -> None:
    (columns,) = {one.columns for one in tables_for("unireward_videogen")}
    assert columns[0].metric == "accuracy_with_ties"
    for row in table("videogen").rows:
        assert (row.mark is not None) == (row.values[0] is not None)


def test_tables_are_found_by_task() -> None:
    assert [one.name for one in tables_for("unireward_genai_image")] == ["genai_image"]
    assert [one.name for one in tables_for("videomme")] == ["video_understanding"]
    assert tables_for("nobody_elses") == []


def test_a_few_figures_as_they_were_read() -> None:
    figures = {(one.name, row.model): row.values for one in published() for row in one.rows}
    assert figures["genai_image", "UnifiedReward"] == (54.8, 70.9)
    assert figures["genai_video", "UnifiedReward-Think"] == (None, 82.3)
    assert figures["videogen", "VideoReward"] == (60.1, 73.9)
    assert figures["video_qa", "UnifiedReward"] == (65.0, 3.45, 78.3, 4.01, 59.7, 3.51)
    assert figures["flux_grpo", "UnifiedReward-Flex"] == (73.95, 51.37, 69.62, 36.25, 23.42, 3.31, 6.56)
