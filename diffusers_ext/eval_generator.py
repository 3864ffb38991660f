"""Measures generators: seeded samples of a list of prompts, scored by judges, and set against a second generator's.

    results = eval_generator("my/tuned-sdxl", "prompts.txt", judges=["CodeGoat24/UnifiedReward-2.0-qwen3vl-8b"],
                             against="stabilityai/sdxl-turbo", folder="measured", call={"num_inference_steps": 1})
    results.judges[0]["games"]["win_rate"]

`unireward eval-generator` is the same on the command line. What lies in the folder:

    results.json     what was measured (`Results`)
    items.jsonl      every sample and every verdict, a line for each prompt; gallery.html shows some of them
    pipeline/        the samples, pictures as PNG and clips as MP4, and nothing else
    against/         those of the second pipeline
    work/            what was drawn and said, piece by piece: from here a run that was cut off goes on
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from diffusers_ext.build_pairs import Progress, unwatched
from diffusers_ext.generator_gallery import write_gallery
from diffusers_ext.generator_results import describe_generator, items, summary
from diffusers_ext.generator_verdicts import AGAINST, PIPELINE, installed, judge_samples, named_judges, read_judged
from diffusers_ext.load_pipeline import check_call, load_pipeline, origin, source_of
from diffusers_ext.prompt_list import PromptList, read_prompt_list
from diffusers_ext.sample import Pipeline
from diffusers_ext.sample_files import Drawn, Sampling, draw_samples, task_of
from diffusers_ext.whole_files import write_whole
from hub.clips import FRAMES_PER_SECOND
from unireward_plugins.errors import UniRewardError
from unireward_plugins.types import Judge, Task

FORMAT = "unireward.eval_generator/1"
"""What `format` says in a results file of this layout."""


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured: the content of `results.json`, whose keys are these names.

    An *estimate* is `{"value": 0.61, "low": 0.55, "high": 0.67, "cases": 200}`: a mean over so many samples or games
    and its 95 % interval, for which whole prompts are resampled (percentile bootstrap, 1000 times, from seed 0). Where
    no prompt differs from another, a share, such as a win rate, gets Wilson's interval instead, each prompt counting as
    one trial. `value` is `null` where there is nothing to measure, `low` and `high` also where fewer than two prompts
    hold something, and where a mean that is no share does not differ between prompts.
    A *count of unread* is `{"no_verdict": 3, ...}`, by the reasons in `unireward_plugins.types.UNREAD_REASONS`.
    """

    format: str
    """`FORMAT`."""
    task: Task
    """`"image_generation"` or `"video_generation"`."""
    prompts: Mapping[str, Any]
    """`count`, `digest` (of all texts), `layout` (`"vbench"` for a list in VBench's form, else `"plain"`)."""
    samples_per_prompt: int
    seed: int
    """Sample `k` of prompt `i` is drawn from `seed + i * samples_per_prompt + k`, by both pipelines."""
    frames_per_second: int | None
    """Of clips; `null` for pictures."""
    generators: Mapping[str, Mapping[str, Any]]
    """By role, `"pipeline"` and perhaps `"against"`: what `load_pipeline.origin` tells (`pipeline`, `class`, `weights`,
    `dtype`, `device`, `noise`, `call`, `versions`), and `folder`, `samples`, `blanked` (how many of them the safety
    checker blanked; these are not judged), `seconds_a_sample`."""
    judges: Sequence[Mapping[str, Any]]
    """One for each judge that has judged these samples, in this run or an earlier one:

    * `key`: its name in `items.jsonl`; `name`, and of a model `revision`, `readout`;
    * `rubrics`: of a model, for each rubric asked `name`, `arity`, `digest` (of its text), `frames` (which frames of a
      clip it shows: `name`, `count`, `fps`; `null` for pictures);
    * `scores`: by role, or `null` for a judge that only compares: `score`, an estimate from 0 to 1; `aspects`, an
      estimate for each aspect of the rubric on its own scale; `unread`, a count; `seconds_a_verdict`;
    * `difference`: of a second pipeline's samples of the same prompt and number, how much higher the first scores:
      `score` and `aspects`, estimates; else `null`;
    * `games`: sample against sample of the same prompt and number, or `null` without a second pipeline: `by`
      (`"comparison"`, in both orders, or `"grades"` where the judge only grades and the higher grade wins), `win_rate`
      (an estimate: the first pipeline's share of the points, a tie is half), `aspects` (an estimate for each aspect
      that the judge compares by: the win rate if it alone decided), `won`, `tied`, `lost`, `flip_rate` (an
      estimate: of the games read in both orders, those whose answer changes with the order) and `first_rate` (an
      estimate: the share of points of whatever is shown first; 0.5 without a preference), both `null` by grades,
      `unread` (a count, over single questions), `seconds_a_verdict`;
    * `by_dimension`: for each dimension of a list in VBench's form `pipeline`, `against`, `win_rate`: estimates or
      `null`.
    """
    versions: Mapping[str, str]
    """Of the packages that the numbers may depend on."""
    items: str = "items.jsonl"
    """The file with a line for each prompt:

    `{"number", "prompt", "dimensions": [...], "samples": {role: [{"file", "seed", "blanked"}]}, "verdicts": {key:
    {role: [{"score", "aspects": {name: number}, "unread", "said"} or null], "games": [{"share", "flipped", "orders":
    [{"share", "aspects": {name: [first, second]}, "unread", "said"}, ...]} or null]}}}`

    Files are relative to the folder. `share` is the first pipeline's share of the points, from 0 to 1 or `null` where
    it was not read; the second entry of `orders` is the question with the candidates exchanged, its share and aspects
    turned back. By grades there are no `orders` (`[]`). A sample that was blanked has `null` in place of its verdicts
    and games."""


def eval_generator(  # noqa: PLR0913 (all of them the user's)
    pipeline: str | Path | Pipeline,
    prompts: str | Path | Sequence[str],
    *,
    judges: Sequence[str | Path | Judge],
    folder: str | Path,
    against: str | Path | Pipeline | None = None,
    samples: int | None = None,
    seed: int = 0,
    call: Mapping[str, Any] = MappingProxyType({}),
    against_call: Mapping[str, Any] | None = None,
    frames_per_second: int = FRAMES_PER_SECOND,
    choice: Mapping[str, Any] = MappingProxyType({}),
    progress: Callable[[str], Progress] = lambda _what: unwatched,
) -> Results:
    """Draw samples of each prompt, have judges grade them and compare them with `against`, and write what came out.

    `pipeline` and `against` are diffusers pipelines or their names (`load_pipeline`), `prompts` as `read_prompt_list`
    takes them, `judges` judges or their names (`load_judge`, which gets `choice` too). `samples` of each prompt are
    drawn, by default one, and five of a list in VBench's form. `call` goes to the pipelines as it is; the second one
    gets `against_call` instead where that is given. Both draw from the same seeds.

    All is written as it goes: whatever ends a run, the same call goes on. The same folder with other judges adds these.
    First one pipeline draws, then the other, then each judge is asked, so that only one model is in memory at a time.
    `progress` is called with what is being done and gives a `build_pairs.Progress`, which counts prompts.

    Raises `UniRewardError` where the folder holds samples of something else, for bad prompts or arguments, and for a
    judge that cannot judge what is there; `BackendError` where a pipeline or judge cannot be loaded or fails.
    """
    asked, named = read_prompt_list(prompts), named_judges(judges, **choice)
    count = asked.samples if samples is None else samples
    if count < 1:
        raise UniRewardError(f"there must be at least one sample of each prompt, got samples={count}")
    generators = {PIPELINE: (pipeline, call)}
    if against is not None:
        generators[AGAINST] = (against, call if against_call is None else against_call)
    for ref, _ in generators.values():
        if isinstance(ref, str | Path):
            source_of(str(ref))  # before hours of drawing with the other
    root, drawn = Path(folder), dict[str, Drawn]()
    for role, (ref, own_call) in generators.items():
        plan = _Plan(asked, count, seed, frames_per_second, own_call)
        drawn[role] = _draw(ref, plan, root, role, progress)
    for one in named:
        judge_samples(one, drawn, work=root / "work" / "judges", progress=progress(f"judged by {one.name}"))
    return _write(root, asked, drawn)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How samples are drawn, whoever draws them."""

    prompts: PromptList
    count: int
    seed: int
    frames_per_second: int
    call: Mapping[str, Any]


def _draw(ref: str | Path | Pipeline, plan: _Plan, root: Path, role: str, progress: Callable[[str], Progress]) -> Drawn:
    """The samples of one generator, which is loaded for this and dropped again."""
    painter = load_pipeline(ref)
    check_call(painter, plan.call)
    sampling = Sampling(plan.prompts, plan.count, plan.seed, plan.frames_per_second, origin(painter, plan.call))
    watch = progress(f"drawn by {sampling.origin['pipeline']}")
    drawn = draw_samples(painter, sampling, root / role, work=root / "work" / role, progress=watch)
    if isinstance(ref, str | Path):
        del painter
        _free_memory()
    return drawn


def _free_memory() -> None:
    """Give back what a pipeline held: the next model needs it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _write(root: Path, prompts: PromptList, drawn: Mapping[str, Drawn]) -> Results:
    """Write what all judges said so far, and return it."""
    judged = read_judged(root / "work" / "judges", list(drawn), len(prompts.prompts))
    first, task = drawn[PIPELINE].sampling, task_of(drawn[PIPELINE])
    results = Results(
        format=FORMAT,
        task=task,
        prompts=prompts.described,
        samples_per_prompt=first.count,
        seed=first.seed,
        frames_per_second=first.frames_per_second if task == "video_generation" else None,
        generators={role: describe_generator(one) for role, one in drawn.items()},
        judges=[summary(one, prompts) for one in judged],
        versions=installed() | first.origin["versions"],
    )
    lines = [json.dumps(item, ensure_ascii=False, allow_nan=False) for item in items(prompts, drawn, judged)]
    write_whole(root / results.items, "".join(f"{line}\n" for line in lines).encode())
    write_gallery(root, asdict(results), [json.loads(line) for line in lines])
    write_whole(root / "results.json", json.dumps(asdict(results), indent=2, ensure_ascii=False).encode())
    return results
