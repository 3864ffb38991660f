import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Invoke
from tests.cli.scripted import Script
from unireward_plugins.plugins import find_rubric

pytestmark = pytest.mark.usefixtures("pictures", "example")

BRIGHTNESS = ("score", "--judge", "brightness", "--prompt", "a lamp")


def test_prints_one_tab_separated_line_a_candidate_into_a_pipe(invoke: Invoke) -> None:
    code, out, err = invoke(*BRIGHTNESS, "black.png", "white.png")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "candidate\tscore\tbrightness",
        "black.png\t0.000\t0.000",
        "white.png\t1.000\t1.000",
    ]


def test_prints_everything_as_json(invoke: Invoke) -> None:
    code, out, _ = invoke(*BRIGHTNESS, "--json", "black.png", "grey.png")
    answer = json.loads(out)
    assert code == 0
    assert answer["prompt"] == "a lamp"
    assert answer["candidates"] == ["black.png", "grey.png"]
    assert answer["scores"] == [0.0, pytest.approx(128 / 255)]
    assert answer["unread"] == 0
    assert answer["verdicts"][0] == {
        "scores": [0.0],
        "aspects": {"brightness": [0.0]},
        "reply": "brightness (0.0,)",
    }


def test_a_reply_without_a_verdict_is_shown_explained_and_makes_the_exit_code_1(
    invoke: Invoke, judge_script: Script
) -> None:
    judge_script.reply = lambda query: "I would rather not.\x1b[2J"
    code, out, err = invoke("score", "--judge", "scripted", "--prompt", "a lamp", "black.png")
    assert code == 1
    assert out.splitlines() == ["candidate\tscore", "black.png\tunread"]
    assert "no verdict on black.png: the reply holds nothing that reads as a verdict" in err
    assert "I would rather not." in err
    assert "\x1b" not in err, "a reply must not command the terminal"
    code, out, _ = invoke("score", "--judge", "scripted", "--prompt", "a lamp", "--json", "black.png")
    assert code == 1
    assert json.loads(out)["scores"] == [None]
    assert json.loads(out)["verdicts"][0]["unread"] == "no_verdict"


def test_what_the_model_has_no_room_for_is_one_unread_verdict(invoke: Invoke) -> None:
    ask = ("score", "--judge", "shapes", "--prompt", "What colour is it?", "--context", "black.png", "--text")
    code, out, err = invoke(*ask, "black", "black " * 5000)
    assert code == 1
    first, second = (line.split("\t")[1] for line in out.splitlines()[1:])
    assert 0 <= float(first) <= 1
    assert second == "unread"
    assert "the case does not fit into the model's context" in err
    assert "The reply" not in err
    assert "indexing errors" not in err
    assert len(err) < 1000


def test_the_judge_may_be_named_by_the_environment(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREWARD_JUDGE", "brightness")
    code, out, _ = invoke("score", "--prompt", "a lamp", "white.png")
    assert code == 0
    assert "white.png\t1.000" in out


def test_the_options_reach_the_judge(invoke: Invoke, judge_script: Script, tmp_path: Path) -> None:
    ask = ("score", "--judge", "scripted", "--prompt", "a lamp", "black.png")
    judge_script.reply = lambda query: query.choices[-1]
    _, out, _ = invoke(*ask, "--readout", "likelihood", "--json", "--cache", str(tmp_path / "cache"))
    assert json.loads(out)["scores"] == [1.0]
    asked = len(judge_script.queries)
    _, out, _ = invoke(*ask, "--readout", "likelihood", "--json", "--cache", str(tmp_path / "cache"))
    assert json.loads(out)["scores"] == [1.0]
    assert len(judge_script.queries) == asked, "the second run reads the cache"
    judge_script.reset()
    invoke(*ask, "--rubric", "image_gen.point_ACS.v2")
    assert judge_script.queries[-1].text == find_rubric("image_gen.point_ACS.v2").template.replace("{prompt}", "a lamp")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "--prompt", "x", "black.png"), "Missing option '-j' / '--judge'"),
        ((*BRIGHTNESS,), "give --prompt and candidates"),
        (("score", "--judge", "brightness", "black.png"), "give --prompt and candidates"),
        ((*BRIGHTNESS, "absent.png"), "there is no file 'absent.png'"),
        ((*BRIGHTNESS, "a bright lamp"), "without"),
        ((*BRIGHTNESS, "black.png", "a lamp"), "candidates of kind ['image', 'text']"),
        ((*BRIGHTNESS, "--output", "x.jsonl", "black.png"), "--output goes with --input"),
        ((*BRIGHTNESS, "--rubric", "brightness.image_gen.point", "black.png"), "plain callable"),
        (("score", "--judge", "brihtness", "--prompt", "x", "black.png"), "'brihtness' names no judge"),
        (("score", "--judge", "scripted", "--prompt", "x", "--rubric", "nix", "black.png"), "no rubric named 'nix'"),
        (("score", "--judge", "brightness", "--prompt", "x", "--readout", "maybe", "black.png"), "'maybe'"),
        (("score", "--judge", "brightness", "--prompt", "x", "--context", "absent.png", "black.png"), "absent.png"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    invoke: Invoke, judge_script: Script, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = invoke(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_a_picture_that_cannot_be_decoded_is_bad_input(invoke: Invoke, pictures: Path) -> None:
    whole = (pictures / "white.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    code, out, err = invoke(*BRIGHTNESS, "cut.png")
    assert (code, out) == (2, "")
    assert "cut.png" in err


def test_debug_shows_where_an_error_came_from(invoke: Invoke) -> None:
    code, _, err = invoke(*BRIGHTNESS, "--debug", "absent.png")
    assert code == 2
    assert "Traceback" in err
    assert err.rstrip().splitlines()[-1].startswith("error: there is no file 'absent.png'")


def test_a_defect_shows_where_it_happened_and_has_an_exit_code_of_its_own(invoke: Invoke, judge_script: Script) -> None:
    judge_script.reply = lambda query: "none of the choices"  # a backend that breaks its contract
    code, out, err = invoke(
        *("score", "--judge", "scripted", "--prompt", "a lamp", "black.png", "--readout", "likelihood")
    )
    assert (code, out) == (70, "")
    assert "Traceback" in err
    assert err.rstrip().splitlines()[-1].startswith("error: this is a defect of unireward, please report it")


def ask_server(command: Command, url: str) -> subprocess.CompletedProcess[str]:
    return command(
        *("score", "--judge", url, "--prompt", "x", "black.png", "--rubric", "image_gen.point_score.short"),
    )


def test_a_server_that_refuses_is_exit_code_3(command: Command) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        do_POST = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = ask_server(command, f"http://127.0.0.1:{server.server_port}/v1")
        server.shutdown()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: ")
    assert "does not accept the API key" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_server_that_is_gone_is_exit_code_3_after_some_patience(command: Command) -> None:
    done = ask_server(command, "http://127.0.0.1:9/v1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: ")
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_exit_code_4_with_the_command_that_installs_it(command: Command, pictures: Path) -> None:
    """An installed package cannot be taken away for one test: a module that refuses to be imported stands before it."""
    (pictures / "blocked").mkdir()
    (pictures / "blocked" / "openai.py").write_text("raise ImportError('No module named openai')")
    done = command(
        *("score", "--judge", "http://127.0.0.1:9/v1", "--prompt", "x", "black.png"),
        *("--rubric", "image_gen.point_score.short"),
        PYTHONPATH=str(pictures / "blocked"),
    )
    assert done.returncode == 4
    assert "pip install 'unireward-plugins[serve]'" in done.stderr


def test_the_installed_command_scores(command: Command) -> None:
    done = command(*BRIGHTNESS, "white.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "candidate\tscore\tbrightness\nwhite.png\t1.000\t1.000\n"
