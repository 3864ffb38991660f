"""Checkpoints of a training run: each there as a whole or not at all, and resumed to the bit."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffusers_ext.whole_files import write_whole
from unireward_plugins.errors import UniRewardError

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 2
"""How many checkpoints are kept, the newest."""
NAME = re.compile(r"step-(\d{8})")
DRAFT, REPLACED = ".part", ".old"
"""How hidden folders end that are not whole yet or will be deleted, and those that wait for what takes their place."""
CHANGED: Mapping[str, str] = {
    "pairs_digest": "the pairs have changed",
    "weights": "the weights of the pipeline have changed",
}
"""What is said where something differs whose values tell nobody anything: it is known by a hash."""


def save_checkpoint(accelerator: Any, root: Path, step: int) -> None:
    """Write the state of models, optimiser and whatever is registered, after so many steps; by all processes."""
    draft = root / f".step-{step:08}{DRAFT}"
    if accelerator.is_main_process:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(draft))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        replace_folder(draft, root / f"step-{step:08}")
        for old in checkpoints(root)[:-KEPT]:
            # At once, so that none counts that is half deleted.
            shutil.rmtree(old.rename(old.with_name(f".{old.name}{DRAFT}")))
    accelerator.wait_for_everyone()


def load_newest(accelerator: Any, root: Path) -> int:
    """Go on from the newest checkpoint: the steps that were done, 0 without one."""
    there = checkpoints(root)
    if not there:
        return 0
    accelerator.load_state(str(there[-1]))
    accelerator.step = 0  # of forward passes, and their number in a step may have changed
    return step_of(there[-1])


def checkpoints(root: Path) -> list[Path]:
    """The whole checkpoints in a folder, the newest last."""
    return sorted(path for path in root.glob("step-*") if NAME.fullmatch(path.name)) if root.is_dir() else []


def step_of(checkpoint: Path) -> int:
    """The steps that a checkpoint has behind it."""
    return int(checkpoint.name.removeprefix("step-"))


def has_result(output: Path) -> bool:
    """Whether the run in a folder has left weights: a checkpoint to go on from, or a model."""
    return bool(checkpoints(output / "checkpoints")) or any((output / name).is_dir() for name in ("best", "final"))


def check_steps(output: Path, steps: int) -> None:
    """Raise `UniRewardError` where the run in a folder has more steps behind it than it is to have in all.

    Nothing could be trained, and what it saves would not be a model of so many steps.
    """
    done = max(map(step_of, checkpoints(output / "checkpoints")), default=0)
    if done > steps:
        raise UniRewardError(
            f"{output} holds a run that has done {done} steps, and steps is {steps}: it cannot be taken back. Give at "
            f"least --steps {done} to go on with it, or choose another output folder"
        )


def left_behind(output: Path, steps: int) -> str:
    """What a run of so many steps that is interrupted now leaves in its folder, and the way on, in one line."""
    done = max((line["step"] for line in read_log(output / "log.jsonl")), default=0)
    where = f"interrupted after step {done} of {steps}" if done else "interrupted before the first step was done"
    if there := checkpoints(output / "checkpoints"):
        return f"{where}; the last checkpoint is at step {step_of(there[-1])}, and the same command goes on from there"
    return f"{where}; there is no checkpoint yet, and the same command begins anew with the latents that are cached"


def keep_only_lora(accelerator: Any, denoiser: Any) -> None:
    """From now on checkpoints hold the LoRA of the denoiser and not its frozen weights.

    Where accelerate writes weights in a way of its own (FSDP, DeepSpeed), they stay whole.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file, save_file

    def save(models: list[Any], weights: list[Any], folder: str) -> None:  # noqa: ARG001 - what accelerate calls
        if weights and accelerator.is_main_process:
            layers: Mapping[str, Tensor] = get_peft_model_state_dict(denoiser)
            save_file({name: value.contiguous() for name, value in layers.items()}, Path(folder) / "lora.safetensors")
        weights.clear()

    def load(models: list[Any], folder: str) -> None:
        if models:
            set_peft_model_state_dict(denoiser, load_file(Path(folder) / "lora.safetensors"))
        models.clear()

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)


def replace_folder(draft: Path, target: Path) -> None:
    """Put a finished folder in its place; after a kill `clean_up` leaves the folder that was there, or this one."""
    replaced = target.with_name(f".{target.name}{REPLACED}")
    if target.exists():
        target.rename(replaced)
    draft.rename(target)
    if replaced.exists():
        shutil.rmtree(replaced)


def clean_up(output: Path) -> None:
    """Clear away what a run that was killed left unfinished, and put back what it had not replaced yet."""
    for folder in (output, output / "checkpoints"):
        for replaced in folder.glob(f".*{REPLACED}"):
            target = replaced.with_name(replaced.name.removeprefix(".").removesuffix(REPLACED))
            if target.exists():
                shutil.rmtree(replaced)
            else:
                replaced.rename(target)
        for draft in folder.glob(f".*{DRAFT}"):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink()


def check_same_run(file: Path, run: Mapping[str, Any], *, options: Collection[str] = ()) -> None:
    """Note what decides a run's course in a file, or make sure that it is what is noted there.

    `UniRewardError` names what differs, and how to go on as it was begun where all of that are `options` of the
    command: a run must not go on under other settings unnoticed.
    """
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps(run, indent=2).encode())
        return
    known = json.loads(file.read_text())
    given = json.loads(json.dumps(run))
    differ = [name for name in {**known, **given} if known.get(name) != given.get(name)]
    if differ:
        listed = "; ".join(
            CHANGED.get(name) or f"{name} was {known.get(name)!r} and is {given.get(name)!r}" for name in differ
        )
        way_back = ""
        if set(differ) <= known.keys() & set(options):
            way_back = ", or go on as it was begun: " + " ".join(f"--{name} {_typed(known[name])}" for name in differ)
        raise UniRewardError(
            f"{file.parent} holds a run with other settings: {listed}. Choose another output folder{way_back}"
        )


def _typed(value: Any) -> str:
    """A setting as it is typed in a shell."""
    return shlex.quote(value if isinstance(value, str) else json.dumps(value))


def cut_log(file: Path, step: int) -> list[dict[str, Any]]:
    """Keep the lines of a log up to a step, and return them; none at step 0, where everything begins anew."""
    lines = [line for line in read_log(file) if line["step"] <= step] if step else []
    if file.is_file():
        write_whole(file, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
    return lines


def read_log(file: Path) -> list[dict[str, Any]]:
    """The lines of a log, none where there is no file; a line that was cut off is no line."""
    lines = []
    for text in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def add_line(file: Path, line: Mapping[str, Any]) -> None:
    """Add a line to a log."""
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps(line, allow_nan=False) + "\n")
