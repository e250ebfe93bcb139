"""What to say when code no longer does what history says it did. Every text that names it is here."""

from __future__ import annotations

from attrs import asdict

from .._nouns import frozen
from . import events as e
from .ledger import ANSWERED_BY
from .requests import Request


_WHY = (
    " This happens when the code of an orchestration, or a class that it passes on, is changed under a running instance, or"
    " depends on something that is not in its history: a clock, a random number, the environment, a global, the order of a"
    " set. Register changed code as a new version, and use ctx.utc_now(), ctx.new_guid(), ctx.random or an activity for the"
    " rest."
)

#: Payloads are cut to this many characters in messages.
_LONGEST_VALUE = 200


@frozen
class Disagreement:
    """Where code and history part."""

    #: Of the event that does not fit.
    event_id: int
    #: The source line at which the code is: ``file:line in function``.
    place: str
    #: What history recorded.
    expected: str
    #: What the code does instead.
    got: str
    #: All of it in sentences, with the reason and the remedy.
    text: str


def mismatch(event: e.ScheduleEvent, request: Request, place: str) -> Disagreement:
    """Code asked for something else than history recorded."""
    # Long inputs are often the same for a while.
    pairs = enumerate(zip(getattr(event, "input", ""), getattr(request, "input", ""), strict=False))
    start = max(next((index for index, (one, other) in pairs if one != other), 0) - _LONGEST_VALUE // 2, 0)
    expected, got = describe(event, start=start), _request(request, start=start)
    text = f"history recorded {expected}, but the code asked for {got} in its place (it is at {place}).{_WHY}"
    return Disagreement(event.event_id, place, expected, got, text)


def extra_event(event: e.ScheduleEvent, place: str) -> Disagreement:
    """Code waits without having asked for what history recorded."""
    expected = describe(event)
    text = f"history recorded {expected}, but the code asked for nothing in its place: it waits at {place}.{_WHY}"
    return Disagreement(event.event_id, place, expected, "nothing: the code waits", text)


def early_completion(event: e.CompletionEvent, place: str) -> Disagreement:
    """An answer without, or before, its question."""
    text = (
        f"history has {describe(event)}: a completion without an open schedule. There is no schedule event"
        f" {event.source_event_id} before it (the code is at {place}). The history is damaged, or was put together by"
        " hand."
    )
    return Disagreement(event.event_id, place, describe(event), "a completion without an open schedule", text)


def closed_schedule(event: e.CompletionEvent, place: str) -> Disagreement:
    """A second answer."""
    text = (
        f"history has {describe(event)}: a completion without an open schedule. Event {event.source_event_id} was"
        f" answered before (the code is at {place}). The history is damaged, or was put together by hand."
    )
    return Disagreement(event.event_id, place, describe(event), "a completion without an open schedule", text)


def repeated_id(event: e.ScheduleEvent, place: str) -> Disagreement:
    """Two schedules that one answer would fit."""
    text = (
        f"history has {describe(event)}, but another schedule of that id has no answer yet (the code is at {place})."
        " The history is damaged, or was put together by hand."
    )
    return Disagreement(event.event_id, place, describe(event), "a second open schedule of that id", text)


def wrong_kind(event: e.CompletionEvent, scheduled: e.ScheduleEvent, place: str) -> Disagreement:
    """An answer of the wrong kind."""
    fitting = " or ".join(kind.__name__ for kind in ANSWERED_BY[type(scheduled)]) or "no completion"
    text = (
        f"{describe(event)} cannot answer {describe(scheduled)}: a kind mismatch. It is answered by {fitting}."
        " The history is damaged, or was put together by hand."
    )
    return Disagreement(event.event_id, place, describe(event), f"{describe(scheduled)}, answered by {fitting}", text)


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


def cancellation_mismatch(event: e.Breadcrumb, request: Request, place: str) -> Disagreement:
    """History says that code gave something up, but now it did not."""
    kind = {
        e.ActivityCancelRequested: "activity",
        e.SubOrchestrationCancelRequested: "sub-orchestration",
        e.ExternalSubscribedCancelled: "external event",
        e.QueueSubscriptionCancelled: "queue",
    }[type(event)]
    text = (
        f"cancellation mismatch ({kind}): history recorded {describe(event)}, but the code still wants"
        f" {_request(request)} (it is at {place}).{_WHY}"
    )
    return Disagreement(event.event_id, place, describe(event), f"the code still wants {_request(request)}", text)


EMPTY_HISTORY = "the history is empty; its first event must be OrchestrationStarted."


def not_started(event: e.Event) -> str:
    """A history that begins in the middle."""
    return f"the history begins with {describe(event)}; its first event must be OrchestrationStarted."


def describe(event: e.Event, *, start: int = 0) -> str:
    """Return *event* in one line, with long values cut; of a long input only what comes from *start* on."""
    fields = {name: getattr(event, name) for name in e.payload_fields(type(event))}
    return f"event {event.event_id} {e.TYPE_NAMES[type(event)]}({_listed(fields, start)})"


def _request(request: Request, *, start: int = 0) -> str:
    return f"{type(request).__name__}({_listed(asdict(request, recurse=False), start)})"


def _listed(fields: dict[str, object], start: int) -> str:
    shown = {name: _cut(value, start if name == "input" else 0) for name, value in fields.items() if value is not None}
    return ", ".join(f"{name}={text}" for name, text in shown.items())


def _cut(value: object, start: int) -> str:
    text = repr(value)
    if len(text) <= _LONGEST_VALUE:
        return text
    end = start + _LONGEST_VALUE
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''} ({len(text)} characters)"
