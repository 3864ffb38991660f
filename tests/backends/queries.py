"""Pictures and queries that the tests of backends ask about."""

from __future__ import annotations

import random

import numpy
from PIL import Image

from unireward_plugins.media import Media
from unireward_plugins.types import Query


def picture(seed: int, width: int = 64, height: int = 64) -> Media:
    """Blocks of random colours: every seed another picture."""
    blocks = numpy.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=numpy.uint8)
    return Media.of(Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST))


def tournament(count: int, *, max_tokens: int = 10, prefill: str = "", choices: tuple[str, ...] = ()) -> list[Query]:
    """Every ordered pair of so many pictures of different sizes, and one query without any."""
    pictures = [picture(seed, 40 + 12 * seed, 64) for seed in range(count)]
    pairs = [(first, second) for first in pictures for second in pictures if first is not second]
    return [
        Query("Which is better?" + "!" * (index % 4), media, prefill, choices, max_tokens)
        for index, media in enumerate([*pairs, ()])
    ]


def mixed_queries(*, max_tokens: int = 10, prefill: str = "", choices: tuple[str, ...] = ()) -> list[Query]:
    """Nine queries with 0, 1, 2, 3 and 8 pictures of many sizes, and texts of many lengths, in no order."""
    draw = random.Random(0)
    queries = []
    for count in (0, 1, 2, 8, 0, 1, 2, 3, 1):
        sizes = [(draw.choice([28, 64, 100, 130]), draw.choice([30, 56, 90, 200])) for _ in range(count)]
        media = tuple(picture(draw.randrange(10**6), *size) for size in sizes)
        text = "Which image is better? " * draw.randrange(1, 9) + str(count)
        queries.append(Query(text=text, media=media, prefill=prefill, choices=choices, max_tokens=max_tokens))
    return queries
