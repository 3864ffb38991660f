"""Every setting of the preference trainer; YAML, the command line and Python give the same object.

DPOConfig(pipeline="stabilityai/sdxl-turbo", pairs="pairs", output="aligned", beta=5000)
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unireward_plugins.errors import UniRewardError, did_you_mean

LEAST = 1e-12
"""The least of what is to be above 0."""
TRACKERS = ("aim", "all", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
"""The trackers of accelerate (its `LOGGER_TYPE_TO_CLASS`), named as their packages are; `all`: those installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DPOConfig:
    """What `diffusers_ext.dpo.DPOTrainer` is told. `UniRewardError` for a value of the wrong type or out of range."""

    pipeline: str
    """The generator to align: a Hub id, a folder of a diffusers pipeline, or embedded: `shapes`, `shapes-clips`."""
    pairs: str = ""
    """The preference pairs: a folder, a Hub id of a dataset, or an upstream `dpo_data.json`. Columns are `prompt` or
    `caption`, with `chosen` and `rejected`, or with `jpg_0`, `jpg_1` and `label_0`."""
    output: str
    """The folder to write: checkpoints, logs, samples, and in the end the LoRA or the whole pipeline."""
    denoiser: str | None = None
    """The component to train where a pipeline has more than one: `transformer_2` of Wan 2.2."""
    split: str = "train"
    """The split of the dataset."""
    held_out: float = 0.0
    """The share of prompts, 0 to 0.9, whose pairs are never trained on; evaluation samples from these."""

    loss: str = "diffusion_dpo"
    """`diffusion_dpo`, `flow_dpo`, `hinge`, `ipo`, `dmpo`, `linear_dpo`, `mapo`, `diffusion_kto` or `supervised`."""
    beta: float | None = None
    """How steep the loss is, for errors that are means; none: the published default of the loss."""
    loss_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the loss: `{eta: 0.001}` of `linear_dpo`."""
    safeguard: float | None = None
    """SDPO's mu, 0 to 1: how much of the winner's progress the loser's gradient must leave (0.9 for SD 1.5)."""
    auto_beta: float | None = None
    """The target, in (0, 0.5), at which beta is set anew at each step (0.2); then `beta` is not used."""
    winner_weight: float = 0.0
    """The weight of the winner's own error in the loss: fine-tuning on the winners beside it."""
    anchor_weight: float = 0.0
    """The weight of the distance to the reference's outputs in the loss."""
    rare_gaps: bool = False
    """Whether pairs with a rare gap between their scores count for more, as in VideoDPO."""

    lora_rank: int = 16
    """The rank of the LoRA; 0 trains the whole denoiser against a frozen copy."""
    lora_alpha: float | None = None
    """The LoRA's alpha; none: the rank."""
    lora_targets: tuple[str, ...] = ()
    """The ends of the names of the modules that get a LoRA; none: those of the family, its attention."""
    ema_decay: float = 0.0
    """The decay of the moving average of the weights, which is then what is evaluated and saved; 0: none. It starts
    lower: min(decay, (1 + step) / (10 + step))."""

    resolution: int | tuple[int, int] | None = None
    """Pixels: one number is the side of a square, and pairs of other aspects get a rectangle of about that area; two
    are the height and the width of all; none: the pipeline's own, and 512 where its files do not say."""
    frames: int | None = None
    """How many frames of each clip are used, from its first; none: all."""
    flip: bool = False
    """Whether half of the draws show a pair mirrored; wrong where prompts say left and right, or pictures hold text."""
    noise_levels: Literal["model", "turbo"] = "model"
    """`model`: the levels that the family trains at; `turbo`: SDXL-Turbo's four, with no signal left at the last."""
    caption_dropout: float = 0.0
    """The share of draws, 0 to 1, with the empty prompt, for models that are sampled with guidance."""

    steps: int = 1000
    """Optimiser steps."""
    batch_size: int = 4
    """Pairs of one forward pass in one process; the model sees twice as many samples."""
    accumulation: int = 1
    """Forward passes of one step."""
    learning_rate: float = 1e-5
    """The highest learning rate."""
    scale_lr: bool = False
    """Whether the learning rate is for one pair, and is multiplied by the pairs of a step."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate goes on after the warm-up: `constant`, or `linear` or `cosine`, which fall to 0 at the last
    step."""
    warmup_steps: int = 0
    """Steps in which the learning rate rises from 0."""
    optimizer: Literal["adamw", "adamw_8bit", "adafactor"] = "adamw"
    """`adamw`, `adamw_8bit` of bitsandbytes, or `adafactor` of transformers with a rate from outside."""
    weight_decay: float = 0.01
    """The weight decay."""
    max_grad_norm: float = 1.0
    """The largest norm of the gradient."""

    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """The precision of the computation: `no`, `fp16` or `bf16`; none: what `accelerate launch` was told. Trained
    weights stay in float32."""
    gradient_checkpointing: bool = False
    """Whether activations are computed again in the backward pass: less memory, a third more time."""
    compile: bool = False
    """Whether the model's repeated blocks are compiled: minutes at the start, faster steps."""
    seed: int = 0
    """Of all randomness. What a pair meets depends on the seed, the step and its place in the step alone."""
    checkpoint_every: int = 100
    """Steps between two checkpoints, from which a stopped run goes on; 0: none."""
    cache: str | None = None
    """Where latents and prompt embeddings are kept; none: `cache` in the output folder."""

    evaluate_every: int = 0
    """Steps between two evaluations; 0: none. There is one before the first step, too."""
    evaluation_prompts: str | None = None
    """A file of prompts to sample; none: the prompts held out."""
    evaluation_count: int = 32
    """How many of them are sampled, one sample each, always from the same noise."""
    judge: str | None = None
    """Who scores the samples of evaluations: what `load_judge` takes."""
    call: dict[str, Any] = field(default_factory=dict)
    """Arguments of the pipeline's call for the samples: `{num_inference_steps: 4, guidance_scale: 0.0}`."""
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate, their packages installed: `tensorboard`, `wandb`, `mlflow` and others."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for one in fields(self):
            object.__setattr__(self, one.name, _typed(getattr(self, one.name), hints[one.name], one.name))
        self._check_names()
        self._check_ranges()

    def _check_names(self) -> None:
        from diffusers_ext.losses import LOSSES

        if self.loss not in LOSSES:
            raise UniRewardError(
                f"there is no loss {self.loss!r}.{did_you_mean(self.loss, LOSSES)} There are {', '.join(LOSSES)}"
            )
        keywords = [
            one.name
            for one in inspect.signature(LOSSES[self.loss].of).parameters.values()
            if one.kind is one.KEYWORD_ONLY
        ]
        for name in self.loss_options:
            if name not in keywords or name == "baseline":
                own = ", ".join(one for one in keywords if one != "baseline") or "none"
                raise UniRewardError(f"loss {self.loss!r} has no option {name!r}; it has {own}")
        options = {name: _typed(value, float, f"loss_options: {name}") for name, value in self.loss_options.items()}
        object.__setattr__(self, "loss_options", options)
        LOSSES[self.loss].check(options)
        for name in self.trackers:
            if name not in TRACKERS:
                near = did_you_mean(name, TRACKERS)
                raise UniRewardError(f"there is no tracker {name!r}.{near} There are {', '.join(TRACKERS)}")
        if self.auto_beta is not None and not LOSSES[self.loss].needs_reference:
            raise UniRewardError(
                f"auto_beta goes by the margin over a reference, which loss {self.loss!r} does not have"
            )

    def _check_ranges(self) -> None:
        ranges: dict[str, tuple[float, float]] = {
            "held_out": (0, 0.9),
            "auto_beta": (1e-6, 0.499999),
            "safeguard": (0, 1),
            "caption_dropout": (0, 1),
            "lora_rank": (0, 1e6),
            "ema_decay": (0, 1),
            "resolution": (8, 1e6),
            "steps": (1, 1e12),
            **dict.fromkeys(("batch_size", "accumulation", "frames"), (1.0, 1e6)),
            "learning_rate": (0, 1e3),
            **dict.fromkeys(("beta", "lora_alpha", "max_grad_norm"), (LEAST, 1e12)),
            **dict.fromkeys(("winner_weight", "anchor_weight", "warmup_steps", "checkpoint_every"), (0.0, 1e12)),
            **dict.fromkeys(("evaluate_every", "evaluation_count", "weight_decay", "seed"), (0.0, 1e12)),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value,)
            if value is not None and not all(low <= number <= high for number in numbers):
                least = "above 0 and at most" if low == LEAST else f"from {low:g} to"
                raise UniRewardError(f"{name} must be {least} {high:g}, got {value}")
        if self.evaluate_every and not (self.evaluation_prompts or self.held_out):
            raise UniRewardError(
                "evaluate_every needs prompts: set evaluation_prompts, or hold out a share with held_out"
            )

    def rate_at(self, step: int, *, pairs: int) -> float:
        """The learning rate of a step, counted from 0, where a step has so many pairs."""
        highest = self.learning_rate * (pairs if self.scale_lr else 1)
        if step < self.warmup_steps:
            return highest * (step + 1) / (self.warmup_steps + 1)
        left = (self.steps - step) / max(1, self.steps - self.warmup_steps)
        return (
            highest * {"constant": 1.0, "linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left)}[self.schedule]
        )

    def as_dict(self) -> dict[str, Any]:
        """All settings as JSON and YAML have them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def config_from(settings: Mapping[str, Any]) -> DPOConfig:
    """The configuration from settings by name; `UniRewardError` for one that is not there, or that is missing."""
    names = [one.name for one in fields(DPOConfig)]
    for name in settings:
        if name not in names:
            raise UniRewardError(f"there is no setting {name!r}.{did_you_mean(str(name), names)}")
    needed = [one.name for one in fields(DPOConfig) if one.default is MISSING and one.default_factory is MISSING]
    if missing := [name for name in needed if name not in settings]:
        raise UniRewardError(f"{', '.join(missing)} must be set, as in --{missing[0]} ... or {missing[0]}: ... in YAML")
    return DPOConfig(**settings)


def read_settings(file: str | Path) -> dict[str, Any]:
    """The settings in a YAML file, or in the shipped one of that name; `UniRewardError` where there is neither."""
    import yaml

    path = Path(file)
    if not path.is_file():
        shipped = {one.name: Path(str(one)) for one in (files("diffusers_ext") / "configs").iterdir()}
        if str(file) not in shipped:
            raise UniRewardError(f"there is no file {str(file)!r}, and no shipped one: {', '.join(sorted(shipped))}")
        path = shipped[str(file)]
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UniRewardError(f"{path} is not YAML: {error}") from error
    if not isinstance(settings, dict):
        raise UniRewardError(f"{path} must hold settings, as in 'beta: 5000', one a line; got {settings!r}")
    return settings


@cache
def descriptions() -> dict[str, str]:
    """What each setting means: the docstrings of the fields of `DPOConfig`."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(DPOConfig))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _typed(value: Any, hint: Any, name: str) -> Any:
    """The value as its field has it: YAML gives lists for tuples, and texts for numbers such as 1e-8."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in kinds:
        fits, typed = _as(kind, value)
        if fits:
            return typed
    choices = [item for kind in kinds if get_origin(kind) is Literal for item in get_args(kind)]
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    hint = f".{near}" if near else ""
    raise UniRewardError(f"{name} must be {' or '.join(_in_words(kind) for kind in kinds)}, got {value!r}{hint}")


def _in_words(kind: Any) -> str:
    """A type as people say it."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    return KINDS[kind]


KINDS: Mapping[Any, str] = {
    NoneType: "nothing",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple[int, int]: "two of them, as in [320, 512]",
    tuple[str, ...]: "a list of texts, as in [one, two]",
    dict[str, Any]: "values by name, as in {name: 4}",
}


def _as(kind: Any, value: Any) -> tuple[bool, Any]:
    """Whether the value can be of the kind, and the value of that kind."""
    items = get_args(kind)
    if get_origin(kind) is Literal:
        # YAML reads a bare `no` as false.
        value = "no" if value is False and "no" in items else value
        return value in items, value
    if get_origin(kind) is tuple:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list | tuple) or (items[-1] is not Ellipsis and len(listed) != len(items)):
            return False, None
        each = [_as(items[0], one) for one in listed]
        return all(fits for fits, _ in each), tuple(one for _, one in each)
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return True, float(value)
        except ValueError:
            return False, None
    plain = get_origin(kind) or kind
    return isinstance(value, plain) and not (plain is int and isinstance(value, bool)), value
