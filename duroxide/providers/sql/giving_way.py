"""Long work in short transactions: everybody else gets as much time as it takes for itself."""

from __future__ import annotations

import threading

from collections.abc import Iterator
from contextlib import contextmanager

from ..._clock import monotonic


#: At most this long, in seconds: more than any writer waits before it tries again.
LONGEST_PAUSE = 0.1


class GivingWay:
    """Leaves a pause before each transaction that is as long as the one before it took."""

    def __init__(self) -> None:
        self._pause = 0.0
        self._never = threading.Event()

    @contextmanager
    def to_others(self) -> Iterator[None]:
        """Let others go first, then run the body of the ``with``."""
        if self._pause:
            self._never.wait(self._pause)
        began = monotonic()
        yield
        self._pause = min(monotonic() - began, LONGEST_PAUSE)
