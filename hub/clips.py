"""Clips as files: the file that a clip came as, or its frames encoded as H.264."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from unireward_plugins.media import FrameRule, Media

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES_PER_SECOND = 8
"""How fast clips play where nobody says it: what T2V-Turbo's clips were made for."""
QUALITY = "10"
"""x264's constant rate factor: 18 passes for lossless to the eye, lower is better."""


class EveryFrame(FrameRule):
    """Picks all frames, however many there are."""

    def __init__(self) -> None:
        super().__init__("linspace", count=1)

    def indices(self, times: Sequence[float]) -> tuple[int, ...]:
        """All positions."""
        return tuple(range(len(times)))


class AtMost(FrameRule):
    """Picks all frames of a short clip, and `count` evenly spaced ones of a longer one; never a frame twice."""

    def __init__(self, count: int) -> None:
        super().__init__("linspace", count=count)

    def indices(self, times: Sequence[float]) -> tuple[int, ...]:
        """The positions of the picked frames."""
        assert self.count is not None
        return tuple(range(len(times))) if len(times) <= self.count else super().indices(times)


def frames_of(clip: Media) -> tuple[Media, ...]:
    """Every frame of a clip, in order, as pictures."""
    return clip.sample(EveryFrame())


def clip_file(clip: Media) -> bytes:
    """The clip as a video file: its own bytes where it came as one, else its frames as an H.264 file.

    Encoding loses a little; frames and animated pictures (GIF, WebP) are taken to play at `FRAMES_PER_SECOND`.
    """
    content = clip.video_file()
    if content is None:
        buffer = io.BytesIO()
        write_clip([frame.pil() for frame in frames_of(clip)], buffer)
        content = buffer.getvalue()
    return content


def suffix_of(content: bytes) -> str:
    """The usual ending of a video file's name, by its first bytes: `.mp4` where there is no better one."""
    if content.startswith(b"\x1a\x45\xdf\xa3"):
        return ".webm" if b"webm" in content[:64] else ".mkv"
    return ".avi" if content[8:12] == b"AVI " else ".mp4"


def write_clip(frames: Sequence[Image], file: Path | IO[bytes], *, frames_per_second: int = FRAMES_PER_SECOND) -> None:
    """Write frames of one size as an H.264 clip in an MP4 file; it loses a little (`QUALITY`)."""
    import av

    width, height = frames[0].size
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frames_per_second, options={"crf": QUALITY})
        stream.width, stream.height = width, height
        # The usual format keeps a colour for every two by two pixels, so it takes even sizes alone.
        stream.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_image(frame.convert("RGB"))  # type: ignore[no-untyped-call]
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
