"""Where the benchmarks lie: on the Hub, or in copies of their repositories on this machine.

With the environment variable `UNIREWARD_DATA` set to a folder, a repository is read from there if it holds a copy under
the repository's name, as `hf download TIGER-Lab/GenAI-Bench --repo-type dataset --local-dir
$UNIREWARD_DATA/TIGER-Lab/GenAI-Bench` makes one. The YAML files name a repository as an attribute of this module.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from unireward_plugins.media import Media

DATA = "UNIREWARD_DATA"
"""The environment variable with the folder of the copies."""


def __getattr__(name: str) -> str:
    """Where the repository of that name is loaded from: `eval_ext.lmms.data.TIGER-Lab/GenAI-Bench` (PEP 562)."""
    if name.count("/") != 1:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    copy = copy_of(name)
    return name if copy is None else str(copy)


def copy_of(repository: str) -> Path | None:
    """The copy of a repository on this machine, where there is one."""
    folder = os.environ.get(DATA)
    copy = Path(folder) / repository if folder else None
    return copy if copy is not None and copy.is_dir() else None


def missing_clips(repository: str, folder: str) -> str:
    """Why the clips of a repository, which come in archives, cannot be shown; empty where they can."""
    copy = copy_of(repository)
    if copy is not None and (copy / folder).is_dir():
        return ""
    return (
        f"the clips of {repository} come in archives. Get them with `hf download {repository} --repo-type dataset "
        f"--local-dir FOLDER/{repository}`, unpack the archives there so that it has a folder {folder!r}, and set "
        f"{DATA}=FOLDER"
    )


@lru_cache(maxsize=256)
def clip(repository: str, source: str) -> Media:
    """A clip that a repository names: by an address, from where it is fetched, or by its place in the copy here.

    A pair is asked in both orders, one after the other, so what was fetched is kept for a while. Raises `MediaError`
    where there is nothing.
    """
    if source.startswith(("http://", "https://")):
        return Media.of(source, kind="video", fetch=True)
    return Media.of((copy_of(repository) or Path(repository)) / source, kind="video")
