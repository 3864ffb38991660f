"""What is refused before anything is sent: unreadable media, missing columns, pickles, secrets, links to elsewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

from hub import tables, weights
from hub.contents import Content, Folder
from hub.leaks import leaks, leaks_in_notes
from hub.model_cards import LORA, ModelKind
from unireward_plugins.errors import UniRewardError, needs_extra
from unireward_plugins.pairs import DROP_REASONS

Kind: TypeAlias = Literal["pairs", ModelKind]
"""What a folder holds: preference data or a checkpoint."""

CARD = "README.md"
PLAN, DROPPED = "plan.json", "dropped.jsonl"
"""What a run of `unireward pairs` begins with, and where it lists what gave no pair when it is finished."""
SIGNS: Mapping[str, ModelKind] = {
    "model_index.json": "pipeline",
    "adapter_config.json": "adapter",
    "config.json": "judge",
}
"""What the folder of each kind of checkpoint can be told by."""
SHOWN = 20
"""So many complaints are told at once."""


def check(folder: Folder, kind: Kind, *, token: str = "") -> None:
    """Raise `UniRewardError` with all that is wrong with a folder: the file, the reason and the way out, a line each.

    Nothing is loaded by a library that could run what is in a file: pickles and archives are looked into, pictures and
    tables decoded. `token` is the one to push with, which no file may hold.
    """
    complaints = [*_complaints(folder, kind, token)]
    if complaints:
        more = [f"... and {len(complaints) - SHOWN:,} more"] if len(complaints) > SHOWN else []
        told = "\n".join(f"  {line}" for line in [*complaints[:SHOWN], *more])
        raise UniRewardError(f"{str(folder.path)!r} is not fit to be published, and nothing was sent:\n{told}")


def _complaints(folder: Folder, kind: Kind, token: str) -> Iterator[str]:
    for name, reason in folder.refused.items():
        yield f"{name} {reason}"
    for name, content in folder.files.items():
        for reason in _check_file(content, folder.files, kind, token):
            yield f"{name} {reason}"
    yield from CHECKS[kind](folder)


def _check_file(content: Content, files: Mapping[str, Content], kind: Kind, token: str) -> Iterator[str]:
    """What is wrong with one file."""
    yield from leaks(content, token=token)
    if reason := weights.unsafe(content):
        yield reason
    name = PurePosixPath(content.name)
    if name.suffix == ".safetensors" and isinstance(content.source, Path):
        yield from filter(None, [weights.broken_safetensors(content.source)])
        yield from leaks_in_notes(weights.read_notes(content.source), token=token)
    if name.name.endswith(".safetensors.index.json"):
        yield from filter(None, [weights.missing_shards(content, files)])
    if name.suffix.lower() in tables.MEDIA_FILES:
        yield from filter(None, [tables.check_media(content)])
    if kind == "pairs" and name.suffix == ".parquet":
        yield from tables.check_table(content, files, token)
    if kind == "pairs" and name.name in ("metadata.jsonl", "metadata.csv"):
        yield from tables.check_names(content, files)
    if name.name == CARD:
        yield from _check_header(content)


def _check_header(content: Content) -> Iterator[str]:
    try:
        header(content.text())
    except UniRewardError as error:
        yield str(error)


def header(card: str) -> dict[str, Any]:
    """The metadata at the beginning of a card; `UniRewardError` where they are no YAML."""
    with needs_extra("reading cards", "hub"):
        import yaml
    block = re.match(r"---\r?\n(.*?)^---\s*$", card, re.DOTALL | re.MULTILINE)
    try:
        known = yaml.safe_load(block[1]) if block else {}
    except yaml.YAMLError as error:
        raise UniRewardError(f"begins with metadata that are no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(known, dict):
        raise UniRewardError("begins with metadata that are no YAML mapping of names to values")
    return known


def _check_pairs(folder: Folder) -> Iterator[str]:
    if CARD not in folder.files:
        if kind := next((kind for name, kind in SIGNS.items() if name in folder.files), None):
            yield f"this is no folder of pairs but of a model: unireward push {kind}"
            return
        is_run = PLAN in folder.files
        way = "the run is not finished, and the same command goes on with it" if is_run else "make it with `save_pairs`"
        yield _no_pair(folder) or f"{CARD} is missing, which tells `datasets` where the rows are: {way}"
        return
    try:
        configs = header(folder.files[CARD].text()).get("configs")
    except UniRewardError:
        return  # told already
    if not isinstance(configs, list) or not configs:
        yield f"{CARD} has no `configs:` in its metadata, which tells `datasets` where the rows are"
        return
    for config in configs:
        patterns = _patterns(config.get("data_files")) if isinstance(config, dict) else []
        if not patterns:
            yield f"{CARD} has a config without `data_files`: a `data_dir` loads from a folder and fails on the Hub"
        yield from filter(None, (_unmatched(pattern, folder.path) for pattern in patterns))


def _no_pair(folder: Folder) -> str:
    """What a finished run of `unireward pairs` says that found no pair; nothing of any other folder."""
    if DROPPED not in folder.files or any(name.endswith(".parquet") for name in folder.files):
        return ""
    try:
        lines = [json.loads(line) for line in folder.files[DROPPED].text().splitlines()]
        reasons = Counter(DROP_REASONS[line["reason"]] for line in lines if line["of"] == "prompt")
    except (ValueError, KeyError, TypeError):
        return ""
    told = "; ".join(f"{number:,} x {reason}" for reason, number in reasons.most_common())
    return (
        f"{DROPPED} says of each prompt why it gave no pair ({told}): the run is finished, and there is nothing to "
        "publish. Make another with more candidates or other prompts (--candidates, --prompts), or ask another judge"
    )


def _unmatched(pattern: str, folder: Path) -> str:
    """Why a pattern of the card finds no file of the folder; nothing where it finds some."""
    with needs_extra("checking pairs", "hub"):
        from datasets.data_files import resolve_pattern
    if "://" in pattern or pattern.startswith("/") or ".." in pattern.split("/"):
        return f"{CARD} names {pattern!r}, which is not in the folder: only what is there can be published with it"
    try:
        resolve_pattern(pattern, str(folder.resolve()))
    except FileNotFoundError:
        return f"{CARD} names {pattern!r}, and no file is called so"
    return ""


def _patterns(data_files: Any) -> list[str]:
    """The patterns in a config's `data_files`, in any of the forms that `datasets` takes."""
    match data_files:
        case str():
            return [data_files]
        case list():
            return [pattern for one in data_files for pattern in _patterns(one)]
        case {"path": path}:
            return _patterns(path)
        case dict():
            return [pattern for one in data_files.values() for pattern in _patterns(one)]
    return []


def _check_judge(folder: Folder) -> Iterator[str]:
    files = folder.files
    yield from _check_config(files, "config.json", "model_type", "a transformers model")
    yield from _check_weights(files, "")
    if not {"preprocessor_config.json", "processor_config.json"} & set(files):
        yield "processor_config.json is missing: save the processor into the same folder (processor.save_pretrained)"
    if "tokenizer_config.json" not in files:
        yield "tokenizer_config.json is missing: save the processor into the same folder (processor.save_pretrained)"


def _check_adapter(folder: Folder) -> Iterator[str]:
    files = folder.files
    if LORA in files:
        return  # a LoRA of diffusers, which has no configuration
    if "adapter_model.safetensors" not in files:
        yield "adapter_model.safetensors is missing: save the adapter with save_pretrained or save_lora_weights"
    yield from _check_config(files, "adapter_config.json", "peft_type", "an adapter of PEFT")
    base = _config(files, "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) or base.startswith("."):
        yield (
            f"adapter_config.json has base_model_name_or_path {base!r}, from which nobody else can load the model: "
            "write its Hub id there"
        )


def _check_pipeline(folder: Folder) -> Iterator[str]:
    files = folder.files
    yield from _check_config(files, "model_index.json", "_class_name", "a diffusers pipeline")
    for name, component in _config(files, "model_index.json").items():
        if name.startswith("_") or not isinstance(component, list) or component[0] is None:
            continue
        if not any(file.startswith(f"{name}/") for file in files):
            yield f"{name}/ is missing, which model_index.json names: save the pipeline again (save_pretrained)"
        elif f"{name}/config.json" in files:
            yield from _check_weights(files, f"{name}/")


def _check_config(files: Mapping[str, Content], name: str, field: str, what: str) -> Iterator[str]:
    if name not in files:
        yield f"{name} is missing: this is no folder of {what}. Save it with save_pretrained"
    elif field not in _config(files, name):
        yield f"{name} has no {field!r}: this is no folder of {what}"


def _config(files: Mapping[str, Content], name: str) -> dict[str, Any]:
    """A configuration file; empty where there is none, or none that can be read."""
    try:
        read = json.loads(files[name].text()) if name in files else {}
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _check_weights(files: Mapping[str, Content], folder: str) -> Iterator[str]:
    if not any(re.fullmatch(rf"{re.escape(folder)}[^/]+\.safetensors", name) for name in files):
        yield f"{folder or 'the folder'} holds no safetensors file: save the weights with save_pretrained"


CHECKS: Mapping[Kind, Callable[[Folder], Iterator[str]]] = {
    "pairs": _check_pairs,
    "judge": _check_judge,
    "adapter": _check_adapter,
    "pipeline": _check_pipeline,
}
"""What is asked of each kind of folder as a whole."""
