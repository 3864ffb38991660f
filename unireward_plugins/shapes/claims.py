"""Tests what the papers on UnifiedReward claim, in miniature: the same tiny judge, taught in different ways.

    unireward shapes claims --output claims

For each seed a judge learns to look, once; from there on every condition goes its own way. Each judge is measured as
soon as it is taught, on the same fresh items, and its figures are kept: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.judges import ModelJudge, average_of_orders
from unireward_plugins.rubrics import Readout
from unireward_plugins.shapes.data import CELLS, Item, draw_items
from unireward_plugins.shapes.evaluate import is_right, winner
from unireward_plugins.shapes.recipe import CHECKPOINT
from unireward_plugins.shapes.training_plan import EMPHASIS, Plan
from unireward_plugins.shapes.trials import cases_of, likelihoods
from unireward_plugins.types import Case, Verdict

if TYPE_CHECKING:
    from unireward_plugins.shapes.train_judge import Training

SEEDS = (0, 1, 2)
STEPS = 1000
"""Of judging, in the comparison of equal steps in all."""
ITEMS = 200
"""Fresh ones in each cell."""
MEASURED = ("image generation", "image understanding")
"""The tasks that judges are compared in."""
TASKS = tuple(dict.fromkeys(name.partition(",")[0] for name in CELLS))
READOUTS: tuple[Readout, ...] = get_args(Readout)
LOOKING_COST = 4
"""About how many steps of looking take as long as one of judging."""
MEASURING_COST = 200
"""About how many steps of judging take as long as measuring a judge."""
SAVE_EVERY = 200

Watch: TypeAlias = Callable[[int], None]
"""Told how much has been done since it was last told, in steps of judging."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A way to teach a judge."""

    name: str
    tasks: tuple[str, ...]
    """What it learns to judge."""
    per_task: bool = False
    """Whether it is given as many steps of its task as the judge of both has, not as many in all."""
    reasons: bool = True

    @property
    def slug(self) -> str:
        """Its name in file names."""
        return self.name.replace(",", "").replace(" ", "-")

    def plan(self, base: Plan, seed: int) -> Plan:
        """What its weights depend on, given the base plan, whose steps of judging are those in all."""
        cells = tuple(name for name in CELLS if name.partition(",")[0] in self.tasks)
        plan = replace(base, seed=seed, cells=cells, reasons=self.reasons)
        if not self.per_task:
            return plan
        of_both = replace(base, cells=tuple(name for name in CELLS if name.partition(",")[0] in MEASURED))
        shared = share_of_steps(of_both, self.tasks[0]) / share_of_steps(plan, self.tasks[0])
        return replace(plan, judging_steps=round(base.judging_steps * shared))


def _conditions() -> tuple[Condition, ...]:
    """The two tasks alone, together and among all four, with equal steps in all; alone with equal steps of the task,
    too; and together without reasons."""
    alone = [
        Condition(f"{task} alone{steps}", (task,), per_task=bool(steps))
        for task in MEASURED
        for steps in ("", ", equal steps per task")
    ]
    return (
        Condition("both image tasks", MEASURED),
        Condition("both image tasks, direct", MEASURED, reasons=False),
        *alone,
        Condition("all four tasks", TASKS),
    )


CONDITIONS = _conditions()


@dataclass(frozen=True, slots=True)
class Result:
    """What one judge can do."""

    seed: int
    condition: str
    settings: Mapping[str, Any]
    """The plan that it was taught by, and on how many items of each cell it was measured."""
    own_steps: Mapping[str, int]
    """For each task that it was measured in: how many steps of its training were of that task."""
    measures: Mapping[str, Mapping[str, float]]
    """For each such task, shares from 0 to 1, by names that `measure` gives them."""
    seconds: float
    """How long it was taught."""


def run_claims(
    output: Path,
    *,
    base: Plan,
    seeds: Sequence[int] = SEEDS,
    conditions: Sequence[Condition] = CONDITIONS,
    items: int = ITEMS,
    watch: Watch = lambda _done: None,
) -> list[Result]:
    """Teach and measure a judge for each seed and condition, leave all in a folder, and return what was measured.

    `base` is the plan whose `judging_steps` every condition of equal steps in all has. What the folder holds already is
    not done again. Raises `UniRewardError` where that comes of other settings.
    """
    results = []
    for seed in seeds:
        folder = output / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        for condition in conditions:
            plan, path = condition.plan(base, seed), folder / f"{condition.slug}.json"
            result = read(path, settings(plan, items))
            if result is None:
                looked = look(folder / "looked.pt", plan, watch=watch)
                result = teach_and_measure(condition, plan, looked, folder / condition.slug, items=items, watch=watch)
                write(path, result)
                (folder / condition.slug / CHECKPOINT).unlink()
            results.append(result)
    return results


def work_left(output: Path, *, base: Plan, seeds: Sequence[int]) -> int:
    """How much `watch` will be told of, if no step of an unfinished training is done yet."""
    left = 0
    for seed in seeds:
        folder = output / f"seed-{seed}"
        has_looked = any((folder / condition.slug).is_dir() for condition in CONDITIONS)
        left += 0 if has_looked else base.looking_steps // LOOKING_COST
        for condition in CONDITIONS:
            if not (folder / f"{condition.slug}.json").exists():
                left += condition.plan(base, seed).judging_steps + MEASURING_COST
    return left


def look(path: Path, plan: Plan, *, watch: Watch) -> Training:
    """The part that all conditions of a seed have in common, done unless its file is there."""
    with needs_extra("teaching a judge of shapes", "transformers"):
        from unireward_plugins.shapes.train_judge import Training
    common = Plan(
        seed=plan.seed,
        looking_steps=plan.looking_steps,
        judging_steps=0,
        looking_batch=plan.looking_batch,
        rate=plan.rate,
        tricky_steps=0,
        polishing_steps=0,
    )
    training = Training(common)
    if path.exists():
        training.resume(path)
    if training.step < common.steps:
        for _ in training.run():
            watch(int(training.step % LOOKING_COST == 0))
            if training.step % SAVE_EVERY == 0:
                training.save(path)
        training.save(path)
    return training


def teach_and_measure(
    condition: Condition, plan: Plan, looked: Training, folder: Path, *, items: int, watch: Watch
) -> Result:
    """Teach a judge that can look already, leave it in a folder, and measure it."""
    from unireward_plugins.shapes import load_from
    from unireward_plugins.shapes.train_judge import Training

    folder.mkdir(exist_ok=True)
    training, unfinished = Training(plan), folder / CHECKPOINT
    training.model.load_state_dict(looked.model.state_dict())
    training.step = plan.looking_steps
    if unfinished.exists():
        training.resume(unfinished)
    for _ in training.run():
        watch(1)
        if training.step % SAVE_EVERY == 0:
            training.save(unfinished)
    training.save(unfinished)
    training.processor.save_pretrained(folder)
    training.model.half().save_pretrained(folder)
    judge = load_from(folder, name=condition.name)
    measured = [task for task in MEASURED if task in condition.tasks]
    readouts = READOUTS if condition.reasons else ("likelihood",)
    measures = {task: measure(judge, task, readouts=readouts, items=items, seed=plan.seed) for task in measured}
    watch(MEASURING_COST)
    own_steps = {task: round(plan.judging_steps * share_of_steps(plan, task)) for task in measured}
    return Result(plan.seed, condition.name, settings(plan, items), own_steps, measures, training.seconds)


def measure(judge: ModelJudge, task: str, *, readouts: Sequence[Readout], items: int, seed: int) -> dict[str, float]:
    """Shares from 0 to 1 of fresh items of a task, for each readout.

    `point`: scores that are right; of a likelihood the likeliest score, for what is expected of a judge that wavers
    between 1 and 5 is 3, which it holds for unlikely. Of pairs, how many are decided rightly, a tie counting a half
    and a reply without a verdict nothing: `pair`, asked in one order; `both orders`, the two verdicts averaged;
    `by points`, each candidate scored alone. `agreed`: pairs with the same winner in both orders; `agreed, right`: and
    it is the right one. `first`: pairs whose first candidate wins. `unread`: replies without a verdict, of all.
    """
    points = draw_items(CELLS[f"{task}, point"], items, seed=f"claims {seed}")
    pairs = draw_items(CELLS[f"{task}, pair"], items, seed=f"claims {seed}")
    alone, together = cases_of(points, seed=[seed, 1]), cases_of(pairs, seed=[seed, 2])
    apart = [replace(case, candidates=(candidate,)) for case in together for candidate in case.candidates]
    shares = {}
    for readout in readouts:
        ask = replace(judge, readout=readout)
        scored = likeliest(ask, alone) if readout == "likelihood" else ask(alone)
        compared, rated = ask(together), ask(apart)
        swapped = [verdict.reversed() for verdict in ask([case.reversed() for case in together])]
        averaged = list(map(average_of_orders, compared, swapped))
        by_points = list(map(joined, rated[::2], rated[1::2]))
        earned = list(map(credit, compared, pairs))
        agreed = [one is not None and one == other for one, other in zip(won(compared), won(swapped), strict=True)]
        found = {
            "point": fmean(map(is_right, scored, points)),
            "pair": fmean(earned),
            "both orders": fmean(map(credit, averaged, pairs)),
            "by points": fmean(map(credit, by_points, pairs)),
            "agreed": fmean(agreed),
            "agreed, right": fmean(both and right == 1 for both, right in zip(agreed, earned, strict=True)),
            "first": fmean(first == 0 for first in won(compared)),
            "unread": fmean(verdict.scores is None for verdict in [*scored, *compared, *swapped, *rated]),
        }
        shares.update({f"{readout}, {name}": value for name, value in found.items()})
    return shares


def likeliest(judge: ModelJudge, cases: Sequence[Case]) -> list[Verdict]:
    """What a judge finds likeliest of each case; its rubrics have an answer slot."""
    verdicts = []
    for found in likelihoods(judge, cases):
        assert found is not None
        verdicts.append(found.choice)
    return verdicts


def credit(verdict: Verdict, item: Item) -> float:
    """1 where the better candidate of a pair wins, a half for a tie, else 0."""
    if verdict.scores is None:
        return 0.0
    return 0.5 if winner(verdict) is None else float(is_right(verdict, item))


def joined(one: Verdict, other: Verdict) -> Verdict:
    """Two candidates' own scores, side by side; no verdict where one of them has none."""
    if one.scores is None or other.scores is None:
        return Verdict(scores=None, unread=one.unread or other.unread)
    return Verdict(one.scores + other.scores)


def won(verdicts: Sequence[Verdict]) -> list[int | None]:
    """Which candidate of each pair wins; `None` for a tie and for no verdict."""
    return [None if verdict.scores is None else winner(verdict) for verdict in verdicts]


def share_of_steps(plan: Plan, task: str) -> float:
    """The share of a plan's steps of judging that are of a task."""
    cells = [cell[0].replace("_", " ") for cell in plan.round(EMPHASIS)]
    return cells.count(task) / len(cells)


def settings(plan: Plan, items: int) -> dict[str, Any]:
    """What a result depends on, as JSON keeps it."""
    kept: dict[str, Any] = json.loads(json.dumps({"plan": asdict(plan), "items": items}))
    return kept


def read(path: Path, wanted: Mapping[str, Any]) -> Result | None:
    """What was measured with these settings, if it was; `UniRewardError` where it was with others."""
    if not path.exists():
        return None
    result = Result(**json.loads(path.read_text(encoding="utf-8")))
    if result.settings != wanted:
        raise UniRewardError(
            f"{path} was measured with other settings: {result.settings}, not {wanted}. "
            "Repeat them, or choose another --output"
        )
    return result


def write(path: Path, result: Result) -> None:
    """Keep a result; the file is whole or not there."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(asdict(result), indent=2), encoding="utf-8")
    os.replace(unfinished, path)  # noqa: PTH105 - atomic on every system
