"""Preference data that could not be loaded or looked at is refused, and whatever this project writes is fit."""

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from diffusers_ext.build_pairs import build_pairs
from hub import save_pairs, save_scores
from hub.contents import read_folder
from hub.validate import check
from tests.hub.unfit import SECRET, complaints, write
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair
from unireward_plugins.types import Case, Verdict


def table(folder: Path) -> Path:
    (file,) = (folder / "data").iterdir()
    return file


def rewrite(folder: Path, change: Callable[[dict[str, list[Any]]], Any]) -> None:
    """Change the rows of a folder of pairs."""
    rows = parquet.read_table(table(folder))
    columns = rows.to_pydict()
    change(columns)
    schema = pa.schema([field for field in rows.schema if field.name in columns])
    parquet.write_table(pa.table(columns, schema=schema), table(folder))


def set_picture(column: str, value: Any) -> Callable[[dict[str, list[Any]]], Any]:
    return lambda columns: columns[column].__setitem__(1, value)


def cut_picture() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, format="PNG")
    return buffer.getvalue()[:-200]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda columns: columns.pop("margin"),
            "lacks the columns margin, which a set of pairs of image_generation has",
        ),
        (set_picture("chosen", {"bytes": cut_picture(), "path": None}), "row 1, 'chosen': cannot be read: "),
        (set_picture("jpg_0", b"no picture"), "row 1, 'jpg_0': cannot be read: "),
        (set_picture("rejected", None), "row 1 holds nothing in 'rejected'"),
        (
            set_picture("rejected", {"bytes": None, "path": "/home/me/a.png"}),
            "row 1 holds only the path '/home/me/a.png' in 'rejected': a table must hold its pictures and clips",
        ),
        (set_picture("prompt", f"say {SECRET}"), "row 1 holds a Hugging Face token"),
        (lambda columns: [column.clear() for column in columns.values()], "holds no row"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(
    pairs: Path, change: Callable[[dict[str, list[Any]]], Any], told: str
) -> None:
    rewrite(pairs, change)
    said = complaints(pairs, "pairs")
    assert f"{table(pairs).relative_to(pairs)} {told}" in said
    assert SECRET not in said


def test_a_table_that_is_cut_off_is_refused(pairs: Path) -> None:
    file = table(pairs)
    file.write_bytes(file.read_bytes()[:-20])
    assert f"{file.relative_to(pairs)} is no parquet file that can be read, or cut off" in complaints(pairs, "pairs")


def test_pictures_beside_the_rows_are_read_too(pairs: Path) -> None:
    write(pairs, {"assets/broken.png": cut_picture()})
    assert "assets/broken.png cannot be read: " in complaints(pairs, "pairs")


def test_a_model_is_not_pushed_as_pairs(pairs: Path) -> None:
    (pairs / "README.md").unlink()
    (pairs / "model_index.json").write_text("{}")
    assert "this is no folder of pairs but of a model: unireward push pipeline" in complaints(pairs, "pairs")


def test_files_that_a_table_names_must_be_there(pairs: Path) -> None:
    names = ["prompt", "chosen_file_name", "rejected_file_name", "chosen_score", "rejected_score"]
    row = dict.fromkeys([*names, "margin", "judge", "rubric", "caption"], "x") | {"chosen_file_name": "a.mp4"}
    write(pairs, {"clips/metadata.jsonl": json.dumps(row) + "\n"})
    told = complaints(pairs, "pairs")
    assert "clips/metadata.jsonl names 'a.mp4' in 'chosen_file_name', and there is no such file in the folder" in told
    assert "lacks the columns" not in told


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (
            None,
            "README.md is missing, which tells `datasets` where the rows are: make it with `save_pairs`",
        ),
        ("# no header", "README.md has no `configs:` in its metadata"),
        ("---\nconfigs:\n- config_name: default\n  data_dir: .\n---\n", "README.md has a config without `data_files`"),
        (
            "---\nconfigs:\n- data_files: elsewhere/*.parquet\n---\n",
            "README.md names 'elsewhere/*.parquet', and no file is",
        ),
        (
            "---\nconfigs:\n- data_files: ../*.parquet\n---\n",
            "README.md names '../*.parquet', which is not in the folder",
        ),
        (
            "---\nconfigs:\n- data_files: https://example.org/a.parquet\n---\n",
            "README.md names 'https://example.org/a.parquet', which is not in the folder",
        ),
    ],
)
def test_a_card_that_does_not_find_the_rows_is_refused(pairs: Path, card: str | None, told: str) -> None:
    if card is None:
        (pairs / "README.md").unlink()
    else:
        write(pairs, {"README.md": card})
    assert told in complaints(pairs, "pairs")


RED, BLUE = (Media.of(Image.new("RGB", (32, 32), colour)) for colour in ("red", "blue"))
CLIP, OTHER = Media.of([RED.pil()] * 5), Media.of([BLUE.pil()] * 5)
EVERY_PAIR: dict[str, tuple[Pair, dict[str, Any]]] = {
    "clips as frames": (Pair("a clip", CLIP, OTHER, 1.0, 0.0), {}),
    "clips in the rows": (Pair("a clip", CLIP, OTHER, 1.0, 0.0), {"clips": "embedded"}),
    "clips beside the rows": (Pair("a clip", CLIP, OTHER, 1.0, 0.0), {"clips": "beside"}),
    "edits": (Pair("make it red", RED, BLUE, 1.0, 0.0, (BLUE,)), {}),
    "answers": (Pair("What colour?", "red", "blue", 1.0, 0.0, (RED,)), {}),
    "answers about a clip": (Pair("What colour?", "red", "blue", 1.0, 0.0, (CLIP,)), {}),
}


@pytest.mark.parametrize("kind", EVERY_PAIR)
def test_every_kind_of_pairs_that_this_project_writes_is_fit(tmp_path: Path, kind: str) -> None:
    pair, options = EVERY_PAIR[kind]
    check(read_folder(save_pairs([pair], tmp_path / "pairs", judge="me", **options)), "pairs")


def test_a_clip_beside_the_rows_that_is_missing_or_cut_off_is_refused(tmp_path: Path) -> None:
    folder = save_pairs([Pair("a clip", CLIP, OTHER, 1.0, 0.0)], tmp_path / "pairs", judge="me", clips="beside")
    first, second = sorted(path for path in folder.rglob("*") if path.suffix == ".mp4")
    first.write_bytes(first.read_bytes()[:-300])
    second.unlink()
    told = complaints(folder, "pairs")
    assert f"{first.relative_to(folder)} cannot be read: " in told
    assert re.search(rf"names '[^']*{second.name}' in '\w+_file_name', and there is no such file in the folder", told)


def painter(prompt: str, *, generator: Any, output_type: str) -> Any:
    """A generator of grey pictures, each seed another grey."""
    shade = 50 + generator.initial_seed() * 37 % 199
    return ([Image.new("RGB", (8, 8), (shade, shade, shade))],)


def brightness(cases: Sequence[Case]) -> list[Verdict]:
    """Prefers the lighter picture."""
    light = [[candidate.pil().getpixel((0, 0))[0] / 255 for candidate in case.candidates] for case in cases]  # type: ignore[union-attr]
    return [Verdict((one[0],) if len(one) == 1 else (one[0] > one[1], one[0] < one[1])) for one in light]


def test_scores_and_what_a_generator_gave_are_fit(tmp_path: Path) -> None:
    cases = [Case("a red flag", (RED,))]
    check(read_folder(save_scores(cases, [Verdict((0.9,))], tmp_path / "scores", judge="me")), "pairs")
    build_pairs(painter, ["a lamp", "the sun"], judge=brightness, folder=tmp_path / "built", candidates=3)
    check(read_folder(tmp_path / "built"), "pairs")


def test_a_run_that_found_no_pair_is_told_apart_from_one_that_goes_on(tmp_path: Path) -> None:
    def undecided(cases: Sequence[Case]) -> list[Verdict]:
        return [Verdict((0.5,) * len(case.candidates)) for case in cases]

    folder = tmp_path / "built"
    build_pairs(painter, ["a lamp", "the sun"], judge=undecided, folder=folder, candidates=3)
    told = complaints(folder, "pairs")
    assert (
        "dropped.jsonl says of each prompt why it gave no pair (2 x a tie: no candidate is better than another)" in told
    )
    assert "the run is finished, and there is nothing to publish. Make another with more candidates" in told
    (folder / "dropped.jsonl").write_text("of somebody else\n")
    assert "the run is not finished, and the same command goes on with it" in complaints(folder, "pairs")
