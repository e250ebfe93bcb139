"""When the store is to be asked again: what is due next, as far as is known, and the slow poll behind it."""

from __future__ import annotations

import threading

from collections.abc import Iterator
from contextlib import contextmanager

from .._clock import monotonic
from ..providers.contract import Provider


#: How long (seconds) nothing must have happened before the store is asked what is due next: who has work has no time.
_IDLE = 0.02

#: How much later (milliseconds) than others a dispatcher or worker comes for what it has passed on: one that can work on it is to be first.
LATE_MS = 100


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
        #: When instances are due that this dispatcher has passed on.
        self._left_to_others: frozenset[int] = frozenset()
        #: The thread that passes some on at the moment: who publishes when they are due does so in that thread.
        self._passes_on_in: int | None = None

    @property
    def has_question(self) -> bool:
        """Whether the store is still to be asked what is due."""
        return self._ask_at is not None

    @property
    def is_time_to_poll(self) -> bool:
        """Whether it is time for the slow poll."""
        return monotonic() >= self._poll_at

    @contextmanager
    def passing_on(self) -> Iterator[None]:
        """What this dispatcher gives back meanwhile, it leaves to others when it is due."""
        self._passes_on_in = threading.get_ident()
        try:
            yield
        finally:
            self._passes_on_in = None

    def note(self, due_ms: int) -> bool:
        """Take note that a message becomes visible at *due_ms* (since the epoch); return whether that is news."""
        with self._lock:
            if self._passes_on_in == threading.get_ident():
                self._left_to_others |= {due_ms}
            if due_ms in self._left_to_others:
                due_ms += LATE_MS
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
        """Ask the store what is due next; what is left to others must not hide what is not."""
        due_ms = self._provider.next_due_ms(after_ms)
        while due_ms is not None:
            self.note(due_ms)
            due_ms = self._provider.next_due_ms(due_ms) if due_ms in self._left_to_others else None

    def before_fetch(self) -> None:
        """What is due now is about to be fetched."""
        self._fetched_at_ms = now_ms = self._provider.now_ms()
        self._ask_at = monotonic() + _IDLE
        with self._lock:
            if self._left_to_others:
                self._left_to_others = frozenset(each for each in self._left_to_others if each + LATE_MS > now_ms)
            if self._due_ms is not None and self._due_ms <= now_ms:
                # What comes after it is not known, and may be soon.
                self._due_ms, self._ask_at = None, 0.0

    def after_fetch(self) -> None:
        """What was due has been fetched."""
        self._poll_at = monotonic() + self._poll_interval
