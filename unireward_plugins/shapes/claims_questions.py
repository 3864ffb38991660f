"""What the papers' claims are compared in: each question with its rows, its columns and what is set against what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unireward_plugins.shapes.claims import MEASURED, Result


@dataclass(frozen=True, slots=True)
class JudgeRow:
    """One line of a plot and of its table: a judge, asked in a way."""

    label: str
    condition: str
    measure: str
    """The name of a measure, with `{}` where a column fills something in."""
    heading: str = ""
    """What stands above it in a plot, where a group of rows begins."""


@dataclass(frozen=True, slots=True)
class Column:
    """What the rows are compared in."""

    task: str
    fills: str
    """What it fills into a row's measure."""

    @property
    def title(self) -> str:
        """Its name."""
        named = {"generate": "reply", "likelihood": "likelihood"}.get(self.fills, self.fills)
        return f"{self.task.removeprefix('image ')}, {named}"


@dataclass(frozen=True, slots=True)
class PaperClaim:
    """A question, what the papers say, and what is compared to find out."""

    slug: str
    question: str
    paper: str
    thesis: str
    """What is claimed; it holds where the first of two compared rows is the better one."""
    rows: tuple[JudgeRow, ...]
    columns: tuple[Column, ...]
    comparisons: Mapping[tuple[int, int], str]
    """Which rows are compared, the first minus the second, and in words for which case that speaks."""

    def values(self, results: Sequence[Result], row: JudgeRow, column: Column) -> list[float]:
        """The shares of one row in one column, one for each seed."""
        name = row.measure.format(column.fills)
        return [
            one.measures[column.task][name] for one in results if one.condition == row.condition.format(column.task)
        ]

    def differences(self, results: Sequence[Result], rows: tuple[int, int], column: Column) -> list[float]:
        """What the first of two rows has more than the second, seed by seed."""
        better, worse = (self.values(results, self.rows[row], column) for row in rows)
        return [one - other for one, other in zip(better, worse, strict=True)]


ARITY_COLUMNS = tuple(Column(task, arity) for task in MEASURED for arity in ("point", "pair"))
READOUT_COLUMNS = tuple(Column(task, readout) for task in MEASURED for readout in ("generate", "likelihood"))
BOTH, DIRECT = "both image tasks", "both image tasks, direct"
CLAIMS = (
    PaperClaim(
        "joint",
        "Does learning several tasks together help each of them?",
        "UnifiedReward ([arXiv 2503.05236](https://arxiv.org/abs/2503.05236)) says that learning to judge several "
        "visual tasks together brings substantial mutual benefits.",
        "Learning several tasks together helps",
        (
            JudgeRow("alone", "{} alone, equal steps per task", "generate, {}", heading="equal steps of the task"),
            JudgeRow("both image tasks", BOTH, "generate, {}"),
            JudgeRow("alone", "{} alone", "generate, {}", heading="equal steps in all"),
            JudgeRow("both image tasks", BOTH, "generate, {}"),
            JudgeRow("all four tasks", "all four tasks", "generate, {}"),
        ),
        ARITY_COLUMNS,
        {
            (1, 0): "for both image tasks with equal steps of the task",
            (3, 2): "for both image tasks with equal steps in all",
            (4, 2): "for all four tasks with equal steps in all",
            (4, 3): "for all four tasks in place of both image tasks, with equal steps in all",
        },
    ),
    PaperClaim(
        "reasons",
        "Do reasons help?",
        "UnifiedReward-Think ([arXiv 2505.03318](https://arxiv.org/abs/2505.03318)) says that a judge that reasons "
        "before its verdict is more reliable, and that one that has learned to reason judges better without it, too.",
        "Reasons help",
        (
            JudgeRow("taught reasons, gives them", BOTH, "generate, {}"),
            JudgeRow("taught reasons, asked directly", BOTH, "likelihood, {}"),
            JudgeRow("taught no reasons", DIRECT, "likelihood, {}"),
        ),
        ARITY_COLUMNS,
        {
            (0, 1): "for giving them, against the same judge asked directly",
            (0, 2): "for giving them, against a judge taught none",
            (1, 2): "for having learned them, against a judge taught none, both asked directly",
        },
    ),
    PaperClaim(
        "pairs",
        "Compare two, or score each? In one order, or in both?",
        "UnifiedReward is taught both to compare pairs and to score candidates alone, and filters preference data by "
        "the one and then by the other. Asking in both orders is the usual remedy for a judge that prefers a position.",
        "Comparing two is better than scoring each, and both orders better than one",
        (
            JudgeRow("compared, in one order", BOTH, "{}, pair"),
            JudgeRow("compared, in both orders", BOTH, "{}, both orders"),
            JudgeRow("each scored alone", BOTH, "{}, by points"),
        ),
        READOUT_COLUMNS,
        {
            (0, 2): "for comparing in one order, against scoring",
            (1, 2): "for comparing in both orders, against scoring",
            (1, 0): "for both orders, against one",
        },
    ),
)
