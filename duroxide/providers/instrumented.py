"""A provider that reports how often each operation of another one was called, how long it took, and how often it failed."""

from __future__ import annotations

import threading

from collections.abc import Callable
from typing import Any

from attrs import evolve

from .._clock import monotonic
from .._nouns import frozen
from .contract import Provider
from .wrapping import WrappedProvider


@frozen
class OperationStats:
    """What is known of one operation of a provider."""

    calls: int = 0
    errors: int = 0
    #: Time spent in it, failed calls included.
    seconds: float = 0.0


class InstrumentedProvider(WrappedProvider):
    """
    Passes every call on to *provider*, whose results and errors it leaves as they are, and counts.

    Give it to a Runtime or a Client in place of the provider; `operations` tells what they did. Commits that were sent
    ahead (`Pipelined`) count as ``commit_turns``, with the time that was spent waiting for them.
    """

    def __init__(self, provider: Provider) -> None:
        self._lock = threading.Lock()
        self._stats: dict[str, OperationStats] = {}
        super().__init__(provider)

    @property
    def operations(self) -> dict[str, OperationStats]:
        """What was called so far, by name of the operation."""
        with self._lock:
            return dict(self._stats)

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        before = monotonic()
        failed = True
        try:
            result = operation(*args, **keywords)
            failed = False
        finally:
            took = monotonic() - before
            with self._lock:
                known = self._stats.get(name, OperationStats())
                self._stats[name] = evolve(
                    known, calls=known.calls + 1, errors=known.errors + failed, seconds=known.seconds + took
                )
        return result
