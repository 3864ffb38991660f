"""The referee for anyone's samples: which files, which prompts, what they show and how right they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unireward_plugins.errors import MediaError, UniRewardError
from unireward_plugins.shapes import sheet
from unireward_plugins.shapes.captions import Caption, Wanted
from unireward_plugins.shapes.check import (
    Finding,
    check,
    describe,
    find_samples,
    parse_caption,
    read_captions,
    read_metadata,
    read_sample,
    share_right,
)
from unireward_plugins.shapes.draws import draw_caption, draw_clip_caption
from unireward_plugins.shapes.render import FRAMES, SIDE, render, render_clips
from unireward_plugins.shapes.scene import Clip, Scene, Shape

RED_CIRCLE = Scene((Shape("circle", "red", "small", "top left"),))
BLUE_CROSS = Scene((Shape("cross", "blue", "large", "bottom right"),), "striped")
MOVING = Clip(Shape("square", "green", "large", "top left"), "moves right")
A_RED_CIRCLE = Caption((Wanted("circle", "red"),))
A_BLUE_CROSS = Caption((Wanted("cross", "blue"),))


def save(path: Path, scene: Scene, *, side: int = SIDE) -> Path:
    picture = Image.fromarray(render([scene], seed=0)[0])
    picture.resize((side, side), Image.Resampling.BICUBIC).save(path)
    return path


def save_clip(path: Path, clip: Clip, *, repeat: int = 1) -> Path:
    frames = [Image.fromarray(frame) for frame in render_clips([clip], seed=0)[0].repeat(repeat, axis=0)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40, lossless=True)
    return path


def test_captions_are_read_back_as_they_are_written() -> None:
    rng = Random(0)
    for caption in [draw(rng) for draw in (draw_caption, draw_clip_caption) for _ in range(2000)]:
        assert parse_caption(str(caption)) == caption


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("  A Red\tCircle. ", "a red circle"),
        ("an red circle", "a red circle"),
        ("red circle", "a red circle"),
        ("one red circle", "a red circle"),
        ("a small red circle in the top left corner", "a small red circle at the top left"),
        ("a red circle to the left of a blue cross", "a red circle left of a blue cross"),
        (
            "the red circle on the right of the blue cross",
            "a red circle right of a blue cross",
        ),
        ("2 red circles", "two red circles"),
        ("3 white crosses!", "three white crosses"),
        ("A red circle which moves left", "a red circle that moves left"),
        ("a red circle at the top left left of a blue cross", "a red circle at the top left left of a blue cross"),
    ],
)
def test_harmless_variation_means_the_same(text: str, caption: str) -> None:
    assert str(parse_caption(text)) == caption


@pytest.mark.parametrize(
    "text",
    [
        *("", "a circle", "a red", "a red dog", "a pink circle", "four red circles", "two red circle", "a red circles"),
        *("a red circle and a blue cross", "a red circle that flies", "a red circle beside a blue cross", "red"),
        *("a red circle that moves left left of a blue cross", "two small red circles", "not a red circle"),
    ],
)
def test_what_is_no_caption_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(UniRewardError, match=r"is no caption of the shapes world.*'a red circle'.*vanishes"):
        parse_caption(text)


@given(st.text())
def test_any_text_is_a_caption_or_an_error(text: str) -> None:
    try:
        caption = parse_caption(text)
    except UniRewardError:
        return
    assert parse_caption(str(caption)) == caption


def test_pictures_and_clips_are_read_together_in_order(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / "a.png", RED_CIRCLE),
        save_clip(tmp_path / "b.webp", MOVING),
        save(tmp_path / "c.png", BLUE_CROSS),
    ]
    found = list(check(paths, {paths[0]: A_RED_CIRCLE, paths[2]: A_RED_CIRCLE}))
    assert [finding.path for finding in found] == paths
    assert [finding.shows for finding in found] == [RED_CIRCLE, MOVING, BLUE_CROSS]
    assert [finding.is_clip for finding in found] == [False, True, False]
    assert [finding.right for finding in found] == [True, False, False]
    assert found[1].grades is None
    assert found[2].misses == ("red", "circle")
    share = share_right(found)
    assert (share.hits, share.trials) == (1, 2)


def test_a_picture_of_nothing_is_wrong_in_everything(tmp_path: Path) -> None:
    Image.new("RGB", (SIDE, SIDE), (40, 40, 40)).save(tmp_path / "blank.png")
    (finding,) = check([tmp_path / "blank.png"], {tmp_path / "blank.png": A_RED_CIRCLE})
    assert finding.shows is None
    assert finding.problem == ""
    assert finding.grades is not None
    assert (finding.grades.alignment, finding.grades.overall, finding.right) == (1, 1, False)
    assert finding.misses == ("a red circle",)
    assert describe(finding.shows) == "nothing of the shapes world"


@pytest.mark.parametrize("side", [128, 256, 512])
def test_enlarged_pictures_are_averaged_down(tmp_path: Path, side: int) -> None:
    path = save(tmp_path / "large.png", BLUE_CROSS, side=side)
    assert read_sample(path).shape == (1, SIDE, SIDE, 3)
    (finding,) = check([path], {})
    assert finding.shows == BLUE_CROSS


def test_longer_clips_are_sampled_and_shorter_ones_refused(tmp_path: Path) -> None:
    long = save_clip(tmp_path / "long.webp", MOVING, repeat=3)
    assert read_sample(long).shape == (FRAMES, SIDE, SIDE, 3)
    (finding,) = check([long], {})
    assert isinstance(finding.shows, Clip)
    assert (str(finding.shows.shape), finding.shows.action) == ("large green square", "moves right")
    frames = [Image.fromarray(frame) for frame in render_clips([MOVING], seed=0)[0][:5]]
    frames[0].save(tmp_path / "short.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(MediaError, match="at least 8 frames, got 5"):
        read_sample(tmp_path / "short.webp")


def test_what_cannot_be_read_is_a_finding_that_names_file_and_size(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "small.png")
    Image.new("RGB", (128, 64)).save(tmp_path / "wide.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    good = save(tmp_path / "good.png", RED_CIRCLE)
    paths = [tmp_path / "small.png", tmp_path / "wide.png", tmp_path / "broken.png", good]
    found = list(check(paths, dict.fromkeys(paths, A_RED_CIRCLE)))
    assert "small.png' is 32 x 32 pixels" in found[0].problem
    assert "wide.png' is 128 x 64 pixels" in found[1].problem
    assert "broken.png" in found[2].problem
    assert [finding.right for finding in found] == [False, False, False, True]
    assert share_right(found).trials == 1, "what cannot be read is no trial"


def test_a_picture_for_a_caption_of_a_clip_is_an_error_and_the_other_way_round(tmp_path: Path) -> None:
    picture, clip = save(tmp_path / "a.png", RED_CIRCLE), save_clip(tmp_path / "b.webp", MOVING)
    with pytest.raises(UniRewardError, match=r"a.png' is a picture, and its prompt asks for a clip"):
        list(check([picture], {picture: parse_caption("a red circle that grows")}))
    with pytest.raises(UniRewardError, match=r"b.webp' is a clip, and its prompt asks for a picture"):
        list(check([clip], {clip: A_RED_CIRCLE}))


def test_folders_give_their_pictures_and_clips_with_numbers_in_numeric_order(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "a.webp", "notes.txt", "1.PNG"):
        (tmp_path / name).touch()
    assert [path.name for path in find_samples([tmp_path])] == ["1.PNG", "2.png", "10.png", "a.webp"]
    assert find_samples([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UniRewardError, match="holds no picture and no clip"):
        find_samples([tmp_path / "empty"])


def prompts(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content)
    return folder / name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "a red circle\na blue cross\n"),
        ("p.json", '{"1.png": "a red circle", "2.png": "a blue cross"}'),
        ("p.json", '[{"image": "2.png", "caption": "a blue cross"}, {"file": "./1.png", "prompt": "A red circle."}]'),
        (
            "p.jsonl",
            '{"file_name": "s/2.png", "prompt": "a blue cross"}\n\n{"video": "1.png", "text": "a red circle"}\n',
        ),
        ("p.csv", 'file,seed,prompt\n1.png,0,"a red circle"\n2.png,1,a blue cross\n'),
    ],
)
def test_prompts_are_read_from_every_kind_of_file(tmp_path: Path, name: str, content: str) -> None:
    samples = [tmp_path / "s" / "1.png", tmp_path / "s" / "2.png"]
    assert read_captions(prompts(tmp_path, name, content), samples) == dict(
        zip(samples, (A_RED_CIRCLE, A_BLUE_CROSS), strict=True)
    )


def test_the_longest_path_that_fits_says_which_prompt_is_meant(tmp_path: Path) -> None:
    content = json.dumps({"1.png": "a red circle", "b/1.png": "a blue cross"})
    samples = [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    found = read_captions(prompts(tmp_path, "p.json", content), samples)
    assert [found[sample] for sample in samples] == [A_RED_CIRCLE, A_BLUE_CROSS]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("p.txt", "a red circle\n", "has 1 lines and there are 2 samples"),
        ("p.txt", "a red circle\na red dog\n", "p.txt:2: 'a red dog' is no caption"),
        ("p.jsonl", '{"file": "1.png", "prompt": "a red circle"}\n', "has no prompt for .*2.png': it names '1.png'"),
        ("p.jsonl", '{"file": "1.png"\n', "p.jsonl:1: not JSON"),
        ("p.jsonl", '{"file": "1.png"}\n', "p.jsonl:1: a row needs a text under one of prompt, caption, text"),
        ("p.csv", "name,prompt\n1.png,a red circle\n", "p.csv:2: a row needs a text under one of file_name, file"),
        ("p.json", "[3]", "p.json, entry 1: a row needs a text"),
        ("p.json", "5", "p.json: prompts are a list of objects, or one object .*, got 5"),
        ("p.json", "null", "p.json: prompts are a list of objects, or one object"),
        ("p.json", '"a red circle"', "p.json: prompts are a list of objects, or one object"),
        (
            "p.jsonl",
            '{"file": "1.png", "prompt": "a red circle"}\n{"file": "1.png", "prompt": "a blue cross"}\n',
            "p.jsonl:2: there is another prompt for '1.png' at .*p.jsonl:1",
        ),
        ("p.yaml", "1.png: a red circle", "prompts are read from .txt, .json, .jsonl and .csv"),
    ],
)
def test_prompts_that_do_not_fit_are_errors_that_name_the_place(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    with pytest.raises(UniRewardError, match=problem):
        read_captions(prompts(tmp_path, name, content), [tmp_path / "1.png", tmp_path / "2.png"])


def test_a_folder_may_hold_its_prompts_itself(tmp_path: Path) -> None:
    prompts(tmp_path, "metadata.jsonl", '{"file_name": "1.png", "text": "a red circle"}\n')
    sample = tmp_path / "1.png"
    assert read_metadata([tmp_path], [sample]) == {sample: A_RED_CIRCLE}
    assert read_metadata([sample], [sample]) == {}, "a file that is named alone is not looked up"


def test_descriptions_say_all_that_is_seen() -> None:
    broken = Shape("circle", "red", "small", "top left", "broken")
    assert describe(Scene((broken,), "light", ("noisy",))) == (
        "a small red circle at the top left, on a light ground; broken circle; noisy"
    )
    assert describe(MOVING) == "a large green square at the top left that moves right, on a dark ground"


def findings(folder: Path, count: int) -> Sequence[Finding]:
    paths = [save(folder / f"{number}.png", RED_CIRCLE) for number in range(count)]
    return list(check(paths, {path: (A_RED_CIRCLE, A_BLUE_CROSS)[number % 2] for number, path in enumerate(paths)}))


def test_sheets_grow_with_the_samples_up_to_their_limit_and_show_wrong_ones_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "MOST_ROWS", 8)
    found, heights = findings(tmp_path, 10), []
    for number, shown in enumerate((found[:4], found[:8], found)):
        sheet.write_sheet(shown, tmp_path / f"sheet{number}.png")
        with Image.open(tmp_path / f"sheet{number}.png") as drawn:
            heights.append(drawn.height)
    assert heights[0] < heights[1] == heights[2]
    with Image.open(tmp_path / "sheet0.png") as drawn:
        marks = [pixel for pixel in np.asarray(drawn)[:, sheet.MARGIN + 3] if tuple(pixel) != (255, 255, 255)]
    reds = [index for index, (red, green, _) in enumerate(marks) if red > 180 > 90 > green]
    greens = [index for index, (red, green, _) in enumerate(marks) if green > 100 > red]
    assert reds
    assert greens
    assert max(reds) < min(greens)


def test_sheets_leave_out_what_cannot_be_read_and_draw_clips_as_filmstrips(tmp_path: Path) -> None:
    clip = save_clip(tmp_path / "b.webp", MOVING)
    found = [*check([clip], {}), Finding(tmp_path / "gone.png", problem="there is no such file")]
    sheet.write_sheet(found, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as drawn:
        pixels = np.asarray(drawn).astype(int)
    green = (pixels[..., 1] > 120) & (pixels[..., 0] < 100) & (pixels[..., 2] < 110)
    columns = np.flatnonzero(green.any(0))
    assert columns.max() - columns.min() > 6 * sheet.FRAME, "the square is seen in every frame"


def test_what_the_gallery_says_of_its_scenes_holds() -> None:
    for text, scene in sheet.GALLERY_SCENES:
        assert Finding(Path(), shows=scene, caption=parse_caption(text)).right
    for text, clip in sheet.GALLERY_CLIPS:
        assert Finding(Path(), is_clip=True, shows=clip, caption=parse_caption(text.split(";")[0])).right
    for text, scene in sheet.GALLERY_FLAWS[1:]:
        assert text in describe(scene)
