"""A verdict cache serves many processes, survives a killed writer, and never gives one case the verdict of another."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import sqlite3
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unireward_plugins import cache as cache_module
from unireward_plugins.cache import VerdictCache, verdict_key
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import FrameRule, Media
from unireward_plugins.rubrics import AnswerSlot, Rubric
from unireward_plugins.types import Case, Verdict

SPAWN = multiprocessing.get_context("spawn")


def unread(reply: str) -> Verdict:
    return Verdict(scores=None, reply=reply, unread="no_verdict")


RUBRIC = Rubric("mine", task="image_generation", arity=2, template="Which shows {prompt}?", read=unread)


def picture(value: int) -> Media:
    return Media.of(np.full((8, 6, 3), value, np.uint8))


CASE = Case("a cat", (picture(1), picture(2)), context=(picture(3), picture(4)))


def key(case: Case = CASE, rubric: Rubric = RUBRIC, revision: str = "abc") -> str:
    return verdict_key(case, rubric=rubric, readout="generate", revision=revision)


@pytest.fixture
def cache(tmp_path: Path) -> VerdictCache:
    return VerdictCache(tmp_path / "verdicts.sqlite")


verdicts = st.one_of(
    st.builds(
        Verdict,
        scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1).map(tuple),
        aspects=st.dictionaries(st.text(), st.lists(st.floats(allow_nan=False)).map(tuple)),
        reply=st.text(alphabet=st.characters(exclude_categories=())),
    ),
    st.builds(Verdict, scores=st.none(), reply=st.text(), unread=st.sampled_from(["nan", "truncated"])),
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(alphabet=string.hexdigits, min_size=1), verdicts))
def test_verdicts_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, stored: dict[str, Verdict]) -> None:
    cache = VerdictCache(tmp_path_factory.mktemp("cache") / "verdicts.sqlite")
    cache.put(stored)
    assert cache.get([*stored, "unknown"]) == stored


def test_more_keys_than_sqlite_takes_at_once(cache: VerdictCache) -> None:
    stored = {str(number): Verdict(scores=(number / 2000,)) for number in range(2000)}
    cache.put(stored)
    assert cache.get(str(number) for number in range(-5, 2005)) == stored


def test_an_unread_verdict_is_kept_so_that_it_is_not_asked_again(cache: VerdictCache) -> None:
    verdict = Verdict(scores=None, reply="I cannot say", unread="no_verdict")
    cache.put({"key": verdict})
    assert cache.get(["key"]) == {"key": verdict}


def test_the_first_verdict_of_a_key_stays(cache: VerdictCache) -> None:
    cache.put({"key": Verdict(scores=(1.0,))})
    cache.put({"key": Verdict(scores=(0.0,)), "other": Verdict(scores=(0.5,))})
    assert cache.get(["key", "other"]) == {"key": Verdict(scores=(1.0,)), "other": Verdict(scores=(0.5,))}


def test_building_one_touches_no_file_and_using_one_makes_its_folder(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "new" / "folder" / "verdicts.sqlite")
    assert not (tmp_path / "new").exists()
    assert cache.get(["key"]) == {}
    assert cache.path.is_file()


def test_a_cache_works_after_pickling_and_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = VerdictCache(Path("verdicts.sqlite"))
    cache.put({"key": Verdict(scores=(1.0,))})
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(cache)).get(["key"]) == {"key": Verdict(scores=(1.0,))}


def write_many(cache: VerdictCache, writer: int, rounds: int) -> None:
    for number in range(rounds):
        cache.put(
            {f"{writer}/{number}": Verdict(scores=(number / rounds,)), f"shared/{number}": Verdict(scores=(0.5,))}
        )
        assert len(cache.get([f"{writer}/{number}", f"shared/{number}"])) == 2


def written(writers: int, rounds: int) -> dict[str, Verdict]:
    own = {
        f"{writer}/{number}": Verdict(scores=(number / rounds,))
        for writer in range(writers)
        for number in range(rounds)
    }
    return own | {f"shared/{number}": Verdict(scores=(0.5,)) for number in range(rounds)}


def test_processes_that_start_at_once_share_one_new_file(cache: VerdictCache) -> None:
    writers, rounds = 4, 40
    processes = [SPAWN.Process(target=write_many, args=(cache, writer, rounds)) for writer in range(writers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * writers
    expected = written(writers, rounds)
    assert cache.get(expected) == expected


def test_threads_share_one_object(cache: VerdictCache) -> None:
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(write_many, cache, writer, 10) for writer in range(8)]:
            done.result()
    expected = written(8, 10)
    assert cache.get(expected) == expected


def write_and_hang(cache: VerdictCache, ready: Connection) -> None:
    """Stop in the middle of storing verdicts, with the lock held and some rows written."""

    def encoded(verdict: Verdict) -> str:
        return json.dumps({"scores": verdict.scores, "aspects": {}, "reply": "", "unread": None})

    with sqlite3.connect(cache.path, isolation_level=None) as connection:
        connection.execute("PRAGMA cache_size = 1")  # make it spill unfinished work into the file
        connection.execute("BEGIN IMMEDIATE")
        for number in range(5000):
            connection.execute(
                "INSERT INTO verdicts VALUES (?, ?)", (f"lost/{number}", encoded(Verdict(scores=(1.0,))))
            )
        ready.send("holding the lock")
        signal.pause()


def test_a_killed_writer_leaves_nothing_half_written_and_nothing_locked(cache: VerdictCache) -> None:
    cache.put({"before": Verdict(scores=(1.0,))})
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=write_and_hang, args=(cache, there))
    process.start()
    assert here.recv() == "holding the lock"
    assert cache.get(["before", "lost/0"]) == {"before": Verdict(scores=(1.0,))}, "readers do not wait for a writer"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    cache.put({"after": Verdict(scores=(0.0,))})
    assert cache.get(["before", "after", "lost/0", "lost/4999"]).keys() == {"before", "after"}


def test_a_call_that_fails_half_way_stores_nothing(cache: VerdictCache) -> None:
    cache.put({"before": Verdict(scores=(1.0,))})
    no_key: Any = object()
    with pytest.raises(UniRewardError, match="cannot be used"):
        cache.put({"first": Verdict(scores=(1.0,)), no_key: Verdict(scores=(1.0,))})
    assert cache.get(["before", "first"]).keys() == {"before"}


def test_a_writer_that_never_ends_is_an_error_that_says_so(
    cache: VerdictCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "WAIT_SECONDS", 0.05)
    cache.get([])
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UniRewardError, match=r"verdicts\.sqlite' cannot be used: database is locked"):
            cache.put({"key": Verdict(scores=(1.0,))})


def test_a_new_file_that_another_process_holds_is_an_error_until_it_lets_go(
    cache: VerdictCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "WAIT_SECONDS", 0.05)
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM sqlite_master")
        with pytest.raises(UniRewardError, match="locked"):
            cache.get(["key"])
    assert cache.get(["key"]) == {}


def test_a_file_that_another_process_makes_meanwhile_is_used_as_it_is(
    cache: VerdictCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cache_module._transaction

    def after_another_process(connection: sqlite3.Connection) -> AbstractContextManager[None]:
        monkeypatch.setattr(cache_module, "_transaction", real)
        VerdictCache(cache.path).put({"theirs": Verdict(scores=(1.0,))})
        return real(connection)

    monkeypatch.setattr(cache_module, "_transaction", after_another_process)
    cache.put({"ours": Verdict(scores=(0.0,))})
    assert cache.get(["ours", "theirs"]).keys() == {"ours", "theirs"}


def make(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def corrupt(path: Path) -> None:
    cache = VerdictCache(path)
    cache.put({str(number): Verdict(scores=(1.0,), reply="x" * 500) for number in range(500)})
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.write_text("hello, I am a diary" * 100), "file is not a database"),
        (lambda path: path.mkdir(), "unable to open database file"),
        (lambda path: make(path, "CREATE TABLE songs (title)"), "something else, not a verdict cache"),
        (lambda path: make(path, "PRAGMA application_id = 7"), "something else, not a verdict cache"),
        (corrupt, "malformed"),
        (
            lambda path: make(
                path, f"PRAGMA application_id = {cache_module.APPLICATION_ID}", "PRAGMA user_version = 2"
            ),
            "has schema 2, this release reads schema 1",
        ),
    ],
)
def test_a_file_that_is_no_cache_is_an_error_and_stays_as_it_is(
    tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "verdicts.sqlite"
    prepare(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(UniRewardError, match=message) as reading:
        VerdictCache(path).get(["1", "key"])
    with pytest.raises(UniRewardError, match=message) as writing:
        VerdictCache(path).put({"key": Verdict(scores=(1.0,))})
    assert str(path) in str(reading.value)
    assert str(path) in str(writing.value)
    assert before is None or path.read_bytes() == before


def test_a_row_that_is_no_verdict_is_an_error(cache: VerdictCache) -> None:
    cache.get([])
    make(cache.path, "INSERT INTO verdicts VALUES ('key', 'nonsense')")
    with pytest.raises(UniRewardError, match="damaged cache"):
        cache.get(["key"])


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UniRewardError, match="cannot be used"):
        VerdictCache(tmp_path / "file" / "verdicts.sqlite").get(["key"])


def test_an_empty_file_becomes_a_cache(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.sqlite"
    path.touch()
    VerdictCache(path).put({"key": Verdict(scores=(1.0,))})
    assert VerdictCache(path).get(["key"]) == {"key": Verdict(scores=(1.0,))}


SLOT = AnswerSlot(prefill="Image ", choices=("1", "2"), values=((1.0, 0.0), (0.0, 1.0)))


def test_everything_that_a_verdict_depends_on_changes_its_key() -> None:
    different = [
        key(),
        key(replace(CASE, prompt="a dog")),
        key(CASE.reversed()),
        key(replace(CASE, context=CASE.context[::-1])),
        key(replace(CASE, context=CASE.context[:1])),
        key(replace(CASE, candidates=(*CASE.candidates, *CASE.context), context=())),
        key(replace(CASE, candidates=(picture(1), picture(1)))),
        key(replace(CASE, candidates=("1", "2"))),
        key(replace(CASE, candidates=(picture(1).digest, picture(2).digest))),
        key(replace(CASE, candidates=("1, 2",))),
        key(revision="abd"),
        key(rubric=replace(RUBRIC, name="yours")),
        key(rubric=replace(RUBRIC, template="Which one shows {prompt}?")),
        key(rubric=replace(RUBRIC, max_tokens=64)),
        key(rubric=replace(RUBRIC, frames=FrameRule("floor", 8))),
        key(rubric=replace(RUBRIC, frames=FrameRule("linspace", 8))),
        key(rubric=replace(RUBRIC, slot=SLOT)),
        key(rubric=replace(RUBRIC, shows_context=False)),
        verdict_key(CASE, rubric=RUBRIC, readout="likelihood", revision="abc"),
    ]
    assert len(set(different)) == len(different)


def test_the_same_case_has_the_same_key_in_another_process_and_from_other_files(tmp_path: Path) -> None:
    picture(1).pil().save(tmp_path / "1.png")
    again = Case("a cat", (Media.of(tmp_path / "1.png"), picture(2)), context=CASE.context)
    assert key(again) == key()
    with SPAWN.Pool(1) as pool:
        assert pool.apply(key, (CASE,)) == key()


def test_another_release_reads_replies_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = key()
    monkeypatch.setattr(cache_module, "_package_version", lambda: "99.0")
    assert key() != now


def test_threads_that_make_the_file_together_never_take_it_for_a_stranger(tmp_path: Path) -> None:
    for attempt in range(20):
        cache = VerdictCache(tmp_path / f"{attempt}.sqlite")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(cache.put, [{str(writer): Verdict((0.5,))} for writer in range(8)]))
        assert len(cache.get(map(str, range(8)))) == 8
