"""
Orchestration code that does not come back: all that its runtime should decide waits for it, so somebody has to say so.

The thread that runs code says what it runs, which costs next to nothing; another one looks now and then.
"""

from __future__ import annotations

import logging
import sys
import threading

from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import ParamSpec, TypeVar

from .._clock import monotonic
from .._core.events import OrchestrationStarted
from .._core.scheduler import Scheduler


_log = logging.getLogger("duroxide.runtime")

P = ParamSpec("P")
T = TypeVar("T")

#: For how long (seconds) code runs before somebody says so. Then it is said again each time that has doubled.
LONG = 10.0

#: How many callers are named, those of the orchestration first.
_MOST_PLACES = 3


class LongTurns:
    """Which code runs at the moment, and for how long. `run` is for one thread at a time, `look` for another."""

    def __init__(self) -> None:
        #: The execution and its thread: another object for each turn.
        self._running: tuple[OrchestrationStarted, int] | None = None
        self._seen: tuple[OrchestrationStarted, int] | None = None
        self._seen_at = 0.0
        self._say_after = LONG

    def run(self, started: OrchestrationStarted, run_code: Callable[P, T], *args: P.args, **keywords: P.kwargs) -> T:
        """Return what *run_code* does, which runs code of the execution that *started*."""
        self._running = (started, threading.get_ident())
        try:
            return run_code(*args, **keywords)
        finally:
            self._running = None

    def look(self) -> None:
        """Say so if the code that runs is the same as long ago."""
        running, now = self._running, monotonic()
        if running is not self._seen:
            self._seen, self._seen_at, self._say_after = running, now, LONG
        seconds = now - self._seen_at
        if running is None or seconds < self._say_after:
            return
        self._say_after = 2 * seconds
        started, thread = running
        _log.warning(
            "the code of instance %r (orchestration %r %s) runs for %.0f s already, without waiting for anything: %s. All"
            " else that this runtime should decide waits for it. Orchestration code only decides: leave what takes time to"
            " activities, and let a loop wait for something.",
            *(started.instance_id, started.name, started.version, seconds),
            " > ".join(_places(sys._current_frames().get(thread))) or "it has just ended",  # noqa: SLF001  # the way that is documented
            extra={"action": "long_turn", "instance_id": started.instance_id},
        )


def _places(frame: FrameType | None) -> list[str]:
    """Return where the code is that *frame* runs for: the orchestration's own function first."""
    inner: list[FrameType] = []
    for each in _outwards(frame):
        if each.f_code is Scheduler._step.__code__:  # noqa: SLF001  # whatever is called by it is code of users
            return [_place(user) for user in reversed(inner[-_MOST_PLACES:])]
        inner.append(each)
    return []


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_name} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
