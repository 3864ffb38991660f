"""Decoding clips with PyAV: exactly the frames that a rule picks, one after another, with no more memory than they need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from unireward_plugins.errors import MediaError
from unireward_plugins.media import pictures
from unireward_plugins.media.files import ANIMATED, File
from unireward_plugins.media.frames import FrameRule
from unireward_plugins.media.pictures import Pixels

if TYPE_CHECKING:
    from av.container import InputContainer

MAX_FRAMES = 500_000
"""The longest clip that is decoded: more than four hours at 30 frames a second."""


def sample(file: File, rule: FrameRule) -> list[Pixels]:
    """The frames that a rule picks, in order; a frame that is picked twice is the same object twice.

    Decodes from the first frame to the last rather than seek, because seeking is not exact. Raises `MediaError` where the clip
    cannot be decoded to its end.
    """
    if file.format in ANIMATED:
        return _sample_animation(file, rule)
    times = _packet_times(file)
    while True:
        wanted = rule.indices(times)
        kept, seen = _decode(file, set(wanted))
        if len(seen) == len(times):
            return [kept[index] for index in wanted]
        # A packet usually is a frame, not always (hidden frames, fields): then the true moments decide.
        times = seen


def _sample_animation(file: File, rule: FrameRule) -> list[Pixels]:
    with file.open() as content:
        times = [time for time, _ in pictures.decode_animation(content, format=file.format, name=file.name)]
    wanted = rule.indices(times)
    with file.open() as content:
        frames = pictures.decode_animation(content, format=file.format, name=file.name)
        kept = {index: pixels for index, (_, pixels) in enumerate(frames) if index in set(wanted)}
    return [kept[index] for index in wanted]


def _packet_times(file: File) -> list[float]:
    """When the frames appear, as the container tells before any is decoded."""
    with _opened(file) as container:
        stream = container.streams.video[0]
        times = [
            float(packet.pts * packet.time_base) if packet.pts is not None else 0.0
            for packet in container.demux(stream)
            if packet.size and not packet.is_discard
        ]
    return sorted(times) or _no_frames(file)


def _decode(file: File, wanted: set[int]) -> tuple[dict[int, Pixels], list[float]]:
    """The wanted frames, and the moments of all."""
    kept: dict[int, Pixels] = {}
    times: list[float] = []
    with _opened(file) as container:
        for index, frame in enumerate(container.decode(container.streams.video[0])):
            if index in wanted:
                kept[index] = pictures.from_pil(frame.to_image(), name=file.name)
            times.append(frame.time or 0.0)
    return kept, times or _no_frames(file)


def _no_frames(file: File) -> list[float]:
    raise MediaError(f"{file.name} holds no frame that can be decoded. Replace it or leave it out")


@contextmanager
def _opened(file: File) -> Iterator[InputContainer]:
    import av

    # PyAV leaves a file that it was given open.
    with file.open() as content, av.open(content, format=file.format) as container:
        yield container
