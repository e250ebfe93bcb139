"""A provider that fails when it is told to: before the real call, after it, or for good."""

from __future__ import annotations

import threading

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from duroxide import ProviderError
from duroxide._core.commit import CommitResult, TurnCommit
from duroxide.providers.contract import Provider


BEFORE, AFTER, NEVER = "before", "after", "never"

#: What goes through a fault: everything that a runtime calls to get its work done.
OPERATIONS = (
    "fetch_orchestration_items",
    "read_histories",
    "commit_turns",
    "release_orchestration_items",
    "renew_instance_locks",
    "fetch_activities",
    "ack_activities",
    "release_activities",
    "renew_activity_locks",
    "held_activity_locks",
    "next_due_ms",
)


class FaultyProvider:
    """
    Passes everything on to *provider*, except for the faults.

    Args:
        choose: Operation → BEFORE, AFTER or NEVER: asked for each call.
    """

    def __init__(self, provider: Provider, choose: Callable[[str], str] | None = None) -> None:
        self._provider = provider
        self._choose = choose
        self._lock = threading.Lock()
        self._planned: dict[str, deque[tuple[str, bool]]] = {}
        self.calls: dict[str, int] = {}
        #: Set when a planned or chosen fault has happened.
        self.has_failed = threading.Event()
        self.is_dead = False
        #: Commits that are refused without being asked, as if another runtime had been quicker.
        self.refusals = 0

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._provider, name)
        return self._faulty(name, attribute) if name in OPERATIONS else attribute

    def plan(self, operation: str, *when: str, retryable: bool = True) -> None:
        """Let the next calls of *operation* fail BEFORE or AFTER the real one (or NEVER)."""
        self._planned.setdefault(operation, deque()).extend((each, retryable) for each in when)

    def die(self) -> None:
        """From now on nothing gets through, as if the process had been killed."""
        self.is_dead = True

    def _faulty(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(*arguments: Any, **keywords: Any) -> Any:
            when, retryable = self._next(name)
            if when == BEFORE:
                raise self._error(name, retryable=retryable)
            if name == "commit_turns" and self._refuses():
                return self._refused(*arguments)
            result = call(*arguments, **keywords)
            if when == AFTER:
                raise self._error(name, retryable=retryable)
            return result

        return faulty

    def _next(self, name: str) -> tuple[str, bool]:
        with self._lock:
            self.calls[name] = self.calls.get(name, 0) + 1
            if self.is_dead:
                return BEFORE, True
            planned = self._planned.get(name)
            if planned:
                return planned.popleft()
            return (NEVER if self._choose is None else self._choose(name)), True

    def _refuses(self) -> bool:
        with self._lock:
            self.refusals -= 1
            return self.refusals >= 0

    @staticmethod
    def _refused(commits: Sequence[TurnCommit]) -> Sequence[CommitResult]:
        return [CommitResult.STALE] * len(commits)

    def _error(self, name: str, *, retryable: bool) -> ProviderError:
        self.has_failed.set()
        return ProviderError(name, "a fault of the test", retryable=retryable)
