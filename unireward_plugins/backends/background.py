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

_making = threading.RLock()  # clearing up may ask for the loop at any moment, also while this thread makes it


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


def loop() -> asyncio.AbstractEventLoop:
    """The event loop, which runs as long as the process: the same one for whichever threads ask first at once."""
    with _making:
        return _made()


@cache
def _made() -> asyncio.AbstractEventLoop:
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, name="unireward-background", daemon=True).start()
    return made


def _forget() -> None:
    _made.cache_clear()
    _making.release()


if sys.platform != "win32":
    # A forked process has the loop of its parent, and not the thread that runs it.
    os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_forget)
