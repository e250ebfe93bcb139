"""
From decisions to what must be written: work to enqueue, work to remove, whom to tell.

One rule for every way an execution can end: open activities and timers are removed, open children are
cancelled, open subscriptions closed, the parent is told, and detached starts still happen.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._nouns import noun
from ..errors import ErrorDetails
from . import events as e
from .commit import STATUS_OF, ExecutionStatus, Outgoing
from .ledger import CANCELLED_BY
from .messages import ActivityExecute, ActivityKey, Deliver, StartOrchestration
from .verdicts import Cancelled, Completed, Continue, ContinuesAsNew, Failed, Turn


#: Why a child is cancelled; visible in its history.
PARENT_DROPPED = "parent dropped sub-orchestration future"
PARENT_ENDED = "parent canceled"

#: Why a subscription was closed.
SUBSCRIPTION_TERMINAL = "orchestration_terminal"


@noun
class Inheritance:
    """What the next execution gets from one that continues as new."""

    custom_status: str | None
    kv: dict[str, e.KvEntry]
    queued: tuple[e.QueuedMessage, ...]


@noun
class Effects:
    """The rows that a turn leaves, besides the events it was given."""

    activities: tuple[ActivityExecute, ...] = ()
    messages: tuple[Outgoing, ...] = ()
    cancelled_activities: tuple[int, ...] = ()
    cancelled_timers: tuple[int, ...] = ()
    #: Appended after the turn's own events: breadcrumbs, then the terminal event.
    events: tuple[e.Event, ...] = ()
    status: ExecutionStatus = ExecutionStatus.RUNNING
    output: str | None = None


@noun
class Ending:
    """What the end of an execution needs to know besides its last turn."""

    #: Timers of the execution that have not fired.
    open_timers: Iterable[int]
    #: The id after the turn's last event.
    next_event_id: int
    timestamp_ms: int
    #: What to carry over, if the turn continues as new.
    inheritance: Inheritance | None = None


def effects_of(turn: Turn, started: e.OrchestrationStarted, ending: Ending | None = None) -> Effects:
    """
    Return what *turn* means for the world.

    Args:
        ending: Needed unless the execution goes on.
    """
    children = _dropped_children(turn) if turn.cancelled_children else []
    given_up = {*turn.cancelled_activities, *children}
    activities: list[ActivityExecute] = []
    messages: list[Outgoing] = []
    is_ending = not isinstance(turn.verdict, Continue)
    for event in turn.events:
        match event:
            case e.ActivityScheduled():  # first, because it is the most frequent
                if not is_ending and event.event_id not in given_up:
                    activities.append(_activity(event, started))
            case e.OrchestrationChained():
                messages.append(Outgoing(_start_of(event, None)))
            case e.ScheduleEvent() if not is_ending and event.event_id not in given_up:
                messages += _awaited(event, started)
            case _:
                pass
    if children:
        dropped = zip(children, turn.cancelled_children, strict=True)
        messages += _child_cancellations(started, dropped, PARENT_DROPPED, but=_scheduled_in(turn))
    if not is_ending:
        return Effects(tuple(activities), tuple(messages), turn.cancelled_activities)
    assert ending is not None, "whoever ends says what there is to end"
    return _end(turn, started, messages, ending)


def _awaited(event: e.ScheduleEvent, started: e.OrchestrationStarted) -> Iterable[Outgoing]:
    """Return the message that *event*, which is no activity, waits for or starts its child with, if there is one."""
    match event:
        case e.TimerCreated():
            return (_timer(event, started),)
        case e.SubOrchestrationScheduled():
            parent = e.Parent(started.instance_id, started.execution_id, event.event_id)
            return (Outgoing(_start_of(event, parent)),)
        case _:
            return ()


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


def _child_cancellations(
    started: e.OrchestrationStarted, children: Iterable[tuple[int, str]], reason: str, *, but: set[int]
) -> Iterable[Outgoing]:
    """Cancel *children* (schedule id and instance id); those scheduled in this very turn were never started."""
    for source, child in children:
        if source not in but:
            parent = e.Parent(started.instance_id, started.execution_id, source)
            yield Outgoing(Deliver(child, None, e.OrchestrationCancelRequested(0, 0, reason, parent)))


def _end(turn: Turn, started: e.OrchestrationStarted, messages: list[Outgoing], ending: Ending) -> Effects:
    last = _last_event(turn.verdict, ending.next_event_id + len(turn.left_open), ending.timestamp_ms)
    reason = e.TERMINAL_REASONS[type(last)]
    events: list[e.Event] = []
    cancelled_activities = list(turn.cancelled_activities)
    for scheduled in turn.left_open:
        is_subscription = isinstance(scheduled, (e.ExternalSubscribed, e.QueueSubscribed))
        breadcrumb = CANCELLED_BY[type(scheduled)]
        why = SUBSCRIPTION_TERMINAL if is_subscription else reason
        event_id = ending.next_event_id + len(events)
        events.append(breadcrumb(event_id, ending.timestamp_ms, scheduled.event_id, why))
        if isinstance(scheduled, e.ActivityScheduled):
            cancelled_activities.append(scheduled.event_id)
    children = [
        (each.event_id, each.instance_id) for each in turn.left_open if isinstance(each, e.SubOrchestrationScheduled)
    ]
    messages += _child_cancellations(started, children, PARENT_ENDED, but=_scheduled_in(turn))
    events.append(last)
    outgoing = _report(turn, started, ending.inheritance)
    if outgoing is not None:
        messages.append(outgoing)
    return Effects(
        messages=tuple(messages),
        cancelled_activities=tuple(cancelled_activities),
        cancelled_timers=tuple(ending.open_timers),
        events=tuple(events),
        status=STATUS_OF[type(last)],
        output=_output_of(last),
    )


def _last_event(verdict: object, event_id: int, timestamp_ms: int) -> e.TerminalEvent:
    match verdict:
        case Completed(output):
            return e.OrchestrationCompleted(event_id, timestamp_ms, output)
        case Failed(details):
            return e.OrchestrationFailed(event_id, timestamp_ms, details)
        case Cancelled(reason):
            return e.OrchestrationFailed(event_id, timestamp_ms, ErrorDetails.cancelled(reason))
        case ContinuesAsNew(input_):
            return e.OrchestrationContinuedAsNew(event_id, timestamp_ms, input_)
        case _:
            msg = f"{verdict!r} does not end an execution"
            raise TypeError(msg)


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
