"""Measures a judge of shapes where the truth is known: is it right, is it sure when it is, does the order matter.

    card = evaluate(load_judge("shapes"))        # what `unireward shapes evaluate` prints

`trials` asks the judge; here is what its trials come to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unireward_plugins.shapes.data import CELLS, AnswerItem, Cell, GenerationItem, Item
from unireward_plugins.shapes.measures import Estimate, Share, calibration_error, mean, rank_correlation
from unireward_plugins.shapes.questions import read_answer
from unireward_plugins.shapes.scene import Clip
from unireward_plugins.shapes.trials import PART, Part, Trial, judge_parts
from unireward_plugins.types import Judge, Verdict

FRESH_SEED = 20_000
"""The seed of the table. No training draws from the fresh items of any seed."""


@dataclass(frozen=True, slots=True)
class Row:
    """How a judge judges one cell."""

    right: Share
    """Alone: the score, brought to 1..5, lies within a half of the true grade. A pair: the better one, as the pair
    stands, has the larger share. A reply that cannot be read is not right."""
    held_out: Share
    """The same among the items that hold a combination, relation, action or question that no training item held."""
    unread: Share
    """Replies without a verdict, of both orders of a pair."""
    flips: Share
    """Pairs whose winner changes with the order, of those read in both; no trials where a candidate is judged alone."""
    first: Estimate
    """Verdicts for the candidate that stands first, 0 to 1, of pairs asked in both orders: without position bias a
    half. One trial is a pair, not a verdict: without a flip just one of its two is for the first."""
    correlation: Estimate
    """Spearman's, of score and true grade; without trials for pairs, whose verdict is one of two."""


@dataclass(frozen=True, slots=True)
class LikelihoodRow:
    """How the probabilities at the answer slot judge one cell, without reasons; pairs in one order."""

    right: Share
    """As in `Row`, of the expected score or share, which is what a likelihood readout gives. Where both ends of a scale
    are likely, what is expected lies between them, and is right of neither."""
    likeliest: Share
    """The same of the likeliest score or candidate."""
    generated: Share
    """The same of the replies to the same items."""
    agree: Share
    """Items of which both say the same: scores within half a grade, or the same winner."""
    calibration: Estimate
    """The expected calibration error of the likeliest choice, as `measures.calibration_error` says."""
    correlation: Estimate
    """Spearman's, of score and true grade, or of the first one's share and how much better it truly is."""


@dataclass(frozen=True, slots=True)
class DimensionRow:
    """How a judge scores one dimension of pictures or clips, alone."""

    exact: Share
    """Scores that equal the truth, 1..5; a score that is missing does not."""
    error: Estimate
    """The mean of how many grades the scores miss the truth by, of those read."""
    correlation: Estimate
    """Spearman's, of score and truth."""


@dataclass(frozen=True, slots=True)
class Card:
    """All that was measured of a judge; rows by the name of their cell (`data.CELLS`), in its order."""

    items: int
    """In each cell."""
    seed: int
    verdicts: Mapping[str, Row]
    likelihood: Mapping[str, LikelihoodRow]
    dimensions: Mapping[str, Mapping[str, DimensionRow]]
    """By cell and dimension."""
    think: Mapping[str, Row]
    """Of one pair in `trials.THINK_SHARE`, in both orders."""
    answers: Mapping[str, Mapping[int, Share]]
    """As `answers_by_kind` says, of pictures and clips together."""
    left_out: tuple[str, ...]
    """What the judge could not be asked, in words."""


def evaluate(
    judge: Judge,
    *,
    items: int = 1000,
    seed: int = FRESH_SEED,
    workers: int = 1,
    watch: Callable[[int], None] = lambda _: None,
) -> Card:
    """Everything, over so many fresh items in each of the eight cells; pairs are asked in both orders.

    Verdicts are asked of any judge, a plain callable too, which must not itself ask both orders. The likelihood is read
    where the judge asks a model by rubrics with an answer slot; dimensions and Think replies are asked of a judge with
    the rubrics of shapes. What cannot be asked is left out, and `Card.left_out` says so. With more `workers` the judge,
    which must pickle, runs in so many processes, in each on one core, with the same figures. `watch` is told every now
    and then how many more of the `len(CELLS) * items` items were judged.
    """
    parts = [
        Part(cell, start, min(PART, items - start), seed)
        for cell in sorted(CELLS, key=_is_quick)  # the slow ones first, so that no process waits long at the end
        for start in range(0, items, PART)
    ]
    trials: dict[str, list[Trial]] = {cell: [] for cell in CELLS}
    for part, judged in zip(parts, judge_parts(judge, parts, workers), strict=True):
        trials[part.cell] += judged
        watch(part.count)
    return card_of(trials, items=items, seed=seed)


def card_of(trials: Mapping[str, Sequence[Trial]], *, items: int, seed: int) -> Card:
    """What trials of each cell come to."""
    cells = {name: trials[name] for name in CELLS}
    told = {name: _generated(found) for name, found in cells.items()}
    read = {name: [trial for trial in found if trial.likelihood] for name, found in cells.items()}
    scored = {name: [trial for trial in found if trial.dimensions] for name, found in cells.items()}
    thought = {name: _thought(found) for name, found in cells.items()}
    answers = [one for name, cell in CELLS.items() if _is_answer(cell) for one in told[name]]
    card = Card(
        items=items,
        seed=seed,
        verdicts={name: row(found) for name, found in told.items() if found},
        likelihood={name: likelihood_row(found) for name, found in read.items() if found},
        dimensions={name: dimension_rows(found) for name, found in scored.items() if found},
        think={name: row(found) for name, found in thought.items() if found},
        answers=answers_by_kind([item for item, _, _ in answers], [verdict for _, verdict, _ in answers]),
        left_out=(),
    )
    return replace(card, left_out=tuple(_left_out(card)))


def row(trials: Sequence[tuple[Item, Verdict, Verdict | None]]) -> Row:
    """A cell's row from its items and their verdicts, in the other order too where they are pairs."""
    right = [is_right(verdict, item) for item, verdict, _ in trials]
    verdicts = [verdict for _, *both in trials for verdict in both if verdict is not None]
    winners = [
        (winner(one), winner(other)) for _, one, other in trials if other is not None and one.scores and other.scores
    ]
    firsts = [_first(one, other) for _, one, other in trials if other is not None and (one.scores or other.scores)]
    alone = [(one.scores[0], item.grades[0]) for item, one, other in trials if other is None and one.scores]
    return Row(
        right=Share.of(right),
        held_out=Share.of(hit for hit, (item, _, _) in zip(right, trials, strict=True) if item.held_out),
        unread=Share.of(verdict.scores is None for verdict in verdicts),
        flips=Share.of(one != other for one, other in winners),
        first=Estimate.of(mean, firsts, share=True),
        correlation=_correlation(alone),
    )


def likelihood_row(trials: Sequence[Trial]) -> LikelihoodRow:
    """A cell's row from trials whose likelihood was read."""
    told = [
        (trial.item, trial.verdict, trial.likelihood)
        for trial in trials
        if trial.verdict is not None and trial.likelihood
    ]
    sure = [(found.probability, is_right(found.choice, item)) for item, _, found in told if found.choice.scores]
    scored = [(found.verdict.scores[0], _advantage(item)) for item, _, found in told if found.verdict.scores]
    return LikelihoodRow(
        right=Share.of(is_right(found.verdict, item) for item, _, found in told),
        likeliest=Share.of(is_right(found.choice, item) for item, _, found in told),
        generated=Share.of(is_right(verdict, item) for item, verdict, _ in told),
        agree=Share.of(_agree(verdict, found.verdict) for _, verdict, found in told),
        calibration=Estimate.of(calibration_error, [one for one, _ in sure], [hit for _, hit in sure]),
        correlation=_correlation(scored),
    )


def dimension_rows(trials: Sequence[Trial]) -> dict[str, DimensionRow]:
    """A row for each dimension from trials whose dimensions were scored."""
    of_clips = isinstance(trials[0].item.subjects[0], Clip)
    rows = {}
    for name, graded in (("alignment",) * 2, ("physics" if of_clips else "coherence", "coherence"), ("style",) * 2):
        scores = []
        for trial in trials:
            assert isinstance(trial.item, GenerationItem)
            assert trial.dimensions is not None
            said = trial.dimensions.aspects.get(name, (math.nan,))[0]
            scores.append((said, float(getattr(trial.item.dimensions[0], graded))))
        read = [(said, true) for said, true in scores if not math.isnan(said)]
        rows[name] = DimensionRow(
            exact=Share.of(said == true for said, true in scores),
            error=Estimate.of(mean, [abs(said - true) for said, true in read]),
            correlation=_correlation(read),
        )
    return rows


def answers_by_kind(items: Sequence[Item], verdicts: Sequence[Verdict]) -> dict[str, dict[int, Share]]:
    """What matters in a reward: how often each kind of answer to a question is scored 1 to 5, judged alone.

    The kinds are right, half right (a false detail), well-formed and wrong, and junk, which no reading makes sense of.
    """
    scored: dict[str, list[int | None]] = {
        "right": [],
        "half right": [],
        "well-formed and wrong": [],
        "junk": [],
    }
    for item, verdict in zip(items, verdicts, strict=True):
        assert isinstance(item, AnswerItem)
        well_formed = read_answer(item.answers[0]) is not None
        kind = {5: "right", 3: "half right"}.get(item.grades[0], "well-formed and wrong" if well_formed else "junk")
        scored[kind].append(None if verdict.scores is None else round(1 + 4 * verdict.scores[0]))
    return {
        kind: {score: Share.of(one == score for one in scores) for score in (5, 4, 3, 2, 1)}
        for kind, scores in scored.items()
        if scores
    }


def is_right(verdict: Verdict, item: Item) -> bool:
    """Whether a verdict on `item.case(...)` agrees with the item's grades, as `Row.right` says."""
    if verdict.scores is None:
        return False
    if len(item.grades) == 1:
        return abs(1 + 4 * verdict.scores[0] - item.grades[0]) < 0.5
    return winner(verdict) == item.grades.index(max(item.grades))


def winner(verdict: Verdict) -> int | None:
    """Which candidate of a pair has the larger share; `None` in a tie."""
    assert verdict.scores is not None
    first, second = verdict.scores
    return None if first == second else int(second > first)


def _first(one: Verdict, other: Verdict) -> float:
    """The share of a pair's verdicts that are for the candidate that stood first; of those read."""
    read = [winner(verdict) == stood for stood, verdict in enumerate((one, other)) if verdict.scores]
    return sum(read) / len(read)


def _generated(trials: Sequence[Trial]) -> list[tuple[Item, Verdict, Verdict | None]]:
    return [(trial.item, trial.verdict, trial.swapped) for trial in trials if trial.verdict is not None]


def _thought(trials: Sequence[Trial]) -> list[tuple[Item, Verdict, Verdict | None]]:
    return [(trial.item, trial.think, trial.think_swapped) for trial in trials if trial.think is not None]


def _left_out(card: Card) -> Iterator[str]:
    for cell in CELLS:
        if cell not in card.verdicts:
            yield f"{cell}: the judge takes no such cases"
        elif cell not in card.likelihood:
            yield f"{cell}, likelihood: the judge has no rubric with an answer slot for it"
    if not card.dimensions:
        yield "dimensions: only judges with the rubrics of shapes are asked for them"
    if not card.think:
        yield "Think replies: only judges with the rubrics of shapes are asked for them"


def _agree(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts on one case say the same; an unread one does not."""
    if one.scores is None or other.scores is None:
        return False
    if len(one.scores) == 1:
        return 4 * abs(one.scores[0] - other.scores[0]) < 0.5
    return winner(one) == winner(other)


def _advantage(item: Item) -> int:
    """The grade of a candidate alone; of a pair, by how much the first is better."""
    first, *others = item.grades
    return first - sum(others)


def _correlation(pairs: Sequence[tuple[float, float]]) -> Estimate:
    return Estimate.of(rank_correlation, [one for one, _ in pairs], [other for _, other in pairs])


def _is_quick(cell: str) -> bool:
    return CELLS[cell][1] == 1


def _is_answer(cell: Cell) -> bool:
    return cell[0].endswith("understanding") and cell[1] == 1
