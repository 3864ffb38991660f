"""The command as a whole: help, version, what it loads, how it ends, and how it looks in a terminal."""

import os
import pty
import re
import resource
import select
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from tests.cli.conftest import Command, Invoke
from unireward_plugins import cli
from unireward_plugins.cli import COMMANDS
from unireward_plugins.cli.output import duration, printable

ROOT = Path(__file__).parents[2]

HEAVY = ("torch", "transformers", "PIL", "numpy", "av", "openai", "trl", "rich", "datasets")


def in_terminal(*arguments: str, columns: int = 100, **environment: str) -> str:
    """What the command draws in a terminal of so many columns."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    run = subprocess.Popen(
        [Path(sys.executable).with_name("unireward"), *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
        | {"TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    drawn = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
        if not piece:
            break
        drawn += piece
    os.close(ours)
    run.wait()
    return drawn.decode()


WITHOUT_TORCHVISION = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torchvision" else find(name, *rest)
import transformers
from unireward_plugins.cli.output import hide_loading_bars
transformers.SiglipImageProcessor
hide_loading_bars("transformers")
transformers.CLIPImageProcessor
transformers.utils.import_utils.logger.warning("another warning")
"""


def test_commands_do_not_speak_of_torchvision_and_pass_on_other_warnings() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_TORCHVISION], capture_output=True, text=True, check=True)
    assert "`SiglipImageProcessor` requires torchvision" in run.stderr, "what is to be hidden is said as it was"
    assert "CLIPImageProcessor" not in run.stderr
    assert "another warning" in run.stderr


def test_help_lists_every_command_and_the_exit_codes(command: Command) -> None:
    done = command("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "Exit codes:" in done.stdout


def test_help_answers_at_once(command: Command) -> None:
    """Half a second is promised. Counted is the processor's time, which does not depend on what else is running."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5, seconds


@pytest.mark.parametrize(
    "code",
    [
        "import unireward_plugins",
        "from unireward_plugins.cli import main; main(['--help'])",
        "from unireward_plugins.cli import main; main(['judges', '--json'])",
        "from unireward_plugins.cli import main; main(['rubrics', '--json'])",
        "from unireward_plugins.cli import main; main(['plugins'])",
    ],
)
def test_nothing_heavy_is_loaded_to_list_things(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('loaded:', [n for n in {HEAVY} if n in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_the_version_is_that_of_the_package(command: Command) -> None:
    assert command("--version").stdout == f"unireward {version('unireward-plugins')}\n"


def test_it_is_also_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unireward_plugins.cli", "nix"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "No such command 'nix'" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_has_json(invoke: Invoke, name: str) -> None:
    code, out, _ = invoke(name, "--help")
    assert code == 0
    assert f"Usage: unireward {name}" in out
    assert "--json" in out or "Commands:" in out


def test_a_command_without_its_subcommand_shows_help_and_fails(invoke: Invoke) -> None:
    for arguments in ((), ("shapes",)):
        code, out, err = invoke(*arguments)
        assert (code, out) == (2, "")
        assert "Commands:" in err
        assert "error:" not in err


def test_an_unknown_option_says_where_help_is(invoke: Invoke) -> None:
    code, _, err = invoke("rubrics", "show", "--nix")
    assert code == 2
    assert err.splitlines()[0].startswith("error: No such option")
    assert err.splitlines()[-1] == "(unireward rubrics show --help shows what can be given)"


def test_an_interruption_is_exit_code_130(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: interrupted)
    code, _, err = invoke("judges")
    assert code == 130
    assert err.endswith("interrupted\n")


@pytest.mark.parametrize("arguments", [("rubrics", "--json"), ("--help",)])
def test_a_reader_that_goes_away_is_no_error(arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [Path(sys.executable).with_name("unireward"), *arguments]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("unireward ra", "plain,rank"),
        ("unireward rubrics show flex.i", "plain,flex.image_gen"),
        ("unireward score --rubric flex.i", "plain,flex.image_gen"),
    ],
)
def test_a_shell_can_complete_commands_and_rubrics(command: Command, words: str, completed: str) -> None:
    position = str(len(words.split()) - 1)
    done = command(_UNIREWARD_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=position)
    assert (done.returncode, done.stdout) == (0, f"{completed}\n")


def test_tables_are_drawn_in_a_terminal_and_fit_it() -> None:
    drawn = re.sub(r"\x1b\[[0-9;]*m", "", in_terminal("judges", columns=80)).splitlines()
    table = drawn[: next(number for number, line in enumerate(drawn) if line.startswith("Use one with"))]
    assert any("─" in line for line in table)
    assert any("CodeGoat24/UnifiedReward-Edit-qwen3vl-32b " in line for line in table), "a name is in one piece"
    assert "\t" not in "".join(table)
    assert max(map(len, table)) <= 80


def test_a_terminal_without_colour_gets_none() -> None:
    assert "\x1b[" not in in_terminal("plugins", NO_COLOR="1", TERM="dumb")


@pytest.mark.usefixtures("pictures")
def test_long_work_draws_a_bar_in_a_terminal(site: Path, pictures: Path) -> None:
    rows = '{"prompt": "a lamp", "candidates": ["white.png"]}\n' * 30
    (pictures / "cases.jsonl").write_text(rows)
    drawn = in_terminal(
        *("score", "--judge", "brightness", "--input", "cases.jsonl", "--output", "verdicts.jsonl"),
        PYTHONPATH=str(site),
    )
    assert "30/30" in drawn
    assert "/s" in drawn
    assert "left" in drawn
    assert "30 rows, in verdicts.jsonl" in drawn


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("bell\x07", "bell\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\x202egnp.exe"),
        ("née 猫\n\tfine", "née 猫\n\tfine"),
    ],
)
def test_no_text_commands_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3725, "1:02:05")])
def test_durations_are_hours_minutes_and_seconds(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def documented_commands() -> list[str]:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    whole = [path.read_text().replace("\\\n", " ") for path in documents]  # a command may go on in the next line
    lines = [line.strip() for text in whole for line in text.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ unireward ")]


@pytest.mark.parametrize("line", documented_commands())
def test_the_documents_use_commands_and_options_that_exist(line: str) -> None:
    _, *arguments = shlex.split(line.split(" < ", maxsplit=1)[0].split(" | ", maxsplit=1)[0], comments=True)
    command: click.Command = cli.unireward
    context = click.Context(command, resilient_parsing=True)
    while arguments and isinstance(command, click.Group) and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found, parent=context, resilient_parsing=True)
    command.make_parser(context).parse_args(list(arguments))


def test_the_document_tells_every_exit_code() -> None:
    table = (ROOT / "docs" / "command.md").read_text().split("## Exit codes")[1]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)}
    assert told == {
        cli.OK,
        cli.INCOMPLETE,
        cli.BAD_INPUT,
        cli.UNREACHABLE,
        cli.MISSING_EXTRA,
        cli.DEFECT,
        cli.INTERRUPTED,
    }
