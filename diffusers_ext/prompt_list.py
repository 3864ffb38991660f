"""The prompts that generators are measured on: any file of prompts, or VBench's list with its dimensions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from diffusers_ext.prompts import read_prompts
from unireward_plugins.errors import UniRewardError

Layout = Literal["plain", "vbench"]

VBENCH_SAMPLES = 5
"""How many clips of each prompt VBench's scorer looks for: `{prompt}-0.mp4` to `{prompt}-4.mp4`, all in one folder
(`build_full_info_json` in Vchitect/VBench, vbench/__init__.py)."""
LONGEST_NAME = 255
"""The most bytes of a file name on the usual file systems."""


@dataclass(frozen=True, slots=True)
class PromptList:
    """Prompts in their order, and what files made for them are called."""

    prompts: tuple[str, ...]
    layout: Layout = "plain"
    dimensions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of VBench's prompts: the dimensions that each is there for."""

    def stem(self, number: int, sample: int) -> str:
        """The file name, without its ending, of a sample (from 0) of the prompt with a number (from 0)."""
        return f"{self.prompts[number]}-{sample}" if self.layout == "vbench" else f"{number:05}-{sample}"

    @property
    def samples(self) -> int:
        """How many samples of each prompt are usual."""
        return VBENCH_SAMPLES if self.layout == "vbench" else 1

    @property
    def described(self) -> dict[str, Any]:
        """`count`, `digest` and `layout`."""
        content = json.dumps(self.prompts, ensure_ascii=False).encode()
        digest = hashlib.sha256(content).hexdigest()[:16]
        return {"count": len(self.prompts), "digest": digest, "layout": self.layout}


def read_prompt_list(source: str | Path | Sequence[str]) -> PromptList:
    """The prompts in a file, a folder or a sequence (`read_prompts`), or in a list of VBench's form.

    That is a JSON list of objects with `prompt_en` and `dimension`, as `VBench_full_info.json`; a prompt that stands
    there twice counts once, for the dimensions of both. Raises `UniRewardError` as `read_prompts` does, and where such
    a prompt cannot be a file's name, as VBench wants it.
    """
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".json" and Path(source).is_file():
        rows = _rows(Path(source))
        if rows and isinstance(rows[0], dict) and "prompt_en" in rows[0]:
            return _vbench(rows, place=str(source))
    return PromptList(tuple(read_prompts(source)))


def _rows(file: Path) -> list[Any]:
    """The entries of a JSON list; none where it is none, which `read_prompts` will say."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError:
        return []
    return rows if isinstance(rows, list) else []


def _vbench(rows: Sequence[Any], *, place: str) -> PromptList:
    dimensions: dict[str, tuple[str, ...]] = {}
    for number, row in enumerate(rows, start=1):
        prompt = row.get("prompt_en") if isinstance(row, dict) else None
        named = row.get("dimension") if isinstance(row, dict) else None
        if not isinstance(prompt, str) or not prompt.strip():
            raise UniRewardError(f"{place}, entry {number} has no text `prompt_en`, as a list of VBench's form has")
        if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
            raise UniRewardError(f"{place}, entry {number}: `dimension` must be a list of names, got {named!r}")
        if "/" in prompt or "\0" in prompt or len(f"{prompt}-0.mp4".encode()) > LONGEST_NAME:
            raise UniRewardError(
                f"{place}, entry {number}: VBench looks for files named after their prompts, and {prompt!r} can be no "
                "file's name. Give the prompts as texts to have the files numbered"
            )
        dimensions[prompt] = tuple(dict.fromkeys((*dimensions.get(prompt, ()), *named)))
    return PromptList(tuple(dimensions), "vbench", dimensions)
