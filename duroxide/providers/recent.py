"""
Instances that this process has started a moment ago, and of which nothing has been heard since.

Whoever waits for the end of one of them need not look at once: it runs, as far as anybody can know. This is a cache,
and only for a moment: what other processes do is heard of with a delay.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from .._clock import monotonic


#: How long (seconds) a start is recent.
MOMENT = 0.01

#: Starts remembered at most.
MOST_STARTS = 1000


@define(eq=False)
class RecentStart:
    """The start of one instance, under way or made."""

    until: float = 0.0

    def made(self) -> None:
        """The instance is new, and stored."""
        self.until = monotonic() + MOMENT


class RecentStarts:
    """By instance id. Thread-safe: each step is one of a dictionary's own."""

    def __init__(self) -> None:
        self._starts: dict[str, RecentStart] = {}

    def begin(self, instance_id: str) -> RecentStart:
        """Take note that an instance is about to be started: before it is stored, for news of it may come at once."""
        if len(self._starts) >= MOST_STARTS:
            self._starts.clear()
        start = self._starts[instance_id] = RecentStart()
        return start

    def heard_of(self, instance_ids: Iterable[str]) -> None:
        """Forget instances that there is news of."""
        if self._starts:
            for instance_id in instance_ids:
                self._starts.pop(instance_id, None)

    def heard_something(self) -> None:
        """Forget all: there is news, and nobody knows of whom."""
        self._starts.clear()

    def take(self, instance_id: str) -> bool:
        """Forget an instance; return whether its start was recent, and nothing was heard of it since."""
        start = self._starts.pop(instance_id, None)
        return start is not None and monotonic() < start.until
