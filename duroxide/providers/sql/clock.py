"""
Whose time it is: the database's, where it has a clock of its own, so that machines whose clocks are apart agree.

Rule: from one measurement to the next, time goes by as this machine counts seconds, whatever its clock is set to meanwhile.
"""

from __future__ import annotations

import logging

from ..._clock import Clock, SystemClock, monotonic
from .dialect import Dialect
from .transaction import Transaction


_log = logging.getLogger("duroxide.provider")

#: How often (seconds) the distance to the database's clock is measured again, at most.
_CHECK_INTERVAL = 60.0

#: How often it is asked each time.
_QUESTIONS = 3

#: A change of the distance (milliseconds) that nobody needs to be told of.
_TOLERANCE_MS = 1000


class DatabaseClock:
    """
    The database's clock as far as it is known, or else the machine's.

    Args:
        clock: Instead of this machine's, and never corrected.
    """

    def __init__(self, clock: Clock | None, dialect: Dialect) -> None:
        self._clock = clock or SystemClock()
        self._dialect = dialect
        self._is_corrected = clock is None and not dialect.single_writer
        self._checked_at = float("-inf")
        #: What this machine's clock showed when its seconds began to be counted, in milliseconds, as it was set then.
        self._origin_ms = 0.0
        #: And the database's; None: it was not asked yet.
        self._base_ms: float | None = None
        #: How far the database's was ahead then, in milliseconds.
        self.offset_ms = 0

    def now_ms(self) -> int:
        """Return the time of the database, as far as it is known, in milliseconds since the epoch."""
        base_ms = self._base_ms
        return self._clock.now_ms() if base_ms is None else int(monotonic() * 1000 + base_ms)

    def is_to_be_checked(self) -> bool:
        """Return whether to `measure` now: once a minute, and when this machine's clock was set or its seconds stood still."""
        if not self._is_corrected:
            return False
        now = monotonic()
        is_as_it_was = abs(self._clock.now_ms() - now * 1000 - self._origin_ms) <= _TOLERANCE_MS
        return now - self._checked_at >= _CHECK_INTERVAL or not is_as_it_was

    def measure(self, transaction: Transaction) -> None:
        """Take the quickest answer of several, which tells best when between question and answer the database looked."""
        took, offset_ms = min(self._ask(transaction) for _ in range(_QUESTIONS))
        before_ms, self.offset_ms = self.offset_ms, offset_ms
        self._checked_at = monotonic()
        self._origin_ms = self._clock.now_ms() - self._checked_at * 1000
        self._base_ms = self._origin_ms + offset_ms
        if abs(offset_ms - before_ms) > _TOLERANCE_MS:
            _log.info(
                "this machine's clock is %d ms %s the database's, whose time is used (asked in %.1f ms)",
                *(abs(offset_ms), "behind" if offset_ms > 0 else "ahead of", took * 1000),
                extra={"action": "clock_corrected"},
            )

    def _ask(self, transaction: Transaction) -> tuple[float, int]:
        """Return how long (seconds) the answer took, and by how much (ms) the database's clock is ahead of ours."""
        began_at, before_ms = monotonic(), self._clock.now_ms()
        database_ms = self._dialect.database_now_ms(transaction.connection)
        after_ms, took = self._clock.now_ms(), monotonic() - began_at
        return took, 0 if database_ms is None else database_ms - (before_ms + after_ms) // 2
