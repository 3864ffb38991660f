"""Which frames of a clip a judge sees: the rules that the model families were trained and measured with."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from unireward_plugins.errors import UniRewardError

RuleName = Literal["linspace", "floor", "fps"]


@dataclass(frozen=True, slots=True)
class FrameRule:
    """A named rule that picks frames of a clip.

    With `N` frames in the clip and `n = count`:

    * `linspace`: `numpy.linspace(0, N - 1, n, dtype=int)`, first and last frame included. UnifiedReward v1 (LLaVA),
      Think, Flex and all upstream benchmarks.
    * `floor`: `floor(i * N / n)` for `i` in `0..n-1`. UnifiedReward 2.0 (its vLLM scripts).
    * `fps`: the frame on screen every `1 / fps` seconds from the first one on; with `count`, a clip that holds more
      such moments than that is sampled by `linspace` instead. The way of qwen-vl-utils.

    `linspace` and `floor` always give exactly `n` frames: a clip shorter than that repeats frames, because pair
    prompts tell the model that "the first half of the frames" is video 1. (Upstream drops the repeats, which moves
    that border, and feeds black frames where a clip cannot be read; here that raises `MediaError`.)
    """

    name: RuleName
    count: int | None = None
    """How many frames; for `fps` the most frames."""
    fps: float | None = None
    """Frames per second of the clip's own time; for the rule `fps` only."""

    def __post_init__(self) -> None:
        if self.name not in get_args(RuleName):
            raise UniRewardError(f"no frame rule is called {self.name!r}; there are {', '.join(get_args(RuleName))}")
        if self.count is not None and self.count < 1:
            raise UniRewardError(f"a frame rule picks at least one frame, got count={self.count}")
        if self.name == "fps":
            if self.fps is None or not 0 < self.fps < float("inf"):
                raise UniRewardError(f"the frame rule 'fps' needs frames per second above 0, got fps={self.fps}")
        elif self.count is None or self.fps is not None:
            raise UniRewardError(
                f"the frame rule {self.name!r} takes a count and no fps, got {self.count=}, {self.fps=}"
            )

    def indices(self, times: Sequence[float]) -> tuple[int, ...]:
        """The positions of the picked frames in a clip whose frames appear at these moments.

        `times` are seconds, ascending, at least one; the rules with a count use only how many there are.
        """
        import numpy as np

        if self.name == "floor":
            assert self.count is not None
            return tuple(i * len(times) // self.count for i in range(self.count))
        if self.name == "fps":
            moments = self._moments(times[-1] - times[0])
            if self.count is None or moments <= self.count:
                assert self.fps is not None
                # A moment that lies a hair before its frame by rounding alone still means that frame.
                return tuple(bisect_right(times, times[0] + i / self.fps + 1e-6) - 1 for i in range(moments))
        assert self.count is not None
        return tuple(np.linspace(0, len(times) - 1, self.count, dtype=int).tolist())

    def _moments(self, seconds: float) -> int:
        """How many moments the rule `fps` looks at from the first frame to the last."""
        assert self.fps is not None
        return math.floor(seconds * self.fps + 1e-6) + 1
