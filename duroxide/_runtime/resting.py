"""When a worker takes nothing for a while: it could not begin what it had taken, and others may be able to."""

from __future__ import annotations

import threading

from .._clock import monotonic


#: How long to rest (seconds) at first, and at most: the second rest is twice as long, unless something was begun meanwhile.
FIRST, LONGEST = 2.0, 60.0


class Rest:
    """The pauses of one worker. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._seconds = 0.0
        #: Whether nothing is to be taken. It ends when `left` is asked, by who fetches.
        self.is_on = False

    def begin(self) -> float | None:
        """Rest; return for how many seconds, or None if that was decided already."""
        with self._lock:
            if self.is_on:
                return None
            self._seconds = min(self._seconds * 2, LONGEST) or FIRST
            self._until = monotonic() + self._seconds
            self.is_on = True
            return self._seconds

    def left(self) -> float:
        """Return how many seconds there are left, and begin to take again if there are none."""
        if not self.is_on:
            return 0.0
        with self._lock:
            left = max(self._until - monotonic(), 0.0)
            self.is_on = left > 0
            return left

    def not_needed(self) -> None:
        """Take note that what was taken could be begun."""
        if self._seconds and not self.is_on:
            self._seconds = 0.0
