"""
What orchestration code can ask for: one frozen class per kind of request.

A request that is not in history yet is recorded as exactly one event of the matching kind
(`RECORDED_AS`); one that is, must agree with the recorded event in the fields listed there. The rest
may differ: a timer's duration, a status text, a child's version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from .._nouns import noun
from . import events as e


@noun
class CallActivity:
    """Run an activity with *input* (JSON text)."""

    name: str
    input: str
    session_id: str | None = None
    tag: str | None = None
    attempt: int = 1
    expires_at_ms: int | None = None


@noun
class CreateTimer:
    """Fire at *fire_at_ms*."""

    fire_at_ms: int


@noun
class WaitExternal:
    """Wait for the next external event called *name*."""

    name: str


@noun
class DequeueEvent:
    """Take the next message of the queue *name*."""

    name: str


@noun
class StartSubOrchestration:
    """Start a child and wait for it. Without *instance_id* its id is made from the event's."""

    name: str
    input: str
    instance_id: str | None = None
    version: str | None = None


@noun
class StartOrchestrationDetached:
    """Start an independent orchestration."""

    name: str
    instance_id: str
    input: str
    version: str | None = None


@noun
class ContinueAsNew:
    """End this execution and start the next one with *input*. Recorded by the end of the turn, not by itself."""

    input: str
    version: str | None = None


@noun
class UpdateCustomStatus:
    """Set the custom status, or clear it."""

    status: str | None


@noun
class SetKeyValue:
    """Set *key* to *value*."""

    key: str
    value: str
    updated_at_ms: int


@noun
class ClearKeyValue:
    """Remove *key*."""

    key: str


@noun
class ClearKeyValues:
    """Remove all keys."""


Request = (
    CallActivity
    | CreateTimer
    | WaitExternal
    | DequeueEvent
    | StartSubOrchestration
    | StartOrchestrationDetached
    | ContinueAsNew
    | UpdateCustomStatus
    | SetKeyValue
    | ClearKeyValue
    | ClearKeyValues
)


def _nothing(_: object) -> tuple[()]:
    """Compare nothing but the kind."""
    return ()


@noun
class Recording:
    """How a kind of request gets into history, and which fields must agree when it is met again."""

    event_type: type[e.ScheduleEvent]
    compared: Callable[[Any], object]
    #: History may hold such an event although the code asks for nothing at this point.
    optional: bool = False


RECORDED_AS: Mapping[type[Any], Recording] = {
    CallActivity: Recording(e.ActivityScheduled, attrgetter("name", "input", "session_id", "tag")),
    CreateTimer: Recording(e.TimerCreated, _nothing),
    WaitExternal: Recording(e.ExternalSubscribed, attrgetter("name")),
    DequeueEvent: Recording(e.QueueSubscribed, attrgetter("name")),
    StartSubOrchestration: Recording(e.SubOrchestrationScheduled, attrgetter("name", "input")),
    StartOrchestrationDetached: Recording(e.OrchestrationChained, attrgetter("name", "instance_id", "input")),
    UpdateCustomStatus: Recording(e.CustomStatusUpdated, _nothing, optional=True),
    SetKeyValue: Recording(e.KeyValueSet, attrgetter("key", "value"), optional=True),
    ClearKeyValue: Recording(e.KeyValueCleared, attrgetter("key"), optional=True),
    ClearKeyValues: Recording(e.KeyValuesCleared, _nothing, optional=True),
}

#: Events that code may have stopped asking for without harm, when it asks for nothing in their place.
OPTIONAL_EVENTS: frozenset[type[e.Event]] = frozenset(r.event_type for r in RECORDED_AS.values() if r.optional)


def agrees(request: Request, event: e.ScheduleEvent) -> bool:
    """Whether *event* may be what history recorded of *request*."""
    recording = RECORDED_AS.get(type(request))
    return (
        recording is not None
        and type(event) is recording.event_type
        and recording.compared(request) == recording.compared(event)
    )


def child_id(parent_instance_id: str, execution_id: int, event_id: int) -> str:
    """
    Return the automatic id of a child.

    It names the execution from the second on, so that a parent that continues as new never meets
    the children of its former executions again.
    """
    place = f"{event_id}" if execution_id == 1 else f"{execution_id}_{event_id}"
    return f"{parent_instance_id}::sub::{place}"


def record(request: Request, event_id: int, timestamp_ms: int, started: e.OrchestrationStarted) -> e.ScheduleEvent:
    """Return the event that puts *request* into the history of the execution that *started* began."""
    match request:
        case CallActivity(name, input_, session_id, tag, attempt, expires_at_ms):
            return e.ActivityScheduled(event_id, timestamp_ms, name, input_, session_id, tag, attempt, expires_at_ms)
        case CreateTimer(fire_at_ms):
            return e.TimerCreated(event_id, timestamp_ms, fire_at_ms)
        case WaitExternal(name):
            return e.ExternalSubscribed(event_id, timestamp_ms, name)
        case DequeueEvent(name):
            return e.QueueSubscribed(event_id, timestamp_ms, name)
        case StartSubOrchestration(name, input_, instance_id, version):
            child = instance_id or child_id(started.instance_id, started.execution_id, event_id)
            return e.SubOrchestrationScheduled(event_id, timestamp_ms, name, child, input_, version)
        case StartOrchestrationDetached(name, instance_id, input_, version):
            return e.OrchestrationChained(event_id, timestamp_ms, name, instance_id, input_, version)
        case _:
            return _record_state(request, event_id, timestamp_ms)


def _record_state(request: Request, event_id: int, timestamp_ms: int) -> e.ScheduleEvent:
    match request:
        case UpdateCustomStatus(status):
            return e.CustomStatusUpdated(event_id, timestamp_ms, status)
        case SetKeyValue(key, value, updated_at_ms):
            return e.KeyValueSet(event_id, timestamp_ms, key, value, updated_at_ms)
        case ClearKeyValue(key):
            return e.KeyValueCleared(event_id, timestamp_ms, key)
        case ClearKeyValues():
            return e.KeyValuesCleared(event_id, timestamp_ms)
        case _:
            msg = f"{request!r} has no event of its own"
            raise TypeError(msg)
