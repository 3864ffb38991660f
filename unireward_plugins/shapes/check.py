"""The referee for anyone's samples: files and their prompts go in, what each shows and how good it truly is comes out.

    samples = find_samples([Path("samples")])
    findings = check(samples, read_captions(Path("prompts.txt"), samples))
    share_right(findings)

It sees pixels and texts only. `unireward shapes check` is its command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from unireward_plugins.errors import MediaError, UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.media.frames import FrameRule
from unireward_plugins.shapes.captions import NUMBERS, PLURALS, RELATIONS, Caption, Grades, Wanted, grades, misses
from unireward_plugins.shapes.clip_truth import read_clips
from unireward_plugins.shapes.measures import Share
from unireward_plugins.shapes.prompt_files import named_prompts, prompt_lines
from unireward_plugins.shapes.render import FRAMES, SIDE, Pictures
from unireward_plugins.shapes.scene import ACTIONS, COLOURS, OUTLINES, PLACES, SIZES, Clip, Subject
from unireward_plugins.shapes.truth import read_scenes

Value = TypeVar("Value", bound=str)

READ_AT_ONCE = 128
"""How many samples are decoded and read together."""
METADATA = ("metadata.jsonl", "metadata.csv")
"""Where an image folder of `datasets` keeps its prompts."""
ENDINGS = frozenset(
    {".apng", ".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"}
    | {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm"}
)
"""What the names of pictures and clips in a folder end with; everything else there is passed over."""
GRAMMAR = (
    "Captions of the shapes world are one shape ('a red circle', 'a small red circle at the top left'), two in "
    "relation ('a red circle left of a large blue cross'; also right of, above, below), several ('two red circles', "
    "'three white crosses') or a shape of a clip that does something ('a red circle that moves left'). "
    f"Colours: {', '.join(COLOURS)}. Shapes: {', '.join(OUTLINES)}. Sizes: {', '.join(SIZES)}. "
    f"Places: {', '.join(PLACES)}. Actions: {', '.join(ACTIONS)}"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the referee says of one sample."""

    path: Path
    is_clip: bool = False
    shows: Subject | None = None
    """What is seen; `None` where it is nothing of this world, or where the file cannot be read."""
    caption: Caption | None = None
    """What was asked for, where that is known."""
    problem: str = ""
    """Why the file cannot be read; empty where it can."""

    @property
    def grades(self) -> Grades | None:
        """How good it is for its caption; 1 in everything where it shows nothing of this world, `None` where it cannot
        be read or nothing was asked for."""
        if self.caption is None or self.problem:
            return None
        return Grades(1, 1, 1) if self.shows is None else grades(self.caption, self.shows)

    @property
    def misses(self) -> tuple[str, ...]:
        """The facts of the caption that do not hold, in its words; `"alone"` where there are shapes too many."""
        if self.caption is None or self.problem:
            return ()
        return (str(self.caption),) if self.shows is None else misses(self.caption, self.shows)

    @property
    def right(self) -> bool:
        """Whether all of the caption holds: an alignment of 5."""
        return self.grades is not None and self.grades.alignment == 5


def check(paths: Sequence[Path], captions: Mapping[Path, Caption]) -> Iterator[Finding]:
    """A finding for each picture or clip file, in order; `captions` holds what was asked for, where that is known.

    A file that cannot be read, or has the wrong size, is a finding with a `problem`. Raises `UniRewardError` where a
    caption asks for a clip and the file holds a picture, or the other way round.
    """
    rest = iter(paths)
    while some := list(islice(rest, READ_AT_ONCE)):
        yield from _check_some(some, captions)


def share_right(findings: Sequence[Finding]) -> Share:
    """How many of those with a caption that could be read are right, with its interval."""
    graded = [finding for finding in findings if finding.grades is not None]
    return Share(sum(finding.right for finding in graded), len(graded))


def read_sample(path: Path) -> Pictures:
    """The pixels of a sample: (1, `SIDE`, `SIDE`, 3) for a picture, (`FRAMES`, `SIDE`, `SIDE`, 3) for a clip.

    Of a clip with more frames, `FRAMES` are picked evenly, the first and the last among them; what is larger is scaled
    down. Raises `MediaError` for what cannot be decoded, is not square, or is too small.
    """
    media = Media.of(path)
    frames = (media,) if media.kind == "image" else media.sample(_EnoughFrames("linspace", count=FRAMES))
    return np.stack([_fitted(frame, path) for frame in frames])


def find_samples(places: Sequence[Path]) -> list[Path]:
    """The files that are named, and the pictures and clips that lie in the folders that are, numbers in numeric order.

    Raises `UniRewardError` where a folder holds none.
    """
    found = []
    for place in places:
        within = [path for path in place.iterdir() if path.suffix.lower() in ENDINGS] if place.is_dir() else [place]
        if not within:
            raise UniRewardError(
                f"{str(place)!r} holds no picture and no clip. Known endings: {' '.join(sorted(ENDINGS))}"
            )
        found += sorted(within, key=_natural)
    return found


def read_captions(file: Path, samples: Sequence[Path]) -> dict[Path, Caption]:
    """What was asked of each sample, from a file of prompts.

    `.txt` holds one a line, for the samples in order. `.jsonl`, `.json` (a list of objects, or one object of names and
    prompts) and `.csv` name the file of each: a name, or as much of its path as tells it from others. Raises
    `UniRewardError` with the line where a sample has no prompt, the file cannot be read, or a prompt is no caption of
    this world.
    """
    if file.suffix.lower() == ".txt":
        return _captions_in_order(file, samples)
    named = named_prompts(file)
    captions = {}
    for sample in samples:
        parts = sample.absolute().parts
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        place, text = next((named[end] for end in ends if end in named), (None, ""))
        if place is None:
            raise UniRewardError(f"{file} has no prompt for {str(sample)!r}: it names {_some(named)}")
        captions[sample] = _caption_at(place, text)
    return captions


def read_metadata(places: Sequence[Path], samples: Sequence[Path]) -> dict[Path, Caption]:
    """What was asked of each sample, as far as the folders say it in a `metadata.jsonl` or `metadata.csv`."""
    captions: dict[Path, Caption] = {}
    for folder in places:
        file = next((folder / name for name in METADATA if (folder / name).is_file()), None)
        if file is not None:
            captions |= read_captions(file, [sample for sample in samples if sample.parent == folder])
    return captions


def parse_caption(text: str) -> Caption:
    """The caption that a text is, so that `parse_caption(str(caption)) == caption`.

    Case, spaces, a full stop, digits for numbers, "to the left of" for "left of", and "in" for "at" do not matter.
    Raises `UniRewardError`, which holds the grammar, for a text that is no caption of this world.
    """
    plain = " ".join(text.lower().split()).rstrip(" .!")
    if match := _SEVERAL.fullmatch(plain):
        outline = next(outline for outline, plural in PLURALS.items() if plural == match["plural"])
        number = NUMBERS.index(match["number"]) if match["number"] in NUMBERS else int(match["number"])
        return Caption((Wanted(outline, _known(COLOURS, match["colour"])),) * number)
    if match := _TWO.fullmatch(plain):
        return Caption((_wanted(match, ""), _wanted(match, "other_")), relation=_known(RELATIONS, match["relation"]))
    if match := _ONE.fullmatch(plain):
        action = _known(ACTIONS, match["action"]) if match["action"] else None
        return Caption((_wanted(match, ""),), action=action)
    raise UniRewardError(f"{text!r} is no caption of the shapes world. {GRAMMAR}")


def describe(subject: Subject | None) -> str:
    """All that is seen, in words: "a small red circle at the top left, on a striped ground; broken circle; noisy"."""
    if subject is None:
        return "nothing of the shapes world"
    shapes = (subject.shape,) if isinstance(subject, Clip) else subject.shapes
    doing = f" that {subject.action}" if isinstance(subject, Clip) else ""
    things = " and ".join(f"a {shape} at the {shape.place}" for shape in shapes)
    wrong = [f"{shape.damage} {shape.outline}" for shape in shapes if shape.damage]
    return "; ".join([f"{things}{doing}, on a {subject.ground} ground", *wrong, *subject.flaws])


class _EnoughFrames(FrameRule):
    """As `linspace`, but a clip that has fewer frames than are picked is refused: none may be shown twice."""

    def indices(self, times: Sequence[float]) -> tuple[int, ...]:
        if len(times) < FRAMES:
            raise MediaError(f"a clip of shapes has at least {FRAMES} frames, got {len(times)}")
        return super().indices(times)


def _check_some(paths: Sequence[Path], captions: Mapping[Path, Caption]) -> list[Finding]:
    """The findings on as many samples as are decoded at once."""
    pixels: dict[int, Pictures] = {}
    problems: dict[int, str] = {}
    for index, path in enumerate(paths):
        try:
            pixels[index] = read_sample(path)
        except MediaError as error:
            problems[index] = str(error) if str(path) in str(error) else f"{str(path)!r}: {error}"
            continue
        _check_kind(path, captions.get(path), is_clip=len(pixels[index]) > 1)
    clips = {index: frames for index, frames in pixels.items() if len(frames) > 1}
    pictures = {index: frames[0] for index, frames in pixels.items() if len(frames) == 1}
    shown: dict[int, Subject | None] = {}
    if clips:
        shown |= zip(clips, read_clips(np.stack(list(clips.values()))), strict=True)
    if pictures:
        shown |= zip(pictures, read_scenes(np.stack(list(pictures.values()))), strict=True)
    return [
        Finding(path, index in clips, shown.get(index), captions.get(path), problems.get(index, ""))
        for index, path in enumerate(paths)
    ]


def _check_kind(path: Path, caption: Caption | None, *, is_clip: bool) -> None:
    if caption is not None and (caption.action is not None) != is_clip:
        asked, given = ("a clip", "a picture") if caption.action else ("a picture", "a clip")
        raise UniRewardError(f"{str(path)!r} is {given}, and its prompt asks for {asked}: {str(caption)!r}")


def _fitted(frame: Media, path: Path) -> Pictures:
    """The pixels (`SIDE`, `SIDE`, 3) of a picture; a larger one is averaged down."""
    from PIL.Image import Resampling

    picture = frame.pil()
    if picture.width != picture.height or picture.width < SIDE:
        raise MediaError(
            f"{str(path)!r} is {picture.width} x {picture.height} pixels: samples of shapes are square and at least "
            f"{SIDE} pixels wide. Scale or crop it to that"
        )
    if picture.width > SIDE:
        picture = picture.resize((SIDE, SIDE), Resampling.BOX)
    return np.asarray(picture)


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key by which 2.png comes before 10.png."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _captions_in_order(file: Path, samples: Sequence[Path]) -> dict[Path, Caption]:
    lines = prompt_lines(file)
    if len(lines) != len(samples):
        raise UniRewardError(
            f"{file} has {len(lines)} lines and there are {len(samples)} samples: it needs one prompt a line, in the "
            "order of the sorted files. Otherwise name the files, in a .jsonl, .json or .csv"
        )
    places = (f"{file}:{number}" for number in range(1, len(lines) + 1))
    return {sample: _caption_at(place, line) for sample, place, line in zip(samples, places, lines, strict=True)}


def _caption_at(place: str, text: str) -> Caption:
    try:
        return parse_caption(text)
    except UniRewardError as error:
        raise UniRewardError(f"{place}: {error}") from error


def _some(names: Mapping[str, object]) -> str:
    first = ", ".join(map(repr, islice(names, 3)))
    return f"{first} and {len(names) - 3:,} more" if len(names) > 3 else first or "no file"


def _wanted(match: re.Match[str], prefix: str) -> Wanted:
    size, place = match[f"{prefix}size"], match[f"{prefix}place"]
    return Wanted(
        _known(OUTLINES, match[f"{prefix}outline"]),
        _known(COLOURS, match[f"{prefix}colour"]),
        _known(SIZES, size) if size else None,
        _known(PLACES, place) if place else None,
    )


def _known(values: Sequence[Value], text: str) -> Value:
    return next(value for value in values if value == text)


def _noun(prefix: str) -> str:
    """The pattern of one shape; its groups have the prefix."""
    size, colour, outline, place = map("|".join, (SIZES, COLOURS, OUTLINES, PLACES))
    return (
        rf"(?:(?:an?|the|one|1) )?(?:(?P<{prefix}size>{size}) )?"
        rf"(?P<{prefix}colour>{colour}) (?P<{prefix}outline>{outline})"
        rf"(?: (?:at|in) the (?P<{prefix}place>{place})(?: corner)?)?"
    )


_ONE = re.compile(rf"{_noun('')}(?: (?:that|which) (?P<action>{'|'.join(ACTIONS)}))?")
_TWO = re.compile(rf"{_noun('')} (?:(?:to|on) the )?(?P<relation>{'|'.join(RELATIONS)}) {_noun('other_')}")
_SEVERAL = re.compile(
    rf"(?P<number>two|three|2|3) (?P<colour>{'|'.join(COLOURS)}) (?P<plural>{'|'.join(PLURALS.values())})"
)
