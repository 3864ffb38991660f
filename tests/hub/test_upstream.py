"""The JSON of UnifiedReward's training code, read and written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hub import save_pairs
from hub.clips import write_clip
from hub.stored_rows import open_rows
from hub.upstream import read_upstream, write_upstream
from unireward_plugins.cli import main
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import FrameRule, Media
from unireward_plugins.pairs import Pair

RED, GREEN, BLUE = (Image.new("RGB", (16, 8), colour) for colour in ("red", "green", "blue"))
PICTURES = [
    Pair("a red flag", Media.of(RED), Media.of(BLUE), 0.9, 0.25),
    Pair("ein grüner", Media.of(GREEN), Media.of(RED), 1.0, 0.0),
]


def fading(start: int, frames: int = 6) -> Media:
    """A clip that a codec keeps well."""
    return Media.of([Image.new("RGB", (16, 8), (start + 20 * index,) * 3) for index in range(frames)])


def test_pictures_go_to_json_and_come_back_to_the_pixel(tmp_path: Path) -> None:
    file = write_upstream(save_pairs(PICTURES, tmp_path / "pairs", judge="x"), tmp_path / "up")
    assert json.loads(file.read_text()) == [
        {
            "id": f"image_dpo_{number}",
            "caption": pair.prompt,
            "jpg_0": f"image_{number}_chosen.png",
            "jpg_1": f"image_{number}_rejected.png",
            "label_0": 1,
            "chosen_score": pair.chosen_score,
            "rejected_score": pair.rejected_score,
        }
        for number, pair in enumerate(PICTURES)
    ]
    assert read_upstream(file).pairs == tuple(PICTURES)


def test_what_save_to_disk_wrote_is_a_folder_of_pairs_too(tmp_path: Path) -> None:
    from datasets import Dataset, DatasetDict, load_dataset

    folder = save_pairs(PICTURES, tmp_path / "pairs", judge="x")
    rows = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    rows.save_to_disk(tmp_path / "saved")
    DatasetDict({"train": rows}).save_to_disk(tmp_path / "splits")
    for name in ("saved", "splits"):
        assert read_upstream(write_upstream(tmp_path / name, tmp_path / f"{name}-up")).pairs == tuple(PICTURES)
    for name in ("saved", "splits"):
        with pytest.raises(UniRewardError, match=r"has no split 'test'; there is 'train'\. Say which: split="):
            open_rows(str(tmp_path / name), split="test")
        assert open_rows(str(tmp_path / name), split="train").num_rows == len(PICTURES)
    Dataset.from_dict({"prompt": ["of no split"]}).save_to_disk(tmp_path / "plain")
    assert open_rows(str(tmp_path / "plain"), split="test")["prompt"] == ["of no split"]


@pytest.mark.parametrize("size", [(16, 8), (15, 9)])
def test_clips_go_to_mp4_and_come_back_nearly(tmp_path: Path, size: tuple[int, int]) -> None:
    clips = [
        Media.of([frame.pil().resize(size) for frame in clip.sample(FrameRule("linspace", 6))])
        for clip in (fading(20), fading(130))
    ]
    pairs = [Pair("it gets lighter", clips[0], clips[1], 0.75, 0.5)]
    file = write_upstream(save_pairs(pairs, tmp_path / "pairs", judge="x"), tmp_path / "up")
    (entry,) = json.loads(file.read_text())
    assert entry == {
        "id": "000000",
        "caption": "it gets lighter",
        "chosen": "videos/000000-chosen.mp4",
        "rejected": "videos/000000-rejected.mp4",
        "chosen_score": 0.75,
        "rejected_score": 0.5,
    }
    (again,) = read_upstream(file).pairs
    assert isinstance(again.chosen, Media)
    frames = again.chosen.sample(FrameRule("fps", fps=8))
    assert [frame.pil().size for frame in frames] == [size] * 6
    shades = [np.asarray(frame.pil()).mean() for frame in frames]
    assert shades == pytest.approx([20, 40, 60, 80, 100, 120], abs=4)


def test_the_files_that_the_upstream_scripts_left_are_read(tmp_path: Path) -> None:
    """Scores are texts there, and were compared as such: "10" < "9"."""
    for name, picture in {"r": RED, "g": GREEN, "b": BLUE}.items():
        picture.save(tmp_path / f"{name}.png")
    write = {"caption": "a", "jpg_0": "r.png", "jpg_1": "b.png"}
    entries = [
        {**write, "label_0": 1, "chosen_score": "10", "rejected_score": "9.5"},
        {**write, "label_0": 1, "chosen_score": "9", "rejected_score": "10"},
        {**write, "label_0": 1, "chosen_score": "8", "rejected_score": 8},
        {**write, "label_0": 0},
        {**write, "label_0": 0.5},
    ]
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "dpo_data.json").write_text(json.dumps(entries))
    sifted = read_upstream(tmp_path / "json" / "dpo_data.json", media=tmp_path)
    red, blue = Media.of(RED), Media.of(BLUE)
    assert sifted.pairs == (Pair("a", red, blue, 10.0, 9.5), Pair("a", blue, red, 1.0, 0.0))
    assert sifted.counts == {"tie": 2, "not_better": 1}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is no JSON file that can be read"),
        ("{}", "entry 0 has no field 'caption' or 'prompt'"),
        ("3", "must hold a list of entries, or one on each line; it begins with '3'"),
        ('[{"caption": "a"', "is no JSON file that can be read"),
        ('[{"caption": "a", "jpg_0": "d.json", "jpg_1": "x"}', "entry 0 has no field 'label_0'"),
        ('[{"caption": "a", "jpg_0": "../d.png", "jpg_1": "x", "label_0": 1}]', "lies outside of '{folder}/m'"),
        ("[3]", "entry 0 must be an object, got a int"),
        ('[{"jpg_0": "a"}]', "entry 0 has no field 'caption' or 'prompt'; it has 'jpg_0'"),
        ('[{"caption": "a", "jpg_0": "a"}]', "entry 0 has no field 'label_0'"),
        ('[{"caption": "a", "images": []}]', "entry 0 has no field 'chosen' or 'jpg_0'; it has 'caption', 'images'"),
        (
            '[{"caption": "a", "chosen": "lost.mp4", "rejected": "x"}]',
            "there is no file '{folder}/m/lost.mp4'. Say where",
        ),
        ('[{"caption": "a", "chosen": ["x"], "rejected": "x"}]', "there is no file '{folder}/m/x'"),
        ('[{"caption": "a", "chosen": [3], "rejected": "x"}]', "is given by its path, got a list"),
        ('[{"prompt": "a", "image": "d.png", "chosen": 3, "rejected": "x"}]', "an answer must be a text, got a int"),
        ('[{"caption": "a", "jpg_0": "x", "jpg_1": "x", "label_0": "best"}]', "label_0 must be a number, got 'best'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "m").mkdir()
    RED.save(tmp_path / "d.png")
    RED.save(tmp_path / "m" / "d.png")
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(UniRewardError, match=re.escape(complaint.replace("{folder}", str(tmp_path)))):
        read_upstream(tmp_path / "d.json", media=tmp_path / "m")


def test_answers_about_pictures_and_clips_go_to_json_and_come_back(tmp_path: Path) -> None:
    about = (Media.of(RED),), (fading(20),)
    for name, context, image in zip(
        ("picture", "clip"), about, ("images/000000-0.png", [f"images/000000-{n}.png" for n in range(6)]), strict=True
    ):
        pairs = [Pair("What is it?", "a flag", "a boat", 90.0, 40.0, context)]
        file = write_upstream(save_pairs(pairs, tmp_path / name, judge="x"), tmp_path / f"up-{name}")
        assert json.loads(file.read_text()) == [
            {
                "id": "000000",
                "prompt": "What is it?",
                "image": image,
                "chosen": "a flag",
                "rejected": "a boat",
                "chosen_score": 90.0,
                "rejected_score": 40.0,
            }
        ]
        assert read_upstream(file).pairs == tuple(pairs)


@pytest.mark.parametrize("clips", ["embedded", "beside"])
def test_clips_that_are_files_keep_their_bytes(tmp_path: Path, clips: Any) -> None:
    write_clip([frame.pil() for frame in fading(20).sample(FrameRule("linspace", 6))], tmp_path / "a.mp4")
    write_clip([frame.pil() for frame in fading(99).sample(FrameRule("linspace", 6))], tmp_path / "b.mp4")
    pairs = [Pair("lighter", Media.of(tmp_path / "a.mp4"), Media.of(tmp_path / "b.mp4"), 1.0, 0.0)]
    file = write_upstream(save_pairs(pairs, tmp_path / "pairs", judge="x", clips=clips), tmp_path / "up")
    assert (tmp_path / "up/videos/000000-chosen.mp4").read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert read_upstream(file).pairs == tuple(pairs)


def test_pairs_of_edits_cannot_be_written(tmp_path: Path) -> None:
    edits = [Pair("make it blue", Media.of(BLUE), Media.of(GREEN), 1.0, 0.0, (Media.of(RED),))]
    folder = save_pairs(edits, tmp_path / "pairs", judge="x")
    with pytest.raises(UniRewardError, match="holds pairs of edits, for which"):
        write_upstream(folder, tmp_path / "up")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UniRewardError, match="no pairs can be loaded from"):
        write_upstream(tmp_path / "empty", tmp_path / "up")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "pairs"]
    with pytest.raises(UniRewardError, match="exists and is not empty"):
        write_upstream(folder, folder)


def test_the_command_converts_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_pairs(PICTURES, tmp_path / "pairs", judge="x")

    def convert(*arguments: Any) -> int:
        return main(["pairs", "convert", *map(str, arguments)])

    assert convert(folder, tmp_path / "up", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"written": str(tmp_path / "up" / "dpo_data.json"), "dropped": {}}
    assert convert(tmp_path / "up" / "dpo_data.json", tmp_path / "again") == 0
    assert f"written: {tmp_path / 'again'}" in capsys.readouterr().err
    assert "preferred by `dpo_data.json`" in (tmp_path / "again" / "README.md").read_text()
    assert convert(folder, tmp_path / "x", "--media", tmp_path) == 2
    assert "--media goes with a JSON file" in capsys.readouterr().err
