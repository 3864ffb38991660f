"""The proof that the whole way works: a generator becomes more often right, by a truth that nothing on the way saw.

    results = prove("proof")                # or: unireward prove proof
    results = prove("clips", plan=CLIPS)    # or: unireward prove clips --clips

For each seed an embedded generator draws candidates, the embedded judge grades them, the best and the worst of each
prompt become pairs, `DPOTrainer` learns from these, and the exact referee counts how many samples of held-out prompts
are right before and after. Every stage goes on where it was stopped.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

from diffusers_ext.build_pairs import build_pairs
from diffusers_ext.checkpoints import check_same_run
from diffusers_ext.load_pipeline import fingerprint, load_pipeline
from diffusers_ext.proof_exam import Exam, draw_prompts, examine
from diffusers_ext.proof_page import write_page
from diffusers_ext.proof_plan import (
    CLIPS,
    CONTROLS,
    LABELLERS,
    PLAIN,
    SEEDS,
    Arm,
    GeneratorAlignment,
    Labels,
    Plan,
    Result,
    Run,
)
from diffusers_ext.whole_files import write_whole
from unireward_plugins.cli.output import hide_loading_bars
from unireward_plugins.errors import UniRewardError, needs_extra

__all__ = ["CLIPS", "GeneratorAlignment", "Plan", "Result", "Run", "align_generator", "prove"]

Watch: TypeAlias = Callable[[str, float], None]
"""Told what is being done, and the share of all work that is done already, from 0 to 1."""


def unwatched(_doing: str, _share: float) -> None:
    """A `Watch` that shows nothing."""


def prove(
    folder: str | Path,
    *,
    seeds: Sequence[int] = SEEDS,
    controls: bool = False,
    plan: Plan | None = None,
    workers: int = 2,
    watch: Watch = unwatched,
) -> list[Result]:
    """Align an embedded generator with every seed, and write `proof.md`, `proof.json` and `before-after.png`.

    `plan` says which and how: `Plan()`, of pictures, where none is given, or `CLIPS`. With `controls` also in all ways
    of `CONTROLS`. `workers` processes of one thread each share the work. Goes on where it was stopped. Raises
    `UniRewardError` without seeds, and where the folder holds a proof with other settings.
    """
    if not seeds:
        raise UniRewardError("a proof needs a seed at least: seeds=(0, 1, 2, 3, 4)")
    home, plan = Path(folder), plan or Plan()
    check_same_proof(home, plan)
    arms = (PLAIN, *CONTROLS) if controls else (PLAIN,)
    kinds = tuple(dict.fromkeys(arm.labels for arm in arms))
    pairs = [(make_pairs, (home, plan, kind, seed)) for seed in seeds for kind in kinds]
    runs = [(run_arm, (home, plan, arm, seed)) for arm in arms for seed in seeds]
    done, total = 0, len(pairs) + 2 * len(runs)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        for jobs, weight, doing in ((pairs, 1, "drawing and judging candidates"), (runs, 2, "training and measuring")):
            watch(doing, done / total)
            for finished in as_completed([pool.submit(job, *told) for job, told in jobs]):
                finished.result()
                done += weight
                watch(doing, done / total)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error only what has begun is brought to its end
    results = [Result(arm, tuple(run_arm(home, plan, arm, seed) for seed in seeds)) for arm in arms]
    write_page(home, results, take_exams(home, plan, seeds[0]))
    return results


def align_generator(
    folder: str | Path, *, seed: int = 0, plan: Plan | None = None, watch: Watch = unwatched
) -> GeneratorAlignment:
    """Align an embedded generator once, by default that of pictures, and keep samples from before and after.

    Goes on where it was stopped; what it leaves in the folder is part of a `prove` with the same plan.
    """
    home, plan = Path(folder), plan or Plan()
    check_same_proof(home, plan)
    watch("drawing and judging candidates", 0)
    pairs = make_pairs(home, plan, PLAIN.labels, seed)
    watch("training the generator", 0.4)
    run = run_arm(home, plan, PLAIN, seed)
    watch("drawing samples for the report", 0.9)
    before, after = take_exams(home, plan, seed)
    return GeneratorAlignment(run, before, after, pairs, home / f"seed-{seed}" / PLAIN.slug / "final")


def make_pairs(home: Path, plan: Plan, labels: Labels, seed: int) -> Path:
    """Draw candidates of the training prompts from noise of the seed's own, and have them graded; a folder of pairs."""
    folder = home / f"seed-{seed}" / f"pairs-{labels}"
    if not (folder / "README.md").is_file():
        build_pairs(
            plan.generator,
            draw_prompts(plan.training, plan.held_out, plan.generator)[0],
            judge=LABELLERS[labels],
            folder=folder,
            candidates=plan.candidates,
            way="grades",
            seed=1_000_000 * (seed + 1),
            call=plan.call,
        )
    return folder


def run_arm(home: Path, plan: Plan, arm: Arm, seed: int) -> Run:
    """Train one generator, and measure it before and after; what was measured before is not measured again."""
    with needs_extra("training a generator", "diffusers"):
        from diffusers_ext.dpo import DPOTrainer
        from diffusers_ext.dpo_config import DPOConfig
    folder = home / f"seed-{seed}" / arm.slug
    kept = folder / "result.json"
    check_same_run(folder / "arm.json", {"labels": arm.labels, **arm.settings})
    if kept.is_file():
        return Run(**json.loads(kept.read_text()))
    began = time.monotonic()
    pairs = make_pairs(home, plan, arm.labels, seed)
    with (folder / "log.txt").open("a") as log, redirect_stderr(log):
        settings = {**plan.settings, **arm.settings}
        trainer = DPOTrainer(
            DPOConfig(pipeline=plan.generator, pairs=str(pairs), output=str(folder), seed=seed, **settings)
        )
        trainer.train()
    after = take_exam(load_aligned(folder, plan), plan, seed).share.value
    before = share_before(home, plan, seed)
    run = Run(arm.name, seed, len(trainer.preferences), before, after, time.monotonic() - began)
    write_whole(kept, json.dumps(asdict(run)).encode())
    return run


def share_before(home: Path, plan: Plan, seed: int) -> float:
    """How often the generator was right before, on the seed's noise."""
    kept = home / f"seed-{seed}" / "before.json"
    if not kept.is_file():
        write_whole(kept, json.dumps(take_exam(load_pipeline(plan.generator), plan, seed).share.value).encode())
    return float(json.loads(kept.read_text()))


def take_exams(home: Path, plan: Plan, seed: int) -> tuple[Exam, Exam]:
    """One sample of each held-out prompt, before and after the plain training."""
    once = replace(plan, exams=1)
    aligned = load_aligned(home / f"seed-{seed}" / PLAIN.slug, plan)
    return take_exam(load_pipeline(plan.generator), once, seed), take_exam(aligned, once, seed)


def take_exam(pipeline: Any, plan: Plan, seed: int) -> Exam:
    """Samples of the held-out prompts, from noise that no candidate came from, the same for every generator."""
    prompts = draw_prompts(plan.training, plan.held_out, plan.generator)[1] * plan.exams
    return examine(pipeline, prompts, seed=1_000_000 * (seed + 1) + 500_000, call=plan.call)


def load_aligned(folder: Path, plan: Plan) -> Any:
    """The generator with what an arm has learned."""
    from diffusers.utils import logging

    pipeline: Any = load_pipeline(plan.generator)
    told = logging.get_verbosity()
    logging.set_verbosity_error()  # a LoRA without weights for the text encoder is no news here
    try:
        pipeline.load_lora_weights(folder / "final")
    finally:
        logging.set_verbosity(told)
    return pipeline


def check_same_proof(home: Path, plan: Plan) -> None:
    """Make sure that what lies in the folder was made with the same weights and settings."""
    from unireward_plugins import shapes

    weights = {"weights": fingerprint(load_pipeline(plan.generator)), "judge": shapes.load().backend.revision}
    check_same_run(home / "plan.json", {**weights, **asdict(plan)})


def _start_worker() -> None:
    """Each worker computes with one thread, for the tensors are too small for more, and quietly."""
    import torch

    Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)
    hide_loading_bars("diffusers", "transformers")


def _end_with_parent() -> None:
    """A worker of a killed proof must not write into its folder while another proof goes on there."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
