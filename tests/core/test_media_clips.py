"""A clip gives exactly the frames of the rule, and one that is damaged, or that points elsewhere, gives none."""

from __future__ import annotations

import io
import pickle
import random
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from unireward_plugins.errors import MediaError, UniRewardError
from unireward_plugins.media import FrameRule, Media, clips, pictures

AVIF = pytest.param(
    "AVIF", marks=pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="this Pillow has no AVIF")
)

STEP = 6
"""Frame `i` of a test clip is as bright as `6 * i`."""


def still(index: int, *, noise: bool = False) -> np.ndarray[Any, np.dtype[np.uint8]]:
    frame = np.full((48, 64, 3), index * STEP, np.uint8)
    if noise:  # gives the encoder something to do, so that a cut hits a frame
        frame[::4] = np.random.default_rng(index).integers(0, 256, (12, 64, 3))
    return frame


@cache
def clip(codec: str = "mpeg4", form: str = "mov", frames: int = 40, rate: int = 8) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(still(index, noise=True), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def indices(frames: tuple[Media, ...]) -> list[int]:
    """Which frames of a test clip these are."""
    return [round(float(np.asarray(frame.pil())[1::4].mean()) / STEP) for frame in frames]


def near(found: list[int], expected: list[int]) -> bool:
    return len(found) == len(expected) and all(abs(a - b) <= 2 for a, b in zip(found, expected, strict=True))


CONTAINERS = [
    ("mpeg4", "mov"),
    ("libx264", "matroska"),
    ("libvpx-vp9", "webm"),
    ("mpeg4", "avi"),
    ("libx264", "avi"),
    ("mpeg2video", "mpegts"),
    ("mpeg2video", "vob"),
    ("libx264", "flv"),
    ("libvpx", "ogg"),
    ("wmv2", "asf"),
]


def encoders() -> list[Any]:
    """A build of FFmpeg may lack an encoder; then only the test of that container is skipped, and says so."""
    return [
        pytest.param(
            codec,
            form,
            id=f"{form}-{codec}",
            marks=pytest.mark.skipif(codec not in av.codecs_available, reason=f"no encoder {codec}"),
        )
        for codec, form in CONTAINERS
    ]


@pytest.mark.parametrize(("codec", "form"), encoders())
def test_every_container_gives_the_frames_of_the_rule(codec: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(clip(codec, form))
    for media in (Media.of(path, kind="video"), Media.of(clip(codec, form))):
        assert media.kind == "video"
        assert near(indices(media.sample(FrameRule("linspace", 5))), [0, 9, 19, 29, 39])
        assert near(indices(media.sample(FrameRule("floor", 5))), [0, 8, 16, 24, 32])
        assert near(indices(media.sample(FrameRule("fps", fps=1))), [0, 8, 16, 24, 32])


@pytest.mark.parametrize(
    ("codec", "form"), [item for item in encoders() if item.values[1] in {"mov", "matroska", "webm", "avi", "flv"}]
)
def test_a_clip_that_was_cut_off_is_an_error(codec: str, form: str) -> None:
    raw = clip(codec, form)
    with pytest.raises(MediaError, match=r"in memory.* It seems damaged or cut off: replace it or leave it out"):
        Media.of(raw[: len(raw) * 2 // 3]).sample(FrameRule("linspace", 5))


def test_a_damaged_frame_is_an_error_and_not_half_a_picture() -> None:
    raw = bytearray(clip("libx264", "matroska"))
    for place in range(len(raw) // 3, len(raw) * 2 // 3, 800):
        raw[place] ^= 0xFF
    with pytest.raises(MediaError, match=r"frame \d+ of a file of .* is not whole|cannot be decoded|ends after"):
        Media.of(bytes(raw)).sample(FrameRule("linspace", 5))


@pytest.mark.parametrize("form", ["mov", "avi", "matroska"])
def test_whatever_is_done_to_a_clip_it_has_all_frames_or_is_a_media_error(form: str) -> None:
    raw, lots = clip("mpeg4", form, frames=6), random.Random(0)
    for _ in range(60):
        damaged = bytearray(raw)
        for _ in range(lots.choice([1, 5, 50])):
            damaged[lots.randrange(len(damaged))] = lots.randrange(256)
        try:
            frames = Media.of(bytes(damaged)).sample(FrameRule("linspace", 3))
        except MediaError:
            continue
        assert len(frames) == 3


def test_a_short_clip_repeats_frames_and_none_is_black() -> None:
    frames = Media.of([still(index) for index in (10, 20, 30)]).sample(FrameRule("linspace", 8))
    assert indices(frames) == [10, 10, 10, 10, 20, 20, 20, 30]
    assert indices(Media.of([still(7)]).sample(FrameRule("floor", 4))) == [7, 7, 7, 7]
    assert near(indices(Media.of(clip(frames=1)).sample(FrameRule("linspace", 3))), [0, 0, 0])


@given(st.integers(1, 300), st.integers(1, 40))
def test_the_rules_are_those_that_the_models_were_trained_with(total: int, count: int) -> None:
    moments = [index / 24 for index in range(total)]
    assert FrameRule("linspace", count).indices(moments) == tuple(np.linspace(0, total - 1, count, dtype=int))
    assert FrameRule("floor", count).indices(moments) == tuple(int(i * total / count) for i in range(count))


@given(st.integers(1, 200), st.sampled_from([8, 12, 24, 25, 30]), st.sampled_from([0.5, 1, 2, 4]))
def test_the_rule_fps_takes_the_frame_that_is_on_screen(total: int, rate: int, fps: float) -> None:
    moments = [3.7 + index / rate for index in range(total)]
    picked = FrameRule("fps", fps=fps).indices(moments)
    wanted: list[int] = []
    while len(wanted) / fps <= (total - 1) / rate + 1e-9:
        wanted.append(min(total - 1, int(len(wanted) / fps * rate + 1e-6)))
    assert list(picked) == wanted
    for most in (1, 5):
        capped = FrameRule("fps", most, fps).indices(moments)
        assert capped == (picked if len(picked) <= most else FrameRule("linspace", most).indices(moments))


def test_the_rule_fps_follows_frames_that_come_at_uneven_moments() -> None:
    assert FrameRule("fps", fps=1).indices([0.0, 0.1, 0.2, 3.5]) == (0, 2, 2, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: FrameRule("median", 8),  # type: ignore[arg-type]
            "no frame rule is called 'median'; there are linspace, floor, fps",
        ),
        (lambda: FrameRule("linspace", 0), "at least one frame, got count=0"),
        (lambda: FrameRule("linspace"), "takes a count and no fps"),
        (lambda: FrameRule("floor", 8, 2.0), "takes a count and no fps"),
        (lambda: FrameRule("fps", 8), "needs frames per second above 0, got fps=None"),
        (lambda: FrameRule("fps", fps=0.0), "above 0, got fps=0.0"),
        (lambda: FrameRule("fps", fps=float("inf")), "above 0, got fps=inf"),
    ],
)
def test_a_rule_that_says_nothing_is_an_error(make: Callable[[], FrameRule], message: str) -> None:
    with pytest.raises(UniRewardError, match=message):
        make()


def test_frames_in_any_form_are_one_clip(tmp_path: Path) -> None:
    frames = [still(index) for index in range(4)]
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for frame, path in zip(frames, paths, strict=True):
        Image.fromarray(frame).save(path)
    stacked = np.stack(frames)
    tensor = torch.from_numpy(stacked)
    forms = [
        frames,
        [Image.fromarray(frame) for frame in frames],
        [Media.of(frame) for frame in frames],
        paths,
        tuple(map(str, paths)),
        [path.read_bytes() for path in paths],
        stacked,
        stacked.transpose(0, 3, 1, 2),
        tensor,
        tensor.permute(0, 3, 1, 2) / 255,
    ]
    assert {Media.of(form, kind="video").digest for form in forms} == {Media.of(frames).digest}
    assert Media.of(frames) != Media.of(frames[::-1])
    assert Media.of(paths) == pickle.loads(pickle.dumps(Media.of(paths)))


def test_a_clip_is_identified_by_the_bytes_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    assert Media.of(path) == Media.of(clip()) != Media.of(clip(frames=6))
    assert len(pickle.dumps(Media.of(path))) < 1000


def test_frames_in_a_list_have_no_speed() -> None:
    with pytest.raises(MediaError, match="a list of 2 frames does not say how fast it plays"):
        Media.of([still(1), still(2)]).sample(FrameRule("fps", fps=2))


def test_a_clip_is_no_picture() -> None:
    for use in (Media.pil, Media.data_url):
        with pytest.raises(MediaError, match=r"is a clip: take pictures from it with .sample\(rule\)"):
            use(Media.of(clip()))
    with pytest.raises(MediaError, match="is a clip, but a picture was expected"):
        Media.of(clip(), kind="image")


def animated(form: str, **options: Any) -> bytes:
    frames = [Image.fromarray(still(index)) for index in range(0, 40, 8)]
    buffer = io.BytesIO()
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:], **options)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", AVIF])
def test_an_animated_picture_is_a_clip_unless_its_first_frame_is_asked_for(form: str) -> None:
    raw = animated(form, duration=500)
    media = Media.of(raw)
    assert media.kind == "video"
    assert near(indices(media.sample(FrameRule("linspace", 3))), [0, 16, 32])
    assert near(indices(media.sample(FrameRule("fps", fps=1))), [0, 16, 32])
    first = Media.of(raw, kind="image")
    assert first.kind == "image"
    assert near(indices((first,)), [0])
    with pytest.raises(MediaError):
        Media.of(raw[: len(raw) * 2 // 3], kind="video").sample(FrameRule("linspace", 5))


def test_frames_without_a_duration_last_a_tenth_of_a_second() -> None:
    assert near(indices(Media.of(animated("GIF")).sample(FrameRule("fps", fps=5))), [0, 16, 32])


def test_a_clip_that_was_filmed_sideways_is_turned_upright() -> None:
    buffer = io.BytesIO()
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32] = 255
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("mpeg4", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    raw = bytearray(buffer.getvalue())
    # The track header keeps a matrix that turns (x, y) into (-y, x): a quarter to the right.
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    place = raw.index(identity, raw.index(b"tkhd"))
    raw[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    (turned,) = Media.of(bytes(raw)).sample(FrameRule("linspace", 1))
    pixels = np.asarray(turned.pil())
    assert pixels.shape == (64, 48, 3)
    assert pixels[8, 40].min() > 200, "what was at the top left is at the top right"
    assert pixels[8, 8].max() < 50


def test_a_clip_that_starts_between_key_frames_has_the_frames_that_are_shown() -> None:
    """Trimming without recoding keeps frames that are decoded and not shown: fewer frames than packets."""
    trimmed = io.BytesIO()
    with av.open(io.BytesIO(clip()), "r") as source, av.open(trimmed, "w", format="mov") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                shift = round(10 / 8 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                target.mux(packet)
    assert near(indices(Media.of(trimmed.getvalue()).sample(FrameRule("linspace", 4))), [10, 19, 29, 39])


def test_packets_that_hold_no_frame_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first guess may be wrong in any way; here it is made to be."""
    for guess in ([0.0] * 90, [0.0] * 3):
        monkeypatch.setattr(clips, "_announced", lambda file, guess=guess: guess)
        assert near(indices(Media.of(clip()).sample(FrameRule("linspace", 5))), [0, 9, 19, 29, 39])


def test_where_moments_are_left_out_frames_are_evenly_spaced() -> None:
    """Old AVI files and raw streams may do so; no muxer at hand writes one, so this looks at the step itself."""
    with av.open(io.BytesIO(clip())) as container:
        stream = container.streams.video[0]
        assert clips._times([0.5, None, 0.0], stream) == [0.0, 1 / 8, 2 / 8]
        assert clips._times([0.5, 0.0], stream) == [0.0, 0.5]


def test_an_unknown_coding_is_an_error() -> None:
    raw = clip("mpeg4", "avi").replace(b"FMP4", b"QQQQ")
    with pytest.raises(MediaError, match="coded in a way that this build of FFmpeg does not know"):
        Media.of(raw).sample(FrameRule("linspace", 2))


def test_limits_hold_for_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(clips, "MAX_FRAMES", 3)
        for raw in (clip(), animated("GIF")):
            with pytest.raises(MediaError, match=r"has more than 3 frames\. Cut it into shorter clips"):
                Media.of(raw).sample(FrameRule("linspace", 2))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    with pytest.raises(MediaError, match="is too large: 64x48 pixels"):
        Media.of(clip()).sample(FrameRule("linspace", 2))


def test_sound_alone_is_no_clip() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        assert isinstance(stream, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="holds no pictures, only sound or data"):
        Media.of(buffer.getvalue()).sample(FrameRule("linspace", 2))


def test_a_clip_without_frames_is_an_error() -> None:
    with pytest.raises(MediaError, match="damaged or cut off"):
        Media.of(clip("libx264", "matroska")[:900]).sample(FrameRule("linspace", 2))


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.mp4", "list.mkv"])
@pytest.mark.parametrize(
    "content",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "file '{path}'\n",
        "<?xml version='1.0'?><MPD><BaseURL>{path}</BaseURL></MPD>",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 1 RTP/AVP 96\n",
    ],
)
def test_a_playlist_that_points_elsewhere_is_not_followed(name: str, content: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_bytes(clip("mpeg2video", "mpegts"))
    playlist = tmp_path / name
    playlist.write_text(content.format(path=secret))
    for source in (playlist, playlist.read_bytes()):
        with pytest.raises(MediaError, match="is no picture and no clip of a known format"):
            Media.of(source)


@pytest.mark.parametrize("name", ["concat:{path}", "subfile,,start,0,end,0,,:{path}", "pipe:0", "async:{path}"])
def test_a_protocol_of_ffmpeg_is_only_a_path_that_does_not_exist(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_bytes(clip("mpeg2video", "mpegts"))
    with pytest.raises(MediaError, match="there is no file"):
        Media.of(name.format(path=secret))


def alias(path: Path) -> bytes:
    """A QuickTime data reference to a file, as FFmpeg reads them: an alias record with an absolute path."""
    name = path.name.encode()
    absolute = str(path).encode()
    absolute += b"\0" * (len(absolute) % 2)
    record = bytes(10) + bytes([0]) + bytes(27) + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    record += struct.pack(">hh", 1, 1) + bytes(16)
    record += struct.pack(">hH", 2, len(absolute)) + absolute + struct.pack(">hH", -1, 0)
    return struct.pack(">I", 12 + len(record)) + b"alis" + bytes(4) + record


def test_a_movie_whose_frames_lie_in_another_file_is_not_followed(tmp_path: Path) -> None:
    """A QuickTime file may name another file as the home of its frames (a data reference)."""
    raw, other = clip(), tmp_path / "frames.bin"
    other.write_bytes(raw)
    own = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    assert raw.count(own) == 1
    theirs = alias(other)
    grown, place = len(theirs) - len(own), raw.index(own)
    changed = bytearray(raw[:place] + theirs + raw[place + len(own) :])
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = changed.rindex(box, 0, place) - 4
        (size,) = struct.unpack_from(">I", changed, start)
        struct.pack_into(">I", changed, start, size + grown)
    # Its own frames are gone; if frames come out, they come from the other file.
    data = changed.index(b"mdat")
    moov = changed.index(b"moov") - 4
    changed[data + 4 : moov] = bytes(moov - data - 4)
    movie = tmp_path / "movie.mov"
    movie.write_bytes(changed)
    with av.open(str(movie), options={"enable_drefs": "1", "use_absolute_path": "1"}) as careless:
        assert len(list(careless.decode(video=0))) == 40, "the file does lead to the other one"
    for source in (movie, bytes(changed)):
        with pytest.raises(MediaError):
            Media.of(source).sample(FrameRule("linspace", 3))
