"""
One recorded history against today's code: the first event at which they part.

Rule 1: what the engine itself would refuse is a divergence, and so is what it lets pass: an output that has changed, a
step that is left out at the end, a step that is new.

Rule 2: a history that was recorded whole asks for nothing new. One that was cut off in the middle of a turn may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any

from attrs import frozen

from .._core import events as e
from .._core.executor import Executor
from .._core.failures import NO_EXCEPTIONS, ExceptionTypes
from .._core.nondeterminism import describe
from .._core.requests import OPTIONAL_EVENTS, RECORDED_AS
from .._core.verdicts import Cancelled, Completed, Continue, ContinuesAsNew, Failed, Turn, Verdict
from ..errors import (
    Divergence,
    ErrorDetails,
    ErrorKind,
    InvalidInput,
    LimitExceeded,
    NondeterministicCall,
    class_name,
)


#: Makes the executor that replays: `Executor`, or one that looks closer.
MakeExecutor = Callable[..., Executor]

_COMPARED = {recording.event_type: recording.compared for recording in RECORDED_AS.values()}

_FORBIDDEN = class_name(NondeterministicCall)
_LIMIT = class_name(LimitExceeded)

#: Payloads are cut to this many characters in reports.
_LONGEST_TEXT = 500


@frozen
class Replayer:
    """How histories are replayed."""

    exceptions: ExceptionTypes = NO_EXCEPTIONS
    make: MakeExecutor = Executor

    def executor(self, fn: Callable[..., Any], started: e.OrchestrationStarted) -> Executor:
        """Return a live executor of *fn* that has seen nothing yet."""
        return self.make(fn, started, exceptions=self.exceptions)


def start_of(history: Sequence[e.Event]) -> e.OrchestrationStarted:
    """
    Return event 1 of *history*.

    Raises:
        InvalidInput: If it begins with anything else.
    """
    started = history[0] if history else None
    if not isinstance(started, e.OrchestrationStarted):
        found = "is empty" if started is None else f"begins with {describe(started)}"
        msg = f"the history {found}; its first event must be OrchestrationStarted. Give all events of one execution."
        raise InvalidInput(msg)
    return started


def divergence(started: e.OrchestrationStarted, event: e.Event, *, place: str, expected: str, got: str) -> Divergence:
    """Return the report of what is wrong at *event*."""
    return Divergence(
        instance_id=started.instance_id,
        execution_id=started.execution_id,
        orchestration=started.name,
        version=started.version,
        event_id=event.event_id,
        place=place,
        expected=expected,
        got=got,
    )


def first_divergence(
    history: Sequence[e.Event], fn: Callable[..., Any], replayer: Replayer, *, is_whole: bool = True
) -> Divergence | None:
    """
    Replay the *history* of one execution through *fn*; return where they part, if they do.

    Args:
        is_whole: Whether *history* has all that was decided, as a stored one has, so that nothing may be new.
    """
    started = start_of(history)
    executor = replayer.executor(fn, started)
    try:
        return _Walk(started, executor).compare(history, is_whole=is_whole)
    finally:
        executor.close()


@frozen
class _Walk:
    """One way through a history."""

    started: e.OrchestrationStarted
    executor: Executor

    def compare(self, history: Sequence[e.Event], *, is_whole: bool) -> Divergence | None:
        ending = history[-1] if isinstance(history[-1], e.TERMINAL_EVENTS) else None
        turn, last = Turn(Continue()), history[0]
        for group in chain([()], _groups(history[1 : None if ending is None else -1])):
            before, turn = turn, self.executor.feed(group, persisted=len(group) + 1)
            last = group[-1] if group else last
            found = self._disagreement(last) or self._forbidden_call(last, turn) or self._left_out(before, group)
            if found is not None:
                return found
        if ending is not None:
            return self._other_ending(ending, turn)
        return self._something_new(last, turn) if is_whole else None

    def _report(self, event: e.Event, expected: str, got: str) -> Divergence:
        return divergence(self.started, event, place=self.executor.scheduler.where(), expected=expected, got=got)

    def _disagreement(self, last: e.Event) -> Divergence | None:
        """Return what the engine itself has found."""
        found = self.executor.disagreement
        if found is None:
            return None
        event = e.Event(found.event_id, last.timestamp_ms)
        return divergence(self.started, event, place=found.place, expected=found.expected, got=found.got)

    def _forbidden_call(self, last: e.Event, turn: Turn) -> Divergence | None:
        """Return what the guard has found, if there is one."""
        if not isinstance(turn.verdict, Failed) or turn.verdict.details.type != _FORBIDDEN:
            return None
        return self._report(last, "code that decides by its history alone", turn.verdict.details.message)

    def _left_out(self, before: Turn, group: Sequence[e.Event]) -> Divergence | None:
        """Return the first event of *group* that code asked for then, and that it has ended without asking for now."""
        if isinstance(before.verdict, Continue):
            return None
        recorded = [event for event in group if isinstance(event, e.ScheduleEvent)]
        pending = [event for event in before.events if isinstance(event, e.ScheduleEvent)]
        for position, event in enumerate(recorded):
            asked = pending[position] if position < len(pending) else None
            if (asked is None or not _is_same(asked, event)) and type(event) not in OPTIONAL_EVENTS:
                return self._report(event, describe(event), describe_verdict(before.verdict))
        return None

    def _other_ending(self, ending: e.Event, turn: Turn) -> Divergence | None:
        if isinstance(ending, e.OrchestrationFailed) and was_ended_by_the_engine(ending.details):
            return None
        if turn.events:
            return self._report(ending, describe(ending), f"first {describe(turn.events[0])}")
        if _agrees(ending, turn.verdict):
            return None
        return self._report(ending, _cut(describe_ending(ending)), _cut(describe_verdict(turn.verdict)))

    def _something_new(self, last: e.Event, turn: Turn) -> Divergence | None:
        if not turn.events and isinstance(turn.verdict, Continue):
            return None
        got = describe(turn.events[0]) if turn.events else describe_verdict(turn.verdict)
        return self._report(last, "nothing more: the code waits", got)


def _groups(events: Sequence[e.Event]) -> Iterator[Sequence[e.Event]]:
    """Yield what the code asked for in a row as one group, and everything else one by one."""
    for are_scheduled, group in groupby(events, lambda event: isinstance(event, e.ScheduleEvent)):
        if are_scheduled:
            yield list(group)
        else:
            yield from ([event] for event in group)


def _is_same(asked: e.ScheduleEvent, recorded: e.ScheduleEvent) -> bool:
    compared = _COMPARED[type(recorded)]
    return type(asked) is type(recorded) and compared(asked) == compared(recorded)


def was_ended_by_the_engine(details: ErrorDetails) -> bool:
    """Whether the end is not what the code said: poison, a limit, or a history that does not fit."""
    return details.is_system_error or details.type == _LIMIT


def _agrees(ending: e.Event, verdict: Verdict) -> bool:
    match ending, verdict:
        case e.OrchestrationCompleted(output=recorded), Completed(output):
            return recorded == output
        case e.OrchestrationContinuedAsNew(input=recorded), ContinuesAsNew(input_):
            return recorded == input_
        case e.OrchestrationFailed(details=recorded), Failed(details):
            # The text of what is no failure of the user's names source lines, which move.
            compares_text = recorded.kind is not ErrorKind.PANICKED
            same_text = not compares_text or recorded.message == details.message
            return (recorded.kind, recorded.type) == (details.kind, details.type) and same_text
        case e.OrchestrationFailed(details=recorded), Cancelled(reason):
            return recorded == ErrorDetails.cancelled(reason)
        case _:
            return False


def describe_ending(ending: e.Event) -> str:
    """Return in one line how a history ended."""
    match ending:
        case e.OrchestrationCompleted(output=output):
            return f"the code returns {output}"
        case e.OrchestrationFailed(details=details):
            return _failure(details)
        case e.OrchestrationContinuedAsNew(input=input_):
            return f"the code continues as new with {input_}"
        case _:
            return describe(ending)


def describe_verdict(verdict: Verdict) -> str:
    """Return in one line how code stands."""
    match verdict:
        case Completed(output):
            return f"the code returns {output}"
        case Failed(details):
            return _failure(details)
        case ContinuesAsNew(input_, _):
            return f"the code continues as new with {input_}"
        case Cancelled(reason):
            return f"the instance is cancelled: {reason}"
        case Continue():
            return "the code waits"


def _failure(details: ErrorDetails) -> str:
    kind = f"{details.type}: " if details.type else ""
    return f"the code fails with {kind}{details.display}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… ({len(text)} characters)"
