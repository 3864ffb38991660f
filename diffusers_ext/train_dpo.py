"""`accelerate launch -m diffusers_ext.train_dpo --config sdxl-turbo.yaml --pairs pairs --output aligned`."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import click

from diffusers_ext.checkpoints import left_behind
from diffusers_ext.dpo_config import DPOConfig, config_from, descriptions, read_settings
from unireward_plugins.cli import INTERRUPTED, exit_code
from unireward_plugins.cli.output import hide_loading_bars
from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError

HELP = """Train a diffusers pipeline on preference pairs.

Settings come from --config, a YAML file or the name of one that is shipped, and from the options below, which count
for more. A value is written as in YAML: --resolution '[320, 512]', --call '{num_inference_steps: 4}'. A run that was
stopped goes on from its last checkpoint when the same command is given again. Exit codes are those of `unireward`.

\b
accelerate launch -m diffusers_ext.train_dpo --config sdxl-turbo.yaml --pairs pairs --output aligned
"""


def config_of(file: str | None, given: Mapping[str, str]) -> DPOConfig:
    """The configuration from a YAML file and from options, each as its text; errors as in `config_from`."""
    import yaml

    settings = read_settings(file) if file else {}
    for name, text in given.items():
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = text
        # A bare 5 or null is a text where the setting is one: a folder may be called so.
        settings[name] = text if name in TEXTS and not isinstance(value, str | None) else value
    return config_from(settings)


TEXTS = frozenset({"pipeline", "pairs", "output", "denoiser", "split", "cache", "evaluation_prompts", "judge"})
"""Settings that are texts, whatever they look like."""


def main(config: str | None, **given: str | None) -> None:
    """Train as the options say; foreseen errors and an interruption end with a message and no trace."""
    settings: DPOConfig | None = None
    try:
        settings = config_of(config, {name: value for name, value in given.items() if value is not None})
        hide_bars(settings)
        from diffusers_ext.dpo import DPOTrainer

        trainer = DPOTrainer(settings)
        folder = trainer.train()
    except KeyboardInterrupt:
        if settings is not None and os.environ.get("RANK", "0") == "0":
            click.echo(left_behind(Path(settings.output), settings.steps), err=True)
        sys.exit(INTERRUPTED)
    except (UniRewardError, OSError, BackendError, MissingExtra) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_code(error))
    if trainer.accelerator.is_main_process:
        click.echo(folder)


def hide_bars(settings: DPOConfig) -> None:
    """Keep libraries from drawing bars into the log of the run; a set on the Hub, which may take an hour, keeps its."""
    hide_loading_bars("diffusers", "transformers")
    if Path(settings.pairs).exists() and importlib.util.find_spec("datasets"):
        from datasets import disable_progress_bars

        disable_progress_bars()


def _options() -> list[click.Parameter]:
    """An option for every setting, described by its docstring, with its default."""
    listed: list[Any] = [click.Option(["--config"], help="A YAML file, or the name of a shipped one.", metavar="FILE")]
    described = descriptions()
    listed += [
        click.Option([f"--{one.name}"], help=_plain(described[one.name]) + _default(one), metavar="VALUE")
        for one in fields(DPOConfig)
    ]
    return listed


def _default(setting: Field[Any]) -> str:
    """What counts where a setting is not given, as YAML has it; of those that are then nothing the text tells."""
    if setting.default is MISSING:
        return "" if setting.default_factory is not MISSING else "  [needed, here or in --config]"
    if setting.default in (None, "", ()):
        return ""
    value = setting.default
    return f"  [default: {str(value).lower() if isinstance(value, bool) else value}]"


def _plain(text: str) -> str:
    return text.replace("`", "")


command = click.Command("train_dpo", params=_options(), callback=main, help=HELP)

if __name__ == "__main__":
    command()
