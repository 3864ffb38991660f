"""The pictures of a dataset card: the scores as a histogram, and some pairs to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hub.clips import AtMost
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

ASSETS = "assets"
"""Where a folder keeps the pictures of its card."""
SHOWN = 3
"""How many pairs a card shows: that with the smallest margin, the middle one, and that with the largest."""
SIDE, FRAMES = 256, 4
"""The longest side of a picture in pixels, and how many frames stand for a clip, side by side."""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 260, 52, 16, 34, 40
"""The histogram and its margins, in pixels."""
BINS = 20
CHOSEN, REJECTED = (37, 99, 165), (214, 120, 40)
"""Blue and orange, which people who see red and green alike can tell apart."""


@dataclass(frozen=True, slots=True)
class Example:
    """A pair as the card shows it."""

    prompt: str
    cells: Mapping[str, str]
    """`context`, `chosen` and `rejected`: the path of a picture below the folder, or an answer in words."""
    pictures: frozenset[str]
    """Which of the cells are pictures."""
    chosen_score: float
    rejected_score: float


def draw_histogram(scores: Mapping[str, Sequence[float]], folder: Path) -> str:
    """Draw how one or two sets of scores are spread, by their names; the picture's path below the folder."""
    (folder / ASSETS).mkdir(exist_ok=True)
    name = f"{ASSETS}/scores.png"
    histogram(scores).save(folder / name)
    return name


def histogram(values: Mapping[str, Sequence[float]]) -> Image:
    """One or two sets of numbers, counted in `BINS` bins of equal width over a common range, side by side in each."""
    from PIL import Image, ImageDraw

    low, high = scale([number for numbers in values.values() for number in numbers])
    counts = {name: _counted(numbers, low, high) for name, numbers in values.items()}
    most = max(max(count) for count in counts.values())
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(page)
    for index, (name, count) in enumerate(counts.items()):
        colour = (CHOSEN, REJECTED)[index]
        draw.rectangle((LEFT + 120 * index, 10, LEFT + 120 * index + 10, 20), fill=colour)
        draw.text((LEFT + 120 * index + 16, 9), name, "black")
        _bars(draw, [number / most for number in count], colour, place=index, of=len(counts))
    _axes(draw, low, high, most)
    return page


def scale(numbers: Sequence[float]) -> tuple[float, float]:
    """The range of a histogram: 0 to 1 for shares and grades, else from the smallest number to the largest."""
    low, high = min(numbers), max(numbers)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _counted(numbers: Sequence[float], low: float, high: float) -> list[int]:
    count = [0] * BINS
    for number in numbers:
        count[min(int((number - low) / (high - low) * BINS), BINS - 1)] += 1
    return count


def _bars(draw: ImageDraw, shares: Sequence[float], colour: tuple[int, int, int], *, place: int, of: int) -> None:
    bottom, width = HEIGHT - BOTTOM, (WIDTH - LEFT - RIGHT) / BINS
    for index, share in enumerate(shares):
        left = LEFT + index * width + place * (width - 2) / of + 1
        if share:
            height = max(1.0, share * (bottom - TOP))  # a bar that is there is seen, however small its share
            draw.rectangle((left, bottom - height, left + (width - 2) / of - 1, bottom - 1), fill=colour)


def _axes(draw: ImageDraw, low: float, high: float, most: int) -> None:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    draw.line((LEFT, bottom, right, bottom), "gray")
    for part in range(5):
        x = LEFT + (right - LEFT) * part / 4
        draw.line((x, bottom, x, bottom + 4), "gray")
        draw.text((x, bottom + 6), f"{low + (high - low) * part / 4:.3g}", "dimgray", anchor="ma")
    draw.text((LEFT - 6, bottom), "0", "dimgray", anchor="rs")
    draw.text((LEFT - 6, TOP), f"{most:,}", "dimgray", anchor="rm")
    draw.text(((LEFT + right) / 2, HEIGHT - 14), "score", "black", anchor="ma")


def draw_examples(pairs: Sequence[Pair], folder: Path) -> list[Example]:
    """Draw some of the pairs, evenly spread by their margins."""
    (folder / ASSETS).mkdir(exist_ok=True)
    shown = spread([pair.margin for pair in pairs])
    return [_example(pairs[index], folder, number) for number, index in enumerate(shown)]


def spread(margins: Sequence[float]) -> list[int]:
    """The places of up to `SHOWN` pairs, evenly spread by their margins, the smallest first."""
    order = sorted(range(len(margins)), key=margins.__getitem__)
    count = min(SHOWN, len(order))
    return [order[place * (len(order) - 1) // max(count - 1, 1)] for place in range(count)]


def _example(pair: Pair, folder: Path, number: int) -> Example:
    cells, pictures = {}, set()
    context = {"context": pair.context[0]} if pair.context else {}
    for role, one in {**context, "chosen": pair.chosen, "rejected": pair.rejected}.items():
        if isinstance(one, str):
            cells[role] = one
            continue
        cells[role] = f"{ASSETS}/{number}-{role}.png"
        thumbnail(one).save(folder / cells[role])
        pictures.add(role)
    return Example(pair.prompt, cells, frozenset(pictures), pair.chosen_score, pair.rejected_score)


def thumbnail(media: Media) -> Image:
    """The picture, or some frames of the clip side by side, made smaller where it is large."""
    from PIL import Image

    frames = [media] if media.kind == "image" else media.sample(AtMost(FRAMES))
    small = []
    for frame in frames:
        picture = frame.pil()
        picture.thumbnail((SIDE, SIDE) if len(frames) == 1 else (SIDE // 2, SIDE // 2))
        small.append(picture)
    strip = Image.new("RGB", (sum(picture.width for picture in small), small[0].height), "white")
    left = 0
    for picture in small:
        strip.paste(picture, (left, 0))
        left += picture.width
    return strip
