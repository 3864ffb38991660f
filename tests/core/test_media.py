"""A picture is the same whatever it came as, and one that cannot be read without doubt is an error that says why."""

from __future__ import annotations

import base64
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from unireward_plugins.errors import MediaError
from unireward_plugins.media import FrameRule, Media, pictures

PIXELS: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (24, 16, 3), np.uint8)
PICTURE = Image.fromarray(PIXELS)
TENSOR = torch.from_numpy(PIXELS.copy()).permute(2, 0, 1)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


AVIF = pytest.param(
    "AVIF", marks=pytest.mark.skipif(".avif" not in Image.registered_extensions(), reason="this Pillow has no AVIF")
)

PNG = encoded(PICTURE)
BASE64 = base64.b64encode(PNG).decode()


def shown(source: Any) -> NDArray[np.uint8]:
    return np.asarray(Media.of(source).pil())


FORMS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "path as text": str,
    "bytes": lambda _: PNG,
    "bytearray": lambda _: bytearray(PNG),
    "memoryview": lambda _: memoryview(PNG),
    "data: URL": lambda _: f"data:image/png;base64,{BASE64}",
    "data: URL with escapes": lambda _: "data:image/png," + "".join(f"%{byte:02X}" for byte in PNG),
    "data: URL of another type": lambda _: f"DATA:text/plain;base64,{BASE64}",
    "row with bytes": lambda _: {"bytes": PNG, "path": "nowhere.png"},
    "row with bytes alone": lambda _: {"bytes": PNG},
    "row with a path": lambda path: {"bytes": None, "path": str(path)},
    "PIL image": lambda _: PICTURE,
    "PIL image not yet loaded": Image.open,
    "lossless WebP": lambda _: encoded(PICTURE, "WEBP", lossless=True),
    "BMP": lambda _: encoded(PICTURE, "BMP"),
    "array": lambda _: PIXELS,
    "array, channels first": lambda _: PIXELS.transpose(2, 0, 1),
    "array of floats": lambda _: PIXELS / 255,
    "array of halves": lambda _: (PIXELS / 255).astype(np.float16),
    "array with opacity": lambda _: np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)]),
    "array not in one piece": lambda _: np.repeat(PIXELS, 2, axis=1)[:, ::2],
    "tensor": lambda _: TENSOR,
    "tensor of floats": lambda _: TENSOR / 255,
    "tensor with a gradient": lambda _: (TENSOR / 255).requires_grad_(),
    "Media": lambda _: Media.of(PICTURE),
    "its own data: URL": lambda _: Media.of(PICTURE).data_url(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_picture_is_the_same_picture(form: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    media, same = Media.of(FORMS[form](path), kind="image"), Media.of(PICTURE)
    assert media == same
    assert hash(media) == hash(same)
    assert media.digest == same.digest
    assert media.kind == "image"
    np.testing.assert_array_equal(shown(media), PIXELS)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", AVIF])
def test_lossy_files_are_read(form: str) -> None:
    smooth = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    assert np.abs(shown(encoded(smooth, form)).astype(int) - np.asarray(smooth)).max() < 16


def test_other_pixels_another_size_or_no_media_are_not_equal() -> None:
    other = PIXELS.copy()
    other[3, 5, 1] ^= 1
    assert Media.of(PIXELS) != Media.of(other)
    assert Media.of(PIXELS.reshape(16, 24, 3)) != Media.of(PIXELS)
    assert Media.of(PIXELS) != Media.of([PIXELS])
    assert Media.of(PIXELS) != PICTURE


def test_what_happens_to_the_source_afterwards_changes_nothing() -> None:
    array, image = PIXELS.copy(), PICTURE.copy()
    of_array, of_image = Media.of(array), Media.of(image)
    array[:] = 0
    image.paste("black", (0, 0, 16, 24))
    of_image.pil().paste("black", (0, 0, 16, 24))
    assert of_array == of_image == Media.of(PIXELS)


def test_a_bfloat16_tensor_is_the_picture_to_its_precision() -> None:
    assert np.abs(shown((TENSOR / 255).bfloat16()).astype(int) - PIXELS).max() <= 1


def test_importing_media_loads_no_library() -> None:
    program = "import sys, unireward_plugins.media as _; print({'PIL', 'numpy', 'av', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


def test_a_pickle_holds_the_path_and_works_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.effect_noise((300, 300), 90).save(tmp_path / "large.png")
    monkeypatch.chdir(tmp_path)
    media = Media.of("large.png")
    pickled = pickle.dumps(media)
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    assert pickle.loads(pickled) == media
    assert pickle.loads(pickle.dumps(Media.of(PIXELS))) == Media.of(PIXELS)


def test_only_the_head_of_a_file_is_read_until_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(encoded(PICTURE, "JPEG")[:300])
    media = Media.of(path)
    with pytest.raises(MediaError, match=r"cut\.jpg' cannot be decoded"):
        media.pil()


def test_it_shows_what_it_is() -> None:
    assert repr(Media.of(PIXELS)) == "<Media: image, 16x24 pixels>"
    assert repr(Media.of(PNG)) == f"<Media: image, a file of {len(PNG):,} bytes in memory>"
    assert repr(Media.of([PIXELS])) == "<Media: video, a list of 1 frames>"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    flat = Image.new("RGB", (32, 16), "red")
    flat.paste("blue", (0, 0, 8, 8))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(flat, "PNG", exif=exif))))
    raw = encoded(flat, form, exif=exif)
    for source in (raw, Image.open(io.BytesIO(raw))):
        assert np.abs(shown(source).astype(int) - np.asarray(upright)).mean() < 12


def gradient(top: int, kind: type) -> NDArray[Any]:
    return np.linspace(0, top, 8 * 16).reshape(8, 16).astype(kind)


GREY = np.rint(gradient(255, float)).astype(np.uint8)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GREY), GREY),
        (Image.fromarray(GREY).convert("RGB").quantize(256), GREY),
        (Image.fromarray(GREY).convert("LA"), GREY),
        (Image.fromarray(GREY).convert("RGB").convert("CMYK"), GREY),
        (Image.fromarray(gradient(65535, np.uint16)), gradient(255, float)),
        (Image.fromarray(gradient(65535, np.int32)), gradient(255, float)),
        (Image.fromarray(gradient(1, np.float32)), gradient(255, float)),
        (Image.fromarray(GREY > 127), (GREY > 127) * 255),
    ],
    ids=["L", "P", "LA", "CMYK", "I;16", "I", "F", "1"],
)
def test_a_picture_of_any_mode_becomes_rgb(image: Image.Image, expected: NDArray[Any]) -> None:
    assert np.abs(shown(image) - np.repeat(expected[..., None], 3, axis=2).astype(float)).max() <= 1
    if image.mode in {"L", "P", "LA", "I;16", "1"}:
        assert Media.of(encoded(image)) == Media.of(image)


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    deep = Image.fromarray(np.full((8, 16), 32768, np.uint16))
    assert set(shown(encoded(deep)).flat) == {128}


def with_opacity(mode: str) -> Image.Image:
    image = Image.new("RGBA", (20, 10), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 10, 10))
    image.paste((0, 0, 0, 128), (15, 0, 20, 10))
    match mode:
        case "P":
            return image.quantize(8, method=Image.Quantize.FASTOCTREE)
        case "RGB":
            flat = image.convert("RGB")
            flat.info["transparency"] = flat.getpixel((0, 0))
            return flat
        case "LA":
            return image.convert("LA")
    return image


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "RGB"])
def test_transparency_lies_on_white(mode: str) -> None:
    image = with_opacity(mode)
    for source in (image, encoded(image)):
        pixels = shown(source)
        assert tuple(pixels[5, 5]) == (255, 255, 255)
        assert tuple(pixels[5, 12]) != (255, 255, 255)
        if mode == "RGBA":
            assert tuple(pixels[5, 17]) == (127, 127, 127)


def test_an_array_with_opacity_lies_on_white() -> None:
    assert set(shown(np.zeros((8, 8, 4))).flat) == {255}


def test_grey_arrays_are_pictures() -> None:
    expected = np.repeat(GREY[..., None], 3, axis=2)
    for array in (GREY, GREY[..., None], GREY[None]):
        np.testing.assert_array_equal(shown(array), expected)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 8, 3)), "could be HxWxC or CxHxW: both its first and its last"),
        (np.zeros((8, 8, 8)), "could be HxWxC or CxHxW: neither its first nor its last"),
        (np.zeros((2, 8, 8)), "neither"),
        (np.zeros(8), "no picture .* and no clip"),
        (torch.zeros(1, 2, 3, 8, 8), "array of shape 1x2x3x8x8 and type float32 is no picture"),
        (np.zeros((0, 8, 3)), "is empty"),
        (np.full((8, 8, 3), -1.0), r"goes from -1 to -1; floats must go from 0 to 1. Scale -1..1 with \(x \+ 1\) / 2"),
        (np.full((8, 8, 3), 1.01), "goes from 1.01 to 1.01"),
        (np.full((8, 8, 3), 255.0), "cast 0..255 to uint8"),
        (np.full((8, 8, 3), np.nan), "goes from nan to nan"),
        (np.full((8, 8, 3), 1e300), r"goes from 1e\+300"),
        (np.full((8, 8, 3), np.inf), "goes from inf"),
        (np.zeros((8, 8, 3), np.int64), "type int64 cannot be a picture: pass uint8"),
        (np.zeros((8, 8, 3), bool), "type bool cannot"),
        (np.array([["a"]]), "cannot be a picture"),
        (torch.zeros(3, 8, 8, dtype=torch.int16), "type int16 cannot"),
        (Image.fromarray(np.full((8, 8), 70000, np.int32)), "goes from 1.068"),
        (Image.new("RGB", (0, 5)), "is empty"),
        (42, "a builtins.int is no picture and no clip"),
        (None, "a builtins.NoneType is no picture"),
        ({"url": "x"}, r"the keys \['url'\] holds no picture: it needs 'bytes' or 'path'"),
        ({"bytes": None, "path": None}, "holds no picture"),
        (b"", "a file of 0 bytes in memory is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "of a known format: it starts with b'%!PS-Adobe-3"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "known format"),
        (b"II*\x00" + b"\x00" * 40, "known format"),
        (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 20, "cannot be decoded"),
        ("", "is a folder"),
        (".", "is a folder. For a clip of frame files, pass their sorted list"),
        ("no/such/picture.png", "there is no file 'no/such/picture.png'. Check the path; it is looked up from /"),
        ("/dev/zero", "'/dev/zero' is not a regular file"),
        ("x" * 5000, "File name too long"),
        ("nul\0byte", "null byte"),
        ("FILE:///etc/hostname", "is a file: URL. Pass the path itself"),
        ([], "an empty list of frames is no clip"),
        ([PIXELS, [PIXELS]], "a list of 1 frames is a clip, but a picture was expected"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else type(value).__name__,
)
def test_what_leaves_doubt_is_an_error_that_names_it(source: Any, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        Media.of(source).sample(FrameRule("linspace", 2))


def test_a_float_may_be_off_by_what_rounding_takes_back() -> None:
    assert set(shown(np.full((8, 8, 3), 1.0019)).flat) == {255}
    assert set(shown(np.full((8, 8, 3), -0.0019)).flat) == {0}


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(MediaError, match="is not a regular file"):
        Media.of(tmp_path / "pipe.png")


def test_a_file_that_vanished_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    media = Media.of(path)
    path.unlink()
    with pytest.raises(MediaError, match="there is no file"):
        hash(media)


def test_the_kind_is_made_sure_of() -> None:
    with pytest.raises(MediaError, match="16x24 pixels is a picture, but a clip was expected"):
        Media.of(PIXELS, kind="video")
    with pytest.raises(MediaError, match="in memory is a picture, but a clip was expected"):
        Media.of(PNG, kind="video")
    with pytest.raises(MediaError, match="a list of 1 frames is a clip, but a picture was expected"):
        Media.of(Media.of([PIXELS]), kind="image")


def test_a_picture_has_no_frames() -> None:
    with pytest.raises(MediaError, match="16x24 pixels is a picture and has no frames to sample"):
        Media.of(PIXELS).sample(FrameRule("linspace", 8))


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG header of any size, with next to no data behind it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_500, 12_000, 40_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of the middle one; with warnings as errors it raises
        with pytest.raises(MediaError, match=r"is too large: .* Scale it down first"):
            Media.of(png_that_claims(side, side)).pil()
    with pytest.raises(MediaError, match="is too large"):
        Media.of(png_that_claims(12_000, 12_000)).pil()


def test_a_large_picture_in_memory_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    with pytest.raises(MediaError, match="a PIL image of 16x24 is too large: 16x24 pixels, at most 100 are decoded"):
        Media.of(PICTURE)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", AVIF])
def test_a_cut_off_file_is_an_error(form: str) -> None:
    raw = encoded(Image.effect_noise((64, 64), 90).convert("RGB"), form)
    with pytest.raises(
        MediaError, match=r"a file of .* bytes in memory cannot be decoded: .* replace it or leave it out"
    ):
        Media.of(raw[: len(raw) // 2]).pil()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", AVIF])
def test_whatever_is_done_to_a_file_it_is_a_picture_or_a_media_error(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    options = {"exif": exif} if form in {"PNG", "JPEG", "WEBP"} else {}
    raw = encoded(Image.effect_noise((40, 30), 90).convert("RGB"), form, **options)
    lots = random.Random(0)
    read = 0
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(lots.choice([1, 3, 30])):
            damaged[lots.randrange(len(damaged) if lots.random() < 0.3 else min(200, len(damaged)))] = lots.randrange(
                256
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read += bool(Media.of(bytes(damaged), kind="image").digest)
            except MediaError:
                continue
    assert read < 300


@given(st.binary(max_size=600))
def test_random_bytes_are_a_media_error(raw: bytes) -> None:
    with pytest.raises(MediaError):
        Media.of(raw).digest + str(Media.of(raw).sample(FrameRule("floor", 1)))
