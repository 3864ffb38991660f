"""Latents of pairs and embeddings of prompts, computed once, kept on disk and read from there by memory map.

A cache is a folder of safetensors files named by a hash of all that its content depends on: the pairs, their size, and
the weights of VAE and text encoders. Files appear as a whole, so that a stopped run goes on where it was, and several
processes can share the work.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffusers_ext.families.adapter import Adapter, Conditions
from diffusers_ext.preferences import Preferences
from diffusers_ext.training_pipeline import stored_components
from hub.schema import frames_of
from unireward_plugins.backends.fingerprint import folder_hash
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT = 1
"""Changes when what is computed, or how it is kept, changes."""
DRAFT = ".part"
"""How the names of files end that are not whole yet."""
PAIRS_A_SHARD = 64
PROMPTS_A_SHARD = 256
PROMPTS_AT_ONCE = 16
"""How many prompts are encoded in one pass."""

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is cached, and where."""

    folder: Path
    preferences: Preferences
    prompts: tuple[str, ...]
    """Without repetition."""
    resolution: int | Size
    frames: int | None
    flips: tuple[bool, ...]
    """Whether mirrored, for each way in which a pair is kept."""

    @property
    def shards(self) -> list[Path]:
        """All files, latents first."""
        counts = {"latents": (len(self.preferences), PAIRS_A_SHARD), "prompts": (len(self.prompts), PROMPTS_A_SHARD)}
        return [
            self.folder / f"{kind}-{number:05}.safetensors"
            for kind, (count, size) in counts.items()
            for number in range(math.ceil(count / size))
        ]

    @property
    def is_complete(self) -> bool:
        """Whether everything is there."""
        return all(shard.is_file() for shard in self.shards)


def plan_cache(
    root: Path,
    preferences: Preferences,
    pipeline: Path,
    *,
    resolution: int | Size,
    frames: int | None = None,
    flip: bool = False,
    empty: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Plan:
    """The cache of these pairs below `root`, for the pipeline in a folder, whose weights decide where.

    `resolution`, `frames` and `flip` are as in `DPOConfig`; `empty` adds the empty prompt, and `dtype` is
    the precision of the text encoders, whose embeddings differ with it. Nothing is computed.
    """
    prompts = dict.fromkeys([*preferences.prompts, *([""] if empty else [])])
    flips = (False, True) if flip else (False,)
    what = [preferences.digest, list(prompts), resolution, frames, flips]
    depends = [FORMAT, *what, _encoders_hash(pipeline), str(dtype)]
    name = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:24]
    return Plan(root / name, preferences, tuple(prompts), resolution, frames, flips)


def fill_cache(
    plan: Plan,
    adapter: Adapter,
    *,
    process: int = 0,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compute what is not there yet: every so many-th file, where several processes share the work.

    The adapter's pipeline has its VAE and text encoders. `progress` is told how many files are done, of how many.
    Raises `UniRewardError` where the adapter cannot take pixels of the plan's size.
    """
    check_resolution(plan.resolution, adapter)
    plan.folder.mkdir(parents=True, exist_ok=True)
    mine = plan.shards[process::processes]
    for done, shard in enumerate(mine):
        if progress is not None:
            progress(done, len(mine))
        if shard.is_file():
            continue
        kind, number = shard.stem.split("-")
        tensors = dict((_latents if kind == "latents" else _embeddings)(plan, adapter, int(number)))
        _write(shard, tensors)


@dataclass(slots=True)
class Cache:
    """Reads a complete cache."""

    plan: Plan
    _number: dict[str, int] = field(init=False)
    _open: dict[Path, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._number = {prompt: number for number, prompt in enumerate(self.plan.prompts)}
        if not self.plan.is_complete:
            raise UniRewardError(f"the cache {str(self.plan.folder)!r} is not complete: fill_cache it first")
        for draft in self.plan.folder.glob(f"*{DRAFT}"):  # of a run that was killed; nobody needs it any more
            draft.unlink(missing_ok=True)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each pair's latents, without a dimension for the batch."""
        return [
            tuple(self._file("latents", index, PAIRS_A_SHARD).get_slice(str(index)).get_shape()[2:])
            for index in range(len(self.plan.preferences))
        ]

    def latents(self, index: int, *, flip: bool = False) -> Tensor:
        """The latents of a pair, `(2, channels, ...)`: chosen, rejected; in float32."""
        kept: Tensor = self._file("latents", index, PAIRS_A_SHARD).get_slice(str(index))[self.plan.flips.index(flip)]
        return kept

    def conditions(self, prompts: Sequence[str]) -> Conditions:
        """The embeddings of prompts, one row each, as `Adapter.conditions` gave them."""
        rows = [self._embedding(self._number[prompt]) for prompt in prompts]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    def _embedding(self, number: int) -> dict[str, Tensor]:
        shard = self._file("prompts", number, PROMPTS_A_SHARD)
        return {name: shard.get_tensor(f"{number}.{name}") for name in shard.metadata()["names"].split()}

    def _file(self, kind: str, index: int, size: int) -> Any:
        from safetensors import safe_open

        path = self.plan.folder / f"{kind}-{index // size:05}.safetensors"
        if path not in self._open:
            self._open[path] = safe_open(path, "pt")
        return self._open[path]


# Pictures to pixels


def bucket_of(aspect: float, resolution: int | Size) -> Size:
    """The height and width that a pair of this aspect, width / height, is cut to.

    With one number `r`, of all rectangles with sides in steps of 64 (of the largest power of two up to 64 that divides
    r), an area of at most r^2 and an aspect from 2:5 to 5:2, the one that is nearest in aspect; the buckets of NovelAI,
    without their upper limit on sides. Of equally near ones the largest.
    """
    if not isinstance(resolution, int):
        return resolution
    step = _step_of(resolution)
    if resolution < 1 or step < 8:
        raise UniRewardError(f"resolution must be a multiple of 8, better of 64, got {resolution}")
    sides = [(width, resolution**2 // width // step * step) for width in range(step, 2 * resolution + 1, step)]
    rectangles = {(high, wide) for wide, high in sides if high} | {(wide, high) for wide, high in sides if high}
    fitting = [(high, wide) for high, wide in rectangles if 0.4 <= wide / high <= 2.5]
    return min(fitting, key=lambda size: (abs(math.log(size[1] / size[0] / aspect)), -size[0] * size[1]))


def check_resolution(resolution: int | Size, adapter: Adapter) -> None:
    """Raise `UniRewardError` where pixels of this size do not come out as whole tokens of an adapter's denoiser."""
    step = adapter.pixel_step
    sides = (_step_of(resolution),) if isinstance(resolution, int) else resolution
    if any(side % step for side in sides):
        given = resolution if isinstance(resolution, int) else list(resolution)
        raise UniRewardError(
            f"resolution must be in steps of {step} pixels for this {type(adapter.pipeline).__name__}, got {given}"
        )


def _step_of(resolution: int) -> int:
    """The steps in which the sides of a resolution's buckets grow."""
    return math.gcd(resolution, 64)


def aspect_of(pair: tuple[Media, Media]) -> float:
    """Width / height of a pair: the geometric mean of its two."""
    return math.sqrt(math.prod(wide / high for high, wide in map(size_of, pair)))


def size_of(media: Media) -> Size:
    """The height and width of a picture, or of a clip's first frame."""
    wide, high = (media.pil() if media.kind == "image" else frames_of(media)[0].pil()).size
    return high, wide


def pixels_of(media: Media, size: Size, *, frames: int | None = None, flip: bool = False) -> Tensor:
    """A picture `(3, height, width)`, or a clip `(frames, 3, height, width)`, in -1..1.

    Made just large enough (Lanczos) and cut at the centre. Of a clip the first `frames` count; `UniRewardError` where
    it has fewer.
    """
    if media.kind == "image":
        return _pixels(media.pil(), size, flip=flip)
    every = frames_of(media)
    if frames is not None and len(every) < frames:
        raise UniRewardError(f"{media!r} has {len(every)} frames, and frames={frames} were asked for")
    return torch.stack([_pixels(frame.pil(), size, flip=flip) for frame in every[:frames]])


def _pixels(picture: Image, size: Size, *, flip: bool) -> Tensor:
    import numpy as np
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(picture, (size[1], size[0]), method=Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.array(ImageOps.mirror(fitted) if flip else fitted))
    return values.permute(2, 0, 1).float() / 127.5 - 1


# Shards


def _latents(plan: Plan, adapter: Adapter, number: int) -> Iterator[tuple[str, Tensor]]:
    """The latents of a shard's pairs, each `(flips, 2, channels, ...)`."""
    first = number * PAIRS_A_SHARD
    for index in range(first, min(first + PAIRS_A_SHARD, len(plan.preferences))):
        pair = plan.preferences.pair(index)
        if (pair[0].kind == "video") != adapter.is_video:
            wanted = "clips" if adapter.is_video else "pictures"
            raise UniRewardError(f"pair {index} is no pair of {wanted}, which {type(adapter).__name__} is trained with")
        size = bucket_of(aspect_of(pair), plan.resolution)
        views = [[pixels_of(media, size, frames=plan.frames, flip=flip) for media in pair] for flip in plan.flips]
        if len({view.shape for view in views[0]}) > 1:
            lengths = " and ".join(str(len(view)) for view in views[0])
            raise UniRewardError(f"the clips of pair {index} have {lengths} frames: set frames= to the least of all")
        latents = adapter.latents(torch.stack([view for both in views for view in both])).float()
        yield str(index), latents.reshape(len(plan.flips), 2, *latents.shape[1:]).contiguous().cpu()


def _embeddings(plan: Plan, adapter: Adapter, number: int) -> Iterator[tuple[str, Tensor]]:
    """The embeddings of a shard's prompts."""
    first = number * PROMPTS_A_SHARD
    last = min(first + PROMPTS_A_SHARD, len(plan.prompts))
    for start in range(first, last, PROMPTS_AT_ONCE):
        some = range(start, min(start + PROMPTS_AT_ONCE, last))
        conditions = adapter.conditions([plan.prompts[index] for index in some])
        for name, rows in conditions.items():
            for index, row in zip(some, rows, strict=True):
                yield f"{index}.{name}", row.contiguous().cpu().clone()


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    draft = path.with_suffix(f".{os.getpid()}{DRAFT}")
    names = sorted({name.partition(".")[2] for name in tensors})
    save_file(dict(tensors), draft, metadata={"names": " ".join(names)})
    try:
        draft.replace(path)
    except FileNotFoundError:
        if not path.is_file():  # else another run was quicker, and has cleared up in the complete cache
            raise


def _encoders_hash(pipeline: Path) -> str:
    """A hash of the VAE, the text encoders and the tokenizers of the pipeline in a folder, and of nothing beside it."""
    digest = hashlib.sha256()
    for name in sorted(stored_components(pipeline)):
        if name.startswith(("vae", "text_encoder")):
            digest.update(f"{name}\n{folder_hash(pipeline / name)}".encode())
        elif name.startswith("tokenizer"):
            digest.update(f"{name}\n".encode())
            for file in sorted(path for path in (pipeline / name).iterdir() if path.is_file()):
                digest.update(file.read_bytes())
    return digest.hexdigest()
