"""What the local Hub answers at each of its addresses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.hub.hub_storage import Kind, Refused, Storage, User, is_large, listing

PAGE = 50
"""Entries of a listing that are sent at a time."""


@dataclass(frozen=True)
class Request:
    """What reached the server."""

    method: str
    path: str
    """Unquoted, without the query."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """What the server says."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """What the answers are made from."""

    storage: Storage
    url: str
    key: bytes
    """Signs the addresses of large files."""

    def signed(self, oid: str) -> str:
        """An address for one large file, for whoever holds it."""
        return f"{self.url}/lfs/{oid}?signature={hmac.digest(self.key, oid.encode(), 'sha256').hex()}"

    def check_signature(self, request: Request, oid: str) -> None:
        if not hmac.compare_digest(self.signed(oid).rpartition("=")[2], request.query.get("signature", [""])[0]):
            raise Refused(403, "the signature is not right")


def refusal(refused: Refused, headers: Mapping[str, str] | None = None) -> Answer:
    told = {"X-Error-Message": refused.message, **(headers or {})}
    if refused.code:
        told["X-Error-Code"] = refused.code
    return answer({"error": refused.message}, refused.status, told)


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})


def whoami(site: Site, request: Request, user: User | None) -> Answer:
    if user is None:
        raise Refused(401, "Invalid username or password.")
    role = "write" if user.may_write else "read"
    organisations = [{"type": "org", "name": name} for name in user.organisations]
    token = {"accessToken": {"displayName": "test", "role": role}}
    return answer({"type": "user", "name": user.name, "orgs": organisations, "auth": token})


def create(site: Site, request: Request, user: User | None) -> Answer:
    asked = request.json
    kind: Kind = "datasets" if asked.get("type") == "dataset" else "models"
    if user is None:
        raise Refused(401, "Invalid username or password.")
    name = f"{asked.get('organization') or user.name}/{asked['name']}"
    url = f"{site.url}/{'datasets/' if kind == 'datasets' else ''}{name}"
    try:
        site.storage.create(kind, name, user, private=asked.get("visibility") == "private")
    except Refused as refused:
        if refused.status != 409:
            raise
        return answer({"error": refused.message, "url": url}, 409)
    return answer({"url": url, "name": name, "id": name})


def delete(site: Site, request: Request, user: User | None) -> Answer:
    asked = request.json
    kind: Kind = "datasets" if asked.get("type") == "dataset" else "models"
    name = f"{asked.get('organization') or (user.name if user else '')}/{asked['name']}"
    site.storage.writable(kind, name, user)
    del site.storage.repositories[kind, name]
    return answer({})


def check_card(site: Site, request: Request, user: User | None) -> Answer:
    if request.json["content"].startswith("---\nbroken"):
        return answer({"errors": [{"message": "the metadata cannot be parsed"}], "warnings": []}, 400)
    return answer({"errors": [], "warnings": []})


def tags(site: Site, request: Request, user: User | None) -> Answer:
    """Some of what the Hub lists; its licences go on."""
    known = [{"type": "license", "id": f"license:{name}", "label": name} for name in ("mit", "apache-2.0", "cc-by-4.0")]
    return answer({"license": known, "task_categories": []})


def info(site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str = "") -> Answer:
    repository = site.storage.readable(kind, name, user)
    commit = repository.at(revision or "main")
    about = {"id": name, "private": repository.private, "sha": commit.oid, "tags": [], "downloads": 0, "likes": 0}
    return answer({**about, "siblings": [{"rfilename": path} for path in commit.files]})


def every(site: Site, request: Request, user: User | None, *, kind: Kind) -> Answer:
    found = [one for one in site.storage.repositories.values() if one.kind == kind and not one.private]
    return answer([{"id": one.name, "private": False, "tags": [], "downloads": 0, "likes": 0} for one in found])


def tree(
    site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str, below: str = ""
) -> Answer:
    commit = site.storage.readable(kind, name, user).at(unquote(revision))
    recursive = request.query.get("recursive", ["false"])[0].lower() == "true"
    entries = listing(commit, below, recursive=recursive)
    start = int(request.query.get("cursor", ["0"])[0])
    more = f"{site.url}{request.path}?recursive={recursive}&cursor={start + PAGE}"
    headers = {"Link": f'<{more}>; rel="next"'} if start + PAGE < len(entries) else {}
    return answer(entries[start : start + PAGE], headers=headers)


def paths_info(site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str) -> Answer:
    commit = site.storage.readable(kind, name, user).at(unquote(revision))
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    wanted = parse_qs(request.body.decode())["paths"] if form else request.json["paths"]
    entries = {entry["path"]: entry for entry in listing(commit, "", recursive=True)}
    return answer([entries[path.strip("/")] for path in wanted if path.strip("/") in entries])


def preupload(site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str) -> Answer:
    commit = site.storage.writable(kind, name, user).at(unquote(revision))
    ignored = {line for line in request.json.get("gitIgnore", "").splitlines() if line}
    ignored |= set(commit.files[".gitignore"].content.decode().splitlines()) if ".gitignore" in commit.files else set()
    files = []
    for file in request.json["files"]:
        path = file["path"]
        mode = "lfs" if is_large(path, file["size"], base64.b64decode(file["sample"])) else "regular"
        there = {"oid": commit.files[path].oid} if path in commit.files else {}
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": path in ignored, **there})
    return answer({"files": files, "commitOid": commit.oid})


def commit(site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str) -> Answer:
    repository = site.storage.writable(kind, name, user)
    assert user is not None
    lines = [json.loads(line) for line in request.body.splitlines()]
    oid = site.storage.commit(repository, lines, user).oid
    return answer({"success": True, "commitOid": oid, "commitUrl": f"{site.url}/{name}/commit/{oid}"})


def refs(site: Site, request: Request, user: User | None, *, kind: Kind, name: str) -> Answer:
    repository = site.storage.readable(kind, name, user)
    branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head.oid}]
    tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repository.tags.items()]
    return answer({"branches": branches, "tags": tags, "converts": []})


def tag(site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str) -> Answer:
    repository = site.storage.writable(kind, name, user)
    repository.tags[request.json["tag"]] = repository.at(unquote(revision)).oid
    return answer({})


def commits(site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str) -> Answer:
    repository = site.storage.readable(kind, name, user)
    repository.at(unquote(revision))
    made = [
        {
            "id": one.oid,
            "title": one.title,
            "message": "",
            "date": "2026-01-01T00:00:00.000Z",
            "authors": [{"user": one.author}],
        }
        for one in reversed(repository.commits)
    ]
    return answer(made)


def batch(site: Site, request: Request, user: User | None, *, name: str, dataset: str | None) -> Answer:
    site.storage.writable("datasets" if dataset else "models", name, user)
    objects = []
    for one in request.json["objects"]:
        entry = {"oid": one["oid"], "size": one["size"]}
        if one["oid"] not in site.storage.large:
            entry["actions"] = {"upload": {"href": site.signed(one["oid"])}}
        objects.append(entry)
    return answer({"transfer": "basic", "objects": objects})


def xet_token(site: Site, request: Request, user: User | None, *, kind: Kind, name: str, revision: str) -> Answer:
    site.storage.writable(kind, name, user)
    if name not in site.storage.xet:
        raise Refused(404, "there is no Xet storage")
    return answer({"casUrl": site.storage.xet[name], "accessToken": "any", "exp": 2**33})


def put_large(site: Site, request: Request, user: User | None, *, oid: str) -> Answer:
    site.check_signature(request, oid)
    if hashlib.sha256(request.body).hexdigest() != oid:
        raise Refused(400, "the content is not what its name says")
    site.storage.large[oid] = request.body
    return Answer()


def resolve(
    site: Site,
    request: Request,
    user: User | None,
    *,
    dataset: str | None,
    name: str,
    revision: str,
    path: str,
) -> Answer:
    found = site.storage.readable("datasets" if dataset else "models", name, user).at(unquote(revision))
    headers = {"X-Repo-Commit": found.oid}
    if path not in found.files:
        refused = Refused(404, f"Entry not found: {path}", "EntryNotFound")
        return refusal(refused, headers)
    blob = found.files[path]
    headers |= {"ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
    if blob.lfs:
        headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
    return ranged(blob.content, request, headers)


def ranged(content: bytes, request: Request, headers: Mapping[str, str]) -> Answer:
    """The part of a file that was asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None:
        return Answer(content, 200, headers)
    first, size = int(asked[1]), len(content)
    if first >= size:
        return Answer(b"", 416, {**headers, "Content-Range": f"bytes */{size}"})
    last = min(int(asked[2] or size - 1), size - 1)
    return Answer(content[first : last + 1], 206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"})


_REPO = "/api/(?P<kind>models|datasets)/(?P<name>[^/]+/[^/]+)"
_FILES = "/(?P<dataset>datasets/)?(?P<name>[^/]+/[^/]+)"
_REVISION = "(?P<revision>refs/[^/]+/[^/]+|[^/]+)"
ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/repos/create", create),
    ("DELETE", "/api/repos/delete", delete),
    ("POST", "/api/validate-yaml", check_card),
    ("GET", "/api/datasets-tags-by-type", tags),
    ("GET", "/api/(?P<kind>models|datasets)", every),
    ("GET", _REPO, info),
    ("GET", f"{_REPO}/revision/{_REVISION}", info),
    (
        "GET",
        f"{_REPO}/tree/{_REVISION}(?:/(?P<below>.+))?",
        lambda *a, below=None, **k: tree(*a, below=below or "", **k),
    ),
    ("POST", f"{_REPO}/paths-info/{_REVISION}", paths_info),
    ("POST", f"{_REPO}/preupload/{_REVISION}", preupload),
    ("POST", f"{_REPO}/commit/{_REVISION}", commit),
    ("GET", f"{_REPO}/refs", refs),
    ("POST", f"{_REPO}/tag/{_REVISION}", tag),
    ("GET", f"{_REPO}/commits/{_REVISION}", commits),
    ("POST", rf"{_FILES}\.git/info/lfs/objects/batch", batch),
    ("GET", f"{_REPO}/xet-write-token/{_REVISION}", xet_token),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", put_large),
    ("GET", f"{_FILES}/resolve/{_REVISION}/(?P<path>.+)", resolve),
    ("HEAD", f"{_FILES}/resolve/{_REVISION}/(?P<path>.+)", resolve),
)
