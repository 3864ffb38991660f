"""A judge is a callable from cases to as many verdicts: nothing to inherit from, nothing to register."""

from collections.abc import Sequence

from unireward_plugins.errors import UnsupportedCase
from unireward_plugins.types import Case, Judge, Verdict


def build() -> Judge:
    """What the card names: called once, when somebody loads the judge."""
    return judge


def judge(cases: Sequence[Case]) -> list[Verdict]:
    """One candidate: its brightness from 0 to 1. Several: the share that each has of the brightness of all."""
    return [_verdict(case) for case in cases]


def _verdict(case: Case) -> Verdict:
    brightness = tuple(_brightness(candidate) for candidate in case.candidates)
    total = sum(brightness)
    if len(brightness) == 1 or total == 0:
        # Of several black pictures none is brighter: that is a tie, and known.
        scores = brightness if len(brightness) == 1 else tuple(1 / len(brightness) for _ in brightness)
    else:
        scores = tuple(value / total for value in brightness)
    return Verdict(scores, aspects={"brightness": brightness}, reply=f"brightness {brightness}")


def _brightness(candidate: object) -> float:
    import numpy  # heavy imports wait until they are needed

    from unireward_plugins.media import Media

    if not isinstance(candidate, Media) or candidate.kind != "image":
        raise UnsupportedCase(f"judge 'brightness' judges pictures, got {candidate!r}")
    return float(numpy.asarray(candidate.pil()).mean()) / 255
