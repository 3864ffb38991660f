"""Pictures and clips, whatever they come as: decoded when needed, equal when they show the same."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote_to_bytes

from unireward_plugins.errors import MediaError
from unireward_plugins.media import arrays, clips, files, pictures
from unireward_plugins.media.files import File
from unireward_plugins.media.frames import FrameRule
from unireward_plugins.media.pictures import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FrameRule", "Media"]

Kind = Literal["image", "video"]


class Media:
    """One picture or one clip. Make it with `Media.of`."""

    __slots__ = ("_digest", "_source", "kind")

    kind: Kind
    _source: File | Pixels | tuple[Media, ...]
    _digest: str | None

    def __init__(self, source: File | Pixels | tuple[Media, ...], kind: Kind) -> None:
        self._source, self.kind, self._digest = source, kind, None

    @classmethod
    def of(cls, source: Any, *, kind: Kind | None = None, fetch: bool = False) -> Media:
        """The picture or clip in a path, bytes, `data:` URL, PIL image, array, tensor or list of frames."""
        return _of(source, kind, fetch)

    @property
    def digest(self) -> str:
        """What identifies the content."""
        if self._digest is None:
            if isinstance(self._source, Pixels) or self.kind == "image":
                self._digest = self._pixels().digest()
            elif isinstance(self._source, File):
                self._digest = self._source.digest()
            else:
                joined = "clip frames\n" + "".join(frame.digest for frame in self._source)
                self._digest = hashlib.sha256(joined.encode()).hexdigest()
        return self._digest

    def pil(self) -> Image:
        """The picture in RGB; a new object each time."""
        return self._pixels().pil()

    def data_url(self) -> str:
        """The picture as a PNG in a `data:` URL."""
        buffer = io.BytesIO()
        self.pil().save(buffer, format="PNG", compress_level=1)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def sample(self, rule: FrameRule) -> tuple[Media, ...]:
        """The frames of a clip that a rule picks, as pictures."""
        if self.kind == "image":
            raise MediaError(f"{self!r} is a picture, it has no frames to sample")
        if isinstance(self._source, tuple):
            if rule.name == "fps":
                raise MediaError("a list of frames does not say how fast it plays: use a rule with a count")
            return tuple(self._source[i] for i in rule.indices([float(i) for i in range(len(self._source))]))
        assert isinstance(self._source, File)
        return tuple(Media(pixels, "image") for pixels in clips.sample(self._source, rule))

    def _pixels(self) -> Pixels:
        if isinstance(self._source, Pixels):
            return self._source
        if self.kind == "video" or isinstance(self._source, tuple):
            raise MediaError(f"{self!r} is a clip: take pictures from it with .sample(rule)")
        with self._source.open() as file:
            return pictures.decode(file, format=self._source.format, name=self._source.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Media) and (self is other or (self.kind, self.digest) == (other.kind, other.digest))

    def __hash__(self) -> int:
        return hash((self.kind, self.digest))

    def __repr__(self) -> str:
        match self._source:
            case File(name=name):
                return f"Media({self.kind} {name})"
            case Pixels(width=width, height=height):
                return f"Media({self.kind} {width}x{height})"
        return f"Media({self.kind} of {len(self._source)} frames)"


def _of(source: Any, kind: Kind | None, fetch: bool) -> Media:  # noqa: FBT001, C901, PLR0911
    match source:
        case Media():
            return source
        case str() if source.startswith("data:"):
            head, _, body = source.partition(",")
            try:
                raw = base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
            except binascii.Error as error:
                raise MediaError(f"the data: URL {source[:40]!r}... is not valid base64: {error}") from error
            return _of_file(files.from_bytes(raw, name=f"the data: URL {source[:40]!r}"), kind)
        case str() if "://" in source:
            raise MediaError(f"{source!r} is a network address; fetch it yourself")
        case str() | os.PathLike():
            return _of_file(files.from_path(Path(source)), kind)
        case bytes() | bytearray() | memoryview():
            return _of_file(files.from_bytes(bytes(source), name=f"a picture or clip of {len(source):,} bytes"), kind)
        case {"bytes": content, "path": path}:
            return _of(path if content is None else content, kind, fetch)
        case list() | tuple():
            return Media(tuple(_of(frame, "image", fetch) for frame in source), "video")
    if (pillow := sys.modules.get("PIL.Image")) and isinstance(source, pillow.Image):
        return Media(pictures.from_pil(source, name=f"a PIL image of {source.width}x{source.height}"), "image")
    if (torch := sys.modules.get("torch")) and isinstance(source, torch.Tensor):
        source = arrays.from_tensor(source)
    if (numpy := sys.modules.get("numpy")) and isinstance(source, numpy.ndarray):
        name = f"an array of shape {source.shape}"
        if source.ndim == 4:
            return Media(tuple(Media(arrays.pixels(frame, name=name), "image") for frame in source), "video")
        return Media(arrays.pixels(source, name=name), "image")
    raise MediaError(f"cannot make a picture or clip of {type(source).__name__}")


def _of_file(file: File, kind: Kind | None) -> Media:
    actual = file.kind
    if file.format in files.ANIMATED:
        with file.open() as content:
            actual = "video" if pictures.is_animated(content, format=file.format, name=file.name) else "image"
    if kind is not None and kind != actual and file.format not in files.ANIMATED:
        raise MediaError(f"{file.name} is a {actual}, not a {kind}")
    return Media(file, kind or actual)
