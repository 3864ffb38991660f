"""`unireward doctor`: what is installed, what works, what is missing for each door, and the command that mends it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version

import click

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.installed import (
    DISTRIBUTION,
    DOORS,
    Finding,
    State,
    examine,
    examine_torchvision,
    import_failure,
    whole_door,
)
from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, hide_loading_bars, note, show_json, show_table
from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError

STYLES = {"ok": "green", "missing": "yellow", "broken": "bold red"}

WORSE: tuple[State, ...] = ("ok", "missing", "broken")
"""The states, each worse than the one before."""


@click.command()
@click.option("--quick", is_flag=True, help="Do not load the embedded judge.")
@output_options
def doctor(*, quick: bool, as_json: bool) -> int:
    """Say what is installed, what works, and what is missing for each door.

    A door that is not installed is fine. The exit code is 1 where something is installed and broken.
    """
    findings = [*_examinations(quick=quick)]
    doors = state_of_doors(findings)
    healthy = all(finding.state != "broken" for finding in findings)
    if as_json:
        show_json({"healthy": healthy, "doors": doors, "findings": [asdict(finding) for finding in findings]})
    else:
        rows = [(finding.door, finding.what, finding.state, finding.detail) for finding in findings]
        show_table(Table(("door", "what", "state", "detail"), rows, names=frozenset({"door", "what"}), styles=STYLES))
        _tell(findings, doors)
    return OK if healthy else INCOMPLETE


def _tell(findings: Sequence[Finding], doors: Mapping[str, State]) -> None:
    """Say which doors work, and what to do about the others."""
    works = ", ".join(door for door, state in doors.items() if state == "ok")
    note(f"works: {works or 'nothing'}")
    for remedy in dict.fromkeys(finding.remedy for finding in findings if finding.remedy):
        cured = [finding for finding in findings if finding.remedy == remedy]
        verb = "mend" if any(finding.state == "broken" for finding in cured) else "add"
        note(f"to {verb} {', '.join(finding.what for finding in cured)}: {remedy}")


def state_of_doors(findings: Sequence[Finding]) -> dict[str, State]:
    """How it stands with each door: it is as good as the worst of all that it needs, the core included."""
    state_of = {finding.what: finding.state for finding in findings}
    core: list[State] = [finding.state for finding in findings if finding.door == "core"]
    needed = {door: [*core, *(state_of[one.name] for one in whole_door(door))] for door in DOORS}
    return {door: max(states, key=WORSE.index) for door, states in {"core": core, **needed}.items()}


def _examinations(*, quick: bool) -> Iterator[Finding]:
    yield Finding("core", "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("core", DISTRIBUTION, "ok", version(DISTRIBUTION))
    yield from examine("core")
    yield examine_clips()
    yield examine_plugins()
    because_of = None
    for door in DOORS:
        if door == "transformers":
            yield (torchvision := examine_torchvision())
            because_of = torchvision if torchvision.state == "broken" else None
        yield from examine(door, because_of=because_of)
        if door == "transformers":
            yield examine_device()
            if not quick and because_of is None:
                yield examine_embedded_judge()
    if reference := os.environ.get("UNIREWARD_JUDGE"):
        yield examine_chosen_judge(reference)


def examine_clips() -> Finding:
    """Write a clip of two frames and read it back."""
    if any(import_failure(name) for name in ("av", "numpy", "PIL.Image")):
        return Finding("core", "clips", "broken", "needs what is broken above")
    import av

    from unireward_plugins.media import FrameRule, Media

    try:
        frames = Media.of(_clip()).sample(FrameRule("linspace", 2))
    except (UniRewardError, av.FFmpegError) as error:
        return Finding("core", "clips", "broken", str(error), "pip install --force-reinstall av")
    return Finding("core", "clips", "ok", f"decoded {len(frames)} frames of an MP4")


def _clip() -> bytes:
    """An MP4 of a dark and a bright frame."""
    import io

    import av
    import numpy

    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 64
        for grey in (50, 200):
            picture = numpy.full((64, 64, 3), grey, dtype=numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return content.getvalue()


def examine_plugins() -> Finding:
    """Load every plug-in."""
    from unireward_plugins import plugins

    try:
        kinds = (plugins.judges, plugins.rubrics, plugins.families, plugins.diffusion_families)
        brought = sum(len(kind()) for kind in kinds)
    except UniRewardError as error:
        return Finding("core", "plug-ins", "broken", str(error), "mend or uninstall the plug-in that is named")
    names = [name for name, _ in plugins.plugin_manager().list_name_plugin()]
    return Finding("core", "plug-ins", "ok", f"{', '.join(names)}: {brought} judges, rubrics and families")


def examine_device() -> Finding:
    """Say what models would run on."""
    if import_failure("torch"):
        return Finding("transformers", "device", "missing", "unknown without torch")
    import torch

    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found = f"{torch.cuda.device_count()} x {card.name}, {card.total_memory / 2**30:.0f} GiB"
    elif torch.backends.mps.is_available():
        found = "Apple GPU"
    else:
        found = (
            f"CPU only, {torch.get_num_threads()} threads: enough for the embedded judge, slow for the published ones"
        )
    return Finding("transformers", "device", "ok", found)


def examine_embedded_judge() -> Finding:
    """Ask the embedded judge which of two pictures shows a red circle."""
    from unireward_plugins.loading import load_judge
    from unireward_plugins.media import Media
    from unireward_plugins.shapes.render import render
    from unireward_plugins.shapes.scene import Scene, Shape
    from unireward_plugins.types import Case

    door, what = "transformers", "embedded judge"
    scenes = [Scene((Shape("circle", "red", "large"),)), Scene((Shape("square", "blue", "large"),))]
    candidates = tuple(Media.of(picture) for picture in render(scenes, seed=0))
    hide_loading_bars("transformers")
    started = time.monotonic()
    try:
        [verdict] = load_judge("shapes")([Case("a red circle", candidates)])
    except MissingExtra:
        return Finding(door, what, "missing", "needs what is missing above")
    except (UniRewardError, BackendError) as error:
        return Finding(
            door, what, "broken", str(error), f"pip install --force-reinstall '{DISTRIBUTION}[transformers]'"
        )
    if verdict.scores is None or verdict.scores[0] <= verdict.scores[1]:
        reply = f"took a blue square for a red circle: {verdict.reply!r}"
        return Finding(door, what, "broken", reply, f"pip install --force-reinstall {DISTRIBUTION}")
    return Finding(door, what, "ok", f"told a red circle from a blue square in {time.monotonic() - started:.1f} s")


def examine_chosen_judge(reference: str) -> Finding:
    """See whether the judge that the environment names can be reached; a checkpoint is not loaded for that."""
    from unireward_plugins.loading import load_judge

    door, what = "serve", "UNIREWARD_JUDGE"
    try:
        if reference.startswith(("http://", "https://")):
            from unireward_plugins.backends.openai import OpenAIBackend

            url, _, model = reference.partition("#")
            served = OpenAIBackend(url, model=model or None, retries=0, timeout=10).served_checkpoint()
            return Finding(door, what, "ok", f"{url} serves {served}")
        load_judge(reference)
    except (UniRewardError, BackendError) as error:
        return Finding(door, what, "broken", str(error), "start the server, or set UNIREWARD_JUDGE to another judge")
    except MissingExtra as error:
        return Finding(door, what, "missing", str(error), f"pip install '{DISTRIBUTION}[serve]'")
    return Finding(door, what, "ok", reference)
