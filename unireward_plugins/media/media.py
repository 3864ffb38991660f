"""`Media`: one picture or one clip, whatever it came as."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from unireward_plugins.errors import MediaError
from unireward_plugins.media import arrays, clips, files, pictures, urls
from unireward_plugins.media.files import File, Kind
from unireward_plugins.media.frames import FrameRule
from unireward_plugins.media.pictures import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

_Content: TypeAlias = Union[File, Pixels, "tuple[Media, ...]"]


class Media:
    """One picture or one clip; make it with `Media.of`.

    Files and bytes are decoded when they are needed and not kept decoded, so a million of them fit into memory and a
    pickle of one with a path holds the path. A file must therefore stay as it is while it is in use.

    Two are equal if they show the same: pictures by their size and RGB pixels, so that a PNG file, its bytes and the
    decoded PIL image are one; clips by the bytes of their file, or by their frames where they came as frames.
    """

    __slots__ = ("_content", "_digest", "_kind")

    def __init__(self, content: _Content, kind: Kind) -> None:
        self._content = content
        self._kind: Kind = kind
        self._digest: str | None = None

    @classmethod
    def of(cls, source: Any, *, kind: Kind | None = None, fetch: bool = False) -> Media:
        """The picture or clip in a source of any of these kinds.

        * a path (`str` or `Path`) or the bytes of a picture or clip file, or a `data:` URL;
        * a dictionary with `bytes` or `path`, as `datasets` gives for undecoded pictures;
        * a PIL image of any mode;
        * a numpy array or torch tensor: `HxW`, `HxWxC` or `CxHxW`, for a clip with one more dimension in front;
          `uint8`, or floats from 0 to 1;
        * a list of frames, each any of these: a clip;
        * an `http(s)` address, only with `fetch=True`: then it is fetched here and now, up to 256 MiB and 60 s;
        * another `Media`.

        An animated GIF, PNG, WebP or AVIF is a clip, unless `kind="image"` asks for its first frame. Otherwise `kind`
        only makes sure. Nothing but `source` is ever read: formats that refer to other files are refused. Raises
        `MediaError`, which names the source and the way out.
        """
        if isinstance(source, Media):
            content, actual = source._content, source.kind
        else:
            content = _content(source, fetch=fetch)
            actual = _kind(content, kind)
        if kind is not None and kind != actual:
            raise MediaError(f"{_described(content)} is {_KINDS[actual]}, but {_KINDS[kind]} was expected")
        return source if isinstance(source, Media) else cls(content, actual)

    @property
    def kind(self) -> Kind:
        """`"image"` for a picture, `"video"` for a clip."""
        return self._kind

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal; the same for whatever shows the same (see the class)."""
        if self._digest is None:
            if self.kind == "image":
                self._digest = self._pixels().digest()
            elif isinstance(self._content, File):
                self._digest = self._content.digest()
            else:
                assert isinstance(self._content, tuple)
                frames = "".join(frame.digest for frame in self._content)
                self._digest = hashlib.sha256(b"clip frames\n" + frames.encode()).hexdigest()
        return self._digest

    def pil(self) -> Image:
        """The picture in RGB, upright, on white: a new object each time. `MediaError` for a clip."""
        return self._pixels().pil()

    def data_url(self) -> str:
        """The picture as a PNG in a `data:` URL. `MediaError` for a clip."""
        buffer = io.BytesIO()
        # Level 1 is several times faster than the default and the file little larger.
        self.pil().save(buffer, format="PNG", compress_level=1)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def video_file(self) -> bytes | None:
        """The very bytes of the video file that a clip came as, from its path where it came by one.

        `None` where there is no such file: for pictures, animated pictures and lists of frames. `MediaError` where the
        file cannot be read any more.
        """
        if not isinstance(self._content, File) or self._content.kind != "video":
            return None
        with self._content.open() as file:
            return file.read()

    def sample(self, rule: FrameRule) -> tuple[Media, ...]:
        """The frames of a clip that a rule picks, as pictures. `MediaError` for a picture."""
        if self.kind == "image":
            raise MediaError(f"{_described(self._content)} is a picture and has no frames to sample")
        if isinstance(self._content, File):
            return tuple(Media(pixels, "image") for pixels in clips.sample(self._content, rule))
        assert isinstance(self._content, tuple)
        if rule.name == "fps":
            raise MediaError(
                f"{_described(self._content)} does not say how fast it plays, which the frame rule 'fps' needs. Pass a "
                "video file, or use a rubric whose rule picks by count"
            )
        return tuple(self._content[index] for index in rule.indices(range(len(self._content))))

    def _pixels(self) -> Pixels:
        if self.kind == "video":
            raise MediaError(f"{_described(self._content)} is a clip: take pictures from it with .sample(rule)")
        if isinstance(self._content, Pixels):
            return self._content
        assert isinstance(self._content, File)
        with self._content.open() as file:
            return pictures.decode(file, decoder=self._content.decoder, name=self._content.name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Media):
            return NotImplemented
        return self is other or (self.kind == other.kind and self.digest == other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Media: {self.kind}, {_described(self._content)}>"


_KINDS: Mapping[Kind, str] = {"image": "a picture", "video": "a clip"}


def _content(source: Any, *, fetch: bool) -> _Content:
    """What a source holds: decoded where it is in memory anyway, a file otherwise."""
    match source:
        case str():
            return _from_text(source, fetch=fetch)
        case os.PathLike():
            return files.from_path(Path(source))
        case bytes() | bytearray() | memoryview():
            return files.from_bytes(bytes(source), name=_in_memory(source))
        case Mapping():
            return _from_row(source, fetch=fetch)
        case list() | tuple():
            if not source:
                raise MediaError("an empty list of frames is no clip")
            return tuple(Media.of(frame, kind="image", fetch=fetch) for frame in source)
    return _from_library(source)


def _from_text(source: str, *, fetch: bool) -> File:
    """What a path, a `data:` URL or, if allowed, an address leads to."""
    scheme = source.partition(":")[0].lower()
    if scheme == "data":
        return files.from_bytes(urls.decode(source), name=f"the data: URL {source[:40]!r}...")
    if scheme == "file":
        raise MediaError(f"{source!r} is a file: URL. Pass the path itself")
    if "://" not in source:
        return files.from_path(Path(source))
    if not fetch:
        raise MediaError(
            f"{source!r} is a network address, and nothing is fetched unasked. Get it yourself and pass its path, or "
            "pass Media.of(address, fetch=True)"
        )
    return files.from_bytes(urls.fetch(source), name=repr(source))


def _from_row(row: Mapping[str, Any], *, fetch: bool) -> _Content:
    """What `datasets` gives for a picture or clip that it did not decode."""
    content, path = row.get("bytes"), row.get("path")
    if content is not None:
        return files.from_bytes(bytes(content), name=repr(path) if path else _in_memory(content))
    if path is None:
        raise MediaError(f"a dictionary with the keys {sorted(row)} holds no picture: it needs 'bytes' or 'path'")
    return _content(path, fetch=fetch)


def _from_library(source: Any) -> _Content:
    """What an object of Pillow, torch or numpy shows; there is none of a library that is not loaded."""
    pillow, torch, numpy = (sys.modules.get(name) for name in ("PIL.Image", "torch", "numpy"))
    if pillow and isinstance(source, pillow.Image):
        return pictures.from_pil(source, name=f"a PIL image of {source.width}x{source.height}")
    if torch and isinstance(source, torch.Tensor):
        source, numpy = arrays.from_tensor(source), sys.modules.get("numpy")
    if numpy and isinstance(source, numpy.ndarray):
        decoded = arrays.decode(source)
        return decoded if isinstance(decoded, Pixels) else tuple(Media(pixels, "image") for pixels in decoded)
    raise MediaError(
        f"a {type(source).__module__}.{type(source).__qualname__} is no picture and no clip. Pass a path, bytes, a "
        "data: URL, a PIL image, an array or a list of frames"
    )


def _kind(content: _Content, wanted: Kind | None) -> Kind:
    """What the content is; for animated pictures, what it is wanted as."""
    if isinstance(content, Pixels):
        return "image"
    if isinstance(content, tuple):
        return "video"
    if content.decoder in files.ANIMATED:
        with content.open() as file:
            animated = pictures.is_animated(file, decoder=content.decoder, name=content.name)
        return (wanted or "video") if animated else "image"
    return content.kind


def _in_memory(content: bytes | bytearray | memoryview) -> str:
    return f"a file of {len(content):,} bytes in memory"


def _described(content: _Content) -> str:
    if isinstance(content, File):
        return content.name
    if isinstance(content, Pixels):
        return f"{content.width}x{content.height} pixels"
    return f"a list of {len(content)} frames"
