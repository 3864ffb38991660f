import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Command, Invoke
from tests.cli.files import read_rows, write_rows
from tests.cli.scripted import Script
from unireward_plugins.cli import batch, output
from unireward_plugins.errors import BackendError
from unireward_plugins.types import Query

pytestmark = pytest.mark.usefixtures("example")

SCORE = ("score", "--judge", "brightness", "--input", "cases.jsonl", "--output", "verdicts.jsonl")
RANK = ("rank", "--judge", "scripted", "--input", "cases.jsonl", "--output", "verdicts.jsonl")


def three_rows(folder: Path) -> None:
    write_rows(
        folder / "cases.jsonl",
        {"prompt": "a lamp", "candidates": ["white.png", {"path": "black.png"}], "id": "first"},
        {"prompt": "a torch", "candidates": ["white.png", "grey.png"]},
        {"prompt": "the sun", "candidates": ["white.png", "grey.png", "black.png"], "id": 3},
    )


def test_scores_every_row_of_a_file(invoke: Invoke, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three_rows(pictures)
    monkeypatch.setattr(output, "PLAIN_INTERVAL", 0.0)
    code, out, err = invoke(*SCORE)
    assert (code, out) == (0, "")
    assert "judged 3/3, " in err
    assert "/s, 0:00 gone, 0:00 left" in err
    assert "3 rows, in verdicts.jsonl" in err
    rows = read_rows(pictures / "verdicts.jsonl")
    assert [row["row"] for row in rows] == [0, 1, 2]
    assert [row.get("id") for row in rows] == ["first", None, 3]
    assert rows[0]["scores"] == [1.0, 0.0]
    assert rows[0]["candidates"] == ["white.png", "black.png"]
    assert rows[2]["verdicts"][0]["aspects"] == {"brightness": [1.0]}


def test_ranks_every_row_of_a_file_in_one_call_of_the_judge(invoke: Invoke, pictures: Path) -> None:
    three_rows(pictures)
    code, out, _ = invoke("rank", "--judge", "brightness", *SCORE[3:], "--json")
    assert code == 0
    assert json.loads(out) | {"seconds": 0} == {
        "output": "verdicts.jsonl",
        "rows": 3,
        "answered_before": 0,
        "unread": 0,
        "failed": 0,
        "seconds": 0,
    }
    assert [row["ranking"] for row in read_rows(pictures / "verdicts.jsonl")] == [[0, 1], [0, 1], [0, 1, 2]]


def test_paths_are_relative_to_the_file_of_cases(
    invoke: Invoke, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_rows(pictures)
    (pictures / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, _, _ = invoke("score", "--judge", "brightness", "--input", "../cases.jsonl", "--output", "out.jsonl")
    assert code == 0
    assert len(read_rows(Path("out.jsonl"))) == 3


def test_a_folder_that_is_not_there_is_told_before_anything_is_judged(
    invoke: Invoke, judge_script: Script, pictures: Path
) -> None:
    three_rows(pictures)
    code, _, err = invoke(*RANK[:-1], "missing/verdicts.jsonl")
    assert code == 2
    assert f"there is no folder {pictures / 'missing'}. Make it first" in err
    assert judge_script.queries == []


@pytest.mark.parametrize("cut", [0, 1, 8, 40])
def test_a_run_that_was_cut_off_goes_on_where_it_stopped(
    invoke: Invoke, judge_script: Script, pictures: Path, cut: int
) -> None:
    three_rows(pictures)
    assert invoke(*RANK)[0] == 0
    whole = (pictures / "verdicts.jsonl").read_bytes()
    asked = len(judge_script.queries)
    lines = whole.splitlines(keepends=True)
    (pictures / "verdicts.jsonl").write_bytes(lines[0] + lines[1][:cut])
    judge_script.queries.clear()
    code, _, err = invoke(*RANK)
    assert code == 0
    assert "3 rows, 1 of them before this run" in err
    assert (pictures / "verdicts.jsonl").read_bytes() == whole
    assert 0 < len(judge_script.queries) < asked, "only the missing rows are asked"
    judge_script.queries.clear()
    assert invoke(*RANK)[0] == 0
    assert judge_script.queries == []


def test_what_was_judged_is_kept_when_the_judge_goes_away(
    invoke: Invoke, judge_script: Script, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(
        pictures / "cases.jsonl",
        *({"prompt": f"lamp {number}", "candidates": ["black.png", "white.png"]} for number in range(20)),
    )

    def gone_at_the_tenth(query: Query) -> str:
        if "lamp 10" in query.text:
            raise BackendError("the server is gone")
        return "Image 1 is better"

    judge_script.reply = gone_at_the_tenth
    code, _, err = invoke(*RANK)
    assert code == 3
    assert "8 of 20 rows are in verdicts.jsonl; the same command goes on from there" in err
    assert "error: the server is gone" in err
    judge_script.reply = lambda query: "Image 1 is better"
    assert invoke(*RANK)[0] == 0
    assert [row["row"] for row in read_rows(pictures / "verdicts.jsonl")] == list(range(20))


def test_a_process_that_is_killed_in_the_middle_loses_nothing_that_it_wrote(
    site: Path, pictures: Path, command: Command
) -> None:
    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({"object": "list", "data": [{"id": "UnifiedReward-qwen-7b", "object": "model"}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(0.1)
            message = {"role": "assistant", "content": "Final Score: 4"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.reply({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})

        def reply(self, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    write_rows(pictures / "cases.jsonl", *({"prompt": f"lamp {n}", "candidates": ["black.png"]} for n in range(60)))
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        arguments = ["score", "--judge", url, *SCORE[3:]]
        run = subprocess.Popen(
            [Path(sys.executable).with_name("unireward"), *arguments],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": str(site)},
        )
        written = pictures / "verdicts.jsonl"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (written.exists() and written.stat().st_size):
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
        run.wait()
        before = written.read_bytes()
        assert 0 < before.count(b"\n") < 60
        done = command(*arguments)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert written.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert sorted(row["row"] for row in read_rows(written)) == list(range(60))


def test_an_output_of_other_questions_is_never_mixed_with_these(
    invoke: Invoke, judge_script: Script, pictures: Path
) -> None:
    three_rows(pictures)
    assert invoke(*RANK)[0] == 0
    whole = (pictures / "verdicts.jsonl").read_bytes()
    for other in (
        ("rank", "--judge", "brightness", *RANK[3:]),
        (*RANK, "--both-orders"),
        (*RANK, "--tournament", "swiss"),
        ("score", *RANK[1:]),
    ):
        code, _, err = invoke(*other)
        assert code == 2
        assert "verdicts.jsonl:1 answers another case, or was asked of another judge" in err
    write_rows(pictures / "cases.jsonl", {"prompt": "another lamp", "candidates": ["white.png", "black.png"]})
    assert invoke(*RANK)[0] == 2
    assert (pictures / "verdicts.jsonl").read_bytes() == whole


@pytest.mark.parametrize("content", ["my diary\n", "my diary", '{"row": 1}\n', "[]\n", '{"rowing": "today'])
def test_a_file_of_something_else_is_left_as_it_is(
    invoke: Invoke, judge_script: Script, pictures: Path, content: str
) -> None:
    three_rows(pictures)
    (pictures / "verdicts.jsonl").write_text(content)
    code, _, err = invoke(*RANK)
    assert code == 2
    assert "verdicts.jsonl:1 is not an answer of this command" in err
    assert (pictures / "verdicts.jsonl").read_text() == content
    assert judge_script.queries == []


@pytest.mark.parametrize("kept", [0.1, 0.9])
def test_a_picture_that_cannot_be_decoded_costs_its_own_row_only(invoke: Invoke, pictures: Path, kept: float) -> None:
    Image.effect_noise((64, 64), 50).save(pictures / "cut.png")
    content = (pictures / "cut.png").read_bytes()
    (pictures / "cut.png").write_bytes(content[: int(len(content) * kept)])
    (pictures / "text.png").write_text("not a picture at all")
    rows = [{"prompt": f"lamp {number}", "candidates": ["grey.png"]} for number in range(6)]
    rows[3]["candidates"] = ["cut.png"]
    rows[5]["candidates"] = ["text.png"]
    write_rows(pictures / "cases.jsonl", *rows)
    code, _, err = invoke(*SCORE)
    assert code == 1
    assert "2 rows could not be judged" in err
    answers = read_rows(pictures / "verdicts.jsonl")
    assert [("error" in answer) for answer in answers] == [False, False, False, True, False, True]
    assert "cases.jsonl:4" in answers[3]["error"]
    assert "cut.png" in answers[3]["error"]
    assert "cases.jsonl:6" in answers[5]["error"]


def test_replies_without_a_verdict_are_counted_and_make_the_exit_code_1(
    invoke: Invoke, judge_script: Script, pictures: Path
) -> None:
    three_rows(pictures)
    judge_script.reply = lambda query: "hm" if "torch" in query.text else "Image 1 is better"
    code, _, err = invoke(*RANK)
    assert code == 1
    assert "1 rows hold a reply without a verdict" in err
    assert [row["unread"] for row in read_rows(pictures / "verdicts.jsonl")] == [0, 1, 0]
    assert invoke(*RANK)[0] == 1, "a run that has nothing left to ask tells the same"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "an object with a text as `prompt`"),
        ('{"prompt": 3, "candidates": ["white.png"]}', "an object with a text as `prompt`"),
        ('{"prompt": "x"}', "`candidates` is missing or empty"),
        ('{"prompt": "x", "candidates": "white.png"}', "`candidates` must be a list, got 'white.png'"),
        ('{"prompt": "x", "candidates": [3]}', 'a candidate is a string, {"text": "..."} or {"path": "..."}, got 3'),
        ('{"prompt": "x", "candidates": ["white.png"], "contxt": []}', "unknown field 'contxt'"),
        ('{"prompt": "x", "candidates": ["white.png"], "id": [1]}', "`id` must be a text or a whole number, got [1]"),
        ('{"prompt": "x", "candidates": ["white.png"], "context": [3]}', "a context is the path of a picture or clip"),
        ('{"prompt": "x", "candidates": ["absent.png"]}', "there is no file"),
        ('{"prompt": "x", "candidates": ["white.png", "red"]}', "candidates of kind ['image', 'text']"),
        (
            '{"prompt": "x", "candidates": [{"text": "white.png"}]}',
            "candidates of kind ['text'] with context of kind []",
        ),
    ],
)
def test_a_bad_row_is_named_before_anything_is_judged(invoke: Invoke, pictures: Path, line: str, message: str) -> None:
    good = json.dumps({"prompt": "x", "candidates": ["white.png"]})
    (pictures / "cases.jsonl").write_text(f"{good}\n\n{line}\n")
    code, _, err = invoke(*SCORE)
    assert code == 2
    assert err.startswith("error: cases.jsonl:3: ")
    assert message in err
    assert not (pictures / "verdicts.jsonl").exists()


def test_a_row_that_the_judge_cannot_judge_is_named_before_anything_is_judged(
    invoke: Invoke, judge_script: Script, pictures: Path
) -> None:
    write_rows(
        pictures / "cases.jsonl",
        {"prompt": "x", "candidates": ["white.png", "black.png"]},
        {"prompt": "x", "candidates": ["red", "blue"], "context": ["white.png"]},
    )
    code, _, err = invoke(*RANK)
    assert code == 2
    assert "cases.jsonl:2: judge 'scripted' cannot judge 2 candidate(s) of image_understanding" in err
    assert judge_script.queries == []


def test_a_row_with_nothing_to_rank_is_named_before_anything_is_judged(
    invoke: Invoke, judge_script: Script, pictures: Path
) -> None:
    pairs = [{"prompt": "x", "candidates": ["white.png", "black.png"]}] * 20
    write_rows(pictures / "cases.jsonl", *pairs, {"prompt": "x", "candidates": ["white.png"]})
    code, _, err = invoke(*RANK)
    assert code == 2
    assert "cases.jsonl:21: ranking compares at least two candidates" in err
    assert judge_script.queries == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (SCORE[:-2], "--input needs --output"),
        ((*SCORE, "white.png"), "with --input, prompts, candidates and contexts stand in the file"),
        ((*SCORE, "--prompt", "x"), "with --input, prompts, candidates and contexts stand in the file"),
        ((*SCORE[:-3], "absent.jsonl", *SCORE[-2:]), "absent.jsonl"),
    ],
)
def test_options_that_do_not_go_together(
    invoke: Invoke, pictures: Path, arguments: tuple[str, ...], message: str
) -> None:
    three_rows(pictures)
    code, _, err = invoke(*arguments)
    assert code == 2
    assert message in err


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe"])
def test_a_file_without_cases_is_an_error(invoke: Invoke, pictures: Path, content: bytes) -> None:
    (pictures / "cases.jsonl").write_bytes(content)
    code, _, err = invoke(*SCORE)
    assert code == 2
    assert "cases.jsonl" in err


def test_rows_may_hold_any_text(invoke: Invoke, pictures: Path) -> None:
    prompts = ["line\u2028separator", 'quote"\\', "née", "tab\t", "\u0085"]
    rows = ({"prompt": prompt, "candidates": ["grey.png"]} for prompt in prompts)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (pictures / "cases.jsonl").write_text("\ufeff" + text, encoding="utf-8")
    assert invoke(*SCORE)[0] == 0
    assert invoke(*SCORE)[0] == 0, "its own output can be read back"
    lines = (pictures / "verdicts.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(line)["prompt"] for line in lines] == prompts


def test_chunks_grow_while_they_are_quick_and_shrink_when_they_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(batch.time, "monotonic", lambda: now)
    sizes = []
    for chunk in batch.chunks(range(200)):
        sizes.append(len(chunk))
        now += 1.0 if len(sizes) < 4 else 100.0
    assert sizes[:5] == [8, 16, 32, 64, 32]
    assert sum(sizes) == 200


def test_progress_without_anything_done_yet_gives_no_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "PLAIN_INTERVAL", 0.0)
    with output.progress("judged", total=3) as advance:
        advance(0)
        advance(1)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("judged 0/3, 0.0/s, ")
    assert "left" not in first
    assert "left" in second
