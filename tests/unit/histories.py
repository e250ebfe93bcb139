"""Short names for the events of hand-written histories, and an instance that lives in memory."""

# ruff: noqa: A002  # `input` and `type` are what these fields are called

from __future__ import annotations

import json

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from duroxide._core import events as e
from duroxide._core.commit import TurnCommit
from duroxide._core.execution import Execution, begin
from duroxide._core.executor import Executor
from duroxide._core.messages import Deliver, StartOrchestration
from duroxide._core.staging import Staged
from duroxide._core.turn import run_turn
from duroxide._core.verdicts import Failed, Turn
from duroxide.errors import ErrorCategory, ErrorDetails, ErrorKind


T = 1_000_000
PARENT = e.Parent("parent", 1, 7)
Function = Callable[..., Any]
Steps = Generator[Any, Any, Any]


def fed(function: Function, started: e.OrchestrationStarted, history: Sequence[e.Event], cuts: Sequence[int]) -> Turn:
    """Feed *history*, cut into pieces, to a live executor; return what it decides in the end."""
    executor = Executor(function, started)
    try:
        turn = executor.feed()
        for start, end in zip([1, *cuts], [*cuts, len(history)], strict=True):
            turn = executor.feed(history[start:end])
        return turn
    finally:
        executor.close()


def as_json(value: object) -> str:
    """Return *value* as payloads are written."""
    return json.dumps(value, separators=(",", ":"))


def started(
    *,
    input: object = None,
    execution_id: int = 1,
    kv: Mapping[str, object] | None = None,
    queued: Sequence[tuple[str, object]] = (),
    status: str | None = None,
    parent: e.Parent | None = None,
) -> e.OrchestrationStarted:
    """Event 1."""
    entries = {key: e.KvEntry(as_json(value), T - 1000) for key, value in (kv or {}).items()}
    messages = tuple(e.QueuedMessage(queue, as_json(data)) for queue, data in queued)
    return e.OrchestrationStarted(
        1, T, "i", execution_id, "fn", "1.0.0", as_json(input), parent, "1.0.0", status, entries, messages
    )


def activity(event_id: int, name: str = "A", input: object = None, **fields: Any) -> e.ActivityScheduled:
    """An activity was scheduled."""
    return e.ActivityScheduled(event_id, T, name, as_json(input), **fields)


def completed(event_id: int, source: int, result: object = "ok") -> e.ActivityCompleted:
    """An activity completed."""
    return e.ActivityCompleted(event_id, T, source, as_json(result))


def details(
    message: str = "boom",
    *,
    category: ErrorCategory = ErrorCategory.APPLICATION,
    kind: ErrorKind = ErrorKind.ACTIVITY_FAILED,
    type: str | None = "ValueError",
    retryable: bool = True,
) -> ErrorDetails:
    """How something failed."""
    return ErrorDetails(category, kind, message, type, retryable=retryable)


def failed(event_id: int, source: int, why: ErrorDetails | str = "boom") -> e.ActivityFailed:
    """An activity failed."""
    return e.ActivityFailed(event_id, T, source, details(why) if isinstance(why, str) else why)


def timer(event_id: int, fire_at_ms: int = T + 1000) -> e.TimerCreated:
    """A timer was created."""
    return e.TimerCreated(event_id, T, fire_at_ms)


def fired(event_id: int, source: int, fire_at_ms: int = T + 1000) -> e.TimerFired:
    """A timer fired."""
    return e.TimerFired(event_id, T, source, fire_at_ms)


def waits(event_id: int, name: str = "E") -> e.ExternalSubscribed:
    """A wait was recorded."""
    return e.ExternalSubscribed(event_id, T, name)


def raised(event_id: int, name: str = "E", data: object = "data") -> e.ExternalEvent:
    """An event was raised."""
    return e.ExternalEvent(event_id, T, name, as_json(data))


def dequeues(event_id: int, name: str = "Q") -> e.QueueSubscribed:
    """A dequeue was recorded."""
    return e.QueueSubscribed(event_id, T, name)


def enqueued(event_id: int, name: str = "Q", data: object = "data") -> e.QueueEventDelivered:
    """A message arrived."""
    return e.QueueEventDelivered(event_id, T, name, as_json(data))


def child(event_id: int, name: str = "C", input: object = None, **fields: Any) -> e.SubOrchestrationScheduled:
    """A child was started."""
    instance_id = fields.pop("instance_id", f"i::sub::{event_id}")
    return e.SubOrchestrationScheduled(event_id, T, name, instance_id, as_json(input), **fields)


def child_completed(event_id: int, source: int, result: object = "ok") -> e.SubOrchestrationCompleted:
    """A child completed."""
    return e.SubOrchestrationCompleted(event_id, T, source, as_json(result))


def child_failed(event_id: int, source: int, why: ErrorDetails | str = "boom") -> e.SubOrchestrationFailed:
    """A child failed."""
    return e.SubOrchestrationFailed(event_id, T, source, details(why) if isinstance(why, str) else why)


def chained(event_id: int, name: str = "D", instance_id: str = "d", input: object = None) -> e.OrchestrationChained:
    """An independent orchestration was started."""
    return e.OrchestrationChained(event_id, T, name, instance_id, as_json(input))


def kv_set(event_id: int, key: str = "k", value: object = "v", updated_at_ms: int = T) -> e.KeyValueSet:
    """A key was set."""
    return e.KeyValueSet(event_id, T, key, as_json(value), updated_at_ms)


def cancel(event_id: int = 0, reason: str = "why") -> e.OrchestrationCancelRequested:
    """The instance was cancelled."""
    return e.OrchestrationCancelRequested(event_id, T, reason)


def dropped(kind: type[e.Breadcrumb], event_id: int, source: int) -> e.Breadcrumb:
    """Something was given up."""
    return kind(event_id, T, source, e.DROPPED)


def turn(fn: Function, *history: e.Event) -> Turn:
    """Replay *history*, behind a start event unless it has one, or is one that says it has none."""
    if history and isinstance(history[0], e.OrchestrationStarted):
        return run_turn(history, fn)
    return run_turn([started(), *history], fn)


def summary(events: Sequence[e.Event]) -> list[tuple[Any, ...]]:
    """Return id, kind and (of answers and breadcrumbs) source of *events*."""
    return [
        (
            event.event_id,
            type(event).__name__,
            *((event.source_event_id,) if isinstance(event, e.CompletionEvent | e.Breadcrumb) else ()),
        )
        for event in events
    ]


def nondeterminism(result: Turn) -> str:
    """Return the message of a turn that failed because code and history do not fit."""
    assert isinstance(result.verdict, Failed), result
    assert result.verdict.details.category is ErrorCategory.CONFIGURATION, result
    assert result.verdict.details.kind is ErrorKind.NONDETERMINISM
    assert result.events == ()
    return result.verdict.details.message


class Instance:
    """One instance without a store: every message is a turn, and every turn is committed."""

    def __init__(self, fn: Function, start: e.OrchestrationStarted | None = None) -> None:
        self.fn = fn
        self.execution = Execution(Executor(fn, start or started()), incarnation=1, is_new=True)
        self.history: list[e.Event] = []
        self.staged = Staged()
        self.commit = self.deliver()

    def deliver(self, *events: e.Event, execution_id: int | None = None, now_ms: int = T) -> TurnCommit:
        """Give one batch of messages to the instance."""
        current = self.execution.started.execution_id if execution_id is None else execution_id
        messages = [Deliver("i", current if isinstance(event, e.CompletionEvent) else None, event) for event in events]
        self.commit, self.staged = self.execution.advance(messages, now_ms=now_ms)
        self.history.extend(self.commit.events)
        self.execution.confirm(self.commit)
        return self.commit

    def rebuild(self) -> None:
        """Forget the live generator and replay the history."""
        start = self.execution.started
        self.execution.close()
        self.execution = Execution(Executor(self.fn, start), incarnation=1, is_new=False)
        self.execution.catch_up(self.history[1:])

    def next_execution(self) -> Instance:
        """Return the execution that this one continued as."""
        starts = [each.message for each in self.commit.messages if isinstance(each.message, StartOrchestration)]
        message = next(start for start in starts if start.execution_id > 1)
        return Instance(self.fn, begin(message, "1.0.0", timestamp_ms=T, duroxide_version="1.0.0"))

    @property
    def kinds(self) -> list[str]:
        """The names of all events."""
        return [type(event).__name__ for event in self.history]

    @property
    def output(self) -> Any:
        """What it returned."""
        assert self.commit.output is not None
        return json.loads(self.commit.output)
