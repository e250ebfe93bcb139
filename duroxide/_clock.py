"""Time and identity: the only file that reads a clock or makes up a random number."""

from __future__ import annotations

import os
import time

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Where providers and runtimes get the time from."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000


#: Returns seconds that only ever grow, for measuring how long something took.
monotonic: Callable[[], float] = time.monotonic


def new_token() -> str:
    """Return an unguessable text, unique across machines: 96 random bits."""
    return os.urandom(12).hex()


def new_incarnation() -> int:
    """Return a random positive number that fits a BIGINT."""
    return int.from_bytes(os.urandom(8), "big") >> 2 | 1
