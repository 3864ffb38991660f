"""Reads the files that `unireward vlmeval` leaves beside those of VLMEvalKit, one for a model and a dataset.

Their figures have the names of those of lmms-eval's tasks, which ask the same pairs: on a page they stand side by side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eval_ext.results import Run, TaskResult, unwrapped
from eval_ext.vlmevalkit.table import SOURCES
from unireward_plugins.errors import UniRewardError

FORMAT = "unireward.vlmeval/1"
"""What `format` says in such a file. Beside it stand `model`, `data`, `benchmark`, `vlmevalkit` (its version) and
`results`: the metrics of the task for lmms-eval under the same names, `provenance` with them."""
ENDING = "_unireward.json"
"""What the names of these files end with; the rest is that of VLMEvalKit's file of predictions."""


def read_vlmeval(folder: Path) -> list[Run]:
    """All such files in a folder and the folders in it, each as a run, the oldest first.

    VLMEvalKit links its newest results once more from above; links are passed over. Raises `UniRewardError` for a file
    that is not whole, or of another layout.
    """
    files = [file for file in folder.rglob(f"*{ENDING}") if not file.is_symlink()]
    return sorted((_run(file) for file in files), key=lambda run: (run.date, str(run.file)))


def _run(file: Path) -> Run:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UniRewardError(
            f"{file} is not whole ({error}). Remove it, and run the same `unireward vlmeval` command again"
        ) from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        found = told.get("format") if isinstance(told, dict) else None
        raise UniRewardError(f"{file} has the layout {found!r}; this version reads {FORMAT!r}. Measure again")
    result = _task(told)
    written = datetime.fromtimestamp(file.stat().st_mtime, tz=UTC)
    return Run(
        file,
        model=next((one["judge"] for one in result.provenance.get("sources", ()) if "judge" in one), told["model"]),
        date=f"{written:%Y%m%d_%H%M%S}",
        zone="UTC",
        settings={"model": told["model"], "model arguments": f"VLMEvalKit {told['vlmevalkit'] or ''}".strip()},
        tasks={result.name: result},
    )


def _task(told: Mapping[str, Any]) -> TaskResult:
    """The result under the name of the task for lmms-eval: the dataset's, in small letters."""
    metrics = {name: unwrapped(value) for name, value in told["results"].items()}
    source = SOURCES.get(told["data"])
    settings = (
        {}
        if source is None
        else {"dataset_path": source.repository, "dataset_name": source.name, "test_split": source.split}
    )
    asked = metrics.get("provenance", {}).get("asked", {})
    return TaskResult(str(told["data"]).lower(), metrics=metrics, settings=settings, documents=sum(asked.values()))
