"""
Waiting for what an instance does: woken by its database, and deaf to the database's brief troubles.

Whoever waits for a minute does not care that the database was away for ten seconds of it. So a failure that may pass
costs time, and only the time-out, or a failure that will not pass, ends the wait.
"""

from __future__ import annotations

import logging

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from ._clock import monotonic
from ._core.durations import Duration, duration_ms
from ._nouns import define
from .errors import ProviderError, WaitTimeout
from .providers.wakeups import Output, Wakeups


_log = logging.getLogger("duroxide.client")

T = TypeVar("T")

#: Behind the notifications: who waits looks again at least this often, in seconds.
LOOK_AGAIN = 2.0

#: The first look at an instance that was started a moment ago comes so much (seconds) later, if it is still needed.
LOOK_LATER = 0.25

#: The first pause after a failure of the database, in seconds. It is doubled each time, up to LOOK_AGAIN.
_FIRST_PAUSE = 0.1


@define
class _Outage:
    """What a wait knows of the database's troubles: how often it failed in a row, and how the last time."""

    instance_id: str
    failures: int = 0
    error: ProviderError | None = None

    def goes_on(self, error: ProviderError) -> None:
        """Take note of another failure; the first of an outage is logged."""
        if not self.failures:
            _log.warning(
                "the database does not answer; waiting for instance %r goes on: %s",
                self.instance_id,
                error,
                extra={"action": "wait_interrupted", "instance_id": self.instance_id},
            )
        self.failures += 1
        self.error = error

    def ends(self) -> None:
        """Take note that the database answers."""
        if self.failures:
            _log.info(
                "the database answers again; still waiting for instance %r",
                self.instance_id,
                extra={"action": "wait_resumed", "instance_id": self.instance_id},
            )
        self.failures, self.error = 0, None

    @property
    def pause(self) -> float:
        """How long to leave the database alone now, in seconds."""
        return min(_FIRST_PAUSE * 2 ** min(self.failures - 1, 10), LOOK_AGAIN) if self.failures else LOOK_AGAIN


def wait_until(
    enough: Callable[[T], bool],
    look: Callable[[], T],
    *,
    told: Callable[[Output], T | None] | None = None,
    wakeups: Wakeups,
    instance_id: str,
    what: str,
    timeout: Duration,
) -> T:
    """
    Return what *look* sees of an instance, as soon as that is *enough*.

    Args:
        told: What the output of the instance says, if it completes meanwhile, or None if that is not enough to know:
            spares looking once more.

        what: What the instance should do, for the error: ``"end"``.

    Raises:
        WaitTimeout: If it is not enough within *timeout*; raised from the `ProviderError` that *look* met last, if the
            database did not answer then.

        ProviderError: If *look* meets one that will not pass.
    """
    seconds = duration_ms(timeout, what="timeout") / 1000
    deadline = monotonic() + seconds
    changes: SimpleQueue[Output | None] = SimpleQueue()
    outage = _Outage(instance_id)
    with wakeups.on_instance(instance_id, changes.put):
        # After the subscription: what is heard from here on is in *changes*.
        if wakeups.recent_starts.take(instance_id) and seconds > LOOK_LATER:
            output = _next(changes, LOOK_LATER)
            seen = told(output) if told is not None and output is not None else None
            if seen is not None:
                return seen
        while True:
            try:
                seen = look()
            except ProviderError as error:
                if not error.retryable:
                    raise
                outage.goes_on(error)
            else:
                outage.ends()
                if enough(seen):
                    return seen
            left = deadline - monotonic()
            if left <= 0:
                raise _timeout(instance_id, what, seconds, outage.error) from outage.error
            output = _next(changes, min(left, outage.pause))
            seen = told(output) if told is not None and output is not None else None
            if seen is not None:
                outage.ends()
                return seen


def _next(changes: SimpleQueue[Output | None], seconds: float) -> Output | None:
    """Wait up to *seconds* for a change, take all that there are, and return the output if they told it."""
    output = None
    try:
        output = changes.get(timeout=seconds)
        while output is None:
            output = changes.get_nowait()
    except Empty:
        pass
    return output


def _timeout(instance_id: str, what: str, seconds: float, outage: ProviderError | None) -> WaitTimeout:
    if outage is not None:
        return WaitTimeout(
            f"whether instance {instance_id!r} did {what} within {seconds:g} s is not known: the database does not"
            f" answer. It may have done so; ask again when the database is back. {outage}"
        )
    return WaitTimeout(
        f"instance {instance_id!r} did not {what} within {seconds:g} s. It may still do so; if it never gets anywhere,"
        " check that a runtime is running on this database, and its log."
    )
