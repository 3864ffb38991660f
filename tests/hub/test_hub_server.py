"""The local Hub does what the Hub does: the real client creates, uploads, lists and downloads there."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub import hub_endpoints
from tests.hub.conftest import READER, STRANGER, TOKEN
from tests.hub.hub_server import Fault, HubServer

BROKEN = re.compile(r"disconnected|reset|closed")


@pytest.fixture
def api(server: HubServer) -> HfApi:
    return HfApi(endpoint=server.url, token=TOKEN)


def api_of(server: HubServer, token: str | bool) -> HfApi:
    return HfApi(endpoint=server.url, token=token)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    (tmp_path / "folder" / "sub" / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    return tmp_path / "folder"


def test_a_folder_goes_up_and_comes_down_as_it_was(server: HubServer, api: HfApi, folder: Path, tmp_path: Path) -> None:
    assert api.create_repo("org/m").repo_id == "org/m"
    assert api.create_repo("org/m", exist_ok=True).repo_id == "org/m"
    first = api.upload_folder(repo_id="org/m", folder_path=folder)
    assert api.upload_folder(repo_id="org/m", folder_path=folder).oid == first.oid, "nothing changed: no commit"
    assert api.repo_info("org/m").sha == first.oid
    listed = {entry.path: entry for entry in api.list_repo_tree("org/m", recursive=True)}
    assert set(listed) == {".gitattributes", "README.md", "sub", "sub/model.safetensors"}
    content = (folder / "sub" / "model.safetensors").read_bytes()
    large: Any = listed["sub/model.safetensors"]
    assert (large.lfs.sha256, large.size) == (hashlib.sha256(content).hexdigest(), len(content))
    down = Path(api.snapshot_download("org/m", cache_dir=tmp_path / "cache"))
    assert (down / "sub" / "model.safetensors").read_bytes() == content
    assert ModelCard.load(down / "README.md").data.license == "mit"
    assert [commit.title for commit in api.list_repo_commits("org/m")][-1] == "initial commit"
    api.create_tag("org/m", tag="v1")
    assert api.list_repo_refs("org/m").tags[0].target_commit == first.oid
    assert api.whoami()["name"] == "me"
    assert [model.id for model in api.list_models()] == ["org/m"]
    api.delete_repo("org/m")
    assert not api.repo_exists("org/m")


def test_what_is_not_there_is_told_by_its_kind(api: HfApi, folder: Path) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api.repo_info("org/none")
    api.create_repo("org/m")
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("org/m")
    with pytest.raises(RevisionNotFoundError):
        api.repo_info("org/m", revision="v9")
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download("org/m", "none.json")


def test_long_listings_come_in_pages(api: HfApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_endpoints, "PAGE", 3)
    api.create_repo("org/m")
    files = [CommitOperationAdd(f"folder/{number}.json", b"{}") for number in range(8)]
    api.create_commit("org/m", files, commit_message="files")
    assert len([*api.list_repo_tree("org/m", recursive=True)]) == 1 + 1 + 8
    assert [entry.path for entry in api.list_repo_tree("org/m")] == [".gitattributes", "folder"]


def test_who_may_see_and_write_what(server: HubServer, api: HfApi) -> None:
    api.create_repo("org/secret", private=True)
    assert api_of(server, READER).repo_info("org/secret").private
    for nobody in (STRANGER, False):
        with pytest.raises(RepositoryNotFoundError):
            api_of(server, nobody).repo_info("org/secret")
    for token, status in ((READER, "403"), (STRANGER, "403"), ("hf_nobodys", "401"), (False, "401")):
        with pytest.raises(HfHubHTTPError, match=status):
            api_of(server, token).create_repo("org/other")


def test_a_commit_is_made_as_a_whole_or_not_at_all(server: HubServer, api: HfApi) -> None:
    api.create_repo("org/m")
    before = server.model("org/m").head.oid
    with pytest.raises(EntryNotFoundError):
        api.create_commit(
            "org/m", [CommitOperationAdd("new", b"x"), CommitOperationDelete("none")], commit_message="half"
        )
    assert server.model("org/m").head.oid == before
    api.create_commit("org/m", [CommitOperationAdd("new", b"x")], commit_message="a", parent_commit=before)
    with pytest.raises(HfHubHTTPError, match="412"):
        api.create_commit("org/m", [CommitOperationAdd("newer", b"x")], commit_message="b", parent_commit=before)
    assert "newer" not in server.model("org/m").files


def test_large_files_must_be_uploaded_before_they_are_committed_and_be_what_their_name_says(
    server: HubServer, api: HfApi
) -> None:
    api.create_repo("org/m")
    oid = hashlib.sha256(b"content").hexdigest()
    lines = [
        {"key": "header", "value": {"summary": "large"}},
        {"key": "lfsFile", "value": {"path": "a.bin", "algo": "sha256", "oid": oid, "size": 7}},
    ]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"}
    commit = Request(f"{server.url}/api/models/org/m/commit/main", body, headers)
    with pytest.raises(HTTPError, match="400"):
        urlopen(commit)
    with pytest.raises(HTTPError, match="400"):
        urlopen(Request(server.site.signed(oid), b"other content", method="PUT"))
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(server.site.signed(oid)[:-1], b"content", method="PUT"))
    urlopen(Request(server.site.signed(oid), b"content", method="PUT")).close()
    urlopen(commit).close()
    assert server.model("org/m").files["a.bin"] == b"content"


def test_files_come_in_parts_with_their_etag(server: HubServer, api: HfApi) -> None:
    api.create_repo("org/m")
    api.upload_file(path_or_fileobj=b"0123456789", path_in_repo="a.txt", repo_id="org/m")
    where = f"{server.url}/org/m/resolve/main/a.txt"
    with urlopen(Request(where, headers={"Range": "bytes=3-5"})) as part:
        assert (part.status, part.read(), part.headers["Content-Range"]) == (206, b"345", "bytes 3-5/10")
        assert part.headers["ETag"] == f'"{server.model("org/m").head.files["a.txt"].git_oid}"'
        assert part.headers["X-Repo-Commit"] == server.model("org/m").head.oid
    with urlopen(Request(where, headers={"Range": "bytes=8-"})) as rest:
        assert rest.read() == b"89"
    with pytest.raises(HTTPError, match="416"):
        urlopen(Request(where, headers={"Range": "bytes=10-"}))


def test_faults_come_at_the_request_that_was_named_and_no_other(server: HubServer, api: HfApi) -> None:
    api.create_repo("org/m")
    server.fault = Fault(418, first=1)
    assert api.repo_exists("org/m")
    with pytest.raises(HfHubHTTPError, match="418"):
        api.repo_info("org/m")
    assert api.repo_exists("org/m")
    server.fault = Fault("drop_after", at="/repos/create")
    assert api.repo_exists("org/m")
    with pytest.raises(Exception, match=BROKEN):
        api.create_repo("org/n")
    assert api.repo_exists("org/n"), "it was done before the connection broke"
    server.fault = Fault("drop_before", at="/repos/create")
    with pytest.raises(Exception, match=BROKEN):
        api.create_repo("org/o")
    assert not api.repo_exists("org/o")
