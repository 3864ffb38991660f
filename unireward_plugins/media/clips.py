"""Decoding clips: exactly the frames that a rule picks, and no more of them in memory than that."""

from __future__ import annotations

import os
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
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_FRAMES = 500_000
"""The longest clip that is decoded: more than four hours at 30 frames a second."""

DAMAGED = "It seems damaged or cut off: replace it or leave it out"


def sample(file: File, rule: FrameRule) -> list[Pixels]:
    """The frames that a rule picks, in order; a frame that is picked twice is the same object twice.

    Decodes from the first frame to the last: seeking would be faster in long clips and is not exact. Raises
    `MediaError` where the clip is damaged or cut off. (MPEG, Ogg and WMV files are made for streaming: one that was cut
    between two frames does not tell that it was longer.)
    """
    times = _announced(file)
    while True:
        wanted = rule.indices(times)
        kept, seen = _decode(file, set(wanted))
        if len(seen) == len(times):
            return [kept[index] for index in wanted]
        # Not every packet need be a frame that is shown: those that were decoded decide.
        times = seen


def _announced(file: File) -> list[float]:
    """When the frames appear, in seconds, as the container tells before any is decoded."""
    if file.decoder in ANIMATED:
        return _decode(file, set())[1]
    if file.decoder == "avi":
        _check_avi_size(file)
    stamps: list[float | None] = []
    end = 0.0
    with _opened(file) as (container, stream):
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is stream and packet.size and not packet.is_discard:
                stamps.append(None if packet.pts is None else float(packet.pts * packet.time_base))
                _check_count(len(stamps), file)
        # Where a file is cut, Matroska packets just stop. Half a second and a tenth is more than headers are off by.
        announced = (container.duration or 0) / 1e6
        if announced - end > max(0.5, 0.1 * announced):
            raise MediaError(f"{file.name} ends after {end:.1f} of its {announced:.1f} seconds. {DAMAGED}")
        return _times(stamps, stream)


def _check_avi_size(file: File) -> None:
    """FFmpeg plays a cut AVI file as a shorter one, but its first bytes say how long it should be."""
    with file.open() as content:
        size = 8 + int.from_bytes(content.read(8)[4:], "little")
        held = content.seek(0, os.SEEK_END)
    if held < size:
        raise MediaError(f"{file.name} ends after {held:,} of its {size:,} bytes. {DAMAGED}")


def _decode(file: File, wanted: set[int]) -> tuple[dict[int, Pixels], list[float]]:
    """The wanted frames by their index, and when all frames appear."""
    if file.decoder in ANIMATED:
        return _decode_animation(file, wanted)
    kept: dict[int, Pixels] = {}
    stamps: list[float | None] = []
    with _opened(file) as (container, stream):
        for index, frame in enumerate(container.decode(stream)):
            if frame.is_corrupt:
                raise MediaError(f"frame {index} of {file.name} is not whole. {DAMAGED}")
            if index in wanted:
                kept[index] = _upright(frame, name=file.name)
            stamps.append(frame.time)
            _check_count(len(stamps), file)
        if not stamps:
            raise MediaError(f"{file.name} holds no frame. {DAMAGED}")
        return kept, _times(stamps, stream)


def _decode_animation(file: File, wanted: set[int]) -> tuple[dict[int, Pixels], list[float]]:
    kept: dict[int, Pixels] = {}
    times: list[float] = []
    with file.open() as content:
        for time, frame in pictures.decode_animation(content, decoder=file.decoder, name=file.name):
            if len(times) in wanted:
                kept[len(times)] = frame
            times.append(time)
            _check_count(len(times), file)
    return kept, times


def _upright(frame: VideoFrame, *, name: str) -> Pixels:
    """A frame as a player shows it: phones film sideways and note the rotation."""
    pictures.check_size(frame.width, frame.height, name=name)
    image = frame.to_image()  # type: ignore[no-untyped-call]
    return pictures.from_pil(image.rotate(frame.rotation, expand=True) if frame.rotation else image, name=name)


def _times(stamps: list[float | None], stream: VideoStream) -> list[float]:
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) == len(stamps):
        return sorted(known)
    # Some files leave moments out. 25 frames a second is what FFmpeg assumes where nothing is said.
    rate = float(stream.average_rate or 25)
    return [index / rate for index in range(len(stamps))]


def _check_count(count: int, file: File) -> None:
    if count > MAX_FRAMES:
        raise MediaError(f"{file.name} has more than {MAX_FRAMES:,} frames. Cut it into shorter clips")


@contextmanager
def _opened(file: File) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The clip's container and its first video stream; whatever FFmpeg says of it becomes a `MediaError`."""
    import av

    try:
        # FFmpeg gets neither a path nor an address, and may follow none. PyAV leaves a file that it was given open.
        # Titles may be in any encoding; nobody reads them here.
        # (Given as `options`, they go to every stream too, and crash PyAV up to 16 where streams are found on the way.)
        safely = {"protocol_whitelist": "none"}
        with (
            file.open() as content,
            av.open(
                content, mode="r", format=file.decoder, container_options=safely, metadata_errors="replace"
            ) as container,
        ):
            if not container.streams.video:
                raise MediaError(f"{file.name} holds no pictures, only sound or data")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise MediaError(
                    f"{file.name} is coded in a way that this build of FFmpeg does not know. Convert it first"
                )
            pictures.check_size(stream.width, stream.height, name=file.name)
            yield container, stream
    except (av.FFmpegError, OverflowError) as error:
        raise MediaError(f"{file.name} cannot be decoded: {error}. {DAMAGED}") from error
