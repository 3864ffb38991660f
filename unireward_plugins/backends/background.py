"""An event loop in one background thread of the process, for asynchronous work that is asked for from anywhere.

A caller may itself be inside a running event loop (a notebook, a trainer that awaits its rewards), in which nothing can
wait for a coroutine, and several threads may call at once: so the work runs on a loop of its own, which they share.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import cache
from typing import TypeVar

Result = TypeVar("Result")


def run(work: Coroutine[object, object, Result]) -> Result:
    """The result of a coroutine, run on the background loop. An interruption of the caller cancels the work."""
    future = asyncio.run_coroutine_threadsafe(work, loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def start(work: Callable[[], Coroutine[object, object, object]]) -> None:
    """Have a coroutine run on the background loop without waiting for it; for clearing up, from any thread."""
    asyncio.run_coroutine_threadsafe(work(), loop())


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The event loop, which runs as long as the process."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="unireward-background", daemon=True).start()
    return made


if sys.platform != "win32":
    # A forked process has the loop of its parent, and not the thread that runs it.
    os.register_at_fork(after_in_child=loop.cache_clear)
