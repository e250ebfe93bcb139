"""When the store is to be asked again: what is due next, as far as is known, and the slow poll behind it."""

from __future__ import annotations

import threading

from .._clock import monotonic
from ..providers.contract import Provider
from .lateness import Lateness


#: How long (seconds) nothing must have happened before the store is asked what is due next: who has work has no time.
_IDLE = 0.02


class Agenda:
    """
    What one dispatcher knows of the messages that become visible later. `note` is thread-safe, the rest is for one at a time.

    Args:
        poll_interval: Seconds after a fetch until the next one, if nothing is heard of.
    """

    def __init__(self, provider: Provider, poll_interval: float) -> None:
        self._provider = provider
        self._poll_interval = poll_interval
        self._poll_at = 0.0
        #: When the earliest message becomes visible, in milliseconds since the epoch.
        self._due_ms: int | None = None
        self._lock = threading.Lock()
        #: When (monotonic) to ask the store whether something is due earlier than that; None: not before the next fetch.
        self._ask_at: float | None = 0.0
        #: A time just before the last fetch, which saw nothing that became visible later.
        self._fetched_at_ms: int | None = None
        self.lateness = Lateness()

    @property
    def has_question(self) -> bool:
        """Whether the store is still to be asked what is due."""
        return self._ask_at is not None

    @property
    def is_time_to_poll(self) -> bool:
        """Whether it is time for the slow poll."""
        return monotonic() >= self._poll_at

    def note(self, due_ms: int) -> bool:
        """Take note that a message becomes visible at *due_ms* (since the epoch); return whether that is news."""
        with self._lock:
            due_ms += self.lateness.of(due_ms)
            if self._due_ms is not None and self._due_ms <= due_ms:
                return False
            self._due_ms = due_ms
        return True

    def pause(self) -> float:
        """Return how many seconds there is nothing to fetch, as far as is known. Asks the store, after a while of peace."""
        pause = self._poll_at - monotonic()
        if self._ask_at is not None:
            if monotonic() < self._ask_at:
                pause = min(pause, _IDLE)
            else:
                self._ask(self._fetched_at_ms)
                self._ask_at = None
        due_ms = self._due_ms
        return pause if due_ms is None else min(pause, (due_ms - self._provider.now_ms()) / 1000)

    def _ask(self, after_ms: int | None) -> None:
        """Ask the store what is due next."""
        due_ms = self._provider.next_due_ms(after_ms)
        if due_ms is not None:
            self.note(due_ms)

    def before_fetch(self) -> None:
        """What is due now is about to be fetched."""
        self._fetched_at_ms = now_ms = self._provider.now_ms()
        self._ask_at = monotonic() + _IDLE
        with self._lock:
            if self._due_ms is not None and self._due_ms <= now_ms:
                # What comes after it is not known, and may be soon.
                self._due_ms, self._ask_at = None, 0.0

    def after_fetch(self) -> None:
        """What was due has been fetched."""
        self._poll_at = monotonic() + self._poll_interval
