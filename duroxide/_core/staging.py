"""
Messages become events: stale, duplicate and impossible ones are sorted out.

At most one completion for each schedule, whatever its flavour, gets into history. Events, queue
messages and cancellations are never compared by content: sending twice means twice.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field

from .._nouns import define, values_of
from . import events as e
from .ledger import ANSWERED_BY, Ledger
from .messages import Deliver
from .nondeterminism import unknown_schedule, wrong_message_kind


@define
class Staged:
    """What a batch of messages adds to history."""

    events: list[e.Event] = field(factory=list)
    #: Messages that were dropped, with the reason; for the log.
    dropped: tuple[str, ...] = ()
    #: What the people who run this should know; for the log.
    warnings: tuple[str, ...] = ()
    #: Set when a message cannot be true: the turn fails with this text.
    impossible: tuple[str, ...] = ()


def stage(
    messages: Iterable[Deliver],
    ledger: Ledger,
    *,
    execution_id: int,
    first_event_id: int,
    timestamp_ms: int,
    is_cancelled: bool,
    parent: e.Parent | None = None,
) -> Staged:
    """
    Return the events that *messages* become, numbered from *first_event_id*.

    Args:
        ledger: The schedules of the current execution, all its events applied.

        is_cancelled: Whether history has a cancel request already; only the first counts.

        parent: Whom the execution reports to; no other parent can cancel it.
    """
    staged = Staged()
    answered: set[int] = set()
    for message in messages:
        event = message.event
        if message.execution_id is not None and message.execution_id != execution_id:
            staged.dropped += (f"{_name(event)} for execution {message.execution_id}, now {execution_id}",)
            continue
        if isinstance(event, e.CompletionEvent):
            if not _may_answer(event, ledger, answered, staged):
                continue
            answered.add(event.source_event_id)
        elif isinstance(event, e.OrchestrationCancelRequested):
            if event.parent is not None and event.parent != parent:
                staged.dropped += (f"a cancel request of {event.parent}, whose child this is not",)
                continue
            if is_cancelled:
                staged.dropped += ("a second cancel request: the first reason counts",)
                continue
            is_cancelled = True
        staged.events.append(_placed(event, first_event_id + len(staged.events), timestamp_ms))
    return staged


def _may_answer(event: e.CompletionEvent, ledger: Ledger, answered: set[int], staged: Staged) -> bool:
    source = event.source_event_id
    scheduled = ledger.kind_of(source)
    if scheduled is None:
        staged.impossible += (unknown_schedule(event),)
        return False
    if type(event) not in ANSWERED_BY[scheduled]:
        staged.impossible += (wrong_message_kind(event, scheduled),)
        return False
    if source not in ledger.open or source in answered:
        staged.dropped += (f"{_name(event)} for event {source}, which has been answered",)
        return False
    return True


def _name(event: e.Event) -> str:
    return e.TYPE_NAMES[type(event)]


_PAYLOADS = {kind: values_of(e.payload_fields(kind)) for kind in e.TYPE_NAMES}


def _placed(event: e.Event, event_id: int, timestamp_ms: int) -> e.Event:
    """Return *event* with its place in history."""
    kind = type(event)
    return kind(event_id, timestamp_ms, *_PAYLOADS[kind](event))
