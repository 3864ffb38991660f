"""Makes a judge of what names it: a checkpoint, a folder, a server's URL, a plug-in's name or a callable."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast, get_args

from unireward_plugins import plugins
from unireward_plugins.cache import VerdictCache
from unireward_plugins.errors import UniRewardError, did_you_mean, needs_extra
from unireward_plugins.judges import BothOrders, ModelJudge, in_one_order
from unireward_plugins.rubrics import Readout, Rubric
from unireward_plugins.types import Judge, Task

if TYPE_CHECKING:
    from unireward_plugins.families import Family
    from unireward_plugins.hookspecs import JudgeCard

RubricOf: TypeAlias = Mapping[tuple[Task, int], Rubric]
"""The rubric for each task and number of candidates judged at a time."""


def load_judge(
    ref: str | Path | Judge,
    *,
    rubric: str | Rubric | None = None,
    readout: Readout | None = None,
    both_orders: bool = False,
    cache: str | Path | None = None,
    family: str | None = None,
) -> Judge:
    """A judge, from what names it.

    `ref`: the name of a judge that a plug-in brings (`"shapes"` is embedded); a checkpoint id of the zoo, any other Hub
    id or a folder (run in this process by transformers); `"vllm:ID"` (run in this process by vLLM);
    `"http(s)://HOST/v1"` (any OpenAI-compatible server; `#NAME` behind the URL picks one of several served models);
    or a callable, taken as it is.

    `rubric`: ask by this rubric alone, instead of the family's rubric for the task at hand.
    `readout`: `"generate"` reads the reply, `"likelihood"` the probabilities at the answer slot instead; by default as
    the judge was built, which is `"generate"` for a model.
    `both_orders`: ask comparisons both ways and average.
    `cache`: an SQLite file that keeps verdicts between runs.
    `family`: which family of the zoo the model belongs to, where its name does not say.

    Nothing heavy is loaded before the first case is judged. Raises `UniRewardError` where `ref` names nothing, the
    family cannot be told, or an option does not fit the judge; `BackendError` where a server has to say which model it
    serves, and cannot be reached.
    """
    if readout is not None and readout not in get_args(Readout):
        raise UniRewardError(f"readout is {readout!r}; a reply can be read by {' or '.join(get_args(Readout))}")
    chosen = plugins.find_rubric(rubric) if isinstance(rubric, str) else rubric
    cards = plugins.judges()
    if family is not None and (not isinstance(ref, (str, Path)) or ref in cards):
        raise UniRewardError(f"judge {ref!r} knows its rubrics: family= fits only a checkpoint or a server")
    if isinstance(ref, str) and ref in cards:
        judge = build(cards[ref].thing)
    elif isinstance(ref, (str, Path)):
        judge = model_judge(str(ref), rubric=chosen, family=family)
    elif callable(ref):
        judge = ref
    else:
        raise UniRewardError(f"{ref!r} is no judge: give a name, a path, a server's URL or a callable")
    if chosen is not None or readout is not None or cache is not None:
        judge = configured(judge, rubric=chosen, readout=readout, cache=cache)
    return BothOrders(in_one_order(judge)) if both_orders else judge


def build(card: JudgeCard) -> Judge:
    """The judge that a plug-in's card describes; `MissingExtra` where it needs an extra that is not installed."""
    module, _, attribute = card.load.partition(":")
    with needs_extra(f"judge {card.name!r}", card.extra) if card.extra else nullcontext():
        factory = getattr(importlib.import_module(module), attribute)
    return cast("Judge", factory())


def configured(judge: Judge, *, rubric: Rubric | None, readout: Readout | None, cache: str | Path | None) -> Judge:
    """The judge with the user's choices applied; `UniRewardError` where they do not fit it."""
    if isinstance(judge, BothOrders):
        return BothOrders(configured(judge.judge, rubric=rubric, readout=readout, cache=cache))
    if not isinstance(judge, ModelJudge):
        if rubric is None and readout != "likelihood" and cache is None:
            return judge  # there is nothing but its answer to read
        raise UniRewardError(
            f"judge {judge!r} is a plain callable: rubric=, readout= and cache= fit only a judge that asks a model"
        )
    rubrics = judge.rubrics if rubric is None else {(rubric.task, rubric.arity): rubric}
    readout = readout or judge.readout
    if readout == "likelihood":
        rubrics = with_slots(rubrics, judge.name)
    kept = VerdictCache(Path(cache)) if cache is not None else judge.cache
    return replace(judge, rubrics=rubrics, readout=readout, cache=kept)


def with_slots(rubrics: RubricOf, judge: str) -> RubricOf:
    """Those of a judge's rubrics that a likelihood can be read from; `UniRewardError` where there is none."""
    able = {key: rubric for key, rubric in rubrics.items() if rubric.slot}
    if not able:
        others = ", ".join(sorted(name for name, brought in plugins.rubrics().items() if brought.thing.slot))
        raise UniRewardError(
            f"none of the rubrics of judge {judge!r} ({', '.join(one.name for one in rubrics.values())}) has an answer "
            f"slot to read a likelihood at. Use readout='generate', or one of these rubrics: {others}"
        )
    return able


def model_judge(ref: str, *, rubric: Rubric | None, family: str | None) -> ModelJudge:
    """The judge behind a URL, a `vllm:` id, a Hub id or a folder, with its family's rubrics or the one given.

    A folder's judge has the folder's name without its path: rows and results that hold it may be published.
    """
    if ref.startswith(("http://", "https://")):
        return served_judge(ref, rubric=rubric, family=family)
    runs_vllm = ref.startswith("vllm:")
    model = ref.removeprefix("vllm:")
    if not runs_vllm:
        check_model_reference(model)
    name = ref.replace(model, Path(model).resolve().name) if Path(model).is_dir() else ref
    known = family_of(model, given=family, rubric=rubric)
    template = dict(known.chat_template_kwargs) if known else {}
    if known and known.only_served:
        raise UniRewardError(f"checkpoint {model!r} cannot be run in this process: {known.only_served}")
    if runs_vllm:
        from unireward_plugins.backends.vllm import VllmBackend

        return ModelJudge(name, VllmBackend(model, chat_template_kwargs=template), rubric_table(known, rubric))
    from unireward_plugins.backends.transformers import TransformersBackend

    return ModelJudge(name, TransformersBackend(model, chat_template_kwargs=template), rubric_table(known, rubric))


def served_judge(url: str, *, rubric: Rubric | None, family: str | None) -> ModelJudge:
    """The judge behind an OpenAI-compatible server, which is asked for its model's checkpoint.

    It need not be asked where the user gives the family, or both the model's name and the rubric. The family is looked
    for even if there is a rubric, because it may know what the chat template must be told.
    """
    from unireward_plugins.backends.openai import OpenAIBackend

    base_url, _, served_name = url.partition("#")
    backend = OpenAIBackend(base_url, model=served_name or None)
    needs_asking = family is None and (rubric is None or not served_name)
    checkpoint = backend.served_checkpoint() if needs_asking else served_name
    known = family_of(checkpoint, given=family, rubric=rubric)
    if known and known.chat_template_kwargs:
        backend = replace(backend, chat_template_kwargs=dict(known.chat_template_kwargs))
    return ModelJudge(url, backend, rubric_table(known, rubric))


def check_model_reference(model: str) -> None:
    """Raise `UniRewardError` unless the text can be a Hub id or is a folder that holds a checkpoint."""
    folder = Path(model)
    if model and folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UniRewardError(f"folder {model!r} holds no checkpoint: there is no config.json in it")
    elif model.count("/") != 1 or model.startswith((".", "/", "~")) or ":" in model:
        names = ", ".join(sorted(plugins.judges()))
        raise UniRewardError(
            f"{model!r} names no judge.{did_you_mean(model, plugins.judges())} Give a judge's name ({names}), "
            "a checkpoint id such as 'CodeGoat24/UnifiedReward-2.0-qwen3vl-8b', a folder that exists, 'vllm:ID', or a "
            "server's URL 'http://HOST:PORT/v1'"
        )


def family_of(name: str, *, given: str | None, rubric: Rubric | None) -> Family | None:
    """The family of a model: the one given, else the one its name tells, else none if a rubric makes it needless."""
    if given is not None:
        return plugins.find_family(given)
    for brought in plugins.families().values():
        if brought.thing.has(name):
            return brought.thing
    if rubric is not None:
        return None
    raise UniRewardError(
        f"model {name!r} is in no family of the zoo, so it is not known which rubrics it was trained for. "
        f"Say so with family= (one of: {', '.join(plugins.families())}), or give one rubric with rubric="
    )


def rubric_table(family: Family | None, rubric: Rubric | None) -> RubricOf:
    """The rubrics of a judge: the one that the user gave, or the family's."""
    if rubric is not None:
        return {(rubric.task, rubric.arity): rubric}
    assert family is not None, "family_of raises where there is neither"
    return {key: plugins.find_rubric(name) for key, name in family.rubrics.items()}
