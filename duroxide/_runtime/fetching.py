"""When a worker fetches: as soon as it is told of activities or has room again, and at the slow poll behind that."""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

from ..errors import ProviderError
from ..providers.contract import Provider
from .bell import Bell
from .lateness import Lateness
from .pauses import pause_after
from .resting import Rest
from .stopping import end


_log = logging.getLogger("duroxide.runtime")


class Next(Enum):
    """What to do after a fetch."""

    #: Fetch again: there may be more, and there is room.
    FETCH = auto()
    #: Wait for room, which rings.
    WAIT_FOR_ROOM = auto()
    #: Wait until this worker is told of something.
    WAIT = auto()


class Fetcher:
    """
    A thread that fetches.

    Args:
        poll: Seconds after a fetch until the next one, if nothing is heard of.

        fetch: Fetches what there is room for.
    """

    def __init__(self, name: str, provider: Provider, poll: float, fetch: Callable[[], Next]) -> None:
        self._provider = provider
        self._poll = poll
        self._fetch = fetch
        self.bell = Bell()
        #: Nothing is fetched meanwhile. Ring when it begins.
        self.rest = Rest()
        #: Whether there may be activities for later that nobody will tell of when they are due: those that it is told of are,
        #: if they are passed on, or the clock of who wrote them is ahead. So may be those of before the start.
        self._is_told = True
        self.lateness = Lateness()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Begin to fetch."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End after the fetch that is under way, and wait for that up to *timeout* seconds. Idempotent."""
        self._is_stopping = True
        self.bell.ring()
        end(self._thread, timeout)

    def _loop(self) -> None:
        failures = 0
        rang = False
        while not self._is_stopping:
            try:
                pause = self._look(is_told=rang)
                failures = 0
            except Exception as error:  # noqa: BLE001  # this loop must not die: whatever the store or a bug raises, the next round may work
                failures += 1
                pause = pause_after(failures, 0.1)
                with suppress(Exception):  # of a logging handler
                    is_bug = not isinstance(error, ProviderError)
                    _log.warning("fetching activities failed, next try in %.1f s: %s", pause, error, exc_info=is_bug)
            rang = pause > 0 and self.bell.wait(pause)

    def _look(self, *, is_told: bool) -> float:
        """Fetch, and return how many seconds there will be nothing to fetch, as far as is known."""
        if self.bell.silence() or is_told:
            self._is_told = True
        if (rest := self.rest.left()) > 0:
            return rest
        before_ms = self._provider.now_ms()
        after = self._fetch()
        if after is Next.FETCH:
            return 0.0
        if after is Next.WAIT_FOR_ROOM or not self._is_told:
            return self._poll
        # What was told of was fetched, or is for later.
        due_ms = self._provider.next_due_ms(before_ms, activities_only=True)
        self._is_told = due_ms is not None
        if due_ms is None:
            return self._poll
        due_ms += self.lateness.of(due_ms)
        return min(max((due_ms - self._provider.now_ms()) / 1000, 0.001), self._poll)
