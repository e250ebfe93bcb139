"""
From decisions to what must be written: work to enqueue, work to remove, whom to tell.

One rule for every way an execution can end: open activities and timers are removed, open children are
cancelled, open subscriptions closed, the parent is told, and detached starts still happen.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field

from .._nouns import frozen
from ..errors import ErrorDetails
from . import events as e
from .commit import ExecutionStatus, Outgoing
from .ledger import CANCELLED_BY
from .messages import ActivityExecute, ActivityKey, Deliver, StartOrchestration
from .verdicts import Cancelled, Completed, Continue, ContinuesAsNew, Failed, Turn


#: Why a child is cancelled; visible in its history.
PARENT_DROPPED = "parent dropped sub-orchestration future"
PARENT_ENDED = "parent canceled"

#: Why a subscription was closed.
SUBSCRIPTION_TERMINAL = "orchestration_terminal"


@frozen
class Inheritance:
    """What the next execution gets from one that continues as new."""

    custom_status: str | None
    kv: dict[str, e.KvEntry]
    queued: tuple[e.QueuedMessage, ...]


@frozen
class Effects:
    """The rows that a turn leaves, besides the events it was given."""

    #: Appended after the turn's own events: breadcrumbs, then the terminal event.
    events: list[e.Event] = field(factory=list)
    activities: list[ActivityExecute] = field(factory=list)
    messages: list[Outgoing] = field(factory=list)
    cancelled_activities: list[int] = field(factory=list)
    cancelled_timers: list[int] = field(factory=list)
    status: ExecutionStatus = ExecutionStatus.RUNNING
    output: str | None = None


def effects_of(
    turn: Turn,
    started: e.OrchestrationStarted,
    *,
    open_timers: Iterable[int],
    next_event_id: int,
    timestamp_ms: int,
    inheritance: Inheritance | None = None,
) -> Effects:
    """
    Return what *turn* means for the world.

    Args:
        open_timers: Timers of the execution that have not fired.

        next_event_id: The id after the turn's last event.

        inheritance: What to carry over, if the turn continues as new.
    """
    effects = Effects(cancelled_activities=list(turn.cancelled_activities))
    is_ending = not isinstance(turn.verdict, Continue)
    children = _dropped_children(turn) if turn.cancelled_children else []
    _start_work(effects, turn, started, given_up={*turn.cancelled_activities, *children}, is_ending=is_ending)
    if children:
        dropped = zip(children, turn.cancelled_children, strict=True)
        _cancel_children(effects, started, dropped, PARENT_DROPPED, but=_scheduled_in(turn))
    if not is_ending:
        return effects
    return _end(effects, turn, started, list(open_timers), next_event_id, timestamp_ms, inheritance)


def _start_work(
    effects: Effects, turn: Turn, started: e.OrchestrationStarted, *, given_up: set[int], is_ending: bool
) -> None:
    for event in turn.events:
        match event:
            case e.ActivityScheduled():  # first, because it is the most frequent
                if not is_ending and event.event_id not in given_up:
                    effects.activities.append(_activity(event, started))
            case e.OrchestrationChained():
                effects.messages.append(Outgoing(_start_of(event, None)))
            case _ if is_ending:
                pass
            case e.TimerCreated():
                effects.messages.append(_timer(event, started))
            case e.SubOrchestrationScheduled() if event.event_id not in given_up:
                parent = e.Parent(started.instance_id, started.execution_id, event.event_id)
                effects.messages.append(Outgoing(_start_of(event, parent)))
            case _:
                pass


def _activity(event: e.ActivityScheduled, started: e.OrchestrationStarted) -> ActivityExecute:
    return ActivityExecute(
        ActivityKey(started.instance_id, started.execution_id, event.event_id),
        event.name,
        event.input,
        started.name,
        started.version,
        event.session_id,
        event.tag,
        event.attempt,
        event.expires_at_ms,
    )


def _timer(event: e.TimerCreated, started: e.OrchestrationStarted) -> Outgoing:
    fired = e.TimerFired(0, 0, event.event_id, event.fire_at_ms)
    return Outgoing(Deliver(started.instance_id, started.execution_id, fired), event.fire_at_ms)


def _start_of(
    event: e.SubOrchestrationScheduled | e.OrchestrationChained, parent: e.Parent | None
) -> StartOrchestration:
    return StartOrchestration(event.instance_id, event.name, event.input, event.version, parent=parent)


def _scheduled_in(turn: Turn) -> set[int]:
    return {event.event_id for event in turn.events if isinstance(event, e.SubOrchestrationScheduled)}


def _dropped_children(turn: Turn) -> list[int]:
    """Return the schedule ids of `Turn.cancelled_children`: two schedules may name the same child."""
    return [event.source_event_id for event in turn.events if isinstance(event, e.SubOrchestrationCancelRequested)]


def _cancel_children(
    effects: Effects,
    started: e.OrchestrationStarted,
    children: Iterable[tuple[int, str]],
    reason: str,
    *,
    but: set[int],
) -> None:
    """Cancel *children* (schedule id and instance id); those scheduled in this very turn were never started."""
    for source, child in children:
        if source not in but:
            parent = e.Parent(started.instance_id, started.execution_id, source)
            cancel = e.OrchestrationCancelRequested(0, 0, reason, parent)
            effects.messages.append(Outgoing(Deliver(child, None, cancel)))


def _end(
    effects: Effects,
    turn: Turn,
    started: e.OrchestrationStarted,
    open_timers: list[int],
    next_event_id: int,
    timestamp_ms: int,
    inheritance: Inheritance | None,
) -> Effects:
    ending = ending_of(turn.verdict, timestamp_ms)
    reason = e.TERMINAL_REASONS[type(ending)]
    effects.cancelled_timers.extend(open_timers)
    for scheduled in turn.left_open:
        is_subscription = isinstance(scheduled, (e.ExternalSubscribed, e.QueueSubscribed))
        breadcrumb = CANCELLED_BY[type(scheduled)]
        why = SUBSCRIPTION_TERMINAL if is_subscription else reason
        effects.events.append(breadcrumb(next_event_id + len(effects.events), timestamp_ms, scheduled.event_id, why))
        if isinstance(scheduled, e.ActivityScheduled):
            effects.cancelled_activities.append(scheduled.event_id)
    children = [
        (each.event_id, each.instance_id) for each in turn.left_open if isinstance(each, e.SubOrchestrationScheduled)
    ]
    _cancel_children(effects, started, children, PARENT_ENDED, but=_scheduled_in(turn))
    effects.events.append(_numbered(ending, next_event_id + len(effects.events)))
    outgoing = _report(turn, started, inheritance)
    if outgoing is not None:
        effects.messages.append(outgoing)
    status, output = _STATUS[type(ending)], _output_of(ending)
    return Effects(
        effects.events,
        effects.activities,
        effects.messages,
        effects.cancelled_activities,
        effects.cancelled_timers,
        status,
        output,
    )


_STATUS = {
    e.OrchestrationCompleted: ExecutionStatus.COMPLETED,
    e.OrchestrationFailed: ExecutionStatus.FAILED,
    e.OrchestrationContinuedAsNew: ExecutionStatus.CONTINUED_AS_NEW,
}


def ending_of(verdict: object, timestamp_ms: int) -> e.TerminalEvent:
    """Return the terminal event of *verdict*, not numbered yet."""
    match verdict:
        case Completed(output):
            return e.OrchestrationCompleted(0, timestamp_ms, output)
        case Failed(details):
            return e.OrchestrationFailed(0, timestamp_ms, details)
        case Cancelled(reason):
            return e.OrchestrationFailed(0, timestamp_ms, ErrorDetails.cancelled(reason))
        case ContinuesAsNew(input_):
            return e.OrchestrationContinuedAsNew(0, timestamp_ms, input_)
        case _:
            msg = f"{verdict!r} does not end an execution"
            raise TypeError(msg)


def _numbered(ending: e.TerminalEvent, event_id: int) -> e.TerminalEvent:
    match ending:
        case e.OrchestrationCompleted(_, timestamp_ms, output):
            return e.OrchestrationCompleted(event_id, timestamp_ms, output)
        case e.OrchestrationFailed(_, timestamp_ms, details):
            return e.OrchestrationFailed(event_id, timestamp_ms, details)
        case e.OrchestrationContinuedAsNew(_, timestamp_ms, input_):
            return e.OrchestrationContinuedAsNew(event_id, timestamp_ms, input_)


def _output_of(ending: e.TerminalEvent) -> str:
    match ending:
        case e.OrchestrationCompleted():
            return ending.output
        case e.OrchestrationFailed():
            return ending.details.display
        case e.OrchestrationContinuedAsNew():
            return ending.input


def _report(turn: Turn, started: e.OrchestrationStarted, inheritance: Inheritance | None) -> Outgoing | None:
    """Return the message to the parent, or to the next execution."""
    parent = started.parent
    match turn.verdict:
        case ContinuesAsNew(input_, version):
            assert inheritance is not None, "whoever continues as new says what is inherited"
            return Outgoing(_next_execution(started, input_, version, inheritance))
        case _ if parent is None:
            return None
        case Completed(output):
            event: e.Event = e.SubOrchestrationCompleted(0, 0, parent.event_id, output)
        case Failed(details):
            event = e.SubOrchestrationFailed(0, 0, parent.event_id, details)
        case Cancelled(reason):
            event = e.SubOrchestrationFailed(0, 0, parent.event_id, ErrorDetails.cancelled(reason))
        case _:
            return None
    return Outgoing(Deliver(parent.instance_id, parent.execution_id, event))


def _next_execution(
    started: e.OrchestrationStarted, input_: str, version: str | None, inheritance: Inheritance
) -> StartOrchestration:
    return StartOrchestration(
        started.instance_id,
        started.name,
        input_,
        version,
        execution_id=started.execution_id + 1,
        parent=started.parent,
        custom_status=inheritance.custom_status,
        kv=inheritance.kv,
        queued=inheritance.queued,
    )
