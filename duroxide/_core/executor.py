"""A user's orchestration function as something that can be fed a history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any

from ..errors import InvalidInput, PayloadError
from . import payloads
from .actions import AnyGenerator
from .context import OrchestrationContext
from .events import Event, OrchestrationStarted
from .failures import NO_EXCEPTIONS, ExceptionTypes
from .functions import FunctionInfo, inspect_orchestration
from .limits import NO_LIMITS, Limits
from .logs import LogSink, OrchestrationLogger, discard
from .replay import Replay


class Executor(Replay):
    """
    A live orchestration: ``Executor(fn, started).feed(events)`` returns the `Turn` after those events.

    Feed it again with whatever comes next in history. The events of a turn that were written down must
    be fed back too, in front of what follows them. `run_turn` is an executor that is fed everything
    at once; both always decide the same.

    Args:
        fn: The orchestration function: ``fn(ctx, input)`` or ``fn(ctx)``, usually a generator function; or what a
            registry knows of it.

        started: Event 1 of the execution.

        exceptions: Recorded type name → exception class, for failures that come back as themselves
            (`Registry.exceptions`).

        log: Where `OrchestrationContext.logger` writes to.

        limits: On payloads and on the length of the history.

    Raises:
        InvalidInput: If *fn* is no orchestration function, or *started* no start event.
    """

    def __init__(
        self,
        fn: Callable[..., Any] | FunctionInfo,
        started: OrchestrationStarted,
        *,
        exceptions: ExceptionTypes = NO_EXCEPTIONS,
        log: LogSink = discard,
        limits: Limits = NO_LIMITS,
    ) -> None:
        _check_started(started)
        info = fn if isinstance(fn, FunctionInfo) else inspect_orchestration(fn, name=started.name)
        logger = OrchestrationLogger(lambda: self.is_replaying, log)
        super().__init__(
            started,
            begin=lambda: _begin(info, OrchestrationContext(self, logger, limits, info.input_type), started),
            encode_output=lambda output: _encode_output(output, info, limits, logger),
            exceptions=exceptions,
        )
        self.limits = limits
        #: What the code sets for its context (the precision of decimals, for example) is seen by it alone, and in replay.
        self._variables = Context()

    def absorb(self, events: Sequence[Event], *, persisted: int = 0) -> None:
        """Apply *events* as `feed` does, without asking what the code decides then: half the cost."""
        self._variables.run(Replay.absorb, self, events, persisted=persisted)

    def close(self) -> None:
        """Forget the code. Nothing it does from now on has an effect. Idempotent."""
        self._variables.run(Replay.close, self)

    def __repr__(self) -> str:
        return f"<Executor of {self.started.instance_id!r}, at event {self.last_event_id}>"


def _check_started(started: object) -> None:
    if not isinstance(started, OrchestrationStarted):
        msg = f"started is {started!r}: give the first event of the execution, which is OrchestrationStarted."
        raise InvalidInput(msg)


def _begin(info: FunctionInfo, context: OrchestrationContext, started: OrchestrationStarted) -> AnyGenerator:
    """Return the generator that runs the function; a function that yields nothing runs in its first step."""
    arguments = [context]
    if info.takes_input and not (started.input == "null" and info.has_default_input):
        try:
            where = f"input of orchestration {started.name!r}"
            arguments.append(payloads.decode(started.input, info.input_type, where=where))
        except PayloadError as error:
            return _raising(error)
    return info.fn(*arguments) if info.is_generator else _calling(info.fn, arguments)


def _encode_output(output: object, info: FunctionInfo, limits: Limits, logger: OrchestrationLogger) -> str:
    where = f"result of orchestration {info.name!r}"
    return limits.encode(output, where=where, type_=info.result_type, warn=logger.warning)


def _calling(fn: Callable[..., Any], arguments: list[Any]) -> AnyGenerator:
    """Run a plain function as an orchestration of one step; one that returns a generator goes on with it."""
    result = fn(*arguments)
    if hasattr(result, "send"):
        result = yield from result
    return result


def _raising(error: Exception) -> AnyGenerator:
    yield from ()
    raise error
