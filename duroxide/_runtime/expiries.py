"""
When to look for activities whose time to live is over: those that this runtime has scheduled for anybody.

What others have scheduled, and what is missed here, is found by the slow poll; so nothing rests on this. It costs nothing
where no activity has a time to live, and is as exact as that is short.
"""

from __future__ import annotations

import threading

from collections.abc import Callable

from .bell import Bell


#: A time to live is noticed within this share of it: so few moments are to be remembered, however many activities wait.
_EXACTNESS = 64


class Expiries:
    """
    Moments to look at. Thread-safe.

    Args:
        poll_interval_ms: How often somebody looks anyway.
    """

    def __init__(self, poll_interval_ms: int) -> None:
        self._poll_interval_ms = poll_interval_ms
        self._lock = threading.Lock()
        #: In milliseconds since the epoch.
        self._moments: set[int] = set()
        #: Rung when there is an earlier moment than before.
        self.bell = Bell()

    def note(self, expires_at_ms: int, now_ms: int) -> None:
        """Take note that an activity, which is in the store now, expires at *expires_at_ms* (since the epoch)."""
        left_ms = max(expires_at_ms - now_ms, 0)
        # A power of two, so that those of about the same time share a moment.
        step_ms = 1 << max((left_ms // _EXACTNESS).bit_length() - 1, 0)
        if step_ms > self._poll_interval_ms:
            return
        moment = -(-(now_ms + left_ms) // step_ms) * step_ms
        with self._lock:
            is_earliest = not self._moments or moment < min(self._moments)
            self._moments.add(moment)
        if is_earliest:
            self.bell.ring()

    def pause(self, now_ms: Callable[[], int]) -> float | None:
        """Return in how many seconds to look; None: there is nothing to look for, and the clock is not read."""
        with self._lock:
            earliest = min(self._moments, default=None)
        return None if earliest is None else (earliest - now_ms()) / 1000

    def take_due(self, now_ms: Callable[[], int]) -> bool:
        """Return whether it is time to look, and forget the moments that have come."""
        if not self._moments:
            return False
        now = now_ms()
        with self._lock:
            due = {moment for moment in self._moments if moment <= now}
            self._moments -= due
        return bool(due)
