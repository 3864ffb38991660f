"""`unireward doctor`: what is installed, what works, what is missing for each door, and the command that mends it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version

import click

from unireward_plugins.cli import INCOMPLETE, OK
from unireward_plugins.cli.installed import (
    DISTRIBUTION,
    DOORS,
    Finding,
    examine,
    examine_torchvision,
    import_failure,
)
from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, note, show_json, show_table
from unireward_plugins.errors import BackendError, MissingExtra, UniRewardError

STYLES = {"ok": "green", "missing": "yellow", "broken": "bold red"}


@click.command()
@click.option("--quick", is_flag=True, help="Do not load the embedded judge.")
@output_options
def doctor(*, quick: bool, as_json: bool) -> int:
    """Say what is installed, what works, and what is missing for each door.

    A door that is not installed is fine. The exit code is 1 where something is installed and broken.
    """
    findings = [*_examinations(quick=quick)]
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        show_json({"healthy": not broken, "findings": [asdict(finding) for finding in findings]})
        return INCOMPLETE if broken else OK
    rows = [(finding.door, finding.what, finding.state, finding.detail) for finding in findings]
    show_table(Table(("door", "what", "state", "detail"), rows, styles=STYLES))
    for remedy in dict.fromkeys(finding.remedy for finding in findings if finding.remedy):
        cured = [finding for finding in findings if finding.remedy == remedy]
        verb = "mend" if any(finding.state == "broken" for finding in cured) else "add"
        note(f"to {verb} {', '.join(finding.what for finding in cured)}: {remedy}")
    note(f"{len(broken)} broken" if broken else "nothing is broken")
    return INCOMPLETE if broken else OK


def _examinations(*, quick: bool) -> Iterator[Finding]:
    yield Finding("core", "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("core", DISTRIBUTION, "ok", version(DISTRIBUTION))
    yield from examine("core")
    yield examine_clips()
    yield examine_plugins()
    torchvision = examine_torchvision()
    for door in DOORS:
        yield from examine(door)
        if door == "transformers":
            yield torchvision
            yield examine_device()
            if not quick:
                yield examine_embedded_judge()
    if reference := os.environ.get("UNIREWARD_JUDGE"):
        yield examine_chosen_judge(reference)


def examine_clips() -> Finding:
    """Write a clip of two frames and read it back."""
    import io

    import av
    import numpy

    from unireward_plugins.media import FrameRule, Media

    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 64
        for grey in (50, 200):
            picture = numpy.full((64, 64, 3), grey, dtype=numpy.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    try:
        frames = Media.of(content.getvalue()).sample(FrameRule("linspace", 2))
    except UniRewardError as error:
        return Finding("core", "clips", "broken", str(error), "pip install --force-reinstall av")
    return Finding("core", "clips", "ok", f"decoded {len(frames)} frames of an MP4")


def examine_plugins() -> Finding:
    """Load every plug-in."""
    from unireward_plugins import plugins

    try:
        brought = len(plugins.judges()) + len(plugins.rubrics()) + len(plugins.families())
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
    """Ask the embedded judge one question whose answer is known."""
    from unireward_plugins.judges import load_judge

    try:
        pass
    except MissingExtra as error:
        return Finding("transformers", "judge `shapes`", "missing", str(error))
    return Finding("transformers", "judge `shapes`", "ok", "")


def examine_chosen_judge(reference: str) -> Finding:
    """See whether the judge that the environment names can be reached."""
    from unireward_plugins.judges import load_judge

    try:
        load_judge(reference)
    except (UniRewardError, BackendError) as error:
        return Finding(
            "serve", "UNIREWARD_JUDGE", "broken", str(error), "start the server, or set UNIREWARD_JUDGE anew"
        )
    except MissingExtra as error:
        return Finding("serve", "UNIREWARD_JUDGE", "missing", str(error))
    return Finding("serve", "UNIREWARD_JUDGE", "ok", reference)
