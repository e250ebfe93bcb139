"""The thread whose event loop runs ``async def`` activities; it is started when the first one comes."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Coroutine
from typing import Any


#: How long the event loop may take to end at shutdown, in seconds; only one that is blocked takes any time.
_LOOP_ENDS_WITHIN = 1.0


class LoopThread:
    """An event loop in a thread of its own. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin *coroutine*, and return at once."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_run_loop, args=(self._loop,), name="duroxide-asyncio", daemon=True
                )
                self._thread.start()
            asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close(self, timeout: float) -> None:
        """End the loop, waiting up to *timeout* seconds for it."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(max(timeout, _LOOP_ENDS_WITHIN))


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Run *loop* until it is stopped; what is still in it then is cancelled, since nobody waits for it any more."""
    try:
        loop.run_forever()
        if left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
    finally:
        loop.close()
