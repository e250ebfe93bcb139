"""
What has happened to an execution: one frozen class per kind of event.

Rule 1: an event never changes once it is in history; a new field has a default, so that old
histories still read.

Rule 2: the name in the database is in `EVENT_TYPES`, not derived from the class, so that renaming a
class does not rewrite anybody's history.

Rule 3: an event says nothing about the instance it belongs to, except the first, which says
everything an execution starts from. So a history can be exported, moved and replayed by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, fields

from .._nouns import noun
from ..errors import ErrorDetails


__all__ = [
    "EVENT_TYPES",
    "TERMINAL_EVENTS",
    "TYPE_NAMES",
    "ActivityCancelRequested",
    "ActivityCompleted",
    "ActivityFailed",
    "ActivityScheduled",
    "Breadcrumb",
    "CompletionEvent",
    "CustomStatusUpdated",
    "Event",
    "ExternalEvent",
    "ExternalSubscribed",
    "ExternalSubscribedCancelled",
    "KeyValueCleared",
    "KeyValueSet",
    "KeyValuesCleared",
    "KvEntry",
    "OrchestrationCancelRequested",
    "OrchestrationChained",
    "OrchestrationCompleted",
    "OrchestrationContinuedAsNew",
    "OrchestrationFailed",
    "OrchestrationStarted",
    "Parent",
    "QueueEventDelivered",
    "QueueSubscribed",
    "QueueSubscriptionCancelled",
    "QueuedMessage",
    "ScheduleEvent",
    "SubOrchestrationCancelRequested",
    "SubOrchestrationCompleted",
    "SubOrchestrationFailed",
    "SubOrchestrationScheduled",
    "TimerCreated",
    "TimerFired",
]


@noun
class Event:
    """
    The envelope of every event.

    *event_id* is unique within an execution; the first event has 1. *timestamp_ms* is milliseconds
    since the Unix epoch, and is what `OrchestrationContext.utc_now` reads while the event is being
    processed.
    """

    event_id: int
    timestamp_ms: int


@noun
class Parent:
    """Whom an execution reports to when it ends: the schedule *event_id* of that execution."""

    instance_id: str
    execution_id: int
    event_id: int


@noun
class KvEntry:
    """One live key-value pair's value and when it was set, in milliseconds since the epoch."""

    value: str
    updated_at_ms: int


@noun
class QueuedMessage:
    """A queue message nobody has read yet."""

    queue: str
    data: str


@noun
class OrchestrationStarted(Event):
    """Always event 1: what the execution starts from, and all that it inherits."""

    instance_id: str
    execution_id: int
    name: str
    #: The concrete version that was resolved; every later turn runs exactly this one.
    version: str
    #: JSON text.
    input: str
    parent: Parent | None = None
    #: The release that wrote this; the execution is pinned to releases that can replay it.
    duroxide_version: str = "0.0.0"
    #: Inherited over continue-as-new.
    custom_status: str | None = None
    kv: Mapping[str, KvEntry] = field(factory=dict)
    queued: tuple[QueuedMessage, ...] = ()


@noun
class OrchestrationCompleted(Event):
    """The function returned *output* (JSON text)."""

    output: str


@noun
class OrchestrationFailed(Event):
    """The function raised, or was cancelled, or could not go on."""

    details: ErrorDetails


@noun
class OrchestrationContinuedAsNew(Event):
    """The next execution starts with *input* (JSON text)."""

    input: str


@noun
class ScheduleEvent(Event):
    """Something the code asked for. Completions refer to its event id."""


@noun
class ActivityScheduled(ScheduleEvent):
    """An activity is to be run."""

    name: str
    input: str
    session_id: str | None = None
    tag: str | None = None
    #: Which attempt of a retry policy this is, from 1.
    attempt: int = 1
    #: If no worker has begun it by then (ms since the epoch), it fails.
    expires_at_ms: int | None = None


@noun
class TimerCreated(ScheduleEvent):
    """A timer is to fire at *fire_at_ms*."""

    fire_at_ms: int


@noun
class ExternalSubscribed(ScheduleEvent):
    """The code waits for the next external event called *name*."""

    name: str


@noun
class QueueSubscribed(ScheduleEvent):
    """The code asked for the next message of the queue *name*."""

    name: str


@noun
class SubOrchestrationScheduled(ScheduleEvent):
    """A child is to be started as *instance_id* (the full id)."""

    name: str
    instance_id: str
    input: str
    version: str | None = None


@noun
class OrchestrationChained(ScheduleEvent):
    """An independent orchestration is to be started."""

    name: str
    instance_id: str
    input: str
    version: str | None = None


@noun
class CustomStatusUpdated(ScheduleEvent):
    """The code set its status text, or cleared it (None)."""

    status: str | None = None


@noun
class KeyValueSet(ScheduleEvent):
    """The code set *key*."""

    key: str
    value: str
    updated_at_ms: int = 0


@noun
class KeyValueCleared(ScheduleEvent):
    """The code removed *key*."""

    key: str


@noun
class KeyValuesCleared(ScheduleEvent):
    """The code removed all keys."""


@noun
class CompletionEvent(Event):
    """The answer to the schedule *source_event_id*."""

    source_event_id: int


@noun
class ActivityCompleted(CompletionEvent):
    """The activity returned *result* (JSON text)."""

    result: str


@noun
class ActivityFailed(CompletionEvent):
    """The activity raised, or could not be run."""

    details: ErrorDetails


@noun
class TimerFired(CompletionEvent):
    """The timer's time has come."""

    fire_at_ms: int


@noun
class SubOrchestrationCompleted(CompletionEvent):
    """The child returned *result* (JSON text)."""

    result: str


@noun
class SubOrchestrationFailed(CompletionEvent):
    """The child failed, was cancelled, or could not be started."""

    details: ErrorDetails


@noun
class ExternalEvent(Event):
    """Somebody raised *name*. It goes to the oldest open subscription, or to nobody."""

    name: str
    data: str


@noun
class QueueEventDelivered(Event):
    """Somebody put *data* into the queue *name*."""

    name: str
    data: str


@noun
class OrchestrationCancelRequested(Event):
    """Somebody cancelled the instance. The first reason counts."""

    reason: str
    #: Set if a parent did: it counts only for that parent's own child, not for another instance of the id it wanted.
    parent: Parent | None = None


@noun
class Breadcrumb(Event):
    """The schedule *source_event_id* is not wanted any more. Not an answer: one may still come."""

    source_event_id: int
    reason: str


@noun
class ActivityCancelRequested(Breadcrumb):
    """The activity's row is removed; a running one is told."""


@noun
class ExternalSubscribedCancelled(Breadcrumb):
    """The wait never resolves."""


@noun
class QueueSubscriptionCancelled(Breadcrumb):
    """The dequeue never resolves; its message goes to the next one."""


@noun
class SubOrchestrationCancelRequested(Breadcrumb):
    """The child is told to cancel itself."""


TerminalEvent = OrchestrationCompleted | OrchestrationFailed | OrchestrationContinuedAsNew
TERMINAL_EVENTS = (OrchestrationCompleted, OrchestrationFailed, OrchestrationContinuedAsNew)

#: Why a breadcrumb was written.
DROPPED = "dropped_future"
TERMINAL_REASONS: Mapping[type[Event], str] = {
    OrchestrationCompleted: "orchestration_terminal_completed",
    OrchestrationFailed: "orchestration_terminal_failed",
    OrchestrationContinuedAsNew: "orchestration_terminal_continued_as_new",
}

#: What each event is called in the database and in exported histories. Only ever added to.
EVENT_TYPES: Mapping[str, type[Event]] = {
    "OrchestrationStarted": OrchestrationStarted,
    "OrchestrationCompleted": OrchestrationCompleted,
    "OrchestrationFailed": OrchestrationFailed,
    "OrchestrationContinuedAsNew": OrchestrationContinuedAsNew,
    "ActivityScheduled": ActivityScheduled,
    "ActivityCompleted": ActivityCompleted,
    "ActivityFailed": ActivityFailed,
    "ActivityCancelRequested": ActivityCancelRequested,
    "TimerCreated": TimerCreated,
    "TimerFired": TimerFired,
    "ExternalSubscribed": ExternalSubscribed,
    "ExternalEvent": ExternalEvent,
    "ExternalSubscribedCancelled": ExternalSubscribedCancelled,
    "QueueSubscribed": QueueSubscribed,
    "QueueEventDelivered": QueueEventDelivered,
    "QueueSubscriptionCancelled": QueueSubscriptionCancelled,
    "SubOrchestrationScheduled": SubOrchestrationScheduled,
    "SubOrchestrationCompleted": SubOrchestrationCompleted,
    "SubOrchestrationFailed": SubOrchestrationFailed,
    "SubOrchestrationCancelRequested": SubOrchestrationCancelRequested,
    "OrchestrationChained": OrchestrationChained,
    "OrchestrationCancelRequested": OrchestrationCancelRequested,
    "CustomStatusUpdated": CustomStatusUpdated,
    "KeyValueSet": KeyValueSet,
    "KeyValueCleared": KeyValueCleared,
    "KeyValuesCleared": KeyValuesCleared,
}

#: The same table, the other way round.
TYPE_NAMES: Mapping[type[Event], str] = {cls: name for name, cls in EVENT_TYPES.items()}


def payload_fields(cls: type[Event]) -> tuple[str, ...]:
    """Return the names of the fields that *cls* adds to the envelope."""
    return tuple(f.name for f in fields(cls) if f.name not in ("event_id", "timestamp_ms"))
