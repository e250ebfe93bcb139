"""
`run_turn`: what an orchestration decides when it has seen a whole history.

Rule 1: nothing here reads a clock, a random number, a thread, a log or a database. Everything a turn
knows is in the history; everything it wants done is in the `Turn`.

Rule 2: there is one engine. `run_turn` is an `Executor` that is fed everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ErrorDetails
from .events import Event, OrchestrationStarted
from .executor import Executor
from .failures import NO_EXCEPTIONS, ExceptionTypes
from .logs import LogSink, discard
from .nondeterminism import EMPTY_HISTORY, not_started
from .verdicts import Failed, Turn


def run_turn(
    history: Sequence[Event],
    fn: Callable[..., Any],
    *,
    persisted: int = 0,
    exceptions: ExceptionTypes = NO_EXCEPTIONS,
    log: LogSink = discard,
) -> Turn:
    """
    Replay *history* through *fn* and return what it decides next.

    Pure: *history* is not changed, and the same history gives the same turn, always and everywhere.

    Args:
        history: All events of one execution so far, oldest first.

        fn: The orchestration function that the execution was started with.

        persisted: How many leading events are the past: code that reacts to them is replaying.

        exceptions: Recorded type name → exception class, for failures that come back as themselves.

        log: Where `OrchestrationContext.logger` writes to.
    """
    if not history:
        return Turn(Failed(ErrorDetails.nondeterminism(EMPTY_HISTORY)))
    started = history[0]
    if not isinstance(started, OrchestrationStarted):
        return Turn(Failed(ErrorDetails.nondeterminism(not_started(started))))
    executor = Executor(fn, started, exceptions=exceptions, log=log)
    try:
        return executor.feed(history[1:], persisted=persisted)
    finally:
        executor.close()
