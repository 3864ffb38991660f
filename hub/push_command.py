"""`unireward push`: a folder of pairs or a model to the Hub, checked before anything is sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.licences import UNKNOWN
from unireward_plugins.cli.options import output_options
from unireward_plugins.cli.output import Table, note, printable, show_json, show_table

if TYPE_CHECKING:
    from hub.publish import Plan
    from hub.validate import Kind

WHAT: dict[Kind, str] = {
    "pairs": "Push preference data.\n\nFOLDER is what `unireward pairs` or `save_pairs` wrote; it becomes a dataset.",
    "judge": "Push a judge.\n\nFOLDER is what a transformers model and its processor wrote with save_pretrained.",
    "adapter": "Push an adapter.\n\nFOLDER is what PEFT's save_pretrained or diffusers' save_lora_weights wrote.",
    "pipeline": "Push a diffusers pipeline.\n\nFOLDER is what its save_pretrained wrote.",
}
"""What each subcommand does, as its help says it."""

SENT = {"add": "new", "replace": "changed", "same": "unchanged", "remove": "removed", "leave": "left alone"}
"""What becomes of a file, for people."""


@click.group()
def push() -> None:
    """Push pairs and models to the Hub, checked before anything is sent.

    FOLDER becomes the repository ORG/NAME, in one commit or not at all. What ends a push half-way costs nothing: the
    same command goes on, and does nothing where nothing changed. Files that an earlier push put there and that the
    folder no longer has are removed; files of others stay.

    You are known by `hf auth login` or by the environment variable HF_TOKEN.

    \b
    unireward push pairs pairs my-name/my-pairs --dry-run
    unireward push pairs pairs my-name/my-pairs --private
    """


def command_for(kind: Kind, what: str) -> click.Command:
    """The subcommand that pushes folders of one kind."""

    @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
    @click.argument("repo", metavar="ORG/NAME")
    @click.option("--private", is_flag=True, help="Make the repository private; refuse where it is public already.")
    @click.option(
        "--license", "licence", default="", metavar="ID", help="The licence that the card names: cc-by-4.0, mit."
    )
    @click.option("--dry-run", is_flag=True, help="Check, show every file and the card, and send nothing.")
    @click.option(
        "--remove", multiple=True, metavar="FILE", help="Also remove this file, which somebody else put there."
    )
    @output_options
    def run(
        folder: Path,
        repo: str,
        *,
        private: bool,
        licence: str,
        dry_run: bool,
        remove: tuple[str, ...],
        as_json: bool,
    ) -> None:
        from hub import publish

        asked: Any = {"kind": kind, "private": private, "licence": licence, "remove": remove}

        if dry_run:
            plan = publish.plan_push(folder, repo, **asked)
            if as_json:
                show_json({**as_record(plan), "card": plan.card})
            else:
                show_plan(plan, licence)
                show_way_to_a_licence(plan)
            return
        with bars_in_terminals_only():
            pushed = publish.push(folder, repo, **asked)
        if as_json:
            show_json({"url": pushed.url, "commit": pushed.commit, **as_record(pushed.plan)})
        else:
            show_table(files_table(pushed.plan))
            for name in sorted(set(remove) - set(pushed.plan.named("remove"))):
                note(f"{name} was not there to be removed")
            show_way_to_a_licence(pushed.plan)
            note(f"{'pushed to' if pushed.plan.changes else 'nothing has changed at'} {pushed.url}")

    return click.command(kind, help=what)(run)


@contextmanager
def bars_in_terminals_only() -> Iterator[None]:
    """Keep the client from drawing its progress over and over where nothing shows it as one line."""
    from huggingface_hub import utils

    bars: Any = utils
    if sys.stderr.isatty() or bars.are_progress_bars_disabled():
        yield
        return
    bars.disable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bars()


for _kind, _what in WHAT.items():
    push.add_command(command_for(_kind, _what))


def as_record(plan: Plan) -> dict[str, object]:
    """What a push does or would do, for programs."""
    files = [
        {"name": entry.name, "change": entry.change, "bytes": entry.size, "large": entry.large}
        for entry in plan.entries
    ]
    return {"private": plan.private, "changes": plan.changes, "compared": not plan.unseen, "files": files}


def show_way_to_a_licence(plan: Plan) -> None:
    """How to name a licence, where the card says that there is none."""
    if UNKNOWN in plan.card:
        note("the card names no licence: --license ID names one")


def show_plan(plan: Plan, licence: str) -> None:
    """What a push would do, for people: every file, then the card as it will stand there."""
    show_table(files_table(plan))
    click.echo(f"\nREADME.md:\n\n{printable(plan.card)}")
    if plan.unseen:
        unchecked = f", and --license {licence} may be none that the Hub knows" if licence else ""
        note(f"the repository could not be compared with: {plan.unseen}; all is shown as new{unchecked}")
    visible = "private" if plan.private else "public"
    sent = sum(entry.size for entry in plan.entries if entry.change in ("add", "replace"))
    note(f"{sent:,} bytes would go to a {visible} repository; nothing was sent")


def files_table(plan: Plan) -> Table:
    """Every file, with what becomes of it."""
    rows = [
        (entry.name, SENT[entry.change], f"{entry.size:,}", "LFS" if entry.large else "git") for entry in plan.entries
    ]
    return Table(("file", "becomes", "bytes", "kept in"), rows, numbers=frozenset({"bytes"}), names=frozenset({"file"}))
