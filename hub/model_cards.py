"""Model cards: what a judge, an adapter or a pipeline is, how it was trained, what was measured, what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from hub.cards import plain
from hub.model_facts import Evaluation, ModelFacts, hub_id, parameters, read_facts, read_json
from unireward_plugins.errors import UniRewardError
from unireward_plugins.families import FAMILIES

ModelKind: TypeAlias = Literal["judge", "adapter", "pipeline"]
"""What a folder holds: a model that judges, weights that are added to a model, or a generator for diffusers."""

LORA = "pytorch_lora_weights.safetensors"
"""The file of an adapter for a diffusers pipeline."""
MARKS: Mapping[ModelKind, tuple[str, ...]] = {
    "judge": ("config.json",),
    "adapter": ("adapter_config.json", LORA),
    "pipeline": ("model_index.json",),
}
"""The files by one of which a folder of each kind is known."""
GENERIC_LIMITS: Mapping[ModelKind, str] = {
    "judge": "A judge's verdict is not a person's: what the judge overlooks, a model that is trained against it learns "
    "to exploit. Ask comparisons in both orders, and look at the share of unread replies.",
    "adapter": "What the judge or the pairs overlook, training may have made worse: look at samples.",
    "pipeline": "What the judge or the pairs overlook, training may have made worse: look at samples.",
}

JUDGE = """\
```python
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("{repo}")
processor = AutoProcessor.from_pretrained("{repo}")
```"""
ASKED = """\
As a judge, with `pip install 'unireward-plugins[transformers]'`:

```python
from unireward_plugins import load_judge

judge = load_judge("{repo}"{more})
```"""
DIFFUSERS_LORA = """\
```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{base}")
pipeline.load_lora_weights("{repo}")
```"""
PEFT = """\
```python
from peft import PeftModel
from transformers import AutoModelForImageTextToText

model = AutoModelForImageTextToText.from_pretrained("{base}")
model = PeftModel.from_pretrained(model, "{repo}")
```"""
PIPELINE = """\
```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{repo}")
```"""


@dataclass(frozen=True, slots=True)
class Found:
    """What the files of a checkpoint say by themselves."""

    base_model: str
    library: str
    pipeline_tag: str
    tags: tuple[str, ...]
    usage: str
    """The snippet, with places for `repo` and `base`."""
    shape: Mapping[str, str]
    """Rows of the table that says what it is."""


def model_card(folder: Path, kind: ModelKind, repo: str, licence: str = "") -> str:
    """The README of a checkpoint that is to have the name `repo`, and that licence, on the Hub.

    A README that is in the folder is kept: its header is completed, its snippets get the name, and results are added
    where it has none. Else the card is made from the files and from `model_facts.json`. Raises `UniRewardError` where
    the folder holds no such checkpoint, and for an adapter whose base nobody names.
    """
    facts, found = read_facts(folder), look(folder, kind)
    written = folder / "README.md"
    header, body = _read(written) if written.is_file() else ({}, "")
    if licence:
        facts, header = replace(facts, licence=licence), {**header, "license": licence}
    base = facts.base_model or _first(header.get("base_model")) or found.base_model
    if kind == "adapter" and not base:
        raise UniRewardError(
            f"nothing in {str(folder)!r} names the model on the Hub that this adapter belongs to: say it as "
            "'base_model' in model_facts.json"
        )
    body = body.replace('"this folder"', f'"{repo}"') if body else _body(facts, found, repo, base, kind)
    if facts.evaluations and "## Evaluation" not in body:
        body = f"{body.rstrip()}\n\n{_evaluation(facts.evaluations)}\n"
    return f"---\n{_header(header, facts, found, repo, base)}\n---\n{body}"


def look(folder: Path, kind: ModelKind) -> Found:
    """What the files say; `UniRewardError` where they are not of that kind."""
    if not any((folder / name).is_file() for name in MARKS[kind]):
        missing = f"{str(folder)!r} is no {kind}: it has no {' and no '.join(MARKS[kind])}"
        card = folder / "README.md"
        if card.is_file() and "configs" in _read(card)[0]:  # which tells `datasets` where the rows are
            raise UniRewardError(f"{missing}. It holds pairs: push them with `unireward push pairs FOLDER ORG/NAME`")
        raise UniRewardError(f"{missing}. The kinds of models are {', '.join(MARKS)}")
    count = parameters(folder)
    size = {"parameters": f"{count:,}"} if count else {}
    if kind == "judge":
        config = read_json(folder / "config.json")
        names = {
            "architecture": ", ".join(config.get("architectures") or ()),
            "type": str(config.get("model_type", "")),
        }
        shape = {name: value for name, value in names.items() if value} | size
        base = hub_id(config.get("_name_or_path"))
        return Found(base, "transformers", "image-text-to-text", ("reward-model", "unireward"), JUDGE, shape)
    if kind == "pipeline":
        index = read_json(folder / "model_index.json")
        parts = ", ".join(name for name in index if not name.startswith("_"))
        shape = {"pipeline": str(index.get("_class_name", "")), "parts": parts} | size
        return Found(hub_id(index.get("_name_or_path")), "diffusers", "", ("unireward",), PIPELINE, shape)
    if (folder / LORA).is_file():
        return Found("", "diffusers", "", ("lora", "unireward"), DIFFUSERS_LORA, size)
    config = read_json(folder / "adapter_config.json")
    modules = config.get("target_modules")
    told = ", ".join(sorted(map(str, modules))) if isinstance(modules, list) else modules
    wanted = {"method": config.get("peft_type"), "rank": config.get("r"), "alpha": config.get("lora_alpha"), "on": told}
    shape = {name: str(value) for name, value in wanted.items() if value} | size
    base = hub_id(config.get("base_model_name_or_path"))
    return Found(base, "peft", "", ("lora", "unireward"), PEFT, shape)


def _read(file: Path) -> tuple[dict[str, Any], str]:
    """The header and the text of a README."""
    from huggingface_hub import ModelCard

    card = ModelCard(file.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    header: dict[str, Any] = card.data.to_dict()  # type: ignore[no-untyped-call]
    return header, card.text


def _header(header: Mapping[str, Any], facts: ModelFacts, found: Found, repo: str, base: str) -> str:
    """The metadata: what the README has, completed; results in the model-index form."""
    from huggingface_hub import ModelCardData

    made = {
        "license": facts.licence,
        "base_model": base,
        "library_name": found.library,
        "pipeline_tag": found.pipeline_tag,
        "datasets": [str(one["name"]) for one in facts.data if hub_id(one.get("name"))],
        "tags": list(found.tags),
    }
    kept = dict(header)
    index = kept.pop("model-index", None)
    tags = list(dict.fromkeys([*(kept.get("tags") or ()), *found.tags]))
    data = ModelCardData(**{name: value for name, value in made.items() if value} | kept | {"tags": tags})
    if facts.evaluations:
        data.model_name = repo.rsplit("/", 1)[-1]
        data.eval_results = [_result(one, found.pipeline_tag or "other") for one in facts.evaluations]
    elif index:
        data["model-index"] = index
    return data.to_yaml().strip()


def _result(one: Evaluation, task: str) -> Any:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=task,
        task_name=one.task,
        dataset_type=one.dataset,
        dataset_name=one.dataset,
        dataset_split=one.split or None,
        dataset_revision=one.revision or None,
        metric_type=one.metric,
        metric_value=one.value,
        source_name="evaluation" if one.source else None,
        source_url=one.source or None,
    )


def _body(facts: ModelFacts, found: Found, repo: str, base: str, kind: ModelKind) -> str:
    origin = f" Trained from [{base}](https://huggingface.co/{base})." if base else ""
    parts = [f"# {repo.rsplit('/', 1)[-1]}", (facts.summary or f"A {kind}.") + origin]
    parts.append(found.usage.format(repo=repo, base=base))
    if kind == "judge":
        parts += _asked(facts, repo)
    if found.shape:
        parts.append(table(("", ""), list(found.shape.items())))
    parts.append("## Training")
    parts.append(table(("setting", "value"), list(facts.training.items())) if facts.training else "Nothing is noted.")
    parts.append("## Data")
    parts.append(_mixture(facts.data) if facts.data else "Nothing is noted.")
    parts.append(_evaluation(facts.evaluations) if facts.evaluations else "## Evaluation\n\nNothing was measured.")
    parts.append("## Limits")
    parts.append("\n".join(f"* {limit}" for limit in (*facts.limits, GENERIC_LIMITS[kind])))
    return "\n".join(("", "\n\n".join(parts), ""))


def _asked(facts: ModelFacts, repo: str) -> list[str]:
    """How to ask it as a judge, where it is known in whose words."""
    if any(family.has(repo) for family in FAMILIES):
        return [ASKED.format(repo=repo, more="")]
    return [ASKED.format(repo=repo, more=f', family="{facts.family}"')] if facts.family else []


def _mixture(data: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for one in data for name in one))
    return table(names, [[one.get(name, "") for name in names] for one in data])


def _evaluation(evaluations: Sequence[Evaluation]) -> str:
    rows = [(one.dataset, one.task, one.metric, one.value, one.notes) for one in evaluations]
    return "## Evaluation\n\n" + table(("dataset", "task", "metric", "value", "how"), rows)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; numbers with four digits that count."""
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else plain(str(cell)) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [names, ["---"] * len(names), *cells])


def _first(value: object) -> str:
    """The one name, or the first of several."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, str) else ""
