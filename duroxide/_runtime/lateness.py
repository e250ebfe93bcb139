"""
How late who has passed something on comes for what is for later: one that can work on it is to be first.

For all of it: of several that cannot, each would be on time for what another one has passed on, and there may be more of
them than attempts. And later still for his own: the others may have passed on something else.
"""

from __future__ import annotations

from .._clock import monotonic


#: How late (milliseconds) one comes; for one's own, twice that.
LATE_MS = 100


class Lateness:
    """How late one dispatcher or worker comes. `of` may be asked from any thread."""

    def __init__(self) -> None:
        #: Until when (monotonic) something may be passed on that was passed on here.
        self._until = 0.0
        #: When that is due which was passed on here, in units of LATE_MS.
        self._own: frozenset[int] = frozenset()

    @property
    def is_on(self) -> bool:
        """Whether one is late at all."""
        return self._until > 0 and monotonic() < self._until

    def pass_on(self, now_ms: int, delay_ms: int, seconds: float) -> None:
        """
        Be late from now on. Call it just before something is given back.

        Args:
            delay_ms: When it is due again.

            seconds: How long it may be passed on in all.
        """
        self._until = monotonic() + seconds
        unit = (now_ms + delay_ms) // LATE_MS
        own = frozenset((unit, unit + 1))  # giving it back takes a moment
        if not own <= self._own:
            self._own = own.union(each for each in self._own if each >= now_ms // LATE_MS)

    def of(self, due_ms: int) -> int:
        """Return how many milliseconds later than *due_ms* to come for what is due then."""
        if not self.is_on:
            return 0
        return 2 * LATE_MS if due_ms // LATE_MS in self._own else LATE_MS
