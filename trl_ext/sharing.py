"""Several rewards over one judge ask it once: a judge that remembers the last batch that it was asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from unireward_plugins.judges import ask
from unireward_plugins.types import Case, Judge, Verdict


class LastBatch:
    """A judge that gives the verdicts of its last batch again when it is asked about the same batch.

    TRL calls each reward function of a step with the same completions, so that two aspects of one judge would otherwise
    be two runs of the same model. Use `LastBatch.of`: it gives all users of a judge the same memory.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self._last: tuple[tuple[Case, ...], list[Verdict]] = ((), [])

    @classmethod
    def of(cls, judge: Judge) -> LastBatch:
        """The one memory of a judge, shared by everyone who asks for it while it is in use."""
        # By identity: a judge need not be hashable. An entry lives as long as its memory, which keeps the judge alive,
        # so that an id cannot come to mean another judge.
        memory = _MEMORIES.get(id(judge))
        if memory is None:
            memory = _MEMORIES[id(judge)] = cls(judge)
        return memory

    def __call__(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict per case, in order; `UniRewardError` where the judge breaks that contract."""
        batch = tuple(cases)
        asked, verdicts = self._last
        if batch != asked:
            verdicts = ask(self.judge, batch) if batch else []
            self._last = (batch, verdicts)
        return verdicts

    def __reduce__(self) -> tuple[Any, ...]:
        return LastBatch.of, (self.judge,)


_MEMORIES: WeakValueDictionary[int, LastBatch] = WeakValueDictionary()
