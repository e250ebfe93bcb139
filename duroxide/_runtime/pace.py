"""
How many activities a worker takes in advance.

Rule: what is held here without a thread begins here about as soon as it would elsewhere, after having been fetched. So
the measure is how long a fetch takes, and how much the threads get through meanwhile.
"""

from __future__ import annotations


#: Work for so many seconds is taken in advance: at least, which is enough for a quick store, and at most, however slow
#: the store is.
_LEAST, _MOST = 0.002, 0.010

#: … and never more than so many activities.
MOST_AHEAD = 512

#: An activity that takes so long (seconds) is waiting for something, most of the time.
_BLOCKING = 0.001


class Pace:
    """
    How fast activities end, and are fetched. Not thread-safe.

    Args:
        threads: How many activities run at a time.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        #: How long an activity and a fetch take, in seconds: moving averages.
        self._activity = 1.0
        self._fetch = 0.0
        #: What is taken in advance, in seconds of one thread.
        self._in_advance = threads * _LEAST
        #: How many activities to hold besides those that run.
        self.ahead = 0

    @property
    def portion(self) -> int:
        """When more are waiting: how many to fetch at least. What is still held lasts until they are here."""
        return max(self.ahead // 2, 1)

    @property
    def blocks(self) -> bool:
        """Whether activities wait for something, as a rule."""
        return self._activity >= _BLOCKING

    def ended(self, seconds: float) -> None:
        """Take note of how long an activity took."""
        self._activity += (min(seconds, 1.0) - self._activity) / 16
        self.ahead = min(int(self._in_advance / max(self._activity, 1e-6)), MOST_AHEAD)

    def fetched(self, seconds: float) -> None:
        """Take note of how long it took to fetch activities."""
        self._fetch += (seconds - self._fetch) / 8
        self._in_advance = self._threads * min(max(2 * self._fetch, _LEAST), _MOST)
