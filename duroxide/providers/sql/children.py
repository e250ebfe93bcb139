"""
What parents have sent to their children, and is still in the queue: starts, and cancellations.

Rule 1: it belongs to the parent that sent it, and goes with it. What somebody else has sent to the same id stays.

Rule 2: whom a parent has sent something says its history; a message says who its parent is only once it is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..._core.codec import START_KIND, UnreadableEvent, decode_event, decode_message
from ..._core.events import TYPE_NAMES, OrchestrationCancelRequested, Parent, SubOrchestrationScheduled
from ..._core.messages import Deliver
from ..._nouns import frozen
from .statements import AnyRow, Query, Values
from .transaction import Transaction


#: What makes message *t* the start of an instance, and not of its next execution.
IS_FIRST_START = f"(t.kind = '{START_KIND}' AND t.execution_id = 1)"

_SCHEDULED = (
    "SELECT h.event_type, h.event_id, h.timestamp_ms, h.data"
    " FROM {keys} JOIN {history} AS h ON h.instance_id = k.p_instance_id %s"
    " WHERE h.event_type = 'SubOrchestrationScheduled'"
)
_OF_INSTANCES = Query(_SCHEDULED % "", "instance_id text")
_OF_EXECUTIONS = Query(_SCHEDULED % "AND h.execution_id = k.p_execution_id", "instance_id text, execution_id bigint")
_HOLD_SENT = Query(
    "SELECT t.id, t.instance_id, t.execution_id, t.kind, t.data FROM {orchestrator_queue} AS t"  # noqa: S608  # constants
    " WHERE t.instance_id IN (SELECT k.p_instance_id FROM {keys})"
    f" AND ({IS_FIRST_START} OR t.kind = '{TYPE_NAMES[OrchestrationCancelRequested]}')"
    " ORDER BY t.id {for_update}",
    "instance_id text",
)


@frozen
class Sent:
    """A message that starts or cancels an instance."""

    message_id: int
    instance_id: str
    is_start: bool
    #: Who sent it; None: no parent.
    parent: Parent | None = None
    #: Whether it says who sent it.
    is_readable: bool = True


def children_of_instances(transaction: Transaction, keys: Sequence[Values]) -> set[str]:
    """Return the ids of all children that the instances of *keys* have asked for."""
    return set(_children(transaction.query(_OF_INSTANCES, keys)))


def sent_to(transaction: Transaction, instance_ids: set[str]) -> list[Sent]:
    """Lock what starts or cancels *instance_ids*, and return it in the order in which it was sent."""
    return [_sent(row) for row in transaction.query(_HOLD_SENT, sorted((each,) for each in instance_ids))]


def about_to_have_children(transaction: Transaction, executions: Sequence[Values]) -> set[Values]:
    """Return those of *executions* (instance id and execution id) of which a child is about to start."""
    children = set(_children(transaction.query(_OF_EXECUTIONS, executions)))
    if not children:
        return set()
    parents = [sent.parent for sent in sent_to(transaction, children) if sent.is_start and sent.parent is not None]
    return {(parent.instance_id, parent.execution_id) for parent in parents}


def _children(rows: Sequence[AnyRow]) -> Iterator[str]:
    for row in rows:
        try:
            event = decode_event(row.event_type, row.event_id, row.timestamp_ms, row.data)
        except UnreadableEvent:
            # Then its parent has not been able to go on, and its child is found once it exists.
            continue
        if isinstance(event, SubOrchestrationScheduled):
            yield event.instance_id


def _sent(row: AnyRow) -> Sent:
    is_start = row.kind == START_KIND
    try:
        message = decode_message(row.kind, row.instance_id, row.execution_id, row.data)
    except UnreadableEvent:
        return Sent(row.id, row.instance_id, is_start, is_readable=False)
    if not isinstance(message, Deliver):
        return Sent(row.id, row.instance_id, is_start, message.parent)
    event = message.event
    parent = event.parent if isinstance(event, OrchestrationCancelRequested) else None
    return Sent(row.id, row.instance_id, is_start, parent)
