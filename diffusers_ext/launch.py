"""Runs a training script of diffusers unedited, and has a judge score every validation picture or clip that it makes.

    accelerate launch -m diffusers_ext.launch --judge REF path/to/train_dreambooth_lora_sdxl.py ARGUMENTS

The scripts share no code: some validate in a function of their own, some in the middle of `main`, and what each tells
its trackers is different. But all of them make their pictures by calling a pipeline of diffusers, after
`accelerator.init_trackers` (before it they make class pictures, which are no validation). So these calls are what is
listened to: `DiffusionPipeline.register_modules`, which every pipeline goes through when it is made, wraps the call of
its class, and the wrapper keeps what the outermost call gives.

* The *prompt* is the one in the call; where a script encoded it before, the one in the arguments that it told
  `init_trackers` (`--validation_prompt`).
* The *step* is the variable `global_step` of the script, which every training script of diffusers has.
* A *validation* is what one pipeline makes at one step. It is judged before the script logs something else or ends its
  training, and is logged to the script's own trackers. What a pipeline makes while its LoRA is switched off, as the
  DPO scripts do at the end, is a validation of its own, and not one of the model in training.
* Only the process that calls `init_trackers`, the main process, judges.

The judge is tried on a grey picture before the training starts, so that one that cannot be reached ends the run there
and then. Later no failure of it ends a training: it is warned of, written down, and told at the end.
"""

from __future__ import annotations

import functools
import os
import runpy
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from diffusers_ext.validation import ValidationRewards
from unireward_plugins.cli import exit_code
from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError, UnsupportedCase, needs_extra
from unireward_plugins.judges import ask
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Judge

WITHOUT_LORA = "without_lora"
"""The label of validations with the LoRA switched off."""
COLOURS = 3
"""How many channels a picture has, and latents have not."""


class Listener:
    """What the pipelines of a script make, from `init_trackers` on, gathered into validations."""

    def __init__(self, judge: Judge, script: Path) -> None:
        self.judge = judge
        self.script = str(script)
        self.rewards: ValidationRewards | None = None
        """There is none before `init_trackers`, nor in a process that does not call it."""
        self.without_prompt = 0
        """How many pictures and clips were made from no prompt that can be known."""
        self._settings: Mapping[str, Any] = {}
        self._depth = 0
        self._pipeline: Callable[[], Any] = lambda: None
        self._key: tuple[int | None, str] = (None, "")
        self._prompts: list[str] = []
        self._outputs: list[Any] = []

    def open(self, accelerator: Any, settings: Mapping[str, Any] | None) -> None:
        """Start to listen, with the script's trackers and the arguments that it told them."""
        self._settings = settings or {}
        folder = self._settings.get("output_dir") or accelerator.project_dir
        # A judge that compares, or judges clips, shows what it can when there is something to judge.
        with aside(), suppress(UnsupportedCase):
            ask(self.judge, [Case("a red circle", (Media.of(_grey()),))])
        self.rewards = ValidationRewards(self.judge, trackers=accelerator.trackers, folder=folder)

    def heard(self, call: Callable[..., Any], pipeline: Any, *given: Any, **named: Any) -> Any:
        """Call a pipeline and keep what it made."""
        self._depth += 1
        try:
            answer = call(pipeline, *given, **named)
        finally:
            self._depth -= 1
        if self.rewards is not None and self._depth == 0:  # a pipeline inside another one makes no validation
            self._keep(pipeline, given[0] if given else named.get("prompt"), pictures(answer))
        return answer

    def _keep(self, pipeline: Any, prompt: Any, outputs: Sequence[Any]) -> None:
        prompts = _texts(prompt) or _texts(self._settings.get("validation_prompt"))
        if not prompts:
            self.without_prompt += len(outputs)
            return
        key = (self._step(), WITHOUT_LORA if lora_is_off(pipeline) else "validation")
        if key != self._key or self._pipeline() is not pipeline:
            self.flush()
        self._key, self._pipeline = key, weakref.ref(pipeline)
        each = max(1, len(outputs) // len(prompts))
        self._prompts += [prompts[min(index // each, len(prompts) - 1)] for index in range(len(outputs))]
        self._outputs += outputs

    def flush(self) -> None:
        """Judge what was gathered."""
        if not self._outputs or self.rewards is None:
            return
        (step, label), prompts, outputs = self._key, self._prompts, self._outputs
        self._prompts, self._outputs = [], []
        try:
            with aside():
                told = self.rewards.score(step, prompts, outputs, label=label)
            click.echo(f"unireward: {told}", err=True)
        except Exception as error:  # noqa: BLE001 - hours of training are worth more than a score
            self.rewards.failed(step, error, label=label)
            click.echo(f"unireward: WARNING: step {step} has no score: {error}", err=True)

    def summary(self) -> str:
        """What to say at the end; `UniRewardError` where there is no score to speak of."""
        if self.rewards is None:
            raise UniRewardError("the script ended without a call of accelerator.init_trackers: nothing was judged")
        best, failures = self.rewards.best, self.rewards.failures
        if best is None:
            why = "it made no validation picture: see its --validation_prompt and --validation_epochs"
            if failures:
                why = f"the judge failed each time, at last with: {failures[-1]['error']}"
            elif self.without_prompt:
                why = f"what it made ({self.without_prompt} pictures or clips) was made without a prompt"
            elif self.rewards.history:
                why = f"no verdict was read: {self.rewards.history[-1].unread}"
            raise UniRewardError(f"the script ended, but no validation has a score: {why}")
        lost = f", {len(failures)} failed" if failures else ""
        return f"best: {best}; {len(self.rewards.history)} validations{lost}, see {self.rewards.report}"

    def _step(self) -> int | None:
        """What the script calls `global_step` just now."""
        frame = sys._getframe()
        while frame := frame.f_back:  # type: ignore[assignment]
            if frame.f_code.co_filename == self.script and isinstance(frame.f_locals.get("global_step"), int):
                return int(frame.f_locals["global_step"])
        return None


@contextmanager
def aside() -> Iterator[None]:
    """A judge asked in here draws none of the training's random numbers, and is not under its autocast."""
    import torch

    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices), torch.autocast("cpu", enabled=False), ExitStack() as stack:
        if devices:
            stack.enter_context(torch.autocast("cuda", enabled=False))
        yield


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let the listener hear every pipeline and accelerator; afterwards their classes are as they were."""
    with needs_extra("running a training script", "diffusers"):
        from accelerate import Accelerator
        from diffusers import DiffusionPipeline
    originals: dict[tuple[type, str], Any] = {}

    def wrap(owner: type, name: str, around: Callable[..., Any]) -> None:
        if (owner, name) not in originals:
            originals[owner, name] = owner.__dict__[name]
            setattr(owner, name, _wrapped(owner.__dict__[name], around))

    def register_modules(original: Callable[..., Any], pipeline: Any, **modules: Any) -> Any:
        for kind in type(pipeline).__mro__:
            if "__call__" in kind.__dict__:
                wrap(kind, "__call__", listener.heard)
        return original(pipeline, **modules)

    def init_trackers(original: Callable[..., Any], accelerator: Any, *given: Any, **named: Any) -> Any:
        answer = original(accelerator, *given, **named)
        if accelerator.is_main_process:
            listener.open(accelerator, given[1] if len(given) > 1 else named.get("config"))
        return answer

    def flushed(original: Callable[..., Any], *given: Any, **named: Any) -> Any:
        listener.flush()
        return original(*given, **named)

    try:
        wrap(DiffusionPipeline, "register_modules", register_modules)
        wrap(Accelerator, "init_trackers", init_trackers)
        wrap(Accelerator, "log", flushed)
        wrap(Accelerator, "end_training", flushed)
        yield
    finally:
        for (owner, name), original in originals.items():
            setattr(owner, name, original)


def _wrapped(original: Callable[..., Any], around: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*given: Any, **named: Any) -> Any:
        return around(original, *given, **named)

    return call


def pictures(answer: Any) -> list[Any]:
    """The pictures or clips in a pipeline's answer, as `Media.of` takes them; none where it holds none (latents)."""
    found: Any = answer[0] if isinstance(answer, tuple) else getattr(answer, "images", getattr(answer, "frames", None))
    if hasattr(found, "detach"):
        found = found.detach().float().cpu().numpy()
        return list(found) if found.ndim in {4, 5} and found.shape[-3] == COLOURS else []
    if hasattr(found, "ndim"):
        return list(found) if found.ndim in {4, 5} and found.shape[-1] == COLOURS else []
    return list(found) if isinstance(found, list) else []


def lora_is_off(pipeline: Any) -> bool:
    """Whether a model of the pipeline has an adapter of peft that is switched off."""
    models = [part for part in pipeline.components.values() if hasattr(part, "named_modules")]
    return any(getattr(layer, "disable_adapters", False) is True for model in models for layer in model.modules())


def run(judge: Judge, script: Path, arguments: Sequence[str]) -> str | None:
    """Run a training script to its end; what there is to say of its validations, and nothing in a side process.

    Raises what the script raises, and `UniRewardError` where the script ended well and no validation has a score.
    """
    listener = Listener(judge, script)
    told, path = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    try:
        with listening(listener):
            try:
                runpy.run_path(str(script), run_name="__main__")
            finally:
                listener.flush()
    finally:
        sys.argv = told
        sys.path[:] = path
    return listener.summary() if os.environ.get("RANK", "0") == "0" else None


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--judge",
    required=True,
    envvar="UNIREWARD_JUDGE",
    show_envvar=True,
    help="As in `unireward score`: a name that `unireward judges` lists, a checkpoint, or a server "
    "(http://host:8000/v1), which leaves the training its GPU. `shapes` is the embedded one, for trying this out.",
)
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(judge: str, script: Path, arguments: tuple[str, ...]) -> None:
    """Run SCRIPT with its ARGUMENTS, and have a judge score every validation picture or clip that it makes.

    Where the judge fails before the training, or nothing has a score, exit codes are those of `unireward`.
    """
    try:
        summary = run(load_judge(judge), script, arguments)
    except (UniRewardError, BackendError, MissingExtra) as error:  # all others are the script's
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_code(error))
    if summary is not None:
        click.echo(f"unireward: {summary}", err=True)


def _texts(prompt: Any) -> list[str]:
    """A prompt or a list of prompts as a list; nothing where there is none, or where it holds no text."""
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if isinstance(prompts, (list, tuple)) and all(isinstance(one, str) and one for one in prompts):
        return list(prompts)
    return []


def _grey() -> Any:
    from PIL import Image

    return Image.new("RGB", (64, 64), "grey")


if __name__ == "__main__":
    main()
