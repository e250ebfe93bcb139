"""Waiting for what must happen: as long as it takes, since only a failing test ever waits so long."""

from __future__ import annotations

import threading

from collections.abc import Callable

from duroxide._clock import monotonic


#: How long (seconds) a test waits for what must happen.
PATIENCE = 60.0


def eventually(
    condition: Callable[[], object], why: str = "what was waited for did not happen", *, timeout: float = PATIENCE
) -> None:
    """Wait for something that sends no signal; fail with *why* if it does not come."""
    deadline = monotonic() + timeout
    while not condition():
        assert monotonic() < deadline, why
        threading.Event().wait(0.005)


def in_time(do: Callable[[], object]) -> None:
    """Do it, and fail if it does not return long before others lose their patience."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(PATIENCE / 3)
    assert not thread.is_alive()
