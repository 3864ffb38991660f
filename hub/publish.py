"""Pushes a folder to the Hub: checked first, in one commit or not at all, and again without harm.

    push("pairs", "org/pairs", kind="pairs", private=True)

A push makes the repository what the folder is. Files that an earlier push put there, and that the folder no longer has,
go in the same commit; files that anybody else put there stay, unless they are named.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from hub.cards import on_the_hub
from hub.connection import MANIFEST, Connection, Interrupted, State
from hub.contents import Content, Folder, read_folder
from hub.licences import check_licence, with_licence
from hub.model_cards import ModelKind, model_card
from hub.model_facts import eval_results
from hub.validate import CARD, Kind, check, header
from unireward_plugins.errors import BackendError, UniRewardError

logger = logging.getLogger(__name__)

Change: TypeAlias = Literal["add", "replace", "same", "remove", "leave"]

WAITS = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt, where a bad connection or somebody else's commit got in the way."""
LONGEST_WAIT = 300.0
"""Seconds that the Hub may ask to wait: the window of its rate limits."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What becomes of one file of the repository."""

    name: str
    change: Change
    """`leave`: somebody else put it there, and it stays."""
    size: int
    """In bytes."""
    large: bool
    """Whether it is kept in large file storage."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a push would do, or did."""

    entries: Sequence[Entry]
    """By name."""
    card: str
    """The README.md that will stand there."""
    private: bool
    """Whether the repository is private, or will be."""
    unseen: str = ""
    """Why the repository could not be compared with; then all is shown as new."""

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return any(entry.change in ("add", "replace", "remove") for entry in self.entries)

    def named(self, *changes: Change) -> tuple[str, ...]:
        """The files that become of it what `changes` says."""
        return tuple(entry.name for entry in self.entries if entry.change in changes)


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a push ended."""

    url: str
    """Where people look at it."""
    commit: str
    """What the repository is at."""
    plan: Plan
    """What was done; where it has no changes there was no commit."""


def plan_push(
    folder: str | Path,
    repo: str,
    *,
    kind: Kind,
    private: bool = False,
    licence: str = "",
    remove: Collection[str] = (),
    token: str = "",
) -> Plan:
    """Check a folder and say what pushing it would do. Nothing is sent: the repository, if there is one, is read.

    Arguments and errors as of `push`; where the Hub cannot be reached, the plan says so.
    """
    connection = connect(repo, kind, token)
    contents = prepare(folder, repo, kind, connection.token, remove, licence)
    try:
        if licence:
            check_licence(licence, connection.licences())
        state = connection.state()
        return compare(with_earlier_licence(contents, state, kind), state, private=private, remove=remove)
    except BackendError as error:
        return compare(contents, None, private=private, remove=(), unseen=str(error))


def push(
    folder: str | Path,
    repo: str,
    *,
    kind: Kind,
    private: bool = False,
    licence: str = "",
    remove: Collection[str] = (),
    token: str = "",
) -> Pushed:
    """Make the repository `repo` (`"org/name"`) hold what `folder` holds, and return how it ended.

    `pairs` become a dataset; a `judge`, an `adapter` or a `pipeline` becomes a model. The repository is made where
    there is none, private if so wished; one that is there stays what it is, and a public one is refused where private
    was wished. `licence` is an identifier of the Hub's (`cc-by-4.0`) for the card; by default the folder's, else that
    of an earlier push. `remove` names files of others to delete. `token` is one of the Hub's; by default the one of
    `hf auth login` or of HF_TOKEN.

    The repository changes in one commit, and only if nobody else's came in between: two pushes at once end as if one
    came after the other. Whatever ends a push half-way leaves the repository as it was; the same push again goes on
    with what was uploaded. Raises `UniRewardError` for a folder that is not fit to be published (`hub.validate`), a bad
    name, licence or token, and where writing is not allowed; `BackendError` where the Hub cannot be reached or fails.
    """
    connection = connect(repo, kind, token)
    contents = prepare(folder, repo, kind, connection.token, remove, licence)
    done: Plan | None = None
    for wait in (*WAITS, None):
        try:
            if licence:
                check_licence(licence, connection.licences())
            state = connection.state()
            if state is None:
                connection.create(private=private)
                state = connection.state()
            if state is None:
                raise BackendError(f"{connection.repo} was made and cannot be seen: may the token read it?")
            wanted = with_earlier_licence(contents, state, kind)
            plan = compare(wanted, state, private=private, remove=remove)
            if not plan.changes:
                return Pushed(connection.url, state.commit, done or plan)
            done = plan
            commit = write(connection, wanted, plan, state, kind)
            confirm(connection, wanted, commit)
            return Pushed(connection.url, commit, plan)
        except Interrupted as error:
            if wait is None or error.wait > LONGEST_WAIT:
                raise BackendError(f"{error}. What was uploaded is kept: the same push goes on from there") from None
            logger.warning("%s. Trying again", error)
            time.sleep(max(wait, error.wait))
    raise AssertionError("the last attempt returns or raises")


def connect(repo: str, kind: Kind, token: str) -> Connection:
    """The way to the repository for a folder of that kind."""
    return Connection.to(repo, "dataset" if kind == "pairs" else "model", token)


def prepare(
    folder: str | Path, repo: str, kind: Kind, token: str, remove: Collection[str] = (), licence: str = ""
) -> dict[str, Content]:
    """The files to have in the repository, with a card and the manifest; `UniRewardError` where they are not fit,
    or where one of them is to be removed."""
    path = Path(folder)
    if not path.is_dir():
        raise UniRewardError(f"{str(path)!r} is no folder: give the one that holds the {kind}")
    found = read_folder(path)
    if found.files and not found.refused:
        texts = card_of_pairs(found, repo, licence) if kind == "pairs" else texts_of_model(path, repo, kind, licence)
        written = {name: Content(name, text.encode()) for name, text in texts.items()}
        found = Folder(path, {**found.files, **written}, {})
    check(found, kind, token=token)
    contents = {**found.files, MANIFEST: manifest(found.files, kind, licence)}
    if both := sorted(set(remove) & set(contents)):
        raise UniRewardError(f"{', '.join(both)} cannot be removed, as the folder has it, too: take it out there first")
    return contents


def card_of_pairs(folder: Folder, repo: str, licence: str = "") -> dict[str, str]:
    """The folder's card with the repository's name in its example, and the licence; nothing where there is none, as it
    would have to say where the rows are."""
    if CARD not in folder.files:
        return {}
    card = on_the_hub(folder.files[CARD].text(), repo)
    return {CARD: with_licence(card, licence) if licence and has_metadata(card) else card}


def has_metadata(card: str) -> bool:
    """Whether a card has metadata that can be read; where it has not, `check` says so."""
    try:
        return bool(header(card))
    except UniRewardError:
        return False


def texts_of_model(folder: Path, repo: str, kind: ModelKind, licence: str = "") -> dict[str, str]:
    """The card, made or completed, and the results in the form that the Hub shows beside the model."""
    return {CARD: model_card(folder, kind, repo, licence), **eval_results(folder)}


def with_earlier_licence(contents: Mapping[str, Content], state: State | None, kind: Kind) -> Mapping[str, Content]:
    """The files with the licence that an earlier push was asked to name, where they name none themselves."""
    if state is None or not state.licence or header(contents[CARD].text()).get("license"):
        return contents
    files = {name: file for name, file in contents.items() if name != MANIFEST}
    files[CARD] = Content(CARD, with_licence(files[CARD].text(), state.licence).encode())
    return {**files, MANIFEST: manifest(files, kind, state.licence)}


def manifest(files: Mapping[str, Content], kind: Kind, licence: str) -> Content:
    """The file by which a later push knows what this one put there, and which licence it was asked to name."""
    about = "Files that unireward-plugins pushed: a later push removes those that it no longer has."
    named = {"licence": licence} if licence else {}
    hashes = {name: {"sha256": file.sha256, "git": file.git} for name, file in files.items()}
    said = {"about": about, "kind": kind, **named, "files": hashes}
    return Content(MANIFEST, json.dumps(said, indent=1).encode())


def compare(
    contents: Mapping[str, Content],
    state: State | None,
    *,
    private: bool = False,
    remove: Collection[str] = (),
    unseen: str = "",
) -> Plan:
    """What is to be done for a repository in that state, or for none, to hold these files.

    A file to remove that is not there is no error: a push that is done again has removed it already. Raises
    `UniRewardError` where the repository is public and should be private.
    """
    there = state.files if state else {}
    if state and private and not state.private:
        raise UniRewardError("the repository exists and is public, and private was asked for: make it private first")
    entries = []
    for name in sorted({*contents, *there}):
        if name == ".gitattributes":
            continue
        file, known = contents.get(name), there.get(name)
        size = file.size if file else known.size if known else 0
        large = known.lfs is not None if known else bool(file and file.large)
        entries.append(Entry(name, change(name, file, state, remove), size, large))
    card = contents[CARD].text() if CARD in contents else ""
    return Plan(entries, card, state.private if state else private, unseen)


def change(name: str, file: Content | None, state: State | None, remove: Collection[str]) -> Change:
    """What becomes of one file."""
    if file is not None:
        if state is None or name not in state.files:
            return "add"
        return "same" if state.holds(name, {"sha256": file.sha256, "git": file.git}) else "replace"
    assert state is not None
    return "remove" if name in remove or state.holds(name, state.ours.get(name, {})) else "leave"


def write(connection: Connection, contents: Mapping[str, Content], plan: Plan, state: State, kind: Kind) -> str:
    """Carry out a plan in one commit on top of a state, and return the commit."""
    additions = [contents[name] for name in plan.named("add", "replace")]
    return connection.commit(additions, plan.named("remove"), parent=state.commit, message=f"Push {kind}")


def confirm(connection: Connection, contents: Mapping[str, Content], commit: str) -> None:
    """Make sure that a commit holds what was pushed."""
    plan = compare(contents, connection.state(commit))
    if wrong := plan.named("add", "replace"):
        raise UniRewardError(
            f"commit {commit[:12]} of {connection.repo} does not hold {', '.join(wrong)} as they are in the folder: "
            "they changed while they were pushed, or a .gitignore in the repository names them. Mend it, and push again"
        )
