"""JSON Lines files, written and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_rows(path: Path, *rows: dict[str, Any]) -> Path:
    """Write one row a line; returns the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
