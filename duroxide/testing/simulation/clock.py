"""Time that passes when the simulation says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import define


#: When a simulation begins: a Monday, so that tests which look at weekdays see the same one every day.
BEGINNING_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)


@define
class VirtualClock:
    """Stands still until it is moved. Times are milliseconds since the epoch."""

    ms: int = BEGINNING_MS

    def now_ms(self) -> int:
        """Return the virtual time."""
        return self.ms

    @property
    def elapsed(self) -> timedelta:
        """How much time has passed since the simulation began."""
        return timedelta(milliseconds=self.ms - BEGINNING_MS)
