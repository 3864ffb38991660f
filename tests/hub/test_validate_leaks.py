"""Secrets, paths of the maker's machine and links out of the folder never leave it, and are never quoted."""

import json
import os
import re
from pathlib import Path

import pytest

from hub.contents import read_folder
from hub.validate import check
from tests.hub.unfit import CARD, SECRET, complaints, safetensors, write


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("README.md", f"# A model\n\nlogin(token='{SECRET}')\n", "line 3 holds a Hugging Face token"),
        ("notes.txt", "key: sk-proj-abcdefghijkLMNOPQRS0123", "line 1 holds an API key"),
        ("train.py", "x = 'AKIAABCDEFGHIJKLMNOP'", "line 1 holds an AWS key"),
        ("run.sh", "export T=ghp_" + "a1" * 18, "line 1 holds a GitHub token"),
        ("plan.json", '{"proxy": "http://me:verysecret@proxy.example"}', "line 1 holds a password in an address"),
        ("plan.json", '{\n "wandb_api_key": "0123456789abcdef"}', "line 2 holds what is called 'api_key'"),
        ("plan.yaml", "a: 1\nPassword: correct-horse", "line 2 holds what is called 'Password'"),
        ("id_rsa", "anything", "is a file for secrets: move it out of the folder"),
        (".env", "A=1", "is a file for secrets"),
        ("steps.ipynb", f'{{"source": "login(\'{SECRET}\')"}}', "line 1 holds a Hugging Face token"),
        ("key.txt", "-----BEGIN OPENSSH PRIVATE KEY-----", "line 1 holds a private key"),
    ],
)
def test_secrets_are_refused_and_not_quoted(judge: Path, name: str, text: str, what: str) -> None:
    write(judge, {name: text})
    told = complaints(judge, "judge")
    assert f"{name} {what}" in told
    for secret in (SECRET, "sk-proj", "AKIAABCD", "verysecret", "0123456789abcdef", "correct-horse"):
        assert secret not in told


@pytest.mark.parametrize(
    ("note", "what"),
    [
        ({"said": json.dumps({"log": f"login('{SECRET}')"})}, "holds a Hugging Face token"),
        ({"wandb_api_key": "0123456789abcdef"}, "holds what is called 'api_key'"),
        ({"said": "odd.token!77"}, "holds the token that you push with"),
        ({"base": "/home/me/models/base"}, "names '/home/me/models/base', which is a path of this machine"),
    ],
)
def test_what_weights_say_of_themselves_is_searched_too(judge: Path, note: dict[str, str], what: str) -> None:
    write(judge, {"model.safetensors": safetensors(format="pt")})
    check(read_folder(judge), "judge", token="odd.token!77")
    write(judge, {"model.safetensors": safetensors(format="pt", **note)})
    told = complaints(judge, "judge", token="odd.token!77")
    assert f"model.safetensors entry 2 of its __metadata__ {what}" in told
    for secret in (SECRET, "0123456789abcdef", "odd.token!77"):
        assert secret not in told


def test_the_token_to_push_with_is_found_whatever_it_looks_like(judge: Path) -> None:
    write(judge, {"log.txt": "began\nodd.token!77 was used\n"})
    check(read_folder(judge), "judge")
    told = complaints(judge, "judge", token="odd.token!77")
    assert "log.txt line 2 holds the token that you push with" in told
    assert "odd.token!77" not in told


@pytest.mark.parametrize(
    "text",
    [
        '{"api_key": null, "hub_token": "<your token>", "password": "${PASSWORD}", "secret": "xxxxxxxx"}',
        '{"eos_token": "<|im_end|>", "image_token": "<image>", "forced_token": "abcdefgh"}',
        '{"auth_token": true, "access_token": "none"}',
        '{"class": "sk-circle-fade-dot-animation-of-some-page"}',
    ],
)
def test_fields_that_hold_no_secret_pass(judge: Path, text: str) -> None:
    write(judge, {"settings.json": text})
    check(read_folder(judge), "judge")


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("config.json", '{"model_type": "x",\n"_name_or_path": "/home/me/models/base"}', "/home/me/models/base"),
        ("README.md", f"{CARD}Trained from `/data/checkpoints/v3`.", "/data/checkpoints/v3"),
        ("README.md", CARD + r"Trained from C:\Users\me\base", r"C:\\Users\\me\\base"),
        ("extra.json", '{"cache": "/odd-disk/me/cache"}', "/odd-disk/me/cache"),
        ("extra.yaml", "root: /odd-disk/me", "/odd-disk/me"),
        ("README.md", f"{CARD}See {Path.home()}/thing.", f"{Path.home()}/thing."),
    ],
)
def test_paths_of_the_makers_machine_are_refused(judge: Path, name: str, text: str, path: str) -> None:
    write(judge, {name: text})
    told = complaints(judge, "judge")
    assert re.search(rf"{re.escape(name)} line \d+ names '{re.escape(path)}', which is a path of this machine", told)


@pytest.mark.parametrize(
    "line",
    [
        "See https://example.org/home/me and https://huggingface.co/datasets/org/data/tree/main.",
        "Put it under data/train and ./home/x, and/or elsewhere.",
        "The scale is 1/5, the ratio home/away.",
    ],
)
def test_addresses_and_relative_paths_pass(judge: Path, line: str) -> None:
    write(judge, {"README.md": CARD + line})
    check(read_folder(judge), "judge")


def test_links_that_leave_the_folder_are_refused_and_never_read(judge: Path, tmp_path: Path) -> None:
    write(tmp_path, {"outside/secret.txt": "not to be seen"})
    (judge / "secret.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (judge / "all").symlink_to(tmp_path / "outside")
    (judge / "nowhere").symlink_to(tmp_path / "no-such-file")
    (judge / "up").symlink_to("..")
    told = complaints(judge, "judge")
    assert "secret.txt is a link that leaves the folder: put the file itself there" in told
    assert "all is a link that leaves the folder" in told
    assert "nowhere is a link to nothing: delete it" in told
    assert "up is a link that leaves the folder" in told
    assert "not to be seen" not in told
    assert set(read_folder(judge).files) == {path.name for path in judge.iterdir() if not path.is_symlink()}


def test_a_link_to_what_is_never_sent_is_refused(judge: Path) -> None:
    write(judge, {".git/config": f"url = https://me:{SECRET}@huggingface.co"})
    (judge / "table.dat").symlink_to(".git/config")
    assert "table.dat is a link to what is never sent, such as .git: delete it" in complaints(judge, "judge")


def test_a_link_inside_the_folder_is_the_file_that_it_points_to(judge: Path) -> None:
    (judge / "copy.json").symlink_to("config.json")
    files = read_folder(judge).files
    check(read_folder(judge), "judge")
    assert files["copy.json"].sha256 == files["config.json"].sha256


def test_a_pipe_is_refused_and_not_waited_for(judge: Path) -> None:
    os.mkfifo(judge / "pipe")
    assert "pipe is no ordinary file: delete it" in complaints(judge, "judge")


def test_traces_of_tools_are_not_sent(judge: Path) -> None:
    write(judge, {".git/config": SECRET, ".cache/huggingface/x": "x", "__pycache__/a.pyc": b"x", "sub/.DS_Store": b"x"})
    assert not {name for name in read_folder(judge).files if name.startswith((".", "__", "sub"))}
    check(read_folder(judge), "judge")
