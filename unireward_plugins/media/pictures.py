"""Decoding pictures with Pillow: to RGB, upright, on white, and only formats that hold nothing but their own pixels."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from unireward_plugins.errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 89_478_485
"""The largest picture or frame that is decoded: Pillow's own default, 256 MiB of RGB."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded picture: upright RGB, eight bits a channel."""

    width: int
    height: int
    rgb: bytes
    """Row by row from the top, three bytes a pixel."""

    def pil(self) -> Image:
        """A new Pillow picture with these pixels."""
        from PIL import Image

        return Image.frombytes("RGB", (self.width, self.height), self.rgb)

    def digest(self) -> str:
        """SHA-256 of the size and the pixels, in hexadecimal."""
        return hashlib.sha256(b"picture %d %d\n" % (self.width, self.height) + self.rgb).hexdigest()


def from_pil(image: Image, *, name: str) -> Pixels:
    """The pixels of a Pillow picture of any mode: EXIF orientation applied, transparency on white, 16 bits scaled to 8.

    `name` is what errors call the picture. Raises `MediaError` where it cannot be decoded or its values fit no picture.
    """
    with _readable(name):
        _check_size(*image.size, name=name)
        image.load()
        return _rgb(image, name=name)


def decode(file: IO[bytes], *, format: str, name: str) -> Pixels:  # noqa: A002
    """Decode a picture file of the given Pillow format; the first picture where it holds several."""
    from PIL import Image

    with _readable(name), Image.open(file, formats=(format,)) as image:
        return from_pil(image, name=name)


def is_animated(file: IO[bytes], *, format: str, name: str) -> bool:  # noqa: A002
    """Whether a picture file holds more than one frame; reads its header only."""
    from PIL import Image

    with _readable(name), Image.open(file, formats=(format,)) as image:
        return bool(image.is_animated)


def decode_animation(file: IO[bytes], *, format: str, name: str) -> Iterator[tuple[float, Pixels]]:  # noqa: A002
    """The frames of an animated picture with the moments at which they appear, in seconds."""
    from PIL import Image, ImageSequence

    time = 0.0
    with _readable(name), Image.open(file, formats=(format,)) as image:
        for frame in ImageSequence.Iterator(image):
            yield time, from_pil(frame, name=name)
            # Browsers show a frame without a duration for a tenth of a second.
            time += (frame.info.get("duration") or 100) / 1000


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn whatever Pillow says of a broken file into a `MediaError` that names it."""
    from PIL import Image

    try:
        yield
    except MediaError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(f"{name} is too large: {error}. Scale it down first") from error
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, struct.error, zlib.error) as error:
        raise MediaError(
            f"{name} cannot be decoded, the file seems damaged or cut off: {error}. Replace it or leave it out"
        ) from error


def _check_size(width: int, height: int, *, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name} is too large: {width}x{height} pixels, at most {MAX_PIXELS:,} are decoded. Scale it down first"
        )
    if width * height == 0:
        raise MediaError(f"{name} is empty: {width}x{height} pixels")


def _rgb(image: Image, *, name: str) -> Pixels:
    from PIL import Image as PillowImage
    from PIL import ImageOps

    from unireward_plugins.media import arrays

    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        import numpy as np

        return arrays.pixels(arrays.eight_bits(np.asarray(image), name=name), name=name)
    if "transparency" in image.info or image.mode in {"RGBA", "RGBa", "LA", "La", "PA"}:
        canvas = PillowImage.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    image = image.convert("RGB")
    return Pixels(image.width, image.height, image.tobytes())
