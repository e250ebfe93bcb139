"""What has happened, in words: events, commits and activities as the trace of a simulation tells them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

from ..._core import events as e
from ..._core.ledger import Ledger
from .steps import in_words
from .store import Written


#: What a commit is given, as against what its turn decided.
DELIVERED = (
    e.OrchestrationStarted,
    e.CompletionEvent,
    e.ExternalEvent,
    e.QueueEventDelivered,
    e.OrchestrationCancelRequested,
)

_LONGEST = 60


def tell_commit(written: Written) -> str:
    """Return what a turn was told and what it decided."""
    commit = written.commit
    if not written.is_accepted:
        return f"its commit is refused: {written.result.value}"
    if not commit.events:
        return "what has come is not wanted any more"
    told = [tell(event, written.event) for event in commit.events if isinstance(event, DELIVERED)]
    decided = [tell(event, written.event) for event in commit.events if not isinstance(event, DELIVERED)]
    return f"{', '.join(told) or 'it hears nothing new'} -> {', '.join(decided) or 'goes on waiting'}"


def tell(event: e.Event, find: Callable[[int], e.Event | None]) -> str:
    """Return what *event* says; *find* finds the schedules by their ids."""
    if isinstance(event, e.CompletionEvent):
        source = find(event.source_event_id)
        what = f"event {event.source_event_id}" if source is None else subject(source)
        return f"{what} {_completion(event)}"
    if isinstance(event, e.Breadcrumb):
        source = find(event.source_event_id)
        return f"gives up {f'event {event.source_event_id}' if source is None else subject(source)}"
    if isinstance(event, e.ScheduleEvent):
        return _scheduled(event)
    return _other(event)


def subject(event: e.Event) -> str:
    """Return what a schedule event is about."""
    match event:
        case e.ActivityScheduled(name=name):
            return name
        case e.TimerCreated(timestamp_ms=now_ms, fire_at_ms=fire_at_ms):
            return f"the timer of {in_words(timedelta(milliseconds=fire_at_ms - now_ms))}"
        case e.ExternalSubscribed(name=name):
            return f"the wait for event {name!r}"
        case e.QueueSubscribed(name=name):
            return f"the wait for queue {name!r}"
        case e.SubOrchestrationScheduled(name=name, instance_id=instance_id):
            return f"child {name} ({instance_id})"
        case _:
            return f"event {event.event_id}"


def _completion(event: e.CompletionEvent) -> str:
    match event:
        case e.TimerFired():
            return "fired"
        case e.ActivityFailed(details=details) | e.SubOrchestrationFailed(details=details):
            return f"failed ({shortened(details.display)})"
        case _:
            return "completed"


def _scheduled(event: e.ScheduleEvent) -> str:
    match event:
        case e.ActivityScheduled(attempt=attempt) if attempt > 1:
            return f"schedules attempt {attempt} of {subject(event)}"
        case e.ActivityScheduled():
            return f"schedules {subject(event)}"
        case e.TimerCreated():
            return f"starts {subject(event)}"
        case e.ExternalSubscribed(name=name):
            return f"waits for event {name!r}"
        case e.QueueSubscribed(name=name):
            return f"waits for queue {name!r}"
        case e.SubOrchestrationScheduled():
            return f"starts {subject(event)}"
        case e.OrchestrationChained(name=name, instance_id=instance_id):
            return f"starts {name} ({instance_id}), detached"
        case e.CustomStatusUpdated(status=status):
            return f"sets its status to {status!r}"
        case e.KeyValueSet(key=key, value=value):
            return f"sets {key!r} to {shortened(value)}"
        case _:
            return "clears key-values"


def _other(event: e.Event) -> str:
    match event:
        case e.OrchestrationStarted(execution_id=execution_id):
            return "it begins" if execution_id == 1 else f"execution {execution_id} begins"
        case e.ExternalEvent(name=name):
            return f"event {name!r} comes"
        case e.QueueEventDelivered(name=name):
            return f"a message for queue {name!r} comes"
        case e.OrchestrationCancelRequested():
            return "it is cancelled"
        case e.OrchestrationCompleted(output=output):
            return f"returns {shortened(output)}"
        case e.OrchestrationFailed(details=details):
            return f"fails ({shortened(details.display)})"
        case _:
            return "continues as new"


def tell_outcome(outcome: e.ActivityCompleted | e.ActivityFailed) -> str:
    """Return how an activity ended."""
    if isinstance(outcome, e.ActivityCompleted):
        return f"and returns {shortened(outcome.result)}"
    return f"and raises {shortened(outcome.details.display)}"


def tell_waiting(history: Sequence[e.Event]) -> str:
    """Return what an instance with *history* waits for."""
    if not history:
        return "its first turn"
    if isinstance(history[-1], e.OrchestrationContinuedAsNew):
        return "its next execution"
    ledger = Ledger(history)
    wishes = Counter(_wish(event) for event_id, event in ledger.open.items() if event_id not in ledger.cancelled)
    told = (wish if count == 1 else f"{wish} ({count} times)" for wish, count in wishes.items())
    return ", ".join(told) or "nothing that could still come"


def _wish(event: e.Event) -> str:
    match event:
        case e.ExternalSubscribed(name=name):
            return f"event {name!r}"
        case e.QueueSubscribed(name=name):
            return f"a message in queue {name!r}"
        case e.ActivityScheduled(name=name):
            return f"activity {name!r}"
        case _:
            return subject(event)


def shortened(text: str) -> str:
    """Return *text* on one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
