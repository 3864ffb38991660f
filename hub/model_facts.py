"""What is known of a checkpoint: what its files say, and what its makers note beside them in `model_facts.json`.

    save_facts(folder, ModelFacts(licence="mit", evaluations=[Evaluation("TIGER-Lab/GenAI-Bench", "image pairs", 0.7)]))

A card is made from both (`hub.model_cards.model_card`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hub.weights import count_numbers
from unireward_plugins.errors import UniRewardError

FILE = "model_facts.json"
RESULTS = ".eval_results"
"""Where the Hub looks for results: https://huggingface.co/docs/hub/eval-results."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One figure that was measured."""

    dataset: str
    """What it was measured on: the id on the Hub where it has one (`TIGER-Lab/GenAI-Bench`), else its name."""
    task: str
    """Which part or task of it: `image generation, pairs`."""
    value: float
    metric: str = "accuracy"
    split: str = ""
    revision: str = ""
    """The commit of the dataset."""
    date: str = ""
    """When it was measured, ISO 8601."""
    source: str = ""
    """An address where the evaluation can be seen."""
    notes: str = ""
    """How it was measured: both orders, how ties count, the interval."""

    @property
    def is_on_hub(self) -> bool:
        """Whether the dataset is named by an id of the Hub."""
        return _HUB_ID.fullmatch(self.dataset) is not None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the makers of a checkpoint know of it; what nobody knows stays empty."""

    summary: str = ""
    """What it is, in a sentence or more of Markdown."""
    licence: str = ""
    """The identifier of a licence as the Hub knows it."""
    base_model: str = ""
    """The id of the model that it was trained from."""
    family: str = ""
    """Of a judge: the family of `unireward_plugins.families` in whose words it is asked, where its name is no hint."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """The recipe: method, epochs, learning rate, batch, hardware."""
    data: Sequence[Mapping[str, Any]] = ()
    """The data mixture: for each set `name` (an id on the Hub, where it has one), and `rows`, `share`, `licence`."""
    evaluations: Sequence[Evaluation] = ()
    limits: Sequence[str] = ()
    """What it cannot do, one sentence each."""


def save_facts(folder: str | Path, facts: ModelFacts) -> Path:
    """Note the facts in a checkpoint's folder, and return the file."""
    file = Path(folder) / FILE
    said = {name: value for name, value in asdict(facts).items() if value}
    file.write_text(json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return file


def read_facts(folder: str | Path) -> ModelFacts:
    """The facts in a checkpoint's folder; none where there is no `model_facts.json`.

    Raises `UniRewardError` where the file holds something else, with the name that is not known.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        return ModelFacts()
    said = read_json(file)
    _check_names(said, ModelFacts, str(file))
    for name, (kind, told) in _KINDS.items():
        if not isinstance(said.get(name, kind()), kind):
            raise UniRewardError(f"{file}: {name!r} must be {told}, got a {type(said[name]).__name__}")
    evaluations = [
        _evaluation(one, f"{file}, evaluation {number}") for number, one in enumerate(said.pop("evaluations", []))
    ]
    for number, one in enumerate(said.get("data", [])):
        if not isinstance(one, dict):
            raise UniRewardError(f"{file}, data {number} must be an object, got a {type(one).__name__}")
    return ModelFacts(**said, evaluations=evaluations)


_KINDS: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(("summary", "licence", "base_model", "family"), (str, "a text")),
    **dict.fromkeys(("data", "evaluations", "limits"), (list, "a list")),
    "training": (dict, "an object"),
}
"""What each of the facts is in JSON, and how errors call it."""


def _evaluation(said: Any, place: str) -> Evaluation:
    _check_names(said, Evaluation, place)
    if missing := [name for name in ("dataset", "task", "value") if name not in said]:
        raise UniRewardError(f"{place} has no {missing[0]!r}")
    for name, value in said.items():
        if not isinstance(value, (int, float) if name == "value" else str) or isinstance(value, bool):
            raise UniRewardError(f"{place}: {name!r} must be {'a number' if name == 'value' else 'a text'}")
    return Evaluation(**said)


def eval_results(folder: str | Path) -> dict[str, str]:
    """The results in the form that the Hub shows beside a model and on leaderboards: paths in the repository, and YAML.

    One file a dataset. What was measured on a set that is not on the Hub stands in the card alone.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    files: dict[str, list[EvalResultEntry]] = {}
    for one in read_facts(folder).evaluations:
        if one.is_on_hub:
            entry = EvalResultEntry(
                dataset_id=one.dataset,
                task_id=re.sub(r"\W+", "_", one.task).strip("_").lower(),
                value=one.value,
                dataset_revision=one.revision or None,
                date=one.date or None,
                source_url=one.source or None,
                notes="; ".join(filter(None, (one.metric, one.split, one.notes))) or None,
            )
            files.setdefault(f"{RESULTS}/{one.dataset.replace('/', '--')}.yaml", []).append(entry)
    return {name: yaml.safe_dump(eval_result_entries_to_yaml(entries)) for name, entries in files.items()}


def hub_id(name: object) -> str:
    """The name where it is an id on the Hub; nothing where it is a path, which says nothing to others."""
    return name if isinstance(name, str) and _HUB_ID.fullmatch(name) and not Path(name).exists() else ""


def parameters(folder: Path) -> int:
    """How many numbers the safetensors files below a folder hold; 0 where there are none.

    Raises `UniRewardError` with the file that cannot be read.
    """
    return sum(count_numbers(file) for file in sorted(folder.rglob("*.safetensors")))


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; raises `UniRewardError` where there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UniRewardError(f"{str(file)!r} is no JSON file that can be read: {error}") from error
    if not isinstance(found, dict):
        raise UniRewardError(f"{file} must hold an object, got a {type(found).__name__}")
    return found


def _check_names(said: object, kind: type, place: str) -> None:
    if not isinstance(said, dict):
        raise UniRewardError(f"{place} must be an object, got a {type(said).__name__}")
    known = [one.name for one in fields(kind)]
    if unknown := [name for name in said if name not in known]:
        raise UniRewardError(f"{place} has {unknown[0]!r}, and known are {', '.join(known)}")
