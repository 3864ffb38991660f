"""The model class that VLMEvalKit sees: any judge that `load_judge` loads.

About our datasets it is asked as the judge that it is, by the rubrics that it was trained on. Any other dataset asks
the model behind it, so that the same checkpoint is measured as a judge and as a model in one run.
"""

from __future__ import annotations

import json
import time
from typing import Any

from vlmeval.vlm.base import BaseModel

from eval_ext.lmms.answers import Asked, encode, source_of
from eval_ext.vlmevalkit.grader import replied
from eval_ext.vlmevalkit.table import PREFIX, case_of
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import ModelJudge, ask, in_one_order
from unireward_plugins.loading import load_judge
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Query, Verdict

CASE = "unireward_case"
"""The key of the JSON text that stands for a line of our datasets."""


class UniRewardJudge(BaseModel):  # type: ignore[misc]  # VLMEvalKit ships without types
    """A judge in the place of a model."""

    INTERLEAVE = True

    def __init__(self, ref: str, **choice: Any) -> None:
        """`ref` and `choice` are those of `load_judge`."""
        super().__init__()
        # Every pair stands in the table in both orders.
        self.judge = in_one_order(load_judge(ref, **choice))
        self.ref = ref

    def use_custom_prompt(self, dataset: str) -> bool:
        """Our datasets come as cases."""
        return dataset.startswith(PREFIX)

    def build_prompt(self, line: Any, dataset: str) -> list[dict[str, str]]:
        """A line of one of our datasets: the files of its pictures, and the rest as JSON."""
        files = self.dump_image(line, dataset)
        rest = {name: str(value) for name, value in line.items() if name not in ("index", "image_path")}
        return [
            *({"type": "image", "value": file} for file in files),
            {"type": "text", "value": json.dumps({CASE: rest}, ensure_ascii=False)},
        ]

    def generate_inner(self, message: list[dict[str, str]], dataset: str | None = None) -> str:
        """What the judge says of the case, as `eval_ext.lmms.answers.encode` writes it; of another dataset, the reply.

        Raises `BackendError` where the judge cannot be reached or fails.
        """
        files = [part["value"] for part in message if part["type"] == "image"]
        texts = [part["value"] for part in message if part["type"] == "text"]
        if dataset is not None and self.use_custom_prompt(dataset):
            return self._verdict(case_of(json.loads(texts[0])[CASE], files))
        if not isinstance(self.judge, ModelJudge):
            raise UniRewardError(f"judge {self.ref!r} is no model that could answer the questions of {dataset}")
        if len(files) + len(texts) != len(message):
            raise UniRewardError(f"a judge takes no clips from VLMEvalKit, and {dataset} shows some")
        media = tuple(Media.of(file, kind="image") for file in files)
        return replied(self.judge.backend, Query("\n".join(texts), media=media))

    def _verdict(self, case: Case) -> str:
        began = time.perf_counter()
        verdict: Verdict | None
        asked: Asked
        try:
            (verdict,), asked = ask(self.judge, [case]), "case"
        except UnsupportedCase:
            verdict, asked = None, "not at all"
        seconds = round(time.perf_counter() - began, 4)
        return encode(verdict, self._source(case, asked), asked=asked, seconds=seconds)

    def _source(self, case: Case, asked: Asked) -> dict[str, str]:
        """What the verdict depends on besides the case."""
        if not isinstance(self.judge, ModelJudge):
            return {"judge": self.ref}
        source = {"judge": self.ref, "revision": self.judge.backend.revision}
        return source if asked != "case" else source | source_of(self.judge.rubric_for(case), self.judge.readout)
