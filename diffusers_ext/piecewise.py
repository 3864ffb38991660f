"""Does a long list of things piece by piece, each piece on the disk before the next begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diffusers_ext.build_pairs import Progress
from diffusers_ext.shards import Record, open_run, records, write_shard

SECONDS_A_PIECE = (5.0, 60.0)
"""About how long a piece takes: a kill costs no more than that, or one thing where one takes longer."""
MOST_AT_ONCE = 64
"""The most things in a piece."""


def do_piecewise(
    folder: Path,
    plan: Mapping[str, object],
    do: Callable[[range], Sequence[Record]],
    *,
    count: int,
    progress: Progress,
) -> list[Record]:
    """What `do` gives for the numbers from 0 to `count - 1`, one record each; what the folder holds is not done again.

    Raises `UniRewardError` where the folder holds a run with another plan.
    """
    done, size = open_run(folder, plan), 1
    with progress(total=count, done=done) as advance:
        while done < count:
            piece = range(done, min(done + size, count))
            began = time.monotonic()
            write_shard(folder, do(piece), rows=(), columns=None, at_once=1)
            took = time.monotonic() - began
            advance(len(piece))
            done = piece.stop
            if took < SECONDS_A_PIECE[0]:
                size = min(2 * size, MOST_AT_ONCE)
            elif took > SECONDS_A_PIECE[1]:
                size = max(size // 2, 1)
    return list(records(folder))
