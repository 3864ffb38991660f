"""Sets that hold what is known under other names, or in tables with their pictures: nobody described all of them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, Features, Image, List, Value
from pyarrow import parquet

import hub
from tests.hub.test_collections import colours, encoded, told
from unireward_plugins.errors import UniRewardError

POINT = "image_gen.point_ACS.v2"


def table_of(entries: list[dict[str, Any]], file: Path, **columns: Any) -> None:
    """Write entries as a Parquet file that holds its pictures, as `datasets` writes one."""
    turn = {"from": Value("string"), "value": Value("string")}
    kinds = Features({"conversations": List(turn), "images": List(Image())})
    rows = [{**entry, "images": [{"bytes": one, "path": None} for one in entry["images"]]} for entry in entries]
    table = Dataset.from_list(rows, features=kinds)
    for name, own in columns.items():
        table = table.rename_column(name, own)
    table.to_parquet(file)


def test_a_table_that_holds_its_pictures_is_read_too(tmp_path: Path) -> None:
    """The grades of UnifiedReward-2.0-T2X-score-data are means such as the first (upstream issue 72)."""
    reply = "Alignment Score (1-5): 2.7720999717712402\nCoherence Score (1-5): 4.5\nStyle Score (1-5): 3.0"
    graded = [told(POINT, "a flag", reply, images=[encoded("red")])]
    (tmp_path / "data").mkdir()
    table_of(graded, tmp_path / "data" / "train-00000-of-00001.parquet")
    (score,) = hub.load("UnifiedReward-2.0-T2X-score-data", folder=tmp_path)
    assert (score["prompt"], score["candidate"].size, score["rubric"]) == ("a flag", (16, 8), POINT)
    assert {one["name"]: one["score"] for one in score["aspects"]}["alignment"] == pytest.approx(2.7721)
    (tmp_path / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(UniRewardError, match=r"train-00000-of-00001\.parquet in .* is no Parquet file, or cut off"):
        list(hub.load("UnifiedReward-2.0-T2X-score-data", folder=tmp_path))


def test_columns_that_are_called_otherwise_are_named(tmp_path: Path) -> None:
    entry = told("image_gen.pair_rank.llava", "a flag", "Image 2 is better than Image 1.")
    entry["images"] = [encoded("red"), encoded("blue")]
    table_of([entry], tmp_path / "pairs.parquet", conversations="dialogue", images="shown")
    missing = r"HPD, pairs\.parquet, entry 0 has no field 'conversations' or 'messages'; it has 'dialogue', 'shown'\."
    with pytest.raises(
        UniRewardError, match=r"the file train_data\.json was expected .*pairs\.parquet\. Where the set"
    ):
        list(hub.load("HPD", folder=tmp_path))
    with pytest.raises(UniRewardError, match=missing + r".*columns=\{'conversations': \.\.\., 'images'"):
        list(hub.load("HPD", folder=tmp_path, columns={"images": "shown"}))
    (row,) = hub.load("HPD", folder=tmp_path, columns={"conversations": "dialogue", "images": "shown"})
    assert (row["prompt"], colours(row)) == ("a flag", [(0, 0, 255), (255, 0, 0)])
    with pytest.raises(UniRewardError, match="has no field 'talk'; it has"):
        list(hub.load("HPD", folder=tmp_path, columns={"conversations": "talk", "images": "shown"}))
    with pytest.raises(UniRewardError, match=r"columns can name 'conversations', 'images' or 'jpg_0'.*got 'question'"):
        hub.load("HPD", folder=tmp_path, columns={"question": "dialogue"})


def test_labelled_pictures_are_read_as_those_of_pick_a_pic(tmp_path: Path) -> None:
    rows = [{"left": encoded("red"), "right": encoded("blue"), "won": 0.0, "text": "a flag"}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    columns = {"jpg_0": "left", "jpg_1": "right", "label_0": "won", "caption": "text"}
    (row,) = hub.load("UnifiedReward-Flex-SFT-90K", folder=tmp_path, columns=columns)
    assert (row["prompt"], colours(row)) == ("a flag", [(0, 0, 255), (255, 0, 0)])
    with pytest.raises(
        UniRewardError, match=r"row 0 has no field 'label_0'; it has 'left', 'right', 'won', 'text'\. W"
    ):
        list(hub.load("pickapic_v2", folder=tmp_path, columns={"jpg_0": "left", "jpg_1": "right"}))
    with pytest.raises(UniRewardError, match=r"hold pairs of pictures, and 1 candidate\(s\) of image_generation are"):
        hub.load("UnifiedReward-2.0-T2X-score-data", folder=tmp_path, columns=columns)
