"""Decoding pictures with Pillow: upright, on white, in RGB, and only by the decoder that was asked for."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from unireward_plugins.errors import MediaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

MAX_PIXELS = 89_478_485
"""The largest picture or frame that is decoded: Pillow's own default, 256 MiB of RGB."""

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise at broken files, as thousands of files with changed bytes have shown."""

HALF_STEP = 0.5 / 255
"""A float may leave 0..1 by what rounding to eight bits takes back."""


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
        digest = hashlib.sha256(b"picture %d %d\n" % (self.width, self.height))
        digest.update(self.rgb)
        return digest.hexdigest()


def from_pil(image: Image, *, name: str) -> Pixels:
    """The pixels of a Pillow picture of any mode.

    EXIF orientation is applied, transparency laid on white, 16 bits scaled to 8; floats must go from 0 to 1. A colour
    profile is ignored, as vision-language processors ignore it. `name` is what errors call the picture. Raises
    `MediaError` where it cannot be decoded, is too large, or has values that fit no picture.
    """
    with readable(name):
        check_size(*image.size, name=name)
        image.load()
        rgb = _rgb(image, name=name)
        return Pixels(rgb.width, rgb.height, rgb.tobytes())


def decode(file: IO[bytes], *, decoder: str, name: str) -> Pixels:
    """Decode a picture file with the named decoder of Pillow; the first picture where it holds several."""
    with readable(name), _opened(file, decoder) as image:
        return from_pil(image, name=name)


def is_animated(file: IO[bytes], *, decoder: str, name: str) -> bool:
    """Whether a picture file holds more than one frame, as its header says."""
    with readable(name), _opened(file, decoder) as image:
        return bool(image.is_animated)


def decode_animation(file: IO[bytes], *, decoder: str, name: str) -> Iterator[tuple[float, Pixels]]:
    """The frames of an animated picture with the moments at which they appear, in seconds."""
    from PIL import ImageSequence

    time = 0.0
    with readable(name), _opened(file, decoder) as image:
        for frame in ImageSequence.Iterator(image):
            yield time, from_pil(frame, name=name)
            # Browsers show a frame that names no duration for a tenth of a second.
            time += (frame.info.get("duration") or 100) / 1000


def eight_bits(values: NDArray[Any], *, name: str) -> NDArray[np.uint8]:
    """Floats from 0 to 1 as 0 to 255, rounded; what rounds to a value outside is refused rather than clipped."""
    import numpy as np

    low, high = float(values.min()), float(values.max())
    if not (low >= -HALF_STEP and high <= 1 + HALF_STEP):
        raise MediaError(
            f"{name} goes from {low:.4g} to {high:.4g}; floats must go from 0 to 1. Scale -1..1 with (x + 1) / 2, "
            "and cast 0..255 to uint8"
        )
    return np.rint(values.clip(0, 1).astype(np.float32) * 255).astype(np.uint8)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn whatever Pillow says of a broken file into a `MediaError` that names it."""
    from PIL import Image

    try:
        yield
    except MediaError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise MediaError(f"{name} is too large: {error}. Scale it down first") from error
    except _BROKEN as error:
        raise MediaError(
            f"{name} cannot be decoded: {error}. It seems damaged or cut off: replace it or leave it out"
        ) from error


def check_size(width: int, height: int, *, name: str) -> None:
    """Refuse what would fill the memory, and what shows nothing."""
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name} is too large: {width}x{height} pixels, at most {MAX_PIXELS:,} are decoded. Scale it down first"
        )
    if width * height == 0:
        raise MediaError(f"{name} is empty: {width}x{height} pixels")


@contextmanager
def _opened(file: IO[bytes], decoder: str) -> Iterator[Any]:
    from PIL import Image

    with Image.open(file, formats=(decoder,)) as image:
        yield image


def _rgb(image: Image, *, name: str) -> Image:
    import numpy as np
    from PIL import Image as PillowImage
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        # Pillow's own conversion cuts off at 255 instead of scaling.
        values = np.asarray(image) / (1 if image.mode == "F" else 65535)
        return PillowImage.fromarray(eight_bits(values, name=name)).convert("RGB")
    if image.has_transparency_data:
        canvas = PillowImage.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        return canvas.convert("RGB")
    return image.convert("RGB")


def webp(frames: Sequence[Image], *, lossless: bool, milliseconds: int) -> bytes:
    """A WebP file for a web page: of one frame a picture, of several an endless clip, each shown for so long."""
    buffer = io.BytesIO()
    first, *others = frames
    moving = {"save_all": True, "append_images": others, "duration": milliseconds, "loop": 0} if others else {}
    first.save(buffer, format="WEBP", lossless=lossless, quality=80, **moving)
    return buffer.getvalue()
