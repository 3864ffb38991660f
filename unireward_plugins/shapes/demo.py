"""The whole way in a few minutes, on a CPU: a tiny judge judges, a policy and a generator learn from what it says.

    unireward demo --output report.html

What they learn is measured by the exact checker: on questions about fresh pictures, and on captions that no preference
pair was made for. The generator itself was trained on all captions of its world, these among them, before it came here.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from pkgutil import resolve_name
from typing import TypeAlias

from unireward_plugins import load_judge
from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.media import Media
from unireward_plugins.shapes.data import CELLS, draw_items
from unireward_plugins.shapes.exam import BASE_POLICY, Exam, Policy
from unireward_plugins.shapes.findings import DemoResult, Drawn, GeneratorRun, Judged, Run
from unireward_plugins.shapes.recipe import clock
from unireward_plugins.shapes.report import truth, write_report
from unireward_plugins.shapes.trials import cases_of
from unireward_plugins.types import Judge

Watch: TypeAlias = Callable[[str, float], None]
"""Told what is being done, and the share of all work that is done already, from 0 to 1."""

SEEDS = (0, 1, 2)
STEPS = 100
"""Of training, for each seed."""
CHECKS = 10
"""How often a policy is examined while it learns: more often at the beginning, where most happens."""
EXAM_SIZE = 600
CASES_A_CELL = 40
"""How many fresh cases of each kind the judge is shown."""
SHARE_OF_JUDGING, SHARE_OF_POLICIES = 0.06, 0.62
"""About how much of the whole time the judge's own cases take, and training the policies; the rest is the generator."""
GENERATOR = Path(__file__).parent / "generator"
ALIGN_GENERATOR, THERE_AND_BACK = "diffusers_ext.prove:align_generator", "hub.round_trip:there_and_back"
"""By name, as the command line knows the doors' commands: the core imports none of them."""


def run_demo(
    output: Path,
    *,
    seeds: Sequence[int] = SEEDS,
    steps: int = STEPS,
    exam_size: int = EXAM_SIZE,
    owner: str = "",
    watch: Watch,
) -> DemoResult:
    """Judge, train one policy for each seed, and write a report that stands by itself to `output`, an HTML file.

    `owner` is an account on the Hub: the generator is pushed there and loaded back before anything is trained, the
    pairs and the adapter once the report is written. Raises `MissingExtra` where TRL or diffusers is not installed,
    `UniRewardError` where there is nothing to train or nowhere to write, and what `hub.publish.push` raises.
    """
    if not seeds or steps < 1:
        raise UniRewardError(
            f"nothing to train: seeds={tuple(seeds)}, steps={steps}. Give one seed or more, and one step"
        )
    if output.is_dir():
        raise UniRewardError(f"the report cannot be written: {output} is a folder. Give the path of a file")
    if not output.absolute().parent.is_dir():
        raise UniRewardError(
            f"the report cannot be written: there is no folder {output.absolute().parent}. Make it first"
        )
    watch("starting", 0)
    with needs_extra("the demonstration", "trl"):
        import torch

        from unireward_plugins.shapes.align_policy import describe_settings
    with needs_extra("the demonstration", "diffusers"):
        import diffusers  # noqa: F401 - to find out before anything is trained
        import peft  # noqa: F401 - likewise
    published = publish_generator(owner) if owner else ()
    started = time.monotonic()
    torch.set_num_threads(1)  # the tensors are too small for more, and sums come out the same everywhere
    exam = Exam.draw(exam_size, seed="demo")
    with tempfile.TemporaryDirectory() as folder:
        watch("judging fresh pictures and answers", 0)
        judge = load_judge("shapes", cache=Path(folder) / "verdicts")
        judged = show_judge(judge)
        runs = train_policies(seeds, steps=steps, exam=exam, judge=judge, watch=watch)
        answers = Policy.load().answer(exam)
        generator, pairs, adapter = train_generator(Path(folder) / "generator", watch=watch)
        result = DemoResult(
            judged=judged,
            exam=exam,
            answers=tuple(answers),
            runs=runs,
            generator=generator,
            published=published,
            settings={**describe_settings(steps=steps), **environment()},
            seconds=time.monotonic() - started,
        )
        write_report(result, output)
        watch(f"wrote {output}", 1)
        if not owner:
            return result
        return replace(result, published=published + publish_what_was_learned(pairs, adapter, owner))


def train_policies(seeds: Sequence[int], *, steps: int, exam: Exam, judge: Judge, watch: Watch) -> tuple[Run, ...]:
    """One policy for each seed, one after the other, examined by the truth and by the judge while it learns."""
    from unireward_plugins.shapes.align_policy import Examiner, align

    examiner = Examiner(exam, judge)
    examine_at = frozenset(round(steps * (check / CHECKS) ** 2) for check in range(1, CHECKS + 1))
    runs = []
    for number, seed in enumerate(seeds):

        def report_step(step: int, number: int = number) -> None:
            share = (number + step / steps) / len(seeds)
            doing = f"training policy {number + 1} of {len(seeds)}, step {step} of {steps}"
            watch(doing, SHARE_OF_JUDGING + SHARE_OF_POLICIES * share)

        report_step(0)
        runs.append(align(seed, steps=steps, examiner=examiner, examine_at=examine_at, watch=report_step))
    return tuple(runs)


def train_generator(folder: Path, *, watch: Watch) -> tuple[GeneratorRun, Path, Path]:
    """One generator, aligned by Diffusion-DPO with pairs that the judge chose from its samples; pairs and adapter."""
    align_generator = resolve_name(ALIGN_GENERATOR)
    done = SHARE_OF_JUDGING + SHARE_OF_POLICIES
    aligned = align_generator(folder, watch=lambda doing, share: watch(doing, done + (1 - done) * share))
    before, after = aligned.before, aligned.after
    pictures = (map(Media.of, exam.pictures) for exam in (before, after))
    run = GeneratorRun(
        pairs=aligned.run.pairs,
        before=aligned.run.before,
        after=aligned.run.after,
        samples=tuple(map(Drawn, before.prompts, *pictures, before.right, after.right)),
        seconds=aligned.run.seconds,
    )
    return run, aligned.pairs, aligned.adapter


def publish_generator(owner: str) -> tuple[str, ...]:
    """Push the generator, as it is before it learns, to the account on the Hub and load it back; its address.

    Coming first, it finds out what stands in the way of publishing while nothing is lost by it.
    """
    there_and_back = resolve_name(THERE_AND_BACK)
    return (there_and_back(GENERATOR, repository(owner, "generator"), kind="pipeline").url,)


def publish_what_was_learned(pairs: Path, adapter: Path, owner: str) -> tuple[str, ...]:
    """Push the pairs and the adapter to the account on the Hub and load them back; their addresses.

    The adapter names the generator there as its base, so that anyone can load both.
    """
    there_and_back = resolve_name(THERE_AND_BACK)
    facts = {"base_model": repository(owner, "generator")}
    (adapter / "model_facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return (
        there_and_back(pairs, repository(owner, "pairs"), kind="pairs").url,
        there_and_back(adapter, repository(owner, "adapter"), kind="adapter").url,
    )


def repository(owner: str, what: str) -> str:
    """Where on the Hub a part of the demonstration is published."""
    return f"{owner}/unireward-demo-{what}"


def show_judge(judge: Judge) -> tuple[Judged, ...]:
    """What the judge says of fresh cases of all eight cells, pairs in both orders, beside the truth."""
    items = [item for cell in CELLS.values() for item in draw_items(cell, CASES_A_CELL, seed="demo")]
    asked = cases_of(items, seed=list(b"demo"))
    pairs = [number for number, case in enumerate(asked) if len(case.candidates) > 1]
    verdicts = judge([*asked, *(asked[number].reversed() for number in pairs)])
    swapped = dict(zip(pairs, (verdict.reversed() for verdict in verdicts[len(asked) :]), strict=True))
    return tuple(
        Judged(item, case, verdict, swapped.get(number))
        for number, (item, case, verdict) in enumerate(zip(items, asked, verdicts, strict=False))
    )


def environment() -> dict[str, str]:
    """What the demonstration ran with."""
    from unireward_plugins import shapes
    from unireward_plugins.backends.fingerprint import fingerprint

    packages = ("unireward-plugins", "trl", "transformers", "torch")
    return {
        "Judge": shapes.load().backend.revision,
        "Base policy": fingerprint(str(BASE_POLICY), None),
        "Software": ", ".join(f"{name} {version(name)}" for name in packages),
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    }


class Watcher:
    """Says on standard error what is being done and how long it will take: on one line in a terminal, else on a few."""

    def __init__(self, *, pause: float = 15) -> None:
        self.started = time.monotonic()
        self.in_terminal = sys.stderr.isatty()
        self.pause = 0.2 if self.in_terminal else pause
        self.next = 0.0

    def __call__(self, doing: str, share: float) -> None:
        """Show it, unless something was shown just now."""
        now = time.monotonic()
        if now < self.next and share < 1:
            return
        self.next = now + self.pause
        gone = now - self.started
        left = f", {clock(gone / share - gone)} left" if SHARE_OF_JUDGING <= share < 1 else ""
        line = f"{share:4.0%}  {doing} ({clock(gone)} gone{left})"
        end = "\n" if share >= 1 or not self.in_terminal else ""
        print(f"\r\x1b[2K{line}" if self.in_terminal else line, end=end, file=sys.stderr, flush=True)


def summary(result: DemoResult) -> str:
    """What came out, in a few lines."""
    after, deviation = result.after(truth)
    seeds = ", ".join(f"{run.points[-1].truth:.1%}" for run in result.runs)
    spread = f" ± {deviation:.1%} after ({seeds})" if len(result.runs) > 1 else " after (one seed)"
    return (
        f"The judge agreed with the exact checker on {result.agreement:.1%} of {len(result.judged)} fresh cases.\n"
        f"Right answers on {len(result.exam)} fresh questions: {result.before(truth):.1%} before, "
        f"{after:.1%}{spread}.\n"
        f"Right pictures of {len(result.generator.samples)} captions that no pair was made for: "
        f"{result.generator.before:.1%} before, {result.generator.after:.1%} after.\n"
        f"All of it took {clock(result.seconds)}."
        + "".join(f"\nPublished and loaded back: {address}" for address in result.published)
    )
