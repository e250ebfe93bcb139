"""
The faults: what goes wrong in one call of a provider's operation.

Rule: a fault is what a provider may do by its contract, or what may happen to its process. All of them together must
cost time, and nothing else.
"""

from __future__ import annotations

import os
import threading

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import field, frozen

from ..._core.commit import CommitResult, TurnCommit
from ..._core.durations import Duration, duration_ms
from ...errors import ProviderError


#: The exit status of a process that `Kill` ended: what a shell reports of SIGKILL.
KILLED = 137


@frozen
class ProviderCall:
    """One call of a provider's operation, which a fault may make, make twice, or not make."""

    operation: str
    #: How often this operation was called under the plan, this time included.
    number: int
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    _really: Callable[..., Any] = field(repr=False)

    def make(self) -> Any:
        """Call the real operation, and return its answer."""
        return self._really(*self.arguments, **self.keywords)

    def error(self, message: str, *, retryable: bool = True) -> ProviderError:
        """Return the error that a provider would raise, because of *message*."""
        return ProviderError(self.operation, f"{message} (a fault on purpose, call {self.number})", retryable=retryable)


class Fault(Protocol):
    """What goes wrong in a call. Write your own if these are not enough."""

    def around(self, call: ProviderCall) -> Any:
        """Return what the caller gets instead of the answer of *call*, or raise."""
        ...


@frozen
class Fail:
    """Nothing is done, and an error is raised: with *retryable* false, as for what can never be written."""

    retryable: bool = True

    def around(self, call: ProviderCall) -> Any:
        """Raise."""
        raise call.error("the database failed", retryable=self.retryable)


@frozen
class LoseConnection:
    """The connection breaks before the commit, so that nothing is done; or after it, so that only the answer is lost."""

    after_commit: bool = False

    def around(self, call: ProviderCall) -> Any:
        """Raise what a provider raises that cannot know what happened."""
        if self.after_commit:
            call.make()
        raise call.error("the connection was lost during a commit, which may or may not have happened")


def _seconds(value: Duration) -> float:
    return duration_ms(value, what="Delay.seconds") / 1000


@frozen
class Delay:
    """The call takes longer: *seconds* (or a timedelta) go by before it."""

    seconds: float = field(default=0.1, converter=_seconds)

    def around(self, call: ProviderCall) -> Any:
        """Wait, and make the call."""
        threading.Event().wait(self.seconds)
        return call.make()


def _commits(call: ProviderCall) -> Sequence[TurnCommit]:
    """Return what a call of ``commit_turns`` is to write."""
    commits: Sequence[TurnCommit] = call.arguments[0] if call.arguments else call.keywords["commits"]
    return commits


@frozen
class CallTwice:
    """
    The call is made twice, as by a retry after a lost answer; the caller gets the second answer.

    Commits of messages that were handed over are made once: told that they were refused, their sender would send them
    again, and sending twice is twice. No retry does that: a lost answer reaches the sender as an error.
    """

    def around(self, call: ProviderCall) -> Any:
        """Make the call twice."""
        if not (call.operation == "commit_turns" and any(commit.handed_over for commit in _commits(call))):
            call.make()
        return call.make()


@frozen
class Refuse:
    """No commit of the call is made, and all are answered as if another runtime had been quicker. For ``commit_turns``."""

    def around(self, call: ProviderCall) -> Any:
        """Answer STALE for each commit."""
        return [CommitResult.STALE] * len(_commits(call))


@frozen
class Kill:
    """
    The process ends at once, as under SIGKILL: no handler, no ``finally``, no flush. Before the call, or right after it.

    Its exit status is `KILLED`, on every system.
    """

    after_commit: bool = False

    def around(self, call: ProviderCall) -> Any:
        """End this process."""
        if self.after_commit:
            call.make()
        os._exit(KILLED)
