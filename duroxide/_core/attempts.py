"""
Retrying an activity: plain orchestration code on top of activities, timers and select.

History shows one ActivityScheduled for each attempt, and the timers between them.
"""

from __future__ import annotations

import random

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from ..errors import ActivityFailed, ErrorCategory, ErrorDetails, ErrorKind, RemoteFailure
from .actions import Action, Orchestration, Winner
from .failures import NO_EXCEPTIONS, exception_for
from .logs import OrchestrationLogger
from .retry import RetryPolicy


class Steps(Protocol):
    """The part of the orchestration context that retrying needs."""

    def schedule_timer(self, delay: timedelta | float) -> Action[None]:
        """Wait for a while."""
        ...

    def select(self, *awaitables: Action[Any], cancel_losers: bool) -> Action[Winner[Any]]:
        """Wait for the first."""
        ...

    def cancel(self, action: Action[Any]) -> None:
        """Give up."""
        ...

    @property
    def random(self) -> random.Random:
        """Draw a number that is the same in replay."""
        ...

    @property
    def logger(self) -> OrchestrationLogger:
        """Log, unless replaying."""
        ...


def attempts(policy: RetryPolicy, schedule: Callable[[int], Action[Any]], ctx: Steps) -> Orchestration[Any]:
    """
    Try until an attempt succeeds, *policy* gives up, or its total timeout is over.

    Args:
        schedule: Attempt number, from 1 → the activity's action.

    Raises:
        ActivityFailed: The last attempt's failure; of kind TimedOut (also a TimeoutError) if a timeout
            ended it.
    """
    deadline = None if policy.total_timeout is None else ctx.schedule_timer(policy.total_timeout)
    attempt = 1
    while True:
        try:
            return (yield from _attempt(policy, schedule(attempt), deadline, attempt, ctx))
        except RemoteFailure as failure:
            if not _try_again(policy, failure, attempt):
                raise
            ctx.logger.warning("attempt %d failed, trying again: %s", attempt, failure)
        delay_ms = policy.delay_ms(attempt, ctx.random.random() if policy.jitter else 0.0)
        if delay_ms:
            yield from _pause(policy, ctx.schedule_timer(timedelta(milliseconds=delay_ms)), deadline, attempt, ctx)
        attempt += 1


def _attempt(
    policy: RetryPolicy, activity: Action[Any], deadline: Action[None] | None, attempt: int, ctx: Steps
) -> Orchestration[Any]:
    limit = None if policy.timeout is None else ctx.schedule_timer(policy.timeout)
    rivals = [rival for rival in (limit, deadline) if rival is not None]
    if not rivals:
        return (yield from activity)
    # The losers are given up one by one: the deadline is needed for the next attempt.
    winner = yield from ctx.select(activity, *rivals, cancel_losers=False)
    if limit is not None:
        ctx.cancel(limit)
    if winner.index == 0:
        return winner.value
    ctx.cancel(activity)
    what = "activity timed out" if rivals[winner.index - 1] is limit else "activity timed out in all its attempts"
    raise _timed_out(what, attempt)


def _pause(
    policy: RetryPolicy, timer: Action[None], deadline: Action[None] | None, attempt: int, ctx: Steps
) -> Orchestration[None]:
    if deadline is None:
        yield from timer
        return
    winner = yield from ctx.select(timer, deadline, cancel_losers=False)
    if winner.index == 1:
        raise _timed_out("activity timed out in all its attempts", attempt)


def _try_again(policy: RetryPolicy, failure: RemoteFailure, attempt: int) -> bool:
    # Neither a NonRetryableError nor a timeout is retryable.
    if attempt >= policy.max_attempts or not failure.details.retryable:
        return False
    return policy.retry_if is None or policy.retry_if(failure)


def _timed_out(what: str, attempt: int) -> RemoteFailure:
    details = ErrorDetails(
        category=ErrorCategory.APPLICATION,
        kind=ErrorKind.TIMED_OUT,
        message=f"timeout: {what}",
        type="TimeoutError",
        attempt=attempt,
    )
    failure = exception_for(details, NO_EXCEPTIONS, is_activity=True)
    assert isinstance(failure, ActivityFailed)
    return failure
