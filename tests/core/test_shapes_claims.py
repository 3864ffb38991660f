"""The papers' claims: how judges are taught in several ways, measured alike and set side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from statistics import fmean
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file

from unireward_plugins.cli.shapes_claims import claims as command
from unireward_plugins.errors import UniRewardError
from unireward_plugins.judges import ModelJudge
from unireward_plugins.shapes import claims
from unireward_plugins.shapes.claims import CONDITIONS, MEASURED, READOUTS, Result, measure, run_claims, work_left
from unireward_plugins.shapes.claims_page import page, write_page
from unireward_plugins.shapes.claims_questions import CLAIMS
from unireward_plugins.shapes.claims_verdict import MINUS, answer, in_all
from unireward_plugins.shapes.data import CELLS, draw_items
from unireward_plugins.shapes.rubrics import RUBRIC_OF
from unireward_plugins.shapes.train_judge import Training
from unireward_plugins.shapes.training_plan import Plan
from unireward_plugins.testing import ScriptedBackend
from unireward_plugins.types import Query, Reply

TINY = Plan(looking_steps=4, judging_steps=6, tricky_steps=0, polishing_steps=0, looking_batch=4, judging_batch=2)
BY_NAME = {condition.name: condition for condition in CONDITIONS}
DIRECT = BY_NAME["both image tasks, direct"]
NAMES = ("point", "pair", "both orders", "by points", "agreed", "agreed, right", "first", "unread")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As all tests: two threads wait for one another where a core is busy with something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "threads", 1)
        yield


class Killed(Exception):
    pass


def kill_after(calls: int) -> Callable[[int], None]:
    left = iter(range(calls))

    def watch(done: int) -> None:
        if next(left, None) is None:
            raise Killed

    return watch


def invented(base: Plan, *, items: int = 300) -> list[Result]:
    """Results of all conditions and three seeds, as a run would leave them, with shares that nobody measured."""
    rng, results = Random(0), []
    for seed in claims.SEEDS:
        for condition in CONDITIONS:
            plan = condition.plan(base, seed)
            tasks = [task for task in MEASURED if task in condition.tasks]
            shares = {
                task: {f"{readout}, {name}": rng.uniform(0.5, 1) for readout in READOUTS for name in NAMES}
                for task in tasks
            }
            own = dict.fromkeys(tasks, 1)
            results.append(Result(seed, condition.name, claims.settings(plan, items), own, shares, 60.0))
    return results


def keep(folder: Path, results: list[Result]) -> None:
    """Leave results where a run leaves them."""
    for result in results:
        path = folder / f"seed-{result.seed}" / f"{BY_NAME[result.condition].slug}.json"
        path.parent.mkdir(exist_ok=True)
        claims.write(path, result)


# How judges are taught.


def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SAVE_EVERY", 2)
    whole = run_claims(tmp_path / "whole", base=TINY, seeds=[5], conditions=[DIRECT], items=3)
    stopped = tmp_path / "stopped"
    for calls in (2, TINY.looking_steps + 3):  # while it looks, and while it learns to judge
        with pytest.raises(Killed):
            run_claims(stopped, base=TINY, seeds=[5], conditions=[DIRECT], items=3, watch=kill_after(calls))
        assert not (stopped / "seed-5" / f"{DIRECT.slug}.json").exists()
    again = run_claims(stopped, base=TINY, seeds=[5], conditions=[DIRECT], items=3)
    assert [replace(result, seconds=0) for result in again] == [replace(result, seconds=0) for result in whole]
    one, other = (
        load_file(tmp_path / name / "seed-5" / DIRECT.slug / "model.safetensors") for name in ("whole", stopped)
    )
    assert all(bool((one[name] == other[name]).all()) for name in one)
    assert not list(stopped.rglob("unfinished.pt"))


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    done = invented(TINY)
    keep(tmp_path, done)
    assert run_claims(tmp_path, base=TINY, items=300, watch=kill_after(0)) == done
    with pytest.raises(UniRewardError, match="other settings"):
        run_claims(tmp_path, base=TINY, items=301)


def test_conditions_of_a_kind_are_given_equal_steps() -> None:
    base = Plan(judging_steps=900, tricky_steps=0, polishing_steps=0)
    plans = {name: condition.plan(base, 3) for name, condition in BY_NAME.items()}
    assert {plan.seed for plan in plans.values()} == {3}
    for task in MEASURED:
        own = {name: plan.judging_steps * claims.share_of_steps(plan, task) for name, plan in plans.items()}
        per_task = [name for name in own if name.endswith("per task") and own[name]]
        assert len(per_task) == 1
        assert {round(own[name]) for name in per_task} == {round(own["both image tasks"])}
    assert {plan.judging_steps for name, plan in plans.items() if not name.endswith("per task")} == {900}
    assert [name for name, plan in plans.items() if not plan.reasons] == [DIRECT.name]


def test_the_work_that_is_left_is_what_will_be_told(tmp_path: Path) -> None:
    told: list[int] = []
    every = work_left(tmp_path, base=TINY, seeds=[0])
    run_claims(tmp_path, base=TINY, seeds=[0], conditions=[DIRECT], items=2, watch=told.append)
    assert every - work_left(tmp_path, base=TINY, seeds=[0]) == sum(told)


# How they are measured.


def test_a_judge_that_always_says_first_is_right_half_of_the_time_in_both_orders() -> None:
    def first(query: Query) -> str:
        return "Image 1 is better" if "Which" in query.text else "Final Score: 3"

    judge = ModelJudge("first", ScriptedBackend(first), RUBRIC_OF)
    found = measure(judge, "image generation", readouts=["generate"], items=40, seed=1)
    assert found["generate, both orders"] == found["generate, by points"] == 0.5
    assert found["generate, agreed"] == found["generate, agreed, right"] == found["generate, unread"] == 0
    assert found["generate, first"] == 1
    assert 0.2 < found["generate, pair"] < 0.8
    assert 0 < found["generate, point"] < 1


def test_of_a_likelihood_the_likeliest_score_counts_not_one_between_it_and_another() -> None:
    def wavers(query: Query) -> Reply:
        shares = {"1": 0.6, "5": 0.3}
        return Reply("", logprobs=tuple(math.log(shares.get(choice, 0.03)) for choice in query.choices))

    judge = ModelJudge("wavers", ScriptedBackend(wavers), RUBRIC_OF)
    found = measure(judge, "image understanding", readouts=["likelihood"], items=40, seed=1)
    ones = [item.grades == (1,) for item in draw_items(CELLS["image understanding, point"], 40, seed="claims 1")]
    assert found["likelihood, point"] == fmean(ones) > 0.3


def test_a_reply_without_a_verdict_earns_nothing() -> None:
    judge = ModelJudge("silent", ScriptedBackend(lambda query: "hm"), RUBRIC_OF)
    found = measure(judge, "image understanding", readouts=["generate"], items=5, seed=1)
    assert found.pop("generate, unread") == 1
    assert set(found.values()) == {0}


# What is said of it.


def test_the_page_holds_what_was_measured(tmp_path: Path) -> None:
    results = invented(Plan(judging_steps=900, tricky_steps=0, polishing_steps=0))
    text = write_page(results, tmp_path).read_text()
    assert "claims --output claims --steps 900 --items 300\n" in text
    both, alone = (
        [one.measures["image generation"]["generate, pair"] for one in results if one.condition == condition]
        for condition in ("both image tasks", "image generation alone")
    )
    for one, other in zip(both, alone, strict=True):
        assert f"{100 * (one - other):+.1f}".replace("-", MINUS) in text
    for claim in CLAIMS:
        assert f"pictures/claims-{claim.slug}.svg" in text
        drawing = ElementTree.parse(tmp_path / "pictures" / f"claims-{claim.slug}.svg").getroot()
        dots = [node for node in drawing.iter() if node.tag.endswith("circle")]
        assert len(dots) == 3 * len(claim.rows) * len(claim.columns)


def test_only_differences_that_all_seeds_agree_on_are_bold() -> None:
    results = invented(Plan(judging_steps=900, tricky_steps=0, polishing_steps=0))
    for result in results:
        for shares in result.measures.values():
            for name in shares:
                shares[name] = 0.9 if result.condition == DIRECT.name else 0.5 + 0.1 * (result.seed == 1)
    text = page(results)
    assert f"**{MINUS}36.7 ({MINUS}40.0, {MINUS}30.0, {MINUS}40.0)**" in text
    assert "+0.0 (+0.0, +0.0, +0.0)" in text
    assert "**+0.0" not in text


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([[0.10, 0.11, 0.12]] * 4, "yes"),
        ([[-0.10, -0.11, -0.12]] * 4, "no"),
        ([[0.10, 0.11, 0.12]] * 3 + [[-0.01, -0.02, -0.03]], "yes"),
        ([[0.10, 0.11, 0.12]] * 2 + [[-0.01, -0.02, -0.03]] * 2, "undecided"),  # one half is no majority
        ([[0.01, 0.02, 0.30]] * 4, "undecided"),  # all on one side, and the seeds far apart
        ([[0.0, 0.0, 0.0]] * 4, "undecided"),
        ([[0.30]] * 4, "undecided"),  # one seed has no spread
        ([[0.30, 0.31]] * 4, "undecided"),  # and two are alike by chance
    ],
)
def test_an_answer_takes_most_comparisons_and_seeds_that_lie_together(
    differences: list[list[float]], expected: str
) -> None:
    assert answer(differences) == expected


def test_what_the_answers_come_to() -> None:
    assert in_all(["yes", "yes"]) == "held here"
    assert in_all(["yes", "no"]) == in_all(["yes", "undecided"]) == "held here in part"
    assert in_all(["no", "undecided"]) == "did not hold here"
    assert in_all(["undecided"] * 2) == "was not decided here"


def test_each_claim_begins_with_a_verdict_that_follows_from_its_figures() -> None:
    results = invented(Plan(judging_steps=900, tricky_steps=0, polishing_steps=0))
    for result in results:
        alone = result.condition.endswith("per task")
        for shares in result.measures.values():
            shares.update(dict.fromkeys(shares, 0.3 + 0.01 * result.seed if alone else 0.5))
    written = page(results)
    heads = {claim.slug: written.partition(f"## {claim.question}\n\n")[2].partition("\n")[0] for claim in CLAIMS}
    assert heads["joint"].startswith(
        '**"Learning several tasks together helps" held here in part:** yes for both image'
    )
    assert "with equal steps of the task (better in 12 of 12, +19.0 ± 1.0 points); undecided for" in heads["joint"]
    assert heads["reasons"].startswith('**"Reasons help" was not decided here:** undecided for giving them')


def test_the_command_leaves_the_page(tmp_path: Path) -> None:
    done = invented(Plan(judging_steps=30, tricky_steps=0, polishing_steps=0), items=7)
    keep(tmp_path, done)
    ran = CliRunner().invoke(command, ["--output", str(tmp_path), "--steps", "30", "--items", "7", "--json"])
    assert ran.exit_code == 0
    printed = json.loads(ran.stdout)
    assert Path(printed["page"]).read_text() == page(done)
    assert printed["results"] == [json.loads(json.dumps(asdict(result))) for result in done]
