"""
Stopping: done once, in a thread of its own, while any number of callers wait, each no longer than it wants to.

In a thread of its own since nothing else keeps a time-out whatever the store does. A signal handler may be the caller, in a
thread that was interrupted anywhere, also in here: what it needs from then on is waited for elsewhere.
"""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable

from .._clock import monotonic


_log = logging.getLogger("duroxide.runtime")

#: What a caller gives it beyond its time-out (seconds): for results that are to be stored, and locks to be given back.
GRACE = 3.0

#: What one step of it may take beyond the time-out, in seconds.
LAST_WORDS = 1.0


def end(thread: threading.Thread, timeout: float) -> None:
    """Wait up to *timeout* seconds for *thread*, which was told to end; say so if it does not. It is a daemon."""
    if thread.is_alive():
        thread.join(timeout)
    if thread.is_alive():
        _log.warning(
            "thread %s is left behind: the database does not answer it. Locks that it has will expire.",
            thread.name,
            extra={"action": "left_behind"},
        )


class Deadline:
    """When a shutdown is to be over."""

    def __init__(self, timeout: float) -> None:
        self._at = monotonic() + timeout

    def left(self, at_least: float = 0.0) -> float:
        """Return how many seconds there are left, or *at_least*."""
        return max(self._at - monotonic(), at_least)


class Stopper:
    """
    Stops something once.

    Args:
        stop: Does it.
    """

    def __init__(self, name: str, stop: Callable[[Deadline], None]) -> None:
        self._stop = stop
        self._name = name
        # Plain locks: taking one is a single step, which a signal handler does not find half done.
        #: Taken by the first who calls, and kept.
        self._first = threading.Lock()
        #: Free when it is done.
        self._done = threading.Lock()
        self._done.acquire()
        self._is_done = False
        self._error: BaseException | None = None

    def stop(self, timeout: float) -> bool:
        """
        Stop, or wait for who does already; return whether it is done.

        Takes *timeout* seconds and `GRACE` at most. What *stop* raises, the first caller gets.
        """
        deadline = Deadline(timeout)
        is_first = self._first.acquire(blocking=False)
        thread = self._begin(deadline) if is_first else None
        if not self._is_done and self._done.acquire(timeout=deadline.left() + GRACE):
            self._done.release()
        if not self._is_done:
            return False
        if thread is not None:
            thread.join(LAST_WORDS)
        if is_first and self._error is not None:
            raise self._error
        return True

    def _begin(self, deadline: Deadline) -> threading.Thread | None:
        thread = threading.Thread(target=self._run, args=(deadline,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, at the end of the process for example
            self._run(deadline)
            return None
        return thread

    def _run(self, deadline: Deadline) -> None:
        try:
            self._stop(deadline)
        except BaseException as error:  # noqa: BLE001  # for who waits
            self._error = error
        finally:
            self._is_done = True
            self._done.release()
