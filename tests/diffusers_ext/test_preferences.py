"""Pairs from every source that people have, and what is left out of them."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL.Image import Image as Picture
from PIL.Image import fromarray

from diffusers_ext.preferences import read_preferences
from hub import save_pairs
from unireward_plugins.cli import main
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair


def picture(number: int) -> Picture:
    return fromarray(np.full((8, 8, 3), number, dtype=np.uint8))


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    picture(number).save(buffer, "PNG")
    return buffer.getvalue()


def shade(media: Media) -> int:
    return media.pil().getpixel((0, 0))[0]


PAIRS = [Pair(f"prompt {n}", Media.of(picture(10 * n)), Media.of(picture(10 * n + 1)), 0.9, 0.1 * n) for n in range(4)]


def rows(**more: list[Any]) -> dict[str, list[Any]]:
    """Rows as Pick-a-Pic has them: the second is a tie, the third prefers the second picture."""
    return {
        "caption": ["a", "b", "c", "d"],
        "jpg_0": [png(n) for n in (0, 2, 4, 6)],
        "jpg_1": [png(n) for n in (1, 3, 5, 6)],
        "label_0": [1.0, 0.5, 0.0, 1.0],
        **more,
    }


def test_a_folder_of_ours_is_read_undecoded_and_in_order(tmp_path: Path) -> None:
    found = read_preferences(save_pairs(PAIRS, tmp_path / "pairs", judge="x"))
    assert found.prompts == tuple(pair.prompt for pair in PAIRS)
    assert [tuple(map(shade, found.pair(index))) for index in range(4)] == [(10 * n, 10 * n + 1) for n in range(4)]
    assert found.gaps == pytest.approx((0.9, 0.8, 0.7, 0.6))
    assert found.dropped == {}
    assert isinstance(found.read(0)[0]["bytes"], bytes)


def test_clips_are_read_as_their_frames(tmp_path: Path) -> None:
    clip, other = (Media.of([picture(start + n) for n in range(3)]) for start in (0, 100))
    found = read_preferences(save_pairs([Pair("moves", clip, other, 1.0, 0.0)], tmp_path / "clips", judge="x"))
    assert found.pair(0) == (clip, other)
    assert found.pair(0)[0].kind == "video"


def test_rows_of_dpo_scripts_lose_ties_and_turn_where_the_second_is_better() -> None:
    found = read_preferences(Dataset.from_dict(rows()))
    assert found.prompts == ("a", "c")
    assert [tuple(map(shade, found.pair(index))) for index in range(2)] == [(0, 1), (5, 4)]
    assert found.dropped == {"tie": 1, "same": 1}
    assert found.gaps is None


def test_rows_without_a_label_are_left_out() -> None:
    found = read_preferences(Dataset.from_dict(rows(has_label=[True, True, False, True])))
    assert found.prompts == ("a",)
    assert found.dropped == {"tie": 1, "unlabelled": 1, "same": 1}


def test_decoded_pictures_and_their_bytes_are_one_set() -> None:
    as_bytes = read_preferences(Dataset.from_dict(rows()))
    features = Features({"caption": Value("string"), "jpg_0": Image(), "jpg_1": Image(), "label_0": Value("float64")})
    cells = {name: [{"bytes": one, "path": None} for one in rows()[name]] for name in ("jpg_0", "jpg_1")}
    assert read_preferences(Dataset.from_dict(rows(**cells), features=features)).digest == as_bytes.digest


def test_a_saved_dataset_and_upstream_json_are_read(tmp_path: Path) -> None:
    Dataset.from_dict(rows()).save_to_disk(tmp_path / "saved")
    assert read_preferences(tmp_path / "saved").prompts == ("a", "c")
    for number in (0, 1):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    entry = {"caption": "a", "jpg_0": "0.png", "jpg_1": "1.png", "label_0": 1, "chosen_score": 9, "rejected_score": 4}
    entries = [entry, {**entry, "rejected_score": 9}]
    (tmp_path / "dpo_data.json").write_text(json.dumps(entries))
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))
    for name in ("dpo_data.json", "mine.jsonl"):
        found = read_preferences(tmp_path / name)
        assert (found.prompts, found.gaps, found.dropped) == (("a",), (5.0,), {"tie": 1})


def test_files_that_lie_elsewhere_are_taken_by_the_command_that_the_error_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("elsewhere").mkdir()
    for number in (0, 1):
        Path(f"elsewhere/{number}.png").write_bytes(png(number))
    Path("my pairs.json").write_text(json.dumps([{"caption": "a", "jpg_0": "0.png", "jpg_1": "1.png", "label_0": 1}]))
    with pytest.raises(UniRewardError, match=r"there is no file '0.png'\. Say where the files are: ") as raised:
        read_preferences("my pairs.json")
    said = str(raised.value).partition("Say where the files are: unireward ")[2].partition(", and train on PAIRS")[0]
    assert main(["elsewhere" if word == "FOLDER" else word for word in shlex.split(said)]) == 0
    assert read_preferences("PAIRS").prompts == ("a",)


def test_a_file_that_is_there_is_never_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hub.stored_rows.open_rows", None)
    Path("owner").mkdir()
    Path("owner/name").write_text("prompt,chosen,rejected")
    with pytest.raises(UniRewardError, match=r"'owner/name' is a file that pairs are not read from: give a .json or"):
        read_preferences("owner/name")


def test_the_digest_follows_the_content() -> None:
    again = [Pair(one.prompt, one.chosen, one.rejected, one.chosen_score, one.rejected_score) for one in PAIRS]
    assert read_preferences(again).digest == read_preferences(PAIRS).digest
    assert read_preferences(PAIRS[::-1]).digest != read_preferences(PAIRS).digest
    turned = [Pair(PAIRS[0].prompt, PAIRS[0].rejected, PAIRS[0].chosen, 1.0, 0.0), *PAIRS[1:]]
    assert read_preferences(turned).digest != read_preferences(PAIRS).digest


def test_no_prompt_is_both_trained_on_and_held_out() -> None:
    pairs = [Pair(f"prompt {n % 50}", Media.of(picture(n)), Media.of(picture(n + 100)), 1.0, 0.0) for n in range(100)]
    train, held = read_preferences(pairs).hold_out(0.3)
    assert len(train) + len(held) == 100
    assert not set(train.prompts) & set(held.prompts)
    assert len(set(held.prompts)) == 15
    again, _ = read_preferences(pairs[::-1]).hold_out(0.3)
    assert set(again.prompts) == set(train.prompts)
    assert shade(held.pair(0)[0]) == next(n for n, pair in enumerate(pairs) if pair.prompt == held.prompts[0])
    _, fewer = read_preferences(pairs[:49]).hold_out(0.3)
    assert len(set(held.prompts) - set(fewer.prompts)) <= 1, "one prompt less, and no more than one changes sides"
    nothing_held = read_preferences(pairs).hold_out(0.0)
    assert (len(nothing_held[0]), len(nothing_held[1])) == (100, 0)


@pytest.mark.parametrize(("share", "count"), [(0.1, 4), (0.2, 7), (0.001, 1), (0.9, 33)])
def test_as_many_prompts_are_held_out_as_the_share_says(share: float, count: int) -> None:
    pairs = [Pair(f"prompt {n}", Media.of(picture(n)), Media.of(picture(n + 100)), 1.0, 0.0) for n in range(37)]
    train, held = read_preferences(pairs).hold_out(share)
    assert (len(train), len(held)) == (37 - count, count)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=r"'jpg_0', 'jpg_1' and 'label_0'; there are caption, jpg_0$"):
        read_preferences(Dataset.from_dict({"caption": ["a"], "jpg_0": [png(0)]}))
    with pytest.raises(UniRewardError, match=r"no pair to learn from .*; left out: \{'tie': 4"):
        read_preferences(Dataset.from_dict(rows(label_0=[0.5] * 4, jpg_1=[png(n) for n in (1, 3, 5, 7)])))
    for missing in (tmp_path / "nothing", "nosuchfolder"):
        with pytest.raises(UniRewardError, match=r"there is no folder '.*' with pairs; .* is named owner/name"):
            read_preferences(missing)
    with pytest.raises(UniRewardError, match=r"no pairs can be loaded from .*, split 'test'"):
        read_preferences(save_pairs(PAIRS, tmp_path / "pairs", judge="x"), split="test")
    said = [[{"role": "assistant", "content": text}] for text in ("yes", "no")]
    for chosen, rejected in (said, ("yes", "no")):
        with pytest.raises(UniRewardError, match=r"row 0 holds texts, .*: pairs of answers are for TRL"):
            read_preferences(Dataset.from_list([{"prompt": "a", "chosen": chosen, "rejected": rejected}]))
    with pytest.raises(UniRewardError, match=r"held_out=0.1 leaves no pair to train on: .* few prompts \(1\)"):
        read_preferences(PAIRS[:1]).hold_out(0.1)
    with pytest.raises(UniRewardError, match="is of a picture and a clip"):
        read_preferences([Pair("a", Media.of(picture(0)), Media.of([picture(1)] * 2), 1.0, 0.0)]).pair(0)
