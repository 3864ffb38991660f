"""What a proof does and what becomes of it: ways to align a generator, the settings of all of them, and the outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from diffusers_ext.proof_exam import Exam, at_random, oracle
from unireward_plugins.shapes.generator_data import CALL, CLIP_CALL
from unireward_plugins.types import Judge

Labels: TypeAlias = Literal["judge", "oracle", "random"]
SEEDS = (0, 1, 2, 3, 4)
LABELLERS: Mapping[Labels, Judge | str] = MappingProxyType({"judge": "shapes", "oracle": oracle, "random": at_random})
"""Who grades the candidates."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to align the generator."""

    name: str
    labels: Labels = "judge"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Those of `DPOConfig` that differ from the plan's."""

    @property
    def slug(self) -> str:
        """Its name in paths."""
        return self.name.lower().replace(" ", "-")


PLAIN = Arm("Diffusion-DPO")
CONTROLS: tuple[Arm, ...] = (
    Arm("oracle labels", "oracle"),
    Arm("random labels", "random"),
    Arm("winners only", settings={"loss": "supervised", "beta": 1.0}),
    Arm("safeguard", settings={"safeguard": 0.9}),
    Arm("auto-beta", settings={"auto_beta": 0.2}),
    Arm("winner term", settings={"winner_weight": 25.0}),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a proof's figures depend on, beside the weights of generator and judge; by default of pictures."""

    generator: str = "shapes"
    """The embedded one to align."""
    training: int = 120
    """How many prompts candidates are drawn for, the same ones for every seed."""
    held_out: int = 120
    """How many others the generator is measured on."""
    candidates: int = 6
    exams: int = 2
    """How many samples of each held-out prompt are drawn."""
    call: Mapping[str, Any] = field(default_factory=lambda: dict(CALL))
    """Of the pipeline, for candidates and exams alike."""
    settings: Mapping[str, Any] = field(
        default_factory=lambda: {
            "resolution": 64,
            "steps": 100,
            "batch_size": 16,
            "learning_rate": 2e-3,
            "beta": 300.0,
            "ema_decay": 0.95,
            "checkpoint_every": 50,
        }
    )
    """Of every training, in `DPOConfig`."""


CLIPS = Plan(
    "shapes-clips",
    training=80,
    candidates=4,
    exams=1,
    call=dict(CLIP_CALL),
    settings={**Plan().settings, "batch_size": 8},
)
"""The plan for clips, smaller because one takes as long as several pictures."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one arm with one seed."""

    arm: str
    seed: int
    pairs: int
    before: float
    """The share of held-out samples that were right before, 0 to 1."""
    after: float
    """The same after, from the same noise."""
    seconds: float
    """Of training and measuring."""

    @property
    def gain(self) -> float:
        """How many more of 100 are right."""
        return 100 * (self.after - self.before)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one arm with every seed."""

    arm: Arm
    runs: tuple[Run, ...]

    @property
    def gain(self) -> float:
        """The mean gain, in points of 100."""
        return fmean(run.gain for run in self.runs)

    @property
    def spread(self) -> float | None:
        """The standard deviation of the gain between seeds, in points; `None` for a single one, which has none."""
        return stdev([run.gain for run in self.runs]) if len(self.runs) > 1 else None


@dataclass(frozen=True, slots=True)
class GeneratorAlignment:
    """One generator before and after: what a report shows."""

    run: Run
    before: Exam
    """One sample of each held-out prompt."""
    after: Exam
    """The same from the same noise."""
    pairs: Path
    """The folder of the pairs that were learned from, with a gallery of them."""
    adapter: Path
    """The folder of the LoRA."""
