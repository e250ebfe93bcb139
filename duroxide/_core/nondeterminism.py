"""What to say when code no longer does what history says it did. Every text that names it is here."""

from __future__ import annotations

from attrs import asdict

from . import events as e
from .ledger import ANSWERED_BY
from .requests import Request


_WHY = (
    " This happens when the code of an orchestration is changed under a running instance, or depends on something that"
    " is not in its history: a clock, a random number, the environment, a global, the order of a set. Register changed"
    " code as a new version, and use ctx.utc_now(), ctx.new_guid(), ctx.random or an activity for the rest."
)

#: Payloads are cut to this many characters in messages.
_LONGEST_VALUE = 200


def mismatch(event: e.ScheduleEvent, request: Request, place: str) -> str:
    """Code asked for something else than history recorded."""
    return (
        f"history recorded {_event(event)}, but the code asked for {_request(request)} in its place (it is at {place})."
        f"{_WHY}"
    )


def extra_event(event: e.ScheduleEvent, place: str) -> str:
    """Code waits without having asked for what history recorded."""
    return f"history recorded {_event(event)}, but the code asked for nothing in its place: it waits at {place}.{_WHY}"


def early_completion(event: e.CompletionEvent, place: str) -> str:
    """An answer without, or before, its question."""
    return (
        f"history has {_event(event)}: a completion without an open schedule. There is no schedule event"
        f" {event.source_event_id} before it (the code is at {place}). The history is damaged, or was put together by"
        " hand."
    )


def closed_schedule(event: e.CompletionEvent, place: str) -> str:
    """A second answer."""
    return (
        f"history has {_event(event)}: a completion without an open schedule. Event {event.source_event_id} was"
        f" answered before (the code is at {place}). The history is damaged, or was put together by hand."
    )


def wrong_kind(event: e.CompletionEvent, scheduled: e.ScheduleEvent) -> str:
    """An answer of the wrong kind."""
    fitting = " or ".join(kind.__name__ for kind in ANSWERED_BY[type(scheduled)]) or "no completion"
    return (
        f"{_event(event)} cannot answer {_event(scheduled)}: a kind mismatch. It is answered by {fitting}."
        " The history is damaged, or was put together by hand."
    )


def unknown_schedule(event: e.CompletionEvent) -> str:
    """A message answers something that was never asked."""
    return (
        f"a {e.TYPE_NAMES[type(event)]} message arrived for event {event.source_event_id}, but there is no matching"
        f" schedule {event.source_event_id} in history.{_WHY}"
    )


def wrong_message_kind(event: e.CompletionEvent, scheduled: type[e.Event]) -> str:
    """A message answers a schedule of another kind."""
    return (
        f"a {e.TYPE_NAMES[type(event)]} message arrived for event {event.source_event_id}, which is"
        f" {e.TYPE_NAMES[scheduled]}: a kind mismatch.{_WHY}"
    )


def cancellation_mismatch(event: e.Breadcrumb, request: Request, place: str) -> str:
    """History says that code gave something up, but now it did not."""
    kind = {
        e.ActivityCancelRequested: "activity",
        e.SubOrchestrationCancelRequested: "sub-orchestration",
        e.ExternalSubscribedCancelled: "external event",
        e.QueueSubscriptionCancelled: "queue",
    }[type(event)]
    return (
        f"cancellation mismatch ({kind}): history recorded {_event(event)}, but the code still wants"
        f" {_request(request)} (it is at {place}).{_WHY}"
    )


EMPTY_HISTORY = "the history is empty; its first event must be OrchestrationStarted."


def not_started(event: e.Event) -> str:
    """A history that begins in the middle."""
    return f"the history begins with {_event(event)}; its first event must be OrchestrationStarted."


def _event(event: e.Event) -> str:
    fields = {name: getattr(event, name) for name in e.payload_fields(type(event))}
    return f"event {event.event_id} {e.TYPE_NAMES[type(event)]}({_listed(fields)})"


def _request(request: Request) -> str:
    return f"{type(request).__name__}({_listed(asdict(request, recurse=False))})"


def _listed(fields: dict[str, object]) -> str:
    return ", ".join(f"{name}={_cut(value)}" for name, value in fields.items() if value is not None)


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}… ({len(text)} characters)"
