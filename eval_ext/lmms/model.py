"""`lmms-eval --model unireward --model_args judge=REF`: any judge that `load_judge` loads, as a model of lmms-eval."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NoReturn

from lmms_eval.api.model import lmms
from loguru import logger
from tqdm import tqdm

from eval_ext.lmms.answers import Asked, encode, source_of
from eval_ext.lmms.benchmark import MISSING, Row, benchmark_of
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.judges import AT_ONCE, ModelJudge, ask, in_one_order
from unireward_plugins.loading import load_judge
from unireward_plugins.rubrics import Readout
from unireward_plugins.types import Case, Judge, Verdict


class UniReward(lmms):  # type: ignore[misc]  # lmms-eval ships without types
    """A judge in the place of a model. It is asked about cases, not prompted, so a task must be one of ours.

    The arguments are those of `load_judge`, whose `ref` is called `judge` here. lmms-eval's own `batch_size` and
    `max_batch_size` are taken and not used: judges batch by themselves.
    """

    is_simple = True

    def __init__(
        self,
        judge: str = "",
        *,
        rubric: str | None = None,
        readout: Readout | None = None,
        family: str | None = None,
        cache: str | None = None,
        batch_size: int | str = 1,  # noqa: ARG002 (lmms-eval gives it to every model)
        max_batch_size: int | None = None,  # noqa: ARG002
        device: str | None = None,
    ) -> None:
        super().__init__()
        if not judge:
            raise UniRewardError("say which judge: --model unireward --model_args judge=REF, as in judge=shapes")
        if device is not None:
            raise UniRewardError(f"--device {device} is not for this model: a judge finds its device by itself. Hide "
                                 "others from it with CUDA_VISIBLE_DEVICES")  # fmt: skip
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UniRewardError("a judge runs in one process; start lmms-eval without `accelerate launch`")
        self.ref = str(judge)
        loaded = load_judge(self.ref, rubric=rubric, readout=readout, family=family, cache=cache)
        # A benchmark holds every pair in both orders; a judge that asks both by itself would hide what flips.
        self.judge = in_one_order(loaded)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """For each request the verdict on its document, as `eval_ext.lmms.answers.encode` writes it.

        Raises `BackendError` where the judge cannot be reached or fails, and `UniRewardError` for a task that is none
        of ours.
        """
        texts: list[str] = []
        with tqdm(total=len(requests), desc=f"judged by {self.ref}") as progress:
            for task, of_task in groupby(requests, key=lambda request: request.args[4]):
                asked = list(of_task)
                for start in range(0, len(asked), AT_ONCE):
                    chunk = asked[start : start + AT_ONCE]
                    documents = [self.task_dict[task][request.args[5]][request.args[3]] for request in chunk]
                    texts += self._texts(documents, task)
                    progress.update(len(chunk))
        return texts

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:  # noqa: ARG002 (the method of every model)
        """No task of ours asks for it; `readout=likelihood` is the way to read a judge's probabilities."""
        raise UniRewardError("a judge gives verdicts, not the likelihood of a text: it judges the tasks unireward_*")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:  # noqa: ARG002
        """No task of ours asks for it."""
        raise UniRewardError("a judge holds no conversation: it judges the tasks unireward_*")

    def _texts(self, documents: Sequence[Row], task: str) -> list[str]:
        if any(document.get(MISSING) for document in documents):
            return [encode(None, {"judge": self.ref}, asked="not at all")] * len(documents)
        start = time.perf_counter()
        try:
            cases = [benchmark_of(document).case(document) for document in documents]
            verdicts, asked = self._verdicts(cases)
        except UnsupportedCase as unsupported:
            logger.warning(f"{task} is left out: {unsupported}")
            return [encode(None, {"judge": self.ref}, asked="not at all")] * len(documents)
        seconds = round((time.perf_counter() - start) / len(cases), 4)
        return [
            encode(verdict, self._source(case, asked), asked=asked, seconds=seconds)
            for case, verdict in zip(cases, verdicts, strict=True)
        ]

    def _verdicts(self, cases: Sequence[Case]) -> tuple[Sequence[Verdict], Asked]:
        """The verdicts, and how they were asked for; `UnsupportedCase` where the judge takes no such cases."""
        try:
            return ask(self.judge, cases), "case"
        except UnsupportedCase:
            if len(cases[0].candidates) != 2:
                raise
        return ask_alone(self.judge, cases), "alone"

    def _source(self, case: Case, asked: Asked) -> dict[str, str]:
        source = {"judge": self.ref}
        if not isinstance(self.judge, ModelJudge):
            return source
        source["revision"] = self.judge.backend.revision
        put = case if asked == "case" else replace(case, candidates=case.candidates[:1])
        return {**source, **source_of(self.judge.rubric_for(put), self.judge.readout)}


def ask_alone(judge: Judge, cases: Sequence[Case]) -> list[Verdict]:
    """Verdicts on pairs by a judge that compares none: each candidate gets a score by itself, from 0 to 1.

    The two do not sum to 1. Where either is unread, so is the pair.
    """
    candidates = [replace(case, candidates=(candidate,)) for case in cases for candidate in case.candidates]
    found = iter(ask(judge, candidates))
    return [_side_by_side(first, next(found)) for first in found]


def _side_by_side(first: Verdict, second: Verdict) -> Verdict:
    reply = f"{first.reply}\n--- the other candidate ---\n{second.reply}"
    if first.scores is None or second.scores is None:
        return Verdict(None, reply=reply, unread=first.unread or second.unread)
    aspects = {name: first.aspects[name] + second.aspects[name] for name in _shared(first, second)}
    return Verdict(first.scores + second.scores, aspects=aspects, reply=reply)


def _shared(first: Verdict, second: Verdict) -> Iterator[str]:
    return (name for name in first.aspects if name in second.aspects)
