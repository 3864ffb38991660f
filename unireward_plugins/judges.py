"""Judges: a model, the rubrics it is asked by and the way its replies are read, in one callable.

`both_orders(judge)` makes any judge ask both ways, and `in_one_order(judge)` undoes it; `ask(judge, cases)` holds any
judge to its contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unireward_plugins.cache import VerdictCache, verdict_key
from unireward_plugins.errors import UniRewardError, UnsupportedCase
from unireward_plugins.rubrics import Readout, Rubric
from unireward_plugins.types import TOO_LONG, Backend, Case, Judge, Query, Reply, Task, Verdict

AT_ONCE = 64
"""How many questions are asked at a time where it matters: with a cache, an interruption loses no more than these
verdicts; with clips, the memory holds no more than the frames of these."""


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """A judge that asks a model by a rubric, and reads the verdict from its reply or from its probabilities."""

    name: str
    """What the user called it by."""
    backend: Backend
    rubrics: Mapping[tuple[Task, int], Rubric] = field(repr=False)
    """The rubric for each task and number of candidates judged at a time."""
    readout: Readout = "generate"
    """`"generate"`: read the reply. `"likelihood"`: read the probabilities of the verdicts, generating none."""
    cache: VerdictCache | None = None

    def __post_init__(self) -> None:
        # A dictionary of its own: a read-only view, as tables often are, does not pickle.
        object.__setattr__(self, "rubrics", dict(self.rubrics))

    def supports(self, task: Task, arity: int) -> bool:
        """Whether the judge judges `arity` candidates of the task at a time."""
        return (task, arity) in self.rubrics

    def rubric_for(self, case: Case) -> Rubric:
        """The rubric that the case is judged by; `UnsupportedCase` where the judge has none."""
        arity = len(case.candidates)
        try:
            return self.rubrics[case.task, arity]
        except KeyError:
            able = ", ".join(f"{task} ({count} at a time)" for task, count in sorted(self.rubrics))
            more = " Compare more than two with a tournament of pairs." if arity > 2 else ""
            raise UnsupportedCase(
                f"judge {self.name!r} cannot judge {arity} candidate(s) of {case.task} at a time. "
                f"By {self.readout} it judges: {able}.{more}"
            ) from None

    def __call__(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict per case, in order. Raises `UnsupportedCase` before anything is asked, and `BackendError`."""
        rubrics = [self.rubric_for(case) for case in cases]
        if self.cache is None:
            step = AT_ONCE if any(rubric.frames for rubric in rubrics) else max(1, len(cases))
            chunks = [slice(start, start + step) for start in range(0, len(cases), step)]
            return [verdict for chunk in chunks for verdict in self._ask(cases[chunk], rubrics[chunk])]
        revision = self.backend.revision
        keys = [
            verdict_key(case, rubric=rubric, readout=self.readout, revision=revision)
            for case, rubric in zip(cases, rubrics, strict=True)
        ]
        known = self.cache.get(keys)
        missing = [index for key, index in {key: index for index, key in enumerate(keys)}.items() if key not in known]
        for start in range(0, len(missing), AT_ONCE):
            asked = missing[start : start + AT_ONCE]
            verdicts = self._ask([cases[index] for index in asked], [rubrics[index] for index in asked])
            fresh = {keys[index]: verdict for index, verdict in zip(asked, verdicts, strict=True)}
            # How much a server's model holds may be set anew, and asking again costs no reply.
            self.cache.put({key: verdict for key, verdict in fresh.items() if verdict.unread != TOO_LONG.unread})
            known.update(fresh)
        return [known[key] for key in keys]

    def _ask(self, cases: Sequence[Case], rubrics: Sequence[Rubric]) -> list[Verdict]:
        queries = [rubric.query(case, readout=self.readout) for case, rubric in zip(cases, rubrics, strict=True)]
        # Policies repeat themselves: the same question is asked once, since a judge decodes greedily.
        distinct = list(dict.fromkeys(queries))
        replies: dict[Query, Reply] = dict(zip(distinct, self.backend(distinct), strict=True))
        return [
            rubric.verdict(replies[query], readout=self.readout) for rubric, query in zip(rubrics, queries, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class BothOrders:
    """A judge that sees every comparison in both orders and averages; see `both_orders`."""

    judge: Judge

    def supports(self, task: Task, arity: int) -> bool:
        """Whether the judge inside judges `arity` candidates of the task at a time; a plain callable may try."""
        return self.judge.supports(task, arity) if isinstance(self.judge, ModelJudge) else True

    def __call__(self, cases: Sequence[Case]) -> list[Verdict]:
        """One verdict per case, in order; all orders are asked in one call of the judge inside."""
        compared = [index for index, case in enumerate(cases) if len(case.candidates) > 1]
        answers = ask(self.judge, [*cases, *(cases[index].reversed() for index in compared)])
        verdicts = answers[: len(cases)]
        for index, swapped in zip(compared, answers[len(cases) :], strict=True):
            verdicts[index] = average_of_orders(verdicts[index], swapped.reversed())
        return verdicts


def both_orders(judge: Judge) -> BothOrders:
    """A judge that asks every comparison in both orders, so that a preference for a position cancels out.

    A judge that always says "first" comes out as a tie. Cases with one candidate pass through unchanged. One that does
    so already stays as it is.
    """
    return BothOrders(in_one_order(judge))


def in_one_order(judge: Judge) -> Judge:
    """The judge that asks every comparison once, as it stands: the one inside of `both_orders`, any other itself."""
    return judge.judge if isinstance(judge, BothOrders) else judge


def average_of_orders(straight: Verdict, swapped: Verdict) -> Verdict:
    """The mean of two verdicts on the same case, the second already turned back to the order of the first.

    If only one was read there is no verdict: what was read carries the position bias that asking twice is to remove.
    """
    reply = f"{straight.reply}\n--- in the other order ---\n{swapped.reply}"
    if straight.scores is None or swapped.scores is None:
        both_unread = straight.scores is None and swapped.scores is None
        return Verdict(scores=None, reply=reply, unread=straight.unread if both_unread else "orders")
    return Verdict(
        scores=_means(straight.scores, swapped.scores),
        aspects={
            name: _means(values, swapped.aspects[name])
            for name, values in straight.aspects.items()
            if name in swapped.aspects
        },
        reply=reply,
    )


def _means(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, ...]:
    return tuple((a + b) / 2 for a, b in zip(first, second, strict=True))


def ask(judge: Judge, cases: Sequence[Case]) -> list[Verdict]:
    """The judge's verdicts on the cases; `UniRewardError` unless there is one a case, with one score a candidate."""
    verdicts = list(judge(cases))
    if len(verdicts) != len(cases):
        raise UniRewardError(f"judge {judge!r} was asked about {len(cases)} cases and gave {len(verdicts)} verdicts")
    for case, verdict in zip(cases, verdicts, strict=True):
        if not isinstance(verdict, Verdict):
            raise UniRewardError(f"judge {judge!r} gave {verdict!r} where a Verdict belongs, as in Verdict((0.5,))")
        given, wanted = len(verdict.scores or ()), len(case.candidates)
        if verdict.scores is not None and given != wanted:
            raise UniRewardError(f"judge {judge!r} gave {given} score(s) to a case with {wanted} candidate(s)")
    return verdicts
