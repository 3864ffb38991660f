"""One repository on the Hub: read, made and committed to, with errors that say what to do and never hold the token."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hub.contents import Content
from unireward_plugins.errors import BackendError, UniRewardError, needs_extra

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

MANIFEST = ".unireward.json"
"""The file in a repository that says which files a push put there, and what was in them."""

REPOSITORY = re.compile(r"(?!.*\.git$)\w[\w.-]{0,94}\w?/\w[\w.-]{0,94}\w?", re.ASCII)
"""An owner and a name, as the Hub takes them; without `--` and `..`."""

XET_STATUS = re.compile(r"HTTP status (?:client|server) error \((\d{3})\b")
"""How hf_xet, which has an HTTP client of its own, tells in words what the Hub answered."""


class Interrupted(BackendError):
    """What may well go better another time: a connection that broke, a Hub that is busy, somebody else's commit."""

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait
        """Seconds to wait before, where the Hub said so."""


@dataclass(frozen=True, slots=True)
class State:
    """What a repository is at one commit."""

    commit: str
    private: bool
    files: Mapping[str, RepoFile]
    """By name."""
    ours: Mapping[str, Mapping[str, str]]
    """What earlier pushes put there: the hashes `sha256` and `git`, by name."""
    licence: str = ""
    """The licence that an earlier push was asked to name."""

    def holds(self, name: str, hashes: Mapping[str, str]) -> bool:
        """Whether a file is there with this very content."""
        file = self.files.get(name)
        if file is None:
            return False
        return file.lfs.sha256 == hashes.get("sha256") if file.lfs else file.blob_id == hashes.get("git")


class Connection:
    """A way to one repository."""

    def __init__(self, api: HfApi, repo: str, repo_type: Literal["dataset", "model"], token: str) -> None:
        self.api = api
        self.repo = repo
        self.repo_type = repo_type
        self.token = token
        """Empty where there is none."""

    @classmethod
    def to(cls, repo: str, repo_type: Literal["dataset", "model"], token: str = "") -> Connection:
        """Without a token, with the one of `hf auth login` or of HF_TOKEN, or with none.

        Raises `UniRewardError` for a name that is no `org/name` and for a token that can be none.
        """
        with needs_extra("the Hub", "hub"):
            from huggingface_hub import HfApi, get_token
        if not REPOSITORY.fullmatch(repo) or "--" in repo or ".." in repo:
            raise UniRewardError(f"{repo!r} names no repository: give the owner and a name, as in my-name/my-pairs")
        known = (token or get_token() or "").strip()
        if not re.fullmatch(r"[!-~]*", known):
            raise UniRewardError("the token holds characters that no token has: copy it again, or run `hf auth login`")
        return cls(HfApi(token=known or False, library_name="unireward-plugins"), repo, repo_type, known)

    @property
    def url(self) -> str:
        """Where people look at it."""
        return f"{self.api.endpoint}/{'datasets/' if self.repo_type == 'dataset' else ''}{self.repo}"

    def state(self, commit: str | None = None) -> State | None:
        """What is there, at a commit or now; `None` where there is no such repository, or none to be seen."""
        from huggingface_hub.errors import RepositoryNotFoundError
        from huggingface_hub.hf_api import RepoFile

        where: dict[str, Any] = {"repo_id": self.repo, "repo_type": self.repo_type}
        with self._telling("reading"):
            try:
                info = self.api.repo_info(**where, revision=commit)
            except RepositoryNotFoundError:
                return None
            at = str(info.sha)
            entries = self.api.list_repo_tree(**where, revision=at, recursive=True)
            files = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
            ours, licence = self._manifest(at) if MANIFEST in files else ({}, "")
        return State(at, bool(info.private), files, ours, licence)

    def _manifest(self, commit: str) -> tuple[dict[str, dict[str, str]], str]:
        """What the manifest says; nothing where it is not one, as then nothing is known to be ours."""
        with tempfile.TemporaryDirectory() as folder:
            path = self.api.hf_hub_download(
                self.repo, MANIFEST, repo_type=self.repo_type, revision=commit, cache_dir=folder
            )
            try:
                said = json.loads(Path(path).read_bytes())
                ours = {
                    str(name): {str(kind): str(of) for kind, of in hashes.items()}
                    for name, hashes in said["files"].items()
                }
                return ours, str(said.get("licence", ""))
            except (ValueError, KeyError, TypeError, AttributeError):
                return {}, ""

    def licences(self) -> frozenset[str]:
        """The identifiers of the licences that the Hub knows; none where it lists none."""
        with self._telling("asking for the licences of"):
            tags = self.api.get_dataset_tags()
            return frozenset(str(one["id"]).removeprefix("license:") for one in tags.get("license", ()))

    def create(self, *, private: bool) -> None:
        """Make the repository; `Interrupted` where somebody else just did."""
        if not self.token:
            raise UniRewardError(f"writing to {self.repo} needs a token: run `hf auth login`, or set HF_TOKEN")
        with self._telling("making"):
            self.api.create_repo(self.repo, repo_type=self.repo_type, private=private or None)

    def commit(self, additions: Sequence[Content], deletions: Sequence[str], *, parent: str, message: str) -> str:
        """Upload the files and put them into one commit, if the repository still is at `parent`; the new commit."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        adds = [CommitOperationAdd(file.name, file.source) for file in additions]
        deletes = [CommitOperationDelete(name, is_folder=False) for name in deletions]
        with self._telling("writing to"):
            made = self.api.create_commit(
                self.repo,
                [*adds, *deletes],
                repo_type=self.repo_type,
                commit_message=message,
                parent_commit=parent,
            )
        return made.oid

    def download(self, folder: Path) -> None:
        """Put all files, as they are now, into a folder."""
        with self._telling("reading"):
            self.api.snapshot_download(self.repo, repo_type=self.repo_type, local_dir=folder)

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        """Turn what the client raises into an error that says what to do; the original, which may quote what was sent,
        is left behind."""
        expected: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError, *_network_errors())
        try:
            yield
            return
        except expected as error:
            told = self._told(error, doing)
        raise told from None

    def _told(self, error: Exception, doing: str) -> Exception:
        causes = [*_causes(error)]
        response = next((one.response for one in causes if getattr(one, "response", None) is not None), None)
        status, headers = (response.status_code, response.headers) if response is not None else (0, {})
        reason = self.scrubbed(" ".join(str(error if status else causes[-1]).split()))
        status = status or int((XET_STATUS.search(reason) or (0, 0))[1])
        what = f"{doing} {self.repo} failed: {reason}"
        if status == 401:
            return UniRewardError(
                f"{self.api.endpoint} does not accept the token ({doing} {self.repo}): run `hf auth login`, or set "
                "HF_TOKEN to one that is valid"
            )
        if status == 403:
            return UniRewardError(
                f"{self.api.endpoint} refuses {doing} {self.repo} (403). Take a token that may write, and an "
                "owner that is you or an organisation of yours"
            )
        if status == 404 and "/xet-write-token/" in reason:
            return UniRewardError(
                f"{self.api.endpoint} has no Xet storage for {self.repo}, in which huggingface_hub puts files where "
                "hf_xet is installed: set HF_HUB_DISABLE_XET=1"
            )
        if status in (408, 409, 412, 429) or status >= 500:
            after = str(headers.get("Retry-After", ""))
            return Interrupted(what, wait=float(after) if after.isdigit() else 0.0)
        broken = not status and any(isinstance(one, (ConnectionError, *_network_errors())) for one in causes)
        return Interrupted(what) if broken else BackendError(what)

    def scrubbed(self, text: str) -> str:
        """The text without the token."""
        return text.replace(self.token, "(token)") if self.token else text


def _network_errors() -> tuple[type[Exception], ...]:
    """What the client's HTTP library raises, whichever that is: `huggingface_hub` has it under one name."""
    from huggingface_hub import errors

    return (errors.HTTPError,)  # type: ignore[attr-defined]  # there, and not said to be


def _causes(error: BaseException) -> Iterator[Any]:
    """An error and what it came from, one after the other."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
