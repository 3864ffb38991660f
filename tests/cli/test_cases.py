import base64
from pathlib import Path

import pytest

from unireward_plugins.cli.cases import from_arguments, read_candidate
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media

pytestmark = pytest.mark.usefixtures("pictures")


def test_a_file_that_ends_like_a_picture_is_one() -> None:
    candidate = read_candidate("white.png", Path())
    assert isinstance(candidate, Media)
    assert candidate == Media.of("white.png")


def test_a_path_may_hold_spaces_and_capitals(pictures: Path) -> None:
    (pictures / "white.png").rename(pictures / "my picture.PNG")
    assert isinstance(read_candidate("my picture.PNG", Path()), Media)


def test_a_data_url_is_a_picture(pictures: Path) -> None:
    content = base64.b64encode((pictures / "white.png").read_bytes()).decode()
    assert read_candidate(f"data:image/png;base64,{content}", Path()) == Media.of("white.png")


@pytest.mark.parametrize(
    "text",
    [
        "red",
        "A dog. It runs.",
        "v2.0",
        "see white.png",
        "white",
        "",
        "a\nb.png",
        "x" * 5000,
        "It is red. " + "The shape is very large and " * 12 + "round",
        "3.5",
        "https://example.org",
    ],
)
def test_anything_else_is_a_text(text: str) -> None:
    assert read_candidate(text, Path()) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("absent.png", "there is no file 'absent.png'"),
        ("ABSENT.MP4", "there is no file 'ABSENT.MP4'"),
        ("answer.txt", "is a file, but its ending is not one of a picture or clip"),
        ("x" * 300 + ".png", "there is no file"),
        ("https://example.org/cat.png", "nothing is fetched"),
        ("https://example.org/cat.png?size=3", "nothing is fetched"),
    ],
)
def test_what_could_be_both_is_an_error_that_says_the_way_out(pictures: Path, text: str, message: str) -> None:
    (pictures / "answer.txt").write_text("red")
    with pytest.raises(UniRewardError, match=message):
        read_candidate(text, Path())


def test_the_text_option_takes_every_candidate_at_its_word() -> None:
    row = from_arguments("Which file?", ["white.png", "absent.png"], [Path("grey.png")], as_text=True)
    assert row.case.candidates == ("white.png", "absent.png")
    assert row.case.task == "image_understanding"


def test_a_context_makes_pictures_edits_of_it() -> None:
    row = from_arguments("Make it brighter", ["white.png"], [Path("grey.png")], as_text=False)
    assert row.case.task == "image_editing"
