"""Preference pairs from judged cases: the best candidate of each prompt against the worst, and a list of what was
dropped.

    cases = [Case(prompt, (picture,)) for picture in pictures]
    sifted = pairs_from(cases, judge(cases))
    sifted.pairs, sifted.dropped
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.types import UNREAD_REASONS, Candidate, Case, Verdict

Scored: TypeAlias = tuple[Candidate, float]

DROP_REASONS: Mapping[str, str] = {
    "tie": "a tie: no candidate is better than another",
    "alone": "there is no other candidate to compare with",
    "same": "the best and the worst candidate show the same",
    "not_better": "the best winner of a comparison is not graded higher than the worst loser",
    "unlabelled": "nobody said which candidate is better",
    "blanked": "the safety checker of the pipeline blanked the candidate",
    **UNREAD_REASONS,
}
"""Every reason why candidates gave no pair, in words."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Of two candidates, the one that was preferred and the one that was not."""

    prompt: str
    chosen: Candidate
    rejected: Candidate
    chosen_score: float
    """The judge's score of the chosen candidate: a grade or a share, as in `Verdict.scores`."""
    rejected_score: float
    context: tuple[Media, ...] = ()
    """What a question is about, or the picture that an edit started from."""

    @property
    def margin(self) -> float:
        """How much better the chosen candidate was judged; above 0."""
        return self.chosen_score - self.rejected_score

    @property
    def case(self) -> Case:
        """The pair as a case, the chosen candidate first; `pair.case.task` is its task."""
        return Case(self.prompt, (self.chosen, self.rejected), self.context)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Candidates that gave no pair."""

    prompt: str
    candidates: tuple[Candidate, ...]
    reason: str
    """One of `DROP_REASONS`."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """The pairs made from judged cases, and what gave none."""

    pairs: tuple[Pair, ...]
    dropped: tuple[Dropped, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How often something was dropped, by reason, the most frequent first."""
        return dict(Counter(dropped.reason for dropped in self.dropped).most_common())


def pairs_from(cases: Sequence[Case], verdicts: Sequence[Verdict]) -> Sifted:
    """At most one pair a question: the candidate with the highest score against the one with the lowest.

    A case with several candidates is a question of its own. Cases with one candidate each are put together where they
    have the same prompt and context, so that ten graded pictures of one prompt give one pair. Of equals the earlier
    counts. Nothing is guessed: ties, verdicts that were not read, candidates left alone and candidates that show the
    same are dropped and listed with their reason. Where a judge favours a position, wrap it in `both_orders` before
    asking. Raises `UniRewardError` where verdicts do not fit the cases.
    """
    if len(cases) != len(verdicts):
        raise UniRewardError(f"there must be one verdict for each case, got {len(verdicts)} for {len(cases)} cases")
    dropped: list[Dropped] = []
    questions: dict[Hashable, tuple[Case, list[Scored]]] = {}
    for index, (case, verdict) in enumerate(zip(cases, verdicts, strict=True)):
        if verdict.unread is not None:
            dropped.append(Dropped(case.prompt, case.candidates, verdict.unread))
            continue
        scores = verdict.scores or ()
        if len(scores) != len(case.candidates):
            raise UniRewardError(f"verdict {index} has {len(scores)} score(s) for {len(case.candidates)} candidate(s)")
        question = (case.prompt, case.context) if len(scores) == 1 else index
        questions.setdefault(question, (case, []))[1].extend(zip(case.candidates, scores, strict=True))
    pairs: list[Pair] = []
    for case, scored in questions.values():
        made = _best_against_worst(case, scored)
        if isinstance(made, Pair):
            pairs.append(made)
        else:
            dropped.append(made)
    return Sifted(tuple(pairs), tuple(dropped))


def _best_against_worst(case: Case, scored: Sequence[Scored]) -> Pair | Dropped:
    (chosen, high), (rejected, low) = max(scored, key=_score), min(scored, key=_score)
    if len(scored) == 1:
        reason = "alone"
    elif high == low:
        reason = "tie"
    elif chosen == rejected:
        reason = "same"
    else:
        return Pair(case.prompt, chosen, rejected, high, low, case.context)
    return Dropped(case.prompt, tuple(candidate for candidate, _ in scored), reason)


def _score(scored: Scored) -> float:
    return scored[1]
