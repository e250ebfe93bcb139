"""Whose time it is: the database's, where it has a clock of its own, so that machines whose clocks are apart agree."""

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
    The machine's clock, corrected by the database's.

    Args:
        clock: Instead of this machine's, and never corrected.
    """

    def __init__(self, clock: Clock | None, dialect: Dialect) -> None:
        self._clock = clock or SystemClock()
        self._dialect = dialect
        self._is_corrected = clock is None and not dialect.single_writer
        self._checked_at = float("-inf")
        #: How far the database's is ahead, in milliseconds.
        self.offset_ms = 0

    def now_ms(self) -> int:
        """Return the time of the database, as far as it is known, in milliseconds since the epoch."""
        return self._clock.now_ms() + self.offset_ms

    def is_to_be_checked(self) -> bool:
        """Return whether to `measure` now: at most once a minute."""
        if not self._is_corrected or monotonic() - self._checked_at < _CHECK_INTERVAL:
            return False
        self._checked_at = monotonic()
        return True

    def measure(self, transaction: Transaction) -> None:
        """Take the quickest answer of several, which tells best when between question and answer the database looked."""
        took, offset_ms = min(self._ask(transaction) for _ in range(_QUESTIONS))
        before_ms, self.offset_ms = self.offset_ms, offset_ms
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
