"""Small copies of the benchmarks: the layout of the published repositories, with pictures of the shapes world.

    write_all(folder)        # then UNIREWARD_DATA=folder

Labels follow the true grades, so a judge that is right is right here too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
from datasets import Dataset, Features, Image, Value
from datasets import List as ListOf

from unireward_plugins.media import Media
from unireward_plugins.shapes.data import Item, draw_items
from unireward_plugins.shapes.edits import draw_edit_items
from unireward_plugins.shapes.trials import cases_of
from unireward_plugins.types import Case, Task

SEED = 8
TEXT = Value("string")


def write_all(folder: Path) -> Path:
    """A copy of every repository; returns the folder."""
    for write in (genai, vl_rewardbench, multimodal_rewardbench, mmrb2, editreward, videogen):
        write(folder)
    return folder


def pairs(task: Task, count: int) -> list[tuple[Item, Case]]:
    """Pairs of the shapes world with their truth."""
    items = draw_items((task, 2), count, seed=SEED)
    return list(zip(items, cases_of(items, seed=[SEED]), strict=True))


def save(
    folder: Path, repository: str, name: str | None, split: str, rows: list[dict[str, Any]], **features: Any
) -> None:
    """One configuration of a repository as the Hub would hold it: a parquet file, and a README that names it."""
    home = folder / repository
    part = name or "default"
    (home / part).mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows, features=Features(features)).to_parquet(home / part / f"{split}-00000-of-00001.parquet")
    readme = home / "README.md"
    known = readme.read_text().removesuffix("---\n") if readme.exists() else "---\nconfigs:\n"
    readme.write_text(
        f"{known}- config_name: {part}\n  data_files:\n  - split: {split}\n    path: {part}/{split}-*.parquet\n---\n"
    )


def pil(media: object) -> Any:
    assert isinstance(media, Media)
    return media.pil()


def better(grades: Sequence[int], first: str, second: str, tie: str) -> str:
    return first if grades[0] > grades[1] else second if grades[0] < grades[1] else tie


def save_clip(clip: object, path: Path) -> None:
    """A clip as animated WebP without loss."""
    from unireward_plugins.media import FrameRule

    assert isinstance(clip, Media)
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [frame.pil() for frame in clip.sample(FrameRule("linspace", count=8))]
    first.save(path, save_all=True, append_images=others, duration=125, lossless=True)


def genai(folder: Path, *, count: int = 4) -> None:
    """Pictures in the rows; clips beside, where the published rows hold addresses. The last pair is called a tie."""
    votes = [better(item.grades, "leftvote", "rightvote", "tievote") for item, _ in pairs("image_generation", count)]
    rows = [
        {
            "prompt": case.prompt,
            "left_model": "one",
            "right_model": "two",
            "left_image": pil(case.candidates[0]),
            "right_image": pil(case.candidates[1]),
            "vote_type": vote,
        }
        for (_, case), vote in zip(pairs("image_generation", count), [*votes[:-1], "bothbad_vote"], strict=True)
    ]
    texts = dict.fromkeys(("prompt", "left_model", "right_model", "vote_type"), TEXT)
    pictures = {"left_image": Image(), "right_image": Image()}
    save(folder, "TIGER-Lab/GenAI-Bench", "image_generation", "test", rows, **texts, **pictures)
    clips = []
    for number, (item, case) in enumerate(pairs("video_generation", 2)):
        for side, clip in zip("lr", case.candidates, strict=True):
            save_clip(clip, folder / "TIGER-Lab/GenAI-Bench" / f"{number}{side}.webp")
        vote = better(item.grades, "leftvote", "rightvote", "tievote")
        clips.append({"prompt": case.prompt, "left_video": f"{number}l.webp", "right_video": f"{number}r.webp",
                      "vote_type": vote})  # fmt: skip
    save(folder, "TIGER-Lab/GenAI-Bench", "video_generation", "test", clips, **dict.fromkeys(clips[0], TEXT))


def videogen(folder: Path) -> None:
    """Clips beside a table, with a label for each dimension."""
    rows = []
    for number, (item, case) in enumerate(pairs("video_generation", 3)):
        for side, clip in zip("AB", case.candidates, strict=True):
            save_clip(clip, folder / "KwaiVGI/VideoGen-RewardBench" / "videos" / f"{number}{side}.webp")
        label = better(item.grades, "A", "B", "same")
        rows.append(
            {
                "path_A": f"videos/{number}A.webp",
                "path_B": f"videos/{number}B.webp",
                "prompt": case.prompt,
                "VQ": "same",
                "MQ": {"A": "B", "B": "A"}[label],
                "TA": label,
                "Overall": label,
            }
        )
    save(folder, "KwaiVGI/VideoGen-RewardBench", None, "eval", rows, **dict.fromkeys(rows[0], TEXT))


IDS = ("RLAIF-V-1", "RLHF-V-2", "hallucination_pair-3", "mathverse_4", "wildvision-battle_5", "VLFeedback-6")


def vl_rewardbench(folder: Path) -> None:
    """A pair for each kind of id; the rank 0 is the better one."""
    rows = [
        {
            "id": name,
            "query": case.prompt,
            "response": list(case.candidates),
            "image": pil(case.context[0]),
            "human_ranking": [0, 1] if item.grades[0] > item.grades[1] else [1, 0],
        }
        for name, (item, case) in zip(IDS, pairs("image_understanding", len(IDS)), strict=True)
    ]
    features = {"id": TEXT, "query": TEXT, "response": ListOf(TEXT), "image": Image()}
    save(folder, "MMInstruction/VL-RewardBench", None, "test", rows, **features, human_ranking=ListOf(Value("int64")))


def multimodal_rewardbench(folder: Path) -> None:
    """Pairs of two categories; two of them bear the same id."""
    rows = [
        {
            "ID": f"mathvista_{number // 2}",
            "Text": case.prompt,
            "Image": pil(case.context[0]),
            "Output1": case.candidates[0],
            "Output2": case.candidates[1],
            "Better": better(item.grades, "Output1", "Output2", ""),
            "Category": ("math", "safety")[number % 2],
        }
        for number, (item, case) in enumerate(pairs("image_understanding", 4))
    ]
    texts = dict.fromkeys(("ID", "Text", "Output1", "Output2", "Better", "Category"), TEXT)
    save(folder, "syhuggingface/multimodal_rewardbench", None, "test", rows, **texts, Image=Image())


def mmrb2(folder: Path) -> None:
    """Each part with one pair that cannot be put to a judge, because it has too many pictures."""
    parts: dict[str, list[dict[str, Any]]] = {"t2i": [], "edit": [], "reasoning": []}
    for number, (item, case) in enumerate(pairs("image_generation", 3)):
        first, second = ([pil(candidate)] for candidate in case.candidates)
        parts["t2i"].append(_mmrb2_row(number, case.prompt, [], ("", first), ("", second), item.grades))
    for number, edit in enumerate(draw_edit_items(2, 3, seed=SEED)):
        (drawn,) = cases_of([edit], seed=[SEED, number])
        sources = [pil(drawn.context[0])] * (2 if number == 2 else 1)
        first, second = ([pil(candidate)] for candidate in drawn.candidates)
        prompt = f"<image_1> {drawn.prompt}"
        parts["edit"].append(_mmrb2_row(number, prompt, sources, ("", first), ("", second), edit.grades))
    for number, (item, case) in enumerate(pairs("image_understanding", 3)):
        picture = pil(case.context[0])
        one, other = (str(candidate) for candidate in case.candidates)
        drawing = [picture] if number == 2 else []
        row = _mmrb2_row(number, f"{case.prompt} <image_1>", [picture], (one, drawing), (other, []), item.grades)
        parts["reasoning"].append(row)
    texts = dict.fromkeys(
        ("pair_id", "prompt_text", "response_a_text", "response_b_text", "chosen", "prompt_source"), TEXT
    )
    pictures = {name: ListOf(Image()) for name in ("prompt_images", "response_a_images", "response_b_images")}
    for name, rows in parts.items():
        save(folder, "rl-research/multimodal-rewardbench-2", name, "test", rows, **texts, **pictures)


def _mmrb2_row(
    number: int, prompt: str, pictures: list[Any], first: tuple[str, list[Any]], second: tuple[str, list[Any]],
    grades: Sequence[int],
) -> dict[str, Any]:  # fmt: skip
    return {
        "pair_id": f"pair-{number}",
        "prompt_text": prompt,
        "prompt_images": pictures,
        "response_a_text": first[0],
        "response_a_images": first[1],
        "response_b_text": second[0],
        "response_b_images": second[1],
        "chosen": better(grades, "a", "B", ""),
        "prompt_source": "shapes",
    }


def editreward(folder: Path) -> None:
    """A set of two edits, a set of three, one of whose comparisons is a tie, and one of four."""
    rows = []
    for size, letters in ((2, ("AB",)), (3, ("AB", "AC", "BC")), (4, ("AB", "AC", "AD", "BC", "BD", "CD"))):
        for number, (edit, compared) in enumerate(
            zip(draw_edit_items(2, len(letters), seed=f"{SEED} {size}"), letters, strict=True)
        ):
            (case,) = cases_of([edit], seed=[SEED, size, number])
            first, second = compared
            better_first, better_second, tie = f"{first}>{second}", f"{second}>{first}", f"{first}={second}"
            rows.append(
                {
                    "id": f"set{size}_{first}vs{second}",
                    "instruction": case.prompt,
                    "dataset": f"{size}pair",
                    "comparison_type": f"{first}vs{second}",
                    "ranking": tie if compared == "AC" else better(edit.grades, better_first, better_second, tie),
                    "source_image": pil(case.context[0]),
                    "candidate_1": pil(case.candidates[0]),
                    "candidate_2": pil(case.candidates[1]),
                }
            )
    texts = dict.fromkeys(("id", "instruction", "dataset", "comparison_type", "ranking"), TEXT)
    pictures = dict.fromkeys(("source_image", "candidate_1", "candidate_2"), Image())
    save(folder, "TIGER-Lab/EditReward-Bench", None, "train", rows, **texts, **pictures)


def questions(root: Path) -> Path:
    """The four benchmarks of models that answer, one question each, in the layout of the scripts that published figures
    came from; returns the folder."""
    question = {"id": 0, "question": "what is a man doing?", "answer": "singing"}
    _dump(root / "MSRVTT-QA/test_qa.json", [{**question, "video_id": 7010}])
    _write_clip(root / "MSRVTT-QA/videos/video7010.mp4")
    _dump(root / "MSVD-QA/test_qa.json", [{**question, "video_id": 1301}])
    (root / "MSVD-QA/youtube_mapping.txt").write_text("other vid1\nabc_1_2 vid1301\n")
    _write_clip(root / "MSVD-QA/videos/abc_1_2.avi")
    _dump(root / "TGIF-QA/test_q.json", [{"question": question["question"], "video_name": "7", "question_id": "q"}])
    _dump(root / "TGIF-QA/test_a.json", [{"answer": "singing", "type": 1, "question_id": "q"}])
    _write_clip(root / "TGIF-QA/videos/7.mp4")
    hallucination = {
        "question_type": "attribute",
        "image_src": "https://example.org/8/hydrant_o.png",
        "image_content": ["Fire hydrant", "Tree"],
        "question": "What colour is the cap?",
        "gt_answer": "It is yellow.",
    }
    _dump(root / "Shengcao1006/MMHal-Bench/response_template.json", [hallucination])
    (root / "Shengcao1006/MMHal-Bench/images").mkdir()
    PIL.Image.new("RGB", (9, 7), "yellow").save(root / "Shengcao1006/MMHal-Bench/images/hydrant_o.png")
    return root


def _write_clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(8))
        stream.width, stream.height = 64, 48
        for shade in range(40):
            pixels = np.full((48, 64, 3), 6 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _dump(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))
