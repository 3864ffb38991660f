"""Reads the folders that `lmms-eval --output_path FOLDER --log_samples` writes.

    for run in read_runs(Path("results")):
        print(run.model, run.date, {name: task.metrics for name, task in run.tasks.items()})

A run is one `<date>_results.json` with a `<date>_samples_<task>.jsonl` beside it for each task. What is not whole is an
error that names the file: half of a run is no result.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval_ext import benchmark_metrics as measures
from eval_ext.benchmark_metrics import SIGNS, Choice, Judged
from eval_ext.lmms.aggregate import judged_pairs
from eval_ext.lmms.answers import OURS
from unireward_plugins.errors import UniRewardError

RESULTS, SAMPLES = "_results.json", "_samples_"
TAKEN = "seconds for everything"
"""What the time of a whole run is called in its settings."""
ZONE = "in the zone of lmms-eval's --timezone, Asia/Singapore where none was given"
RECORD = "provenance"
"""The metric under which a task of ours logs all that it knows of a document."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was logged of one document: a pair in one of its two orders, or one candidate."""

    document: int
    """Its number in the task's dataset."""
    said: Mapping[str, Any]
    """What `eval_ext.lmms.functions.process_results` says of it."""
    reply: str
    """The model's own words."""
    asked: str = ""
    """The text that another model than ours was asked with."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What one run found in one task."""

    name: str
    metrics: Mapping[str, Any]
    """By name, as in the result file: numbers, intervals, tables by group."""
    settings: Mapping[str, Any]
    """The task's configuration: its dataset, split, metadata and so on."""
    documents: int
    samples: Sequence[Sample] = field(default=(), repr=False)
    """The documents of a task of ours; none where they were not logged or the task is another's."""
    tokens: float | None = None
    """How many tokens a reply had in the mean; `None` where the model does not count them."""
    available: int | None = None
    """How many documents the task has, of which a run with a limit is asked some; `None` where that is not known."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where the numbers come from, as a task of ours reports it; empty for other tasks."""
        found = self.metrics.get(RECORD)
        return found if isinstance(found, Mapping) else {}

    @property
    def items(self) -> int:
        """How many pairs, or single candidates, the documents are; a pair stands in both orders."""
        return -(-self.documents // 2) if "flip_rate" in self.metrics else self.documents

    @property
    def pairs(self) -> list[Judged]:
        """The judged pairs among the samples; empty where there are none."""
        said = [{**sample.said, "label": choice_of(str(sample.said["label"]))} for sample in self.samples]
        return judged_pairs([one for one in said if one["label"] is not None])


@dataclass(frozen=True, slots=True)
class Run:
    """One run of lmms-eval."""

    file: Path
    model: str
    """The judge or model by the name that the user gave it."""
    date: str
    """When it began, as lmms-eval writes it: sorts by time."""
    zone: str
    """The time zone of the date, in words: lmms-eval's files do not say theirs."""
    settings: Mapping[str, str]
    """What the whole run was started with, in words."""
    tasks: Mapping[str, TaskResult]


def choice_of(label: str) -> Choice | None:
    """What a logged label prefers: it is the choice itself, or the grades of two candidates, as `5,3`; `None` for the
    grade of one candidate."""
    first, comma, second = label.partition(",")
    if not comma:
        return label if label in SIGNS else None  # type: ignore[return-value]  # one of the three
    return measures.choice_of(float(first), float(second))


def read_runs(folder: Path, *, may_be_none: bool = False) -> list[Run]:
    """All runs in a folder and the folders in it, the oldest first.

    Raises `UniRewardError` where there is none, unless there may be none, where a file is not whole, and where samples
    lack their results.
    """
    if not folder.is_dir():
        raise UniRewardError(
            f"{folder} is no folder. Give the folder of --output_path, where lmms-eval wrote its results"
        )
    found = sorted(folder.rglob(f"*{RESULTS}"), key=lambda file: (file.name, str(file)))
    starts = {file.with_name(file.name.removesuffix(RESULTS)) for file in found}
    for samples in sorted(folder.rglob(f"*{SAMPLES}*.jsonl")):
        start = samples.with_name(samples.name.partition(SAMPLES)[0])
        if start not in starts:
            raise UniRewardError(
                f"{samples} has no {start.name}{RESULTS} beside it: that run did not end. Run it again, or "
                "remove the file"
            )
    if not found and not may_be_none:
        raise UniRewardError(
            f"{folder} holds no *{RESULTS}. Write some with: lmms-eval --model unireward --model_args judge=shapes "
            f"--tasks 'unireward_shapes_*' --output_path {folder} --log_samples"
        )
    return [_run(file) for file in found]


def _run(file: Path) -> Run:
    told = _whole(file)
    try:
        config, values = told["config"], told["results"]
        groups = {name for name, members in told.get("group_subtasks", {}).items() if members}
        tasks = {name: _task(file, name, told) for name in values if name not in groups}
        return Run(file, _model_of(config), str(told["date"]), ZONE, _settings(told), tasks)
    except (KeyError, TypeError, AttributeError) as error:
        raise UniRewardError(
            f"{file} is not a result file of lmms-eval 0.7: {error!r} is missing or of another kind. Move it elsewhere"
        ) from error


def _task(file: Path, name: str, told: Mapping[str, Any]) -> TaskResult:
    documents = int(told["n-samples"][name]["effective"])
    logged = file.with_name(file.name.replace(RESULTS, f"{SAMPLES}{name}.jsonl"))
    samples = list(_samples(logged)) if logged.exists() else []
    if samples and len(samples) != documents:
        raise UniRewardError(
            f"{logged} holds {len(samples)} of {documents} documents: it is not whole. Run the task again, or remove "
            "the file to do without its samples"
        )
    return TaskResult(
        name,
        metrics={_plain(key): unwrapped(value) for key, value in told["results"][name].items() if _is_metric(key)},
        settings=told["configs"][name],
        documents=documents,
        samples=[sample for sample in samples if sample is not None],
        tokens=_tokens(told.get("efficiency", {}).get("by_task", {}).get(name, {})),
        available=told["n-samples"][name].get("original"),
    )


def _tokens(efficiency: Mapping[str, Any]) -> float | None:
    return float(efficiency["avg_output_tokens_per_sample"]) if efficiency.get("docs_with_token_counts") else None


def _samples(file: Path) -> Iterator[Sample | None]:
    """What each line says; `None` for a line of somebody else's task."""
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                told = json.loads(line)
                said = told.get(RECORD)
                if not isinstance(said, dict):
                    yield None
                    continue
                yield Sample(
                    int(told["doc_id"]), said, _reply(told.get("resps", told["filtered_resps"])), str(told["input"])
                )
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError, ValueError) as error:
                raise UniRewardError(
                    f"{file}, line {number}, is not a whole sample of lmms-eval ({error!r}). Run the task again, or "
                    "remove the file to do without its samples"
                ) from error


def _reply(logged: Any) -> str:
    """The words of a model: those inside the JSON of our own, those of another as they stand."""
    while isinstance(logged, list):
        logged = logged[0] if logged else ""
    text = str(logged)
    if text.startswith(f'{{"{OURS}":'):
        return str(json.loads(text)["reply"])
    return text


def _whole(file: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UniRewardError(
            f"{file} is not whole ({error}). It was cut off while it was written: remove it, and run the task again"
        ) from error
    if not isinstance(told, dict):
        raise UniRewardError(f"{file} is not a result file of lmms-eval: it holds no JSON object. Move it elsewhere")
    return told


def _model_of(config: Mapping[str, Any]) -> str:
    """What the user calls the model: the judge, the checkpoint, or the name of lmms-eval's class."""
    arguments = _arguments(config)
    return next((arguments[name] for name in ("judge", "model", "pretrained") if name in arguments), config["model"])


def _arguments(config: Mapping[str, Any]) -> dict[str, str]:
    given = config.get("model_args") or ""
    if isinstance(given, dict):
        return {str(name): str(value) for name, value in given.items()}
    parts = (part.partition("=") for part in str(given).split(","))
    return {name.strip(): value.strip() for name, equals, value in parts if equals}


def _settings(told: Mapping[str, Any]) -> dict[str, str]:
    config = told["config"]
    named = {
        "model": config["model"],
        "model arguments": config.get("model_args"),
        "limit": _limit(config.get("limit")),
        "generation arguments": config.get("gen_kwargs"),
        "seeds (python, numpy, torch, few-shot)": " ".join(
            str(config.get(f"{kind}_seed")) for kind in ("random", "numpy", "torch", "fewshot")
        ),
        TAKEN: f"{float(told['total_evaluation_time_seconds']):.0f}",
    }
    return {name: str(value) for name, value in named.items() if value not in (None, "")}


def _limit(given: float | None) -> str | None:
    """`10` of the 10.0 that lmms-eval makes of it; a number below 1 is a part of all documents, and stays as it is."""
    return None if given is None else f"{given:g}"


def _is_metric(key: str) -> bool:
    return key != "alias" and "_stderr" not in key


def _plain(key: str) -> str:
    """`accuracy,none` without the filter that is none."""
    return key.removesuffix(",none")


def unwrapped(value: Any) -> Any:
    """A table, which lmms-eval may put into a list of one; anything else as it is."""
    match value:
        case [dict() as table]:
            return table
    return value
