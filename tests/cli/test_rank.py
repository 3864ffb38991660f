import json
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.cli.scripted import Script
from unireward_plugins.cli import output
from unireward_plugins.cli.rank import Format, count_games
from unireward_plugins.types import Query

pytestmark = pytest.mark.usefixtures("pictures", "example")

RANK = ("rank", "--judge", "brightness", "--prompt", "a lamp")


def test_compares_two(invoke: Invoke) -> None:
    code, out, err = invoke(*RANK, "grey.png", "white.png")
    share = 255 / (255 + 128)
    assert (code, err) == (0, "")
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[0] == ["rank", "candidate", "win rate", "strength", "comparisons"]
    assert [line[:3] for line in lines[1:]] == [
        ["1", "white.png", f"{share:.3f}"],
        ["2", "grey.png", f"{1 - share:.3f}"],
    ]


@pytest.mark.parametrize(("tournament", "games"), [("round-robin", 6), ("swiss", 4), ("knockout", 3)])
def test_every_tournament_finds_the_brightest_of_four(
    invoke: Invoke, pictures: Path, tournament: Format, games: int
) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), (40, 40, 40)).save(pictures / "dark.png")
    names = ["grey.png", "black.png", "white.png", "dark.png"]
    code, out, _ = invoke(*RANK, "--tournament", tournament, "--json", *names)
    answer = json.loads(out)
    assert code == 0
    assert names[answer["ranking"][0]] == "white.png"
    assert len(answer["games"]) == games == count_games(4, tournament)
    assert answer["unread"] == 0
    if tournament == "round-robin":
        assert [names[player] for player in answer["ranking"]] == ["white.png", "grey.png", "dark.png", "black.png"]


def test_a_judge_that_always_says_first_is_seen_through_by_both_orders(invoke: Invoke, judge_script: Script) -> None:
    ask = ("rank", "--judge", "scripted", "--prompt", "a lamp", "--json", "black.png", "white.png")
    _, out, _ = invoke(*ask)
    assert json.loads(out)["win_rates"] == [1.0, 0.0]
    _, out, _ = invoke(*ask, "--both-orders")
    assert json.loads(out)["win_rates"] == [0.5, 0.5]


def test_candidates_that_show_the_same_draw_without_being_asked_about(
    invoke: Invoke, judge_script: Script, pictures: Path
) -> None:
    from PIL import Image

    Image.open(pictures / "white.png").save(pictures / "copy.bmp")
    ask = ("rank", "--judge", "scripted", "--prompt", "a lamp", "--json")
    _, out, _ = invoke(*ask, "white.png", "copy.bmp")
    assert json.loads(out)["win_rates"] == [0.5, 0.5]
    assert judge_script.queries == []
    _, out, _ = invoke(*ask, "white.png", "copy.bmp", "black.png")
    games = {(game["first"], game["second"]): game["scores"] for game in json.loads(out)["games"]}
    assert sorted(games.values()) == [[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]], "a judge that always says first, but of one"
    assert len(judge_script.queries) == 2


def test_unread_games_count_for_nobody_and_make_the_exit_code_1(invoke: Invoke, judge_script: Script) -> None:
    asked: list[Query] = []

    def only_the_first_is_answered(query: Query) -> str:
        asked.append(query)
        return "Image 1 is better" if len(asked) == 1 else "hm"

    judge_script.reply = only_the_first_is_answered
    names = ["black.png", "grey.png", "white.png"]
    code, out, _ = invoke("rank", "--judge", "scripted", "--prompt", "a lamp", "--json", *names)
    answer = json.loads(out)
    assert code == 1
    assert answer["unread"] == 2
    read = next(game for game in answer["games"] if game["scores"])
    absent = ({0, 1, 2} - {read["first"], read["second"]}).pop()
    assert answer["win_rates"][absent] is None
    assert answer["ranking"] == [read["first"], read["second"], absent]


def test_unread_games_are_explained_to_people(invoke: Invoke, judge_script: Script) -> None:
    judge_script.reply = lambda query: "hm"
    code, out, err = invoke("rank", "--judge", "scripted", "--prompt", "a lamp", "black.png", "white.png")
    assert code == 1
    assert out.splitlines()[1:] == ["\tblack.png\t\t\t0", "\twhite.png\t\t\t0"]
    assert "no verdict on black.png against white.png" in err


def test_one_candidate_is_no_ranking(invoke: Invoke) -> None:
    code, _, err = invoke(*RANK, "white.png")
    assert code == 2
    assert "at least two candidates; `unireward score`" in err


def test_many_unread_games_are_explained_by_a_few(invoke: Invoke, judge_script: Script, pictures: Path) -> None:
    judge_script.reply = lambda query: "hm"
    names = ["black.png", "grey.png", "white.png", "black.png"]  # the two that show the same draw
    _, _, err = invoke("rank", "--judge", "scripted", "--prompt", "a lamp", *names)
    assert err.count("The reply: 'hm'") == 3
    assert "no verdict on 2 more; --json shows all" in err


def test_long_work_tells_how_far_it_is(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PLAIN_INTERVAL", 0.0)
    _, out, err = invoke(*RANK, *["grey.png", "white.png"] * 3)
    assert len(out.splitlines()) == 7
    assert [line.split(",")[0] for line in err.splitlines()] == ["compared 8/15", "compared 15/15"]
