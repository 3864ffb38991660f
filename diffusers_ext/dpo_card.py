"""The card of an aligned model: how it was made, what was measured, and what that does not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusers_ext.dpo_config import DPOConfig
from diffusers_ext.load_pipeline import EMBEDDED
from diffusers_ext.losses import LOSSES
from hub.cards import counted

SHOWN = ("loss", "accuracy", "margin", "winner_over_reference", "loser_over_reference")
LINES = 6
"""How many steps the table shows, evenly spaced."""

CARD = """\
---
{base}library_name: diffusers
tags:
- diffusion-dpo
- unireward
{tags}---

# {pipeline}, aligned with preference pairs

{use}

## Training

{table}

Errors are means over latents, against the model before training; above 0 the model predicts the chosen
(`winner_over_reference`) or the rejected samples worse than it did. Memory: {need}.

## Held-out prompts

{evaluation}

## Limits

The judge's reward is not a person's: what the judge overlooks, training may make worse. One run, one seed.

## Settings

```yaml
{settings}```
"""

LORA = """\
```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{pipeline}"){where}
pipeline.load_lora_weights("this folder"{more})
```"""
FOLDER = "  # a folder of whoever trained this, no id on the Hub"
"""Follows the name of a base that nobody else can load by it."""

EMBEDDED_LORA = """\
It belongs to the generator `{pipeline}`, which comes with `pip install 'unireward-plugins[diffusers]'`:

```python
from diffusers_ext.load_pipeline import load_pipeline

pipeline = load_pipeline("{pipeline}")
pipeline.load_lora_weights("this folder"{more})
```"""

WHOLE = """\
```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("this folder")
```"""


def model_card(
    config: DPOConfig, log: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], *, need: str
) -> str:
    """The README of a run's result, from its log and its evaluations.

    Folders and files of this machine are told by the last part of their path: the card may be published.
    """
    import yaml

    pipeline = _portable(config.pipeline)
    use = EMBEDDED_LORA if config.pipeline in EMBEDDED else LORA
    where = "" if _is_on_the_hub(config.pipeline) else FOLDER
    more = ", load_into_transformer_2=True" if config.denoiser == "transformer_2" else ""
    kept = sorted({round(place * (len(log) - 1) / (LINES - 1)) for place in range(LINES)}) if log else []
    names = [name for name in SHOWN if log and name in log[0]]
    return CARD.format(
        pipeline=pipeline,
        base=f"base_model: {pipeline}\n" if _is_on_the_hub(config.pipeline) else "",
        tags="- lora\n" if config.lora_rank else "",
        use=use.format(pipeline=pipeline, more=more, where=where) if config.lora_rank else WHOLE,
        table=_table(["step", *names], [[log[place][name] for name in ("step", *names)] for place in kept]),
        evaluation=_evaluation(config, evaluations),
        need=need,
        settings=yaml.safe_dump({name: _portable(value) for name, value in _used(config).items()}, sort_keys=False),
    )


def _used(config: DPOConfig) -> dict[str, Any]:
    """The settings, with the beta that was used where none was named."""
    settings = config.as_dict()
    if config.beta is None and config.auto_beta is None:
        settings["beta"] = LOSSES[config.loss].beta
    return settings


def _portable(value: Any) -> Any:
    """What a setting is called on any machine: of a path without the folders above, which nobody else has."""
    return Path(value).resolve().name if isinstance(value, str) and _is_here(value) else value


def _is_here(value: str) -> bool:
    """Whether a setting is a path of this machine; a name without folders is the same on any."""
    return Path(value).name != value and (Path(value).is_absolute() or Path(value).exists())


def _is_on_the_hub(pipeline: str) -> bool:
    return pipeline.count("/") == 1 and not Path(pipeline).exists()


def _evaluation(config: DPOConfig, evaluations: Sequence[Mapping[str, Any]]) -> str:
    if not evaluations:
        return "Not measured during training."
    names = ("step", "reward", "win_rate", "unread")
    table = _table(names, [[line[name] for name in names] for line in evaluations])
    count = evaluations[-1].get("prompts")  # not there in runs of earlier versions
    prompts = "The held-out prompts" if count is None else counted(count, "prompt")
    how = f"{prompts}, one sample of each, always from the same noise, scored by `{_portable(config.judge)}`."
    best = max((line["step"] for line in evaluations if line["best"]), default=0)
    # Nothing is kept of the start, and what was just measured is the model that the card is of.
    where = f" The best is step {best}, in `best/`." if 0 < best < evaluations[-1]["step"] else ""
    return f"{how}{where}\n\n{table}"


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
