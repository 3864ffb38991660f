"""The published collections by name: folders of the layout that their repositories have, read by the real code."""

from __future__ import annotations

import io
import json
import logging
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi
from PIL import Image

import hub
from hub.catalogue import collections, find
from hub.clips import write_clip
from hub.media_files import MediaFiles
from tests.hub.hub_server import HubServer
from tests.hub.hub_storage import User
from unireward_plugins.errors import UniRewardError
from unireward_plugins.families import FAMILIES
from unireward_plugins.media import Media
from unireward_plugins.rubrics import BUILTIN
from unireward_plugins.types import Case

COLOURS = ("red", "green", "blue")
PICTURES = {name: Image.new("RGB", (16, 8), name) for name in COLOURS}


def encoded(name: str) -> bytes:
    buffer = io.BytesIO()
    PICTURES[name].save(buffer, "PNG")
    return buffer.getvalue()


def told(rubric: str, prompt: str, reply: str, answers: tuple[str, ...] = (), **files: Any) -> dict[str, Any]:
    """An entry as the training sets have it: tokens, the rubric's question, the reply."""
    asked = BUILTIN[rubric]
    picture = Media.of(PICTURES["red"])
    media = Media.of([PICTURES["red"]] * 2) if asked.task.startswith("video") else picture
    context = (media,) if answers else ()
    question = asked.query(Case(prompt, answers or (media,) * asked.arity, context)).text
    said = [{"from": "human", "value": f"<image>\n<image>\n{question}"}, {"from": "gpt", "value": reply}]
    return {"conversations": said, **files}


HPD = [
    told(
        "image_gen.pair_rank.llava",
        "a flag",
        "Image 2 is better than Image 1.",
        images=["images/r.png", "images/b.png"],
    ),
    told(
        "image_gen.pair_rank.llava", "a tie", "Both images are equally good.", images=["images/r.png", "images/b.png"]
    ),
    told("image_gen.pair_rank.llava", "?", "I cannot say.", images=["images/r.png", "images/b.png"]),
    told(
        "image_gen.pair_rank.llava", "green", "Image 1 is better than Image 2.", images=["images/g.png", "images/r.png"]
    ),
]


def hpd(folder: Path) -> Path:
    """The layout of CodeGoat24/HPD: `train_data.json`, the same in other words under `qwen/`, `images.zip`."""
    (folder / "qwen").mkdir(parents=True)
    (folder / "train_data.json").write_text(json.dumps(HPD))
    (folder / "qwen" / "HPD_train_data_qwen.json").write_text(json.dumps(HPD))
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, colour in {"r": "red", "g": "green", "b": "blue"}.items():
            archive.writestr(f"images/{name}.png", encoded(colour))
            archive.writestr(f"__MACOSX/images/{name}.png", b"not a picture")
    return folder


def colours(row: dict[str, Any]) -> list[Any]:
    return [row[name].convert("RGB").getpixel((0, 0)) for name in ("chosen", "rejected")]


def test_pairs_of_people_stream_in_the_common_columns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="hub"):
        stream = hub.load("codegoat24/hpd", folder=hpd(tmp_path / "HPD"))
        first, second = list(stream)
    assert (first["prompt"], first["margin"], first["judge"]) == ("a flag", 1.0, "people (HPD)")
    assert first["rubric"] == "image_gen.pair_rank.llava"
    assert colours(first) == [(0, 0, 255), (255, 0, 0)]
    assert Image.open(io.BytesIO(first["jpg_0"])).tobytes() == PICTURES["blue"].tobytes()
    assert (second["prompt"], second["label_0"], second["aspects"]) == ("green", 1.0, [])
    assert set(stream.features) == set(first)
    assert "HPD: 2 entries gave no row: 1 x tie, 1 x no_verdict" in caplog.text


def test_a_collection_streams_from_the_hub_and_fetches_what_it_needs(server: HubServer, tmp_path: Path) -> None:
    """The archive has a hundred pictures that no entry names, and they are never sent."""
    folder = hpd(tmp_path / "HPD")
    with zipfile.ZipFile(folder / "images.zip", "a") as archive:
        for number in range(100):
            archive.writestr(f"images/{number}.png", random.Random(number).randbytes(100_000))
    token = "hf_TheAuthorsOfTheCollections0123456"
    server.storage.users = {**server.storage.users, token: User("CodeGoat24")}
    api = HfApi(endpoint=server.url, token=token)
    api.create_repo("CodeGoat24/HPD", repo_type="dataset")
    api.upload_folder(repo_id="CodeGoat24/HPD", repo_type="dataset", folder_path=folder)
    server.requests.clear()
    rows = list(hub.load("HPD"))
    assert [row["prompt"] for row in rows] == ["a flag", "green"]
    assert colours(rows[0]) == [(0, 0, 255), (255, 0, 0)]
    asked = [request for request in server.requests if request.path.endswith("/images.zip")]
    ranges = [one.headers["range"].removeprefix("bytes=").split("-") for one in asked if "range" in one.headers]
    fetched = sum(int(last) - int(first) + 1 for first, last in ranges)
    assert 0 < fetched < (folder / "images.zip").stat().st_size / 5
    assert not any("qwen" in request.path and request.method == "GET" for request in server.requests)


def test_a_set_with_two_parts_gives_the_one_that_is_asked_for(tmp_path: Path) -> None:
    for part, entries in {
        "pairwise": [
            told("image_gen.pair_rank.llava", "a", "Image 1 is better than Image 2.", images=["SD/1.png", "LCM/1.png"])
        ],
        "pointwise": [told("image_gen.point_score.v1", "a", "flag (object): 1\nFinal Score: 4", image="SD/1.png")],
    }.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "train_data.json").write_text(json.dumps(entries))
    for name, colour in {"SD": "green", "LCM": "red"}.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "1.png").write_bytes(encoded(colour))
    (pair,) = hub.load("EvalMuse", folder=tmp_path)
    assert colours(pair) == [(0, 128, 0), (255, 0, 0)]
    (score,) = hub.load("EvalMuse", folder=tmp_path, arity=1)
    assert (score["score"], score["candidate"].size) == (0.75, (16, 8))
    assert score["aspects"] == [{"name": "final_score", "score": 4.0}, {"name": "element/flag (object)", "score": 1.0}]
    with pytest.raises(
        UniRewardError, match=r"EvalMuse has no part with task='image_editing' and arity=None; there are"
    ):
        hub.load("EvalMuse", task="image_editing")


def test_clips_come_as_frames_or_as_files(tmp_path: Path) -> None:
    (tmp_path / "videos" / "v").mkdir(parents=True)
    for number, colour in enumerate(("red", "green")):
        (tmp_path / "videos" / "v" / f"{number}.png").write_bytes(encoded(colour))
    reply = "It turns green. Overall Judgment: Answer 2 is better than Answer 1."
    frames = ["v/0.png", "v/1.png"]
    answers = ("It stays red.", "It turns green.")
    (tmp_path / "pairwise").mkdir()
    entry = told("video_und.pair_rank.qwen", "What happens?", reply, answers, images=frames)
    (tmp_path / "pairwise" / "train_data.json").write_text(json.dumps([entry]))
    (row,) = hub.load("ShareGPTVideo-DPO", folder=tmp_path)
    assert row["prompt"] == [{"role": "user", "content": "What happens?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "It turns green."}]
    assert [frame.convert("RGB").getpixel((0, 0)) for frame in row["images"]] == [(255, 0, 0), (0, 128, 0)]

    lift = tmp_path / "lift"
    lift.mkdir()
    write_clip([PICTURES["red"]] * 3, lift / "a.mp4")
    point = told("video_gen.point_5dim", "a red flag", FIVE, video="a.mp4")
    (lift / "train_data.json").write_text(json.dumps([point]))
    (score,) = hub.load("LiFT-HRA", folder=lift)
    assert len(score["candidate"]) == 3
    assert [one["name"] for one in score["aspects"]][:2] == ["visual_quality", "temporal_consistency"]


FIVE = (
    "visual quality: 4\ntemporal consistency: 4\ndynamic degree: 1\ntext-to-video alignment: 3\n"
    "factual consistency: 3\nFinal Score: 7"
)


def test_a_set_whose_files_nobody_described_is_looked_through(tmp_path: Path) -> None:
    """Flex: traces about pictures and about clips, in whatever JSON file there is."""
    reply = json.dumps(
        {
            "categories": [{"name": "A", "dims": [{"name": "d", "score_1": 8, "score_2": 2}], "cat_winner": "Image 1"}],
            "winner": "Image 1",
        }
    )
    for name, colour in {"a": "red", "b": "blue"}.items():
        (tmp_path / f"{name}.png").write_bytes(encoded(colour))
    entries = [
        told("flex.video_gen", "turns", reply.replace("Image", "Video"), images=["a.png", "a.png", "b.png", "b.png"]),
        told("flex.image_gen", "a flag", reply, images=["a.png", "b.png"]),
    ]
    (tmp_path / "flex_90k.jsonl").write_text("\n".join(map(json.dumps, entries)))
    (tmp_path / "dataset_infos.json").write_text("{}")
    (row,) = hub.load("UnifiedReward-Flex-SFT-90K", folder=tmp_path)
    assert (row["prompt"], row["rubric"], colours(row)) == ("a flag", "flex.image_gen", [(255, 0, 0), (0, 0, 255)])
    assert {"name": "dimension/A/d", "chosen": 8.0, "rejected": 2.0} in row["aspects"]
    (clip,) = hub.load("UnifiedReward-Flex-SFT-90K", folder=tmp_path, task="video_generation")
    assert [len(clip["chosen"]), len(clip["rejected"]), clip["prompt"]] == [2, 2, "turns"]


def test_another_layout_is_said_with_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "train-00000.parquet").touch()
    with pytest.raises(UniRewardError, match=r"layout of HPD is not known: the file train_data\.json .*train-00000"):
        list(hub.load("HPD", folder=tmp_path))
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "data.arrow").touch()
    with pytest.raises(
        UniRewardError, match=r"layout of UnifiedReward-Flex-SFT-90K is not known: .*data\.arrow.*columns="
    ):
        list(hub.load("UnifiedReward-Flex-SFT-90K", folder=tmp_path / "shards"))
    (tmp_path / "train_data.json").write_text('[{"question": "?", "winner": 1}]')
    with pytest.raises(
        UniRewardError, match=r"HPD, train_data\.json, entry 0 has no field 'conversations'.*'question'"
    ):
        list(hub.load("HPD", folder=tmp_path))
    (tmp_path / "train_data.json").write_text(json.dumps(HPD))
    (tmp_path / "frames.tar.gz").touch()
    with pytest.raises(UniRewardError, match=r"no file 'images/r\.png' in .*frames\.tar\.gz cannot be looked into"):
        list(hub.load("HPD", folder=tmp_path))
    with pytest.raises(UniRewardError, match="HPD: there is no folder"):
        hub.load("HPD", folder=tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UniRewardError, match="HPD: there is nothing at"):
        list(hub.load("HPD", folder=tmp_path / "empty"))


def test_a_few_odd_entries_are_left_out_and_many_are_an_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = hpd(tmp_path / "HPD")
    lost = told("image_gen.pair_rank.llava", "a", "Image 1 is better than Image 2.", images=["images/x.png"] * 2)
    (folder / "train_data.json").write_text(json.dumps([*HPD, lost, {"id": 3}]))
    with caplog.at_level(logging.INFO, logger="hub"):
        assert len(list(hub.load("HPD", folder=folder))) == 2
    assert "2 x it cannot be understood" in caplog.text
    assert "entry 4: there is no file 'images/x.png'" in caplog.text
    (folder / "train_data.json").write_text(json.dumps([HPD[0], lost, lost]))
    with pytest.raises(UniRewardError, match="entry 2: there is no file"):
        list(hub.load("HPD", folder=folder))


def test_files_outside_of_the_folder_are_not_reached(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(encoded("red"))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    files = MediaFiles(str(folder))
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        with pytest.raises(UniRewardError, match="there is no file"):
            files.media(name, "x")


def test_archives_are_indexed_and_never_guessed_from(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/images/r.png", encoded("red"))
        archive.writestr("deep/one/x.png", encoded("red"))
        archive.writestr("deep/two/x.png", encoded("blue"))
    files = MediaFiles(str(tmp_path))
    assert files.media("images/r.png", "x") == Media.of(PICTURES["red"])
    assert files.media("two/x.png", "x") == Media.of(PICTURES["blue"])
    with pytest.raises(UniRewardError, match=r"no file 'x\.png'"):
        files.media("x.png", "x")
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UniRewardError, match=r"b\.zip in .* is no zip archive"):
        MediaFiles(str(tmp_path)).media("images/q.png", "x")


def test_pick_a_pic_is_known_by_name(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [
        {"jpg_0": encoded("red"), "jpg_1": encoded("blue"), "label_0": 0.0, "has_label": True, "caption": "a"},
        {"jpg_0": encoded("red"), "jpg_1": encoded("blue"), "label_0": 0.5, "has_label": True, "caption": "b"},
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    (row,) = hub.load("pickapic_v2", folder=tmp_path)
    assert (row["caption"], row["judge"], colours(row)) == ("a", "people (Pick-a-Pic)", [(0, 0, 255), (255, 0, 0)])


def test_names_are_found_or_the_nearest_are_said() -> None:
    assert {find(name).name for name in ("hpd", "HPD", "CodeGoat24/HPD")} == {"HPD"}
    with pytest.raises(
        UniRewardError, match=r"no collection is called 'VideoDP0'\. Did you mean 'VideoDPO'\?.*load_dataset"
    ):
        hub.load("VideoDP0")
    published = {
        "UnifiedReward-2.0-T2X-score-data",
        "LLaVA-Critic-113k",
        "ShareGPTVideo-DPO",
        "UnifiedReward-Flex-SFT-90K",
        "VideoFeedback",
        "HPD",
        "VideoDPO",
        "OIP",
        "LiFT-HRA",
        "ImageGen-CoT-Reward-5K",
        "EvalMuse",
    }
    assert published == {name for name, one in collections().items() if one.repo.startswith("CodeGoat24/")}
    assert hub.checkpoints()[0] == "CodeGoat24/UnifiedReward-0.5b"
    assert len(hub.checkpoints()) == sum(len(family.checkpoints) for family in FAMILIES)
