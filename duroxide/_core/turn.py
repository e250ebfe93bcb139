"""
`run_turn`: what an orchestration decides when it has seen a whole history.

Rule 1: nothing here reads a clock, a random number, a thread, a log or a database. Everything a turn
knows is in the history; everything it wants done is in the `Turn`.

Rule 2: there is one engine. `run_turn` is an `Executor` that is fed everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ErrorDetails, InvalidInput
from .arguments import check_count
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

    Raises:
        InvalidInput: If *history* is no sequence of events, or *fn* no orchestration function. Whatever code and history
            do is in the `Turn`.
    """
    _check_history(history)
    check_count("persisted", persisted, least=0)
    if not history:
        return Turn(Failed(ErrorDetails.nondeterminism(EMPTY_HISTORY)))
    started = history[0]
    if not isinstance(started, OrchestrationStarted):
        return Turn(Failed(ErrorDetails.nondeterminism(not_started(started))))
    executor = Executor(fn, started, exceptions=exceptions, log=log)
    try:
        return executor.feed(list(history)[1:], persisted=persisted)
    finally:
        executor.close()


def _check_history(history: object) -> None:
    if not isinstance(history, Sequence) or isinstance(history, str):
        msg = (
            f"history is {history!r}: give the events of one execution, as Client.read_execution_history returns them."
        )
        raise InvalidInput(msg)
    for position, event in enumerate(history):
        if not isinstance(event, Event):
            msg = (
                f"history[{position}] is {event!r}, which is no event: give events of duroxide.events, as"
                " Client.read_execution_history returns them."
            )
            raise InvalidInput(msg)
