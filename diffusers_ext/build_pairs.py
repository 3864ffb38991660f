"""Preference pairs for pictures and clips: prompts, samples, a judge, and the best against the worst of each prompt.

    built = build_pairs("stabilityai/sdxl-turbo", "prompts.txt", judge="CodeGoat24/UnifiedReward-2.0-qwen3vl-8b",
                        folder="pairs", call={"num_inference_steps": 1, "guidance_scale": 0.0})
    datasets.load_dataset("pairs", split="train")

`unireward pairs generation` is the same on the command line.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from diffusers_ext.gallery import write_gallery
from diffusers_ext.load_pipeline import check_call, is_diffusers, load_pipeline, name_of, origin
from diffusers_ext.pairs_card import known_columns, write_card
from diffusers_ext.prompts import read_prompts
from diffusers_ext.sample import Pipeline, samples
from diffusers_ext.shards import DROPPED, Record, close_run, open_run, records, write_shard
from diffusers_ext.sift import Drawn, Sifted, Way, check_way, judge_candidates, sift, way_for
from diffusers_ext.whole_files import write_whole
from hub import schema
from hub.asked import Known
from unireward_plugins.errors import BackendError, UniRewardError
from unireward_plugins.judges import BothOrders, ModelJudge, both_orders
from unireward_plugins.loading import load_judge
from unireward_plugins.types import Case, Judge, Task

Progress: TypeAlias = Callable[..., AbstractContextManager[Callable[[int], None]]]
"""Called with `total` and `done`, both counts of samples; what it yields is called with how many more were drawn."""

SHARD_PROMPTS, SHARD_BYTES = 16, 2**30
"""A shard ends with so many prompts, or when its samples take so much memory: a kill costs no more than this."""
MOST_TOGETHER = 16
"""So many samples of a prompt are drawn in one call at most."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the rows of a run depend on."""

    prompts: Sequence[str]
    candidates: int
    seed: int
    way: Way | None
    origin: Mapping[str, Any]
    """See `load_pipeline.origin`."""
    judge: Mapping[str, Any]
    """See `describe_judge`."""

    @property
    def written(self) -> dict[str, Any]:
        """What must be the same for a run to go on: a name, a device or a version may change, as long as the weights
        are the same."""
        content = json.dumps(list(self.prompts), ensure_ascii=False).encode()
        return {
            "prompts": {"count": len(self.prompts), "digest": hashlib.sha256(content).hexdigest()[:16]},
            "candidates": self.candidates,
            "seed": self.seed,
            "way": self.way,
            "pipeline": {name: self.origin.get(name) for name in ("class", "weights", "dtype")},
            "call": self.origin["call"],
            "judge": {name: self.judge[name] for name in ("name", "revision", "readout")},
            "rubrics": self.judge["rubrics"],
        }


@dataclass(frozen=True, slots=True)
class Built:
    """How a run ended."""

    folder: Path
    prompts: int
    pairs: int
    dropped: Mapping[str, int]
    """How many prompts gave no pair, by reason (`unireward_plugins.pairs.DROP_REASONS`), the most frequent first."""
    left_out: Mapping[str, int]
    """How many single candidates and comparisons did not count, by reason."""


@contextmanager
def unwatched(*, total: int, done: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG001 (what a `Progress` takes)
    """A `Progress` that shows nothing."""
    yield lambda _count: None


def build_pairs(  # noqa: PLR0913 (all of them the user's)
    pipeline: str | Path | Pipeline,
    prompts: str | Path | Sequence[str],
    *,
    judge: str | Path | Judge,
    folder: str | Path,
    candidates: int = 10,
    way: Way | None = None,
    seed: int = 0,
    call: Mapping[str, Any] = MappingProxyType({}),
    progress: Progress = unwatched,
) -> Built:
    """Draw candidates of each prompt, judge them, and write the best and the worst of each as the rows of a dataset.

    `pipeline` is a diffusers pipeline or its name (`load_pipeline`), `prompts` a file, a dataset's folder or texts
    (`read_prompts`), `judge` a judge or its name (`load_judge`), `call` goes to the pipeline as it is. Candidate `k` of
    prompt `i`, both from 0, is drawn from the seed `seed + i * candidates + k`: no two samples share their noise.
    `way` says how candidates are judged (see `sift`); by default the first of `neighbours`, `tournament` and `grades`
    that the judge can do with so many candidates (`neighbours` takes an even number). Comparisons
    are always asked in both orders.

    Writes shard by shard into `folder`: whatever ends a run, the same call goes on, and what was finished is neither
    lost nor done twice. At the end the folder is a dataset with a card; `gallery.html` shows pairs, `dropped.jsonl`
    lists with its reason what does not count, if anything. Raises `UniRewardError` where the folder holds another run
    or something else, and for bad prompts or arguments; `UnsupportedCase` where the judge cannot judge such samples;
    `BackendError` where pipeline or judge cannot be loaded or fail.
    """
    check_way(way, candidates)
    asked, painter, critic = read_prompts(prompts), load_pipeline(pipeline), both_ways(judge)
    check_call(painter, call)
    plan = Plan(asked, candidates, seed, way, origin(painter, call), describe_judge(critic.judge))
    done = open_run(Path(folder), plan.written)
    with progress(total=len(asked) * candidates, done=done * candidates) as advance:
        for group in in_shards(draw(painter, plan, start=done, advance=advance)):
            way = way or way_for(critic, group[0])
            sifted = [sift(judged) for judged in judge_candidates(group, critic, way)]
            write_pairs(Path(folder), sifted, plan, critic)
    return finish(Path(folder), plan)


def both_ways(judge: str | Path | Judge) -> BothOrders:
    """The judge that is meant, asking comparisons in both orders."""
    return both_orders(load_judge(judge))


def describe_judge(judge: Judge, tasks: Collection[Task] = ("image_generation", "video_generation")) -> dict[str, Any]:
    """What identifies a judge of these tasks, as JSON: `name`, and of a model `revision`, `readout` and `rubrics`, each
    with a digest of its text and the rule for a clip's frames."""
    if not isinstance(judge, ModelJudge):
        return {"name": name_of(judge), "revision": None, "readout": None, "rubrics": []}
    rubrics = [
        {
            "name": rubric.name,
            "arity": arity,
            "digest": rubric.digest,
            "frames": None if rubric.frames is None else asdict(rubric.frames),
        }
        for (task, arity), rubric in sorted(judge.rubrics.items())
        if task in tasks and arity in (1, 2)
    ]
    return {"name": judge.name, "revision": judge.backend.revision, "readout": judge.readout, "rubrics": rubrics}


def draw(pipeline: Pipeline, plan: Plan, *, start: int, advance: Callable[[int], None]) -> Iterator[Drawn]:
    """The prompts from number `start` on, each with its samples.

    As many samples of a prompt as the memory of the device holds are drawn in one call; a pipeline that does not take
    several at a time gets one at a time.
    """
    import torch

    together = min(plan.candidates, MOST_TOGETHER) if is_diffusers(pipeline) else 1
    for number, prompt in enumerate(plan.prompts[start:], start=start):
        seed = plan.seed + number * plan.candidates
        while True:
            try:
                drawn = samples(
                    pipeline, prompt, count=plan.candidates, seed=seed, call=plan.origin["call"], together=together
                )
                break
            except torch.cuda.OutOfMemoryError:
                if together == 1:
                    raise
                together = together // 2
                torch.cuda.empty_cache()
            except Exception as error:
                # Whatever a pipeline says to a list of prompts: what is really wrong it says to one prompt, too.
                if together == 1:
                    blame_call(plan.origin["call"], error)
                    raise
                together = 1
        advance(len(drawn))
        yield Drawn(number, prompt, drawn, together)


def blame_call(call: Mapping[str, Any], error: Exception) -> None:
    """Raise `UniRewardError` where a pipeline failed at its arguments, and nothing else is known to be the cause."""
    if call and not isinstance(error, UniRewardError | BackendError | ImportError | MemoryError | OSError):
        given = ", ".join(f"{name}={value!r}" for name, value in call.items())
        raise UniRewardError(
            f"the pipeline failed when it was called with {given}: {type(error).__name__}: {error}. Change the call"
        ) from error


def in_shards(drawn: Iterator[Drawn]) -> Iterator[list[Drawn]]:
    """The prompts in groups that are judged and written together."""
    group: list[Drawn] = []
    for one in drawn:
        group.append(one)
        if len(group) == SHARD_PROMPTS or sum(each.size for each in group) >= SHARD_BYTES:
            yield group
            group = []
    if group:
        yield group


def write_pairs(folder: Path, sifted: Sequence[Sifted], plan: Plan, judge: BothOrders) -> None:
    """Write a shard with what became of these prompts."""
    task = sifted[0].judged.drawn.case(0).task
    rubric = rubric_names(judge, sifted[0])
    rows = [
        schema.row(one.pair, judge=plan.judge["name"], rubric=rubric, known=known_of(one, plan))
        for one in sifted
        if one.pair is not None
    ]
    kept = [record(one, plan, task=task, rubric=rubric) for one in sifted]
    columns = schema.features(task, known=tuple(known_columns(sifted[0].judged.way))).arrow_schema
    write_shard(folder, kept, rows, columns, at_once=schema.rows_at_once(task))


def known_of(sifted: Sifted, plan: Plan) -> Known:
    """What is known of a pair beside its candidates and scores."""
    drawn = sifted.judged.drawn
    assert sifted.best is not None
    assert sifted.worst is not None
    return Known(
        sifted.aspects,
        sifted.orders_agree,
        chosen_seed=drawn.samples[sifted.best].seed,
        rejected_seed=drawn.samples[sifted.worst].seed,
        origin={**plan.origin, "together": drawn.together},
    )


def record(sifted: Sifted, plan: Plan, *, task: Task, rubric: str) -> Record:
    """What is kept of a prompt: all candidates with their seeds, what the judge said, the choice, what was dropped."""
    judged = sifted.judged
    return {
        "number": judged.drawn.number,
        "prompt": judged.drawn.prompt,
        "task": task,
        "way": judged.way,
        "rubric": rubric,
        "chosen": sifted.best,
        "rejected": sifted.worst,
        "candidates": [
            {
                "seed": sample.seed,
                "score": score,
                "blanked": sample.blanked,
                "said": judged.grades[index].reply if index in judged.grades else "",
            }
            for index, (sample, score) in enumerate(zip(judged.drawn.samples, judged.scores, strict=True))
        ],
        "games": [
            {
                "first": game.first,
                "second": game.second,
                "share": game.share,
                "orders_agree": game.orders_agree,
                "said": game.verdict.reply,
            }
            for game in judged.games
        ],
        "dropped": [asdict(drop) for drop in sifted.dropped],
        "origin": {**plan.origin, "together": judged.drawn.together},
    }


def rubric_names(judge: BothOrders, sifted: Sifted) -> str:
    """The rubrics that the judge was asked by; nothing for a judge that has none."""
    if not isinstance(judge.judge, ModelJudge):
        return ""
    drawn = sifted.judged.drawn
    cases: list[Case] = [drawn.case(0, 1)] if sifted.judged.way != "grades" else []
    cases += [drawn.case(0)] if sifted.judged.way != "tournament" else []
    return ", ".join(judge.judge.rubric_for(case).name for case in cases)


def finish(folder: Path, plan: Plan) -> Built:
    """Write what tells of the whole run (the dropped, the gallery, the card), and count."""
    dropped, left_out, lines = Counter[str](), Counter[str](), []
    for one in records(folder):
        for drop in one["dropped"]:
            (dropped if drop["of"] == "prompt" else left_out)[drop["reason"]] += 1
            seeds = [one["candidates"][index]["seed"] for index in drop["candidates"]]
            line = {"number": one["number"], "prompt": one["prompt"], **drop, "seeds": seeds}
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    built = Built(
        folder,
        prompts=len(plan.prompts),
        pairs=len(plan.prompts) - dropped.total(),
        dropped=dict(dropped.most_common()),
        left_out=dict(left_out.most_common()),
    )
    if lines:
        write_whole(folder / DROPPED, "".join(lines).encode())
    write_gallery(folder, built, plan)
    files = close_run(folder)
    if built.pairs:
        write_card(folder, built, plan, files)
    return built
