"""
The thread whose event loop runs ``async def`` activities; it is started when the first one comes.

Rule: only `LoopThread.close` ends the loop. A task that raises SystemExit or KeyboardInterrupt stops it, as asyncio has
it, and all activities that are in it with it; so it is run again.
"""

from __future__ import annotations

import asyncio
import logging
import threading

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


_log = logging.getLogger("duroxide.runtime")

#: How long the event loop may take to end at shutdown, in seconds; only one that is blocked takes any time.
_LOOP_ENDS_WITHIN = 1.0


class LoopThread:
    """An event loop in a thread of its own. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = False

    @property
    def is_current(self) -> bool:
        """Whether it is this thread that asks."""
        return threading.current_thread() is self._thread

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Begin *coroutine*, and return at once. If this raises, it has not begun, and never will."""
        try:
            with self._lock:
                if self._loop is None or self._loop.is_closed():
                    self._loop = self._start()
                asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException:
            coroutine.close()
            raise

    def close(self, timeout: float) -> None:
        """End the loop, waiting up to *timeout* seconds for it."""
        if self._loop is not None and self._thread is not None:
            self._is_closing = True
            with suppress(RuntimeError):  # it is closed already
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(max(timeout, _LOOP_ENDS_WITHIN))

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="duroxide-asyncio", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # the system gives no more threads, for the moment
            loop.close()
            raise
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run *loop* until it is to end; what is still in it then is cancelled, since nobody waits for it any more."""
        try:
            while not self._is_closing:
                _run_until_stopped(loop)
            if left := asyncio.all_tasks(loop):
                for task in left:
                    task.cancel()
                waiting = loop.create_task(asyncio.wait(left))
                waiting.add_done_callback(lambda _: loop.stop())
                while not waiting.done():
                    _run_until_stopped(loop)
        finally:
            loop.close()


def _run_until_stopped(loop: asyncio.AbstractEventLoop) -> None:
    """Run *loop* until somebody stops it, or a task raises one of the two exceptions that asyncio lets through."""
    try:
        loop.run_forever()
    except (SystemExit, KeyboardInterrupt) as error:
        with suppress(Exception):  # of a logging handler
            _log.error(  # asyncio logs the traceback, with the task
                "a task in the event loop of async activities raised %r; the loop goes on without that task. Nothing in an"
                " activity ends this process: let it raise another exception.",
                error,
                extra={"action": "event_loop_stopped"},
            )
