"""Clips as files: the very file that a clip came as, or its frames encoded at the speed that was asked for."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest
from PIL import Image

from hub.clips import clip_file, frames_of, suffix_of, write_clip
from unireward_plugins.errors import MediaError
from unireward_plugins.media import Media

FRAMES = [Image.new("RGB", (6, 4), colour) for colour in ("red", "green", "blue")]


def test_a_clip_that_came_as_a_video_file_is_that_file(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    write_clip(FRAMES, file)
    for source in (file, file.read_bytes()):
        clip = Media.of(source)
        assert clip.video_file() == clip_file(clip) == file.read_bytes()
    clip = Media.of(file)
    file.unlink()
    with pytest.raises(MediaError, match=r"there is no file '.*clip\.mp4'"):
        clip.video_file()


def test_what_came_as_no_video_file_is_encoded() -> None:
    animated = io.BytesIO()
    FRAMES[0].save(animated, format="WEBP", save_all=True, append_images=FRAMES[1:], lossless=True)
    for clip in (Media.of(FRAMES), Media.of(animated.getvalue())):
        assert (clip.kind, clip.video_file()) == ("video", None)
        encoded = clip_file(clip)
        assert suffix_of(encoded) == ".mp4"
        assert len(frames_of(Media.of(encoded))) == 3
    assert Media.of(FRAMES[0]).video_file() is None


@pytest.mark.parametrize("size", [(6, 4), (5, 3)])
@pytest.mark.parametrize("speed", [8, 24])
def test_clips_play_as_fast_as_was_asked_for_and_keep_their_size(size: tuple[int, int], speed: int) -> None:
    written = io.BytesIO()
    write_clip([frame.resize(size) for frame in FRAMES], written, frames_per_second=speed)
    written.seek(0)
    with av.open(written) as container:
        (stream,) = container.streams.video
        assert (stream.average_rate, (stream.width, stream.height)) == (speed, size)
