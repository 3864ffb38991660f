"""Folders of pairs: written at once or not at all, and loaded by `datasets` alone, without this package."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard
from PIL import Image

import hub.folders
import hub.schema
from diffusers_ext.preferences import read_preferences
from hub import Known, Making, save_pairs
from hub.card_pictures import CHOSEN, REJECTED, histogram, scale
from hub.cards import on_the_hub
from hub.clips import frames_of, write_clip
from tests.hub.conftest import ALONE
from tests.tiny_models import build
from unireward_plugins.errors import MediaError, UniRewardError, UnsupportedCase
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair

RED, GREEN, BLUE = (Image.new("RGB", (6, 4), colour) for colour in ("red", "green", "blue"))
GENERATION = [
    Pair("a red flag", Media.of(RED), Media.of(BLUE), 0.9, 0.25),
    Pair("a {green} flag", Media.of(GREEN), Media.of(RED), 1.0, 0.0),
]
UNDERSTANDING = [Pair("What colour is it?", "red", "blue", 0.75, 0.25, (Media.of(RED),))]
EDITING = [Pair("make it blue", Media.of(BLUE), Media.of(GREEN), 0.6, 0.4, (Media.of(RED),))]

LOAD_ALONE = """
import io, json, sys
from datasets import load_dataset
from PIL import Image

def plain(value):
    if isinstance(value, Image.Image):
        return ["picture", *value.size, list(value.convert("RGB").getpixel((0, 0)))]
    if isinstance(value, bytes):
        return plain(Image.open(io.BytesIO(value)))
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value

cache, *folders = sys.argv[1:]
for folder in folders:
    streamed = load_dataset(folder, split="train", streaming=True)
    loaded = load_dataset(folder, cache_dir=cache)
    assert list(loaded) == ["train"] and streamed.features == loaded["train"].features
    rows = [plain(row) for row in loaded["train"]]
    assert rows == [plain(row) for row in streamed]
    print(json.dumps([str(loaded["train"].features), rows]))
"""


def load_alone(*folders: Path, python: Path, scratch: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """Column types and rows of each folder, as `datasets` reads them where this project is not installed."""
    done = subprocess.run(
        [python, "-I", "-c", ALONE + LOAD_ALONE, str(scratch / "cache"), *map(str, folders)],
        cwd=scratch,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(scratch / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_pairs_load_without_this_package(tmp_path: Path, elsewhere: Path) -> None:
    pictures = save_pairs(GENERATION, tmp_path / "pictures", judge="shapes", rubric="shapes.image_gen.point")
    answers = save_pairs(UNDERSTANDING, tmp_path / "answers", judge="shapes")
    (types, (flag, other)), (_, rows) = load_alone(pictures, answers, python=elsewhere, scratch=tmp_path)
    red, blue = ["picture", 6, 4, [255, 0, 0]], ["picture", 6, 4, [0, 0, 255]]
    assert flag == {
        "prompt": "a red flag",
        "chosen": red,
        "rejected": blue,
        "chosen_score": 0.9,
        "rejected_score": 0.25,
        "margin": 0.65,
        "judge": "shapes",
        "rubric": "shapes.image_gen.point",
        "jpg_0": red,
        "jpg_1": blue,
        "label_0": 1.0,
        "caption": "a red flag",
    }
    assert other["prompt"] == "a {green} flag"
    assert "'chosen': Image(" in types
    assert "'jpg_0': Value('binary')" in types
    assert rows == [
        {
            "prompt": [{"role": "user", "content": "What colour is it?"}],
            "images": [red],
            "chosen": [{"role": "assistant", "content": "red"}],
            "rejected": [{"role": "assistant", "content": "blue"}],
            "chosen_score": 0.75,
            "rejected_score": 0.25,
            "margin": 0.5,
            "judge": "shapes",
            "rubric": "",
        }
    ]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets.load_dataset` on a folder, with its cache in a temporary folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    return lambda folder: datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))


def test_pairs_of_edits_keep_the_source_picture(tmp_path: Path, load: Any) -> None:
    (row,) = load(save_pairs(EDITING, tmp_path / "pairs", judge="people"))
    pictures = [row["images"][0], row["chosen"], row["rejected"]]
    assert [picture.tobytes() for picture in pictures] == [RED.tobytes(), BLUE.tobytes(), GREEN.tobytes()]
    assert "jpg_0" not in row, "a script that knows nothing of the source picture must not train on it"


def test_pictures_come_back_to_the_pixel(tmp_path: Path, load: Any) -> None:
    noise = Image.effect_noise((33, 17), 90).convert("RGB")
    (row,) = load(save_pairs([Pair("noise", Media.of(noise), Media.of(RED), 1.0, 0.0)], tmp_path / "p", judge="x"))
    assert row["chosen"].tobytes() == noise.tobytes()
    assert Image.open(io.BytesIO(row["jpg_0"])).tobytes() == noise.tobytes()


def test_clips_come_back_frame_by_frame_without_this_package(tmp_path: Path, load: Any, elsewhere: Path) -> None:
    noise = [Image.effect_noise((33, 17), 90 + index).convert("RGB") for index in range(3)]
    still = [RED, RED, RED, BLUE]  # an animation would keep two of these
    pairs = [Pair("noise", Media.of(noise), Media.of(noise[::-1]), 1.0, 0.0), Pair("still", *_clips(still), 0.5, 0.25)]
    folder = save_pairs(pairs, tmp_path / "pairs", judge="x")
    first, second = load(folder)
    assert [frame.tobytes() for frame in first["chosen"]] == [frame.tobytes() for frame in noise]
    assert [frame.tobytes() for frame in first["rejected"]] == [frame.tobytes() for frame in noise[::-1]]
    assert [frame.tobytes() for frame in second["chosen"]] == [frame.tobytes() for frame in still]
    ((types, (_, row)),) = load_alone(folder, python=elsewhere, scratch=tmp_path)
    red, blue = ["picture", 6, 4, [255, 0, 0]], ["picture", 6, 4, [0, 0, 255]]
    assert (row["chosen"], row["rejected"], row["caption"]) == ([red, red, red, blue], [blue, red, red, red], "still")
    assert "'chosen': List(Image(" in types
    assert "task_categories:\n- text-to-video" in (folder / "README.md").read_text()


def _clips(frames: list[Image.Image]) -> tuple[Media, Media]:
    return Media.of(frames), Media.of(frames[::-1])


def test_diffusion_dpo_scripts_read_the_pictures(tmp_path: Path, load: Any) -> None:
    """The steps of `preprocess_train` in diffusers' `train_diffusion_dpo.py`: bytes to pictures, swapped by label."""
    columns = load(save_pairs(GENERATION, tmp_path / "pairs", judge="shapes"))[:]
    pictures = [[Image.open(io.BytesIO(content)) for content in columns[name]] for name in ("jpg_0", "jpg_1")]
    pairs = [
        pair if label else pair[::-1]
        for pair, label in zip(zip(*pictures, strict=True), columns["label_0"], strict=True)
    ]
    assert [picture.getpixel((0, 0)) for picture in pairs[0]] == [(255, 0, 0), (0, 0, 255)]
    assert columns["caption"] == ["a red flag", "a {green} flag"]


def test_trl_trains_on_pairs_of_answers_as_they_are(tmp_path: Path, load: Any) -> None:
    from transformers import AutoProcessor
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    processor = AutoProcessor.from_pretrained(build("qwen2_5_vl", tmp_path / "model"))
    rows = load(save_pairs(UNDERSTANDING * 2, tmp_path / "pairs", judge="shapes"))
    batch = DataCollatorForVisionPreference(processor)(list(rows))
    chosen, rejected = batch["input_ids"][0], batch["input_ids"][2]
    said = [
        processor.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    assert [("red" in text, "blue" in text) for text in said] == [(True, False)] * 2 + [(False, True)] * 2
    assert batch["pixel_values"].shape[0] > 0
    assert len(chosen) == len(rejected)


def test_the_card_says_what_is_known_and_tells_the_hub_where_the_files_are(tmp_path: Path) -> None:
    folder = save_pairs(
        GENERATION, tmp_path / "p", judge="shapes", rubric="r.v1", dropped={"tie": 3, "truncated": 1200}
    )
    card = (folder / "README.md").read_text()
    _, header, text = card.split("---\n", 2)
    metadata = yaml.safe_load(header)
    ((file,), (config,)) = [path.name for path in (folder / "data").iterdir()], metadata["configs"]
    pattern = file.replace("-00000.", "-*.")
    assert metadata["size_categories"] == ["n<1K"]
    assert config == {"config_name": "default", "data_files": [{"split": "train", "path": f"data/{pattern}"}]}
    assert metadata["task_categories"] == ["text-to-image"]
    assert "2 pairs of image generation, preferred by `shapes` by the rubric `r.v1`." in text
    assert (
        "Judged and dropped: 3 x a tie: no candidate is better than another; 1,200 x the reasoning was cut off" in text
    )
    assert "| `label_0` |" in text


def test_the_card_claims_nothing_about_drops_that_it_was_not_told(tmp_path: Path) -> None:
    assert "dropped" not in (save_pairs(EDITING, tmp_path / "a", judge="x") / "README.md").read_text()
    told = save_pairs(UNDERSTANDING, tmp_path / "b", judge="x", dropped={}) / "README.md"
    assert "Judged and dropped: nothing." in told.read_text()


def test_many_pairs_go_to_several_files_in_order(tmp_path: Path, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.schema, "PICTURE_ROWS", 2)
    monkeypatch.setattr(hub.folders, "SHARD_BYTES", 1500)
    pairs = [Pair(f"{index}", Media.of(RED), Media.of(BLUE), 1.0, 0.0) for index in range(9)]
    folder = save_pairs(pairs, tmp_path / "pairs", judge="shapes")
    assert 1 < len(list((folder / "data").iterdir())) < 5, "five groups of rows, some of them in one file"
    assert load(folder)["prompt"] == [str(index) for index in range(9)]


def test_pairs_that_replace_others_at_the_same_path_are_not_read_from_the_cache(tmp_path: Path, load: Any) -> None:
    for prompt in ("red", "tan", "red"):
        folder = save_pairs([replace(GENERATION[0], prompt=prompt)], tmp_path / "pairs", judge="shapes")
        assert load(folder)["prompt"] == [prompt]
        shutil.rmtree(folder)


def test_the_same_pairs_make_the_same_files(tmp_path: Path) -> None:
    first, second = (save_pairs(GENERATION, tmp_path / name, judge="x") for name in "ab")
    files = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")} for folder in (first, second)
    ]
    assert files[0] == files[1]


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "below" / "pairs"
    folder.mkdir(parents=True)
    save_pairs(EDITING, folder, judge="x")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UniRewardError, match="exists and is not empty"):
        save_pairs(GENERATION, folder, judge="x")
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    taken = tmp_path / "file"
    taken.touch()
    with pytest.raises(UniRewardError, match="exists and is not empty"):
        save_pairs(GENERATION, taken, judge="x")


def test_nothing_is_left_where_a_picture_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    RED.save(broken)
    broken.write_bytes(broken.read_bytes()[:50])
    with pytest.raises(MediaError, match=r"broken\.png"):
        save_pairs([*GENERATION, Pair("x", Media.of(broken), Media.of(RED), 1.0, 0.0)], tmp_path / "pairs", judge="x")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


KILLED = """
import os, signal, sys
from PIL import Image
import hub.pairs
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair

write_row, rows = hub.pairs.schema.row, []

def row(pair, **who):
    rows.append(pair)
    if len(rows) == 40:
        os.kill(os.getpid(), signal.SIGKILL)
    return write_row(pair, **who)

hub.pairs.schema.row = row
red, blue = (Media.of(Image.new("RGB", (6, 4), colour)) for colour in ("red", "blue"))
hub.pairs.save_pairs([Pair("a", red, blue, 1.0, 0.0)] * 50, sys.argv[1], judge="x")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_in_the_middle_leaves_no_folder_that_looks_whole(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "pairs")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "pairs").exists()
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    save_pairs(GENERATION, tmp_path / "pairs", judge="x")


def test_what_cannot_be_stored_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCase, match="no task has candidates of kind"):
        save_pairs([Pair("What happens?", "It turns.", "Nothing.", 1.0, 0.0)], tmp_path / "pairs", judge="x")
    with pytest.raises(UniRewardError, match="one task, got image_editing, image_generation"):
        save_pairs(GENERATION + EDITING, tmp_path / "pairs", judge="x")
    with pytest.raises(UniRewardError, match="got no pair"):
        save_pairs([], tmp_path / "pairs", judge="x")
    assert not list(tmp_path.iterdir())


def test_what_else_is_known_has_columns_where_it_is_known_of_any(tmp_path: Path, load: Any) -> None:
    from datasets import load_dataset

    known = [Known({"alignment": (4.0, 2.5)}, orders_agree=True, chosen_seed=7, origin={"pipeline": "x"}), Known()]
    full = save_pairs(GENERATION, tmp_path / "full", judge="x", known=known)
    some = save_pairs(GENERATION, tmp_path / "some", judge="x", known=[Known(), Known(rejected_seed=3)])
    first, second = load(full)
    one, other = load_dataset(str(some), split="train", streaming=True)
    names = ("aspects", "orders_agree", "chosen_seed", "rejected_seed", "origin")
    assert [first.get(name, "none") for name in names] == [
        [{"name": "alignment", "chosen": 4.0, "rejected": 2.5}],
        True,
        7,
        "none",
        '{"pipeline": "x"}',
    ]
    assert [second.get(name, "none") for name in names] == [[], None, None, "none", None]
    assert [set(row) & set(names) for row in (one, other)] == [{"rejected_seed"}] * 2
    assert "| `orders_agree` | whether the judge preferred" in (full / "README.md").read_text()
    with pytest.raises(UniRewardError, match="one Known for each pair, got 1 for 2 pairs"):
        save_pairs(GENERATION, tmp_path / "x", judge="x", known=known[:1])


def test_pairs_about_clips_keep_at_most_eight_frames(tmp_path: Path, load: Any) -> None:
    long = Media.of([Image.new("RGB", (6, 4), (index, 0, 0)) for index in range(20)])
    short = Media.of([RED, GREEN, BLUE])
    pairs = [Pair("What happens?", "It turns.", "Nothing.", 1.0, 0.0, (clip,)) for clip in (long, short)]
    first, second = load(save_pairs(pairs, tmp_path / "pairs", judge="x"))
    assert [frame.getpixel((0, 0))[0] for frame in first["images"]] == [0, 2, 5, 8, 10, 13, 16, 19]
    assert [frame.tobytes() for frame in second["images"]] == [one.tobytes() for one in (RED, GREEN, BLUE)]
    assert first["chosen"] == [{"role": "assistant", "content": "It turns."}]
    assert "task_categories:\n- video-text-to-text" in (tmp_path / "pairs" / "README.md").read_text()


@pytest.mark.parametrize("clips", ["embedded", "beside"])
def test_clips_as_files_load_without_a_decoder_plain_and_streamed(tmp_path: Path, clips: Any) -> None:
    """torchcodec, with which `datasets` decodes clips, is not installed here; PyAV reads what comes."""
    from datasets import Video, load_dataset

    write_clip([RED] * 3, tmp_path / "red.mp4")
    pairs = [Pair(f"{number}", Media.of(tmp_path / "red.mp4"), Media.of([BLUE] * 4), 1.0, 0.0) for number in range(3)]
    folder = save_pairs(pairs, tmp_path / "pairs", judge="x", clips=clips)
    plain = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    streamed = load_dataset(str(folder), split="train", streaming=True)
    assert isinstance(plain.features["chosen"], Video)
    if clips == "beside":
        plain = plain.cast_column("chosen", Video(decode=False)).cast_column("rejected", Video(decode=False))
        streamed = streamed.decode(False)
    for rows in (list(plain), list(streamed)):
        assert [row["prompt"] for row in rows] == ["0", "1", "2"]
        chosen, rejected = Media.of(rows[0]["chosen"]), Media.of(rows[0]["rejected"])
        assert chosen == pairs[0].chosen, "the very bytes of the file"
        assert [len(frames_of(clip)) for clip in (chosen, rejected)] == [3, 4]


@pytest.mark.parametrize("clips", ["embedded", "beside"])
def test_training_reads_clips_that_are_files(tmp_path: Path, clips: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_clip([RED] * 3, tmp_path / "red.mp4")
    pairs = [Pair("x", Media.of(tmp_path / "red.mp4"), Media.of([BLUE] * 4), 1.0, 0.0)]
    found = read_preferences(save_pairs(pairs, tmp_path / "pairs", judge="x", clips=clips))
    chosen, rejected = found.pair(0)
    assert chosen == pairs[0].chosen
    assert len(frames_of(rejected)) == 4


def test_only_generated_clips_can_be_files(tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=r"clips='embedded' is for pairs of generated clips; .* image_generation"):
        save_pairs(GENERATION, tmp_path / "pairs", judge="x", clips="embedded")


def test_the_client_of_the_hub_parses_the_card_and_its_pictures_are_there(tmp_path: Path) -> None:
    pairs = [
        Pair(f"{number} *a* | <b>`c`\n# d {{e}}", Media.of(RED), Media.of(BLUE), 0.5 + number / 100, 0.25)
        for number in range(9)
    ]
    making = Making("Prompts from **us**.", "cc-by-4.0", asked=40, unread=3, compared=36, flipped=4)
    folder = save_pairs(pairs, tmp_path / "pairs", judge="a: `b`", making=making)
    card = DatasetCard((folder / "README.md").read_text())
    assert (card.data.license, card.data.task_categories) == ("cc-by-4.0", ["text-to-image"])
    for said in (
        "preferred by `a: 'b'`.",
        "Prompts from **us**.",
        "Unread: 3 of 40 (7.5%) of the verdicts.",
        "Order flips: 4 of 36 (11.1%) of the comparisons",
        "| 0 &#42;a&#42; &#124; &#60;b&#62;&#96;c&#96; &#35; d &#123;e&#125; |",
    ):
        assert said in card.text
    shown = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", card.text)
    assert shown == ["assets/scores.png", *(f"assets/{n}-{role}.png" for n in range(3) for role in ROLES)]
    for name in shown:
        with Image.open(folder / name) as picture:
            picture.load()
    assert [re.findall(r"<br>([\d.]+)", line)[0] for line in card.text.splitlines() if "assets/0" in line] == ["0.5"]
    assert [re.findall(r"<br>([\d.]+)", line)[0] for line in card.text.splitlines() if "assets/2" in line] == ["0.58"]


ROLES = ("chosen", "rejected")


def test_the_cards_snippet_runs_in_the_folder_and_names_the_set_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = save_pairs(GENERATION, tmp_path / "pairs", judge="x")
    card = (folder / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["pairs"]["caption"] == ["a red flag", "a {green} flag"]
    named = on_the_hub(card, "org/pairs")
    assert 'from datasets import load_dataset\n\npairs = load_dataset("org/pairs", split="train")\n' in named
    assert "os" not in re.findall(r"```python\n(.*?)```", named, re.DOTALL)[0].split()


def test_the_histogram_counts_every_score(tmp_path: Path) -> None:
    pixels = np.asarray(histogram({"chosen": [0.0, 1.0, 1.0], "rejected": [0.51]})).reshape(-1, 3)
    blue, orange = ((pixels == colour).all(axis=1).sum() for colour in (CHOSEN, REJECTED))
    assert blue > orange > 0
    assert scale([0.2, 0.9]) == (0.0, 1.0)
    assert scale([1, 10]) == (1, 10)
    assert scale([7, 7]) == (6.5, 7.5)


def test_a_bar_of_one_score_among_very_many_is_seen() -> None:
    pixels = np.asarray(histogram({"chosen": [1.0] * 2000 + [0.3], "rejected": [0.0]}))
    left, right = np.split(pixels, 2, axis=1)
    assert (left[40:] == CHOSEN).all(-1).any()
    assert (right[40:] == CHOSEN).all(-1).any()
