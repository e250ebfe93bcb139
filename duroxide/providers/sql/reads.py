"""Questions that change nothing: histories, how instances stand, their key-values, and what becomes due when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..._core.codec import UnreadableEvent, decode_event
from ..._core.commit import ExecutionStatus
from ..._core.events import Event, KvEntry
from ...errors import UnreadableHistory
from ..contract import HistoryRequest, InstanceInfo
from .statements import AnyRow, Query
from .transaction import Transaction


_HISTORIES = Query(
    """
    SELECT k.p_position, h.event_type, h.event_id, h.timestamp_ms, h.data
    FROM {keys} JOIN {history} AS h
        ON h.instance_id = k.p_instance_id AND h.event_id > k.p_after_event_id
        AND h.execution_id = COALESCE(
            k.p_execution_id, (SELECT i.execution_id FROM {instances} AS i WHERE i.instance_id = k.p_instance_id)
        )
    ORDER BY k.p_position, h.event_id
    """,
    "position bigint, instance_id text, execution_id bigint, after_event_id bigint",
)
#: What is told of instance *i*: the fields of `InstanceInfo`.
INFO = (
    "i.instance_id, i.orchestration_name, i.orchestration_version, i.execution_id, i.last_event_id, i.status, i.output,"
    " i.custom_status, i.custom_status_version, i.parent_instance_id, i.created_at_ms, i.updated_at_ms"
)
_INFO_OF = Query(f"SELECT {INFO} FROM {{instances}} AS i WHERE i.instance_id = :instance_id")  # noqa: S608  # a constant
_VALUE = Query("SELECT value, updated_at_ms FROM {kv} WHERE instance_id = :instance_id AND key = :key")
_VALUES = Query("SELECT key, value, updated_at_ms FROM {kv} WHERE instance_id = :instance_id ORDER BY key")
# The expiry of an instance's lock is when the messages of a dead runtime become visible again.
_NEXT_DUE = Query(
    """
    SELECT MIN(due_ms) FROM (
        SELECT MIN(visible_at_ms) AS due_ms FROM {orchestrator_queue} WHERE visible_at_ms > :after_ms
        UNION ALL SELECT MIN(visible_at_ms) FROM {worker_queue} WHERE visible_at_ms > :after_ms
        UNION ALL SELECT MIN(locked_until_ms) FROM {instance_locks} WHERE locked_until_ms > :after_ms
    ) AS due
    """
)
_NEXT_ACTIVITY_DUE = Query("SELECT MIN(visible_at_ms) FROM {worker_queue} WHERE visible_at_ms > :after_ms")


def histories(
    transaction: Transaction, requests: Sequence[HistoryRequest]
) -> Sequence[Sequence[Event] | UnreadableHistory]:
    """Return the events asked for, one answer for each request."""
    keys = [
        (position, request.instance_id, request.execution_id, request.after_event_id)
        for position, request in enumerate(requests)
    ]
    found: list[list[Event]] = [[] for _ in requests]
    unreadable: dict[int, UnreadableHistory] = {}
    for position, event_type, event_id, timestamp_ms, data in transaction.query(_HISTORIES, keys):
        try:
            found[position].append(decode_event(event_type, event_id, timestamp_ms, data))
        except UnreadableEvent as error:
            request = requests[position]
            message = f"event {event_id} ({event_type}) of instance {request.instance_id!r}: {error}"
            unreadable.setdefault(position, UnreadableHistory(message))
    return [unreadable.get(position, events) for position, events in enumerate(found)]


def instance_info(transaction: Transaction, instance_id: str) -> InstanceInfo | None:
    """Return how an instance stands."""
    for row in transaction.query(_INFO_OF, instance_id=instance_id):
        return info_of(row)
    return None


def info_of(row: AnyRow) -> InstanceInfo:
    """Return a row of `INFO` as a record."""
    values = dict(zip(row._fields, row, strict=True))
    return InstanceInfo(**{**values, "status": ExecutionStatus(row.status)})


def kv_value(transaction: Transaction, instance_id: str, key: str) -> KvEntry | None:
    """Return one live value."""
    for row in transaction.query(_VALUE, instance_id=instance_id, key=key):
        return KvEntry(row.value, row.updated_at_ms)
    return None


def kv_all_values(transaction: Transaction, instance_id: str) -> Mapping[str, KvEntry]:
    """Return all live values."""
    return {
        row.key: KvEntry(row.value, row.updated_at_ms) for row in transaction.query(_VALUES, instance_id=instance_id)
    }


def next_due_ms(transaction: Transaction, after_ms: int | None, activities_only: bool) -> int | None:
    """Return when the next thing becomes visible that was invisible at *after_ms* (None: is now)."""
    query = _NEXT_ACTIVITY_DUE if activities_only else _NEXT_DUE
    (row,) = transaction.query(query, after_ms=transaction.now_ms if after_ms is None else after_ms)
    return None if row[0] is None else int(row[0])
