"""
Lists, one page at a time, and counts.

Rule: a page of instances is a stretch of an index that is in the order of the answer. The statuses that are rare among
many instances have an index of their own, and so have the instances of each orchestration; every other condition is
checked along the way.
"""

from __future__ import annotations

import base64
import binascii
import json
import reprlib

from collections.abc import Iterator, Sequence
from functools import cache

from attrs import evolve

from ..._core import limits
from ..._core.arguments import check_count
from ..._core.commit import ExecutionStatus
from ..._core.times import time_ms
from ..._nouns import frozen
from ...errors import InvalidInput
from ..contract import InstanceInfo
from ..management import (
    MAX_PAGE,
    ExecutionInfo,
    InstanceFilter,
    InstanceTree,
    Page,
    QueueDepths,
    SystemMetrics,
)
from .reads import INFO, info_of
from .statements import AnyRow, Query, Values
from .transaction import Transaction
from .turn_statements import PASSED_ON


#: Ids that a statement is asked about, where it is asked again for each batch.
MAX_IDS = 1000

# What users passed may be anything.
_SHORT = reprlib.Repr()

#: What is `ENDED`; as a literal, see `_status_conditions`.
IS_ENDED = "i.status IN ('Completed', 'Failed')"

# Event ids have no gaps, so that the last one is the count, and is found without counting.
_EXECUTIONS = """
    SELECT e.instance_id, e.execution_id, e.version, e.status, e.output, e.started_at_ms, e.completed_at_ms, COALESCE((
        SELECT MAX(h.event_id) FROM {history} AS h
        WHERE h.instance_id = e.instance_id AND h.execution_id = e.execution_id
    ), 0) AS event_count
    FROM {executions} AS e WHERE e.instance_id = :instance_id AND %s
"""
_EXECUTION = Query(_EXECUTIONS % "e.execution_id = :execution_id")
_EXECUTION_PAGE = Query(_EXECUTIONS % "e.execution_id > :after" + " ORDER BY e.execution_id LIMIT :wanted")

_TREE = Query(
    f"""
    WITH RECURSIVE tree (instance_id, depth) AS (
        SELECT r.instance_id, 0 FROM {{instances}} AS r WHERE r.instance_id = :instance_id
        UNION ALL
        SELECT c.instance_id, t.depth + 1 FROM tree AS t JOIN {{instances}} AS c ON c.parent_instance_id = t.instance_id
    )
    SELECT {INFO} FROM tree AS t JOIN {{instances}} AS i ON i.instance_id = t.instance_id
    ORDER BY t.depth, i.created_at_ms, i.instance_id
    """  # noqa: S608  # constants
)
_METRICS = Query(
    """
    SELECT
        (SELECT COUNT(*) FROM {instances}) AS instances,
        (SELECT COUNT(*) FROM {executions}) AS executions,
        (SELECT COUNT(*) FROM {instances} WHERE status <> 'Completed' AND status = 'Failed') AS failed,
        (SELECT COUNT(*) FROM {instances} WHERE status <> 'Completed') AS not_completed
    """
)
_EVENTS = Query("SELECT COUNT(*) AS events FROM {history}")
_DEPTHS = Query(
    """
    SELECT
        (
            SELECT COUNT(*) FROM {orchestrator_queue} AS q WHERE q.visible_at_ms <= :now_ms AND NOT EXISTS (
                SELECT 1 FROM {instance_locks} AS l
                WHERE l.instance_id = q.instance_id AND l.locked_until_ms > :now_ms
            )
        ) AS messages,
        (SELECT COUNT(*) FROM {orchestrator_queue} WHERE visible_at_ms > :now_ms) AS later,
        (
            SELECT COUNT(*) FROM {instance_locks} AS l JOIN {orchestrator_queue} AS q ON q.instance_id = l.instance_id
            WHERE l.token = :passed_on AND l.locked_until_ms > :now_ms AND q.visible_at_ms <= :now_ms
        ) AS passed_on,
        (SELECT COUNT(*) FROM {worker_queue} WHERE visible_at_ms <= :now_ms) AS activities,
        (SELECT COUNT(*) FROM {worker_queue} WHERE visible_at_ms > :now_ms) AS locked_activities,
        (SELECT COUNT(*) FROM {instance_locks} WHERE locked_until_ms > :now_ms AND token <> :passed_on) AS locked_instances
    """
)

# Each condition of a filter that is a comparison, by the name of its field.
_COMPARISONS = {
    "orchestration_name": ("i.orchestration_name = :orchestration_name",),
    "id_prefix": ("substr(i.instance_id, 1, length(CAST(:id_prefix AS text))) = CAST(:id_prefix AS text)",),
    "created_before": ("i.created_at_ms < :created_before",),
    "created_after": ("i.created_at_ms >= :created_after",),
    # Nothing is updated or completed before it is created: this bounds the stretch of the index.
    "updated_before": ("i.updated_at_ms < :updated_before", "i.created_at_ms < :updated_before"),
    "updated_after": ("i.updated_at_ms >= :updated_after",),
    # What has ended is not updated any more.
    "completed_before": (
        "i.updated_at_ms < :completed_before",
        "i.created_at_ms < :completed_before",
        IS_ENDED,
    ),
    "completed_after": ("i.updated_at_ms >= :completed_after", IS_ENDED),
    "parent": ("i.parent_instance_id = :parent",),
}

# Keeps the planners from the index of names, of which there may be a million that have completed.
_NAMED_AMONG_FEW = ("i.orchestration_name || '' = :orchestration_name",)


@frozen
class Where:
    """A filter as SQL about ``{instances} AS i``."""

    conditions: tuple[str, ...]
    parameters: dict[str, str | int]
    #: Ids, and names of orchestrations, for ``{keys}``.
    keys: list[Values] | None = None

    @property
    def columns(self) -> str:
        """How *keys* are declared."""
        return "" if self.keys is None else "instance_id text, name text"

    @classmethod
    def of(cls, which: InstanceFilter) -> Where:
        """Return *which* as SQL."""
        conditions = ["TRUE"]
        parameters: dict[str, str | int] = {}
        for name, comparisons in _COMPARISONS.items():
            value = getattr(which, name)
            if value is not None:
                conditions += _NAMED_AMONG_FEW if name == "orchestration_name" and _are_few(which) else comparisons
                parameters[name] = value if isinstance(value, str) else time_ms(name, value)
        if which.roots_only:
            conditions.append("i.parent_instance_id IS NULL")
        if which.statuses is not None:
            conditions += _status_conditions(sorted(which.statuses))
        keys: list[Values] = []
        if which.ids is not None:
            conditions.append("i.instance_id IN (SELECT k.p_instance_id FROM {keys})")
            keys += [(instance_id, None) for instance_id in sorted(which.ids)]
        if which.except_names:
            conditions.append("NOT EXISTS (SELECT 1 FROM {keys} WHERE k.p_name = i.orchestration_name)")
            keys += [(None, name) for name in sorted(which.except_names)]
        return cls(tuple(conditions), parameters, None if which.ids is None and not keys else keys)


def in_parts(which: InstanceFilter, ids: Sequence[str]) -> Iterator[InstanceFilter]:
    """Yield *which* for some of *ids* after the other, so that what they are asked for each batch of is not all of them."""
    for first in range(0, len(ids), MAX_IDS):
        yield evolve(which, ids=ids[first : first + MAX_IDS])


def _are_few(which: InstanceFilter) -> bool:
    """Whether the index of statuses that are rare leads to them."""
    return which.statuses is not None and len(which.statuses) == 1 and ExecutionStatus.COMPLETED not in which.statuses


def _status_conditions(statuses: Sequence[ExecutionStatus]) -> list[str]:
    """Return the conditions for *statuses*, as literals: SQLite uses a partial index for nothing else."""
    if not statuses:
        return ["FALSE"]
    if len(statuses) > 1:
        return ["i.status IN (" + ", ".join(f"'{status.value}'" for status in statuses) + ")"]
    (status,) = statuses
    only_rare = [] if status is ExecutionStatus.COMPLETED else ["i.status <> 'Completed'"]
    return [*only_rare, f"i.status = '{status.value}'"]


@cache
def _page_query(conditions: tuple[str, ...], columns: str, *, is_first: bool) -> Query:
    after = "" if is_first else " AND (i.created_at_ms, i.instance_id) < (:after_ms, :after_id)"
    return Query(
        f"SELECT {INFO} FROM {{instances}} AS i WHERE {' AND '.join(conditions)}{after}"  # noqa: S608  # constants
        " ORDER BY i.created_at_ms DESC, i.instance_id DESC LIMIT :wanted",
        columns,
    )


def instances(
    transaction: Transaction, which: InstanceFilter, limit: int, after: tuple[int, str] | None
) -> Page[InstanceInfo]:
    """Return the page of instances that follows *after*, a creation time and an id."""
    where = Where.of(which)
    position = {} if after is None else {"after_ms": after[0], "after_id": after[1]}
    query = _page_query(where.conditions, where.columns, is_first=after is None)
    transaction.find_one_by_one()
    rows = transaction.query(query, where.keys, wanted=limit + 1, **where.parameters, **position)
    infos = tuple(info_of(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(infos)
    return Page(infos, encode_cursor("instances", infos[-1].created_at_ms, infos[-1].instance_id))


def executions(transaction: Transaction, instance_id: str, limit: int, after: int) -> Page[ExecutionInfo]:
    """Return the page of executions that follows execution *after*."""
    rows = transaction.query(_EXECUTION_PAGE, instance_id=instance_id, after=after, wanted=limit + 1)
    infos = tuple(_execution_info(row) for row in rows[:limit])
    return Page(infos, encode_cursor("executions", infos[-1].execution_id) if len(rows) > limit else None)


def execution(transaction: Transaction, instance_id: str, execution_id: int) -> ExecutionInfo | None:
    """Return how an execution stands."""
    rows = transaction.query(_EXECUTION, instance_id=instance_id, execution_id=execution_id)
    return _execution_info(rows[0]) if rows else None


def _execution_info(row: AnyRow) -> ExecutionInfo:
    return ExecutionInfo(
        instance_id=row.instance_id,
        execution_id=row.execution_id,
        orchestration_version=row.version,
        status=ExecutionStatus(row.status),
        output=row.output,
        started_at_ms=row.started_at_ms,
        completed_at_ms=row.completed_at_ms,
        event_count=row.event_count,
    )


def tree(transaction: Transaction, instance_id: str) -> InstanceTree | None:
    """Return an instance with everything below it."""
    transaction.find_one_by_one()
    rows = transaction.query(_TREE, instance_id=instance_id)
    return InstanceTree(instance_id, tuple(info_of(row) for row in rows)) if rows else None


def system_metrics(transaction: Transaction, *, count_events: bool) -> SystemMetrics:
    """Return how much there is."""
    (row,) = transaction.query(_METRICS)
    return SystemMetrics(
        total_instances=row.instances,
        total_executions=row.executions,
        running_instances=row.not_completed - row.failed,
        completed_instances=row.instances - row.not_completed,
        failed_instances=row.failed,
        total_events=transaction.query(_EVENTS)[0].events if count_events else None,
    )


def queue_depths(transaction: Transaction) -> QueueDepths:
    """Return how much waits."""
    (row,) = transaction.query(_DEPTHS, now_ms=transaction.now_ms, passed_on=PASSED_ON)
    return QueueDepths(
        orchestrator_queue=row.messages,
        worker_queue=row.activities,
        timer_queue=row.later + row.passed_on,
        locked_instances=row.locked_instances,
        locked_activities=row.locked_activities,
    )


def check_page(limit: object) -> None:
    """Refuse a page of *limit* records that is none, or too long."""
    check_count("limit", limit, most=MAX_PAGE)


def encode_cursor(kind: str, *position: int | str) -> str:
    """Return *position* in a list of *kind* as text that says nothing to people."""
    return base64.urlsafe_b64encode(json.dumps([kind, *position]).encode()).decode().rstrip("=")


def instance_cursor(cursor: str | None) -> tuple[int, str] | None:
    """
    Return the creation time and id that *cursor* stands for.

    Raises:
        InvalidInput: If it is no cursor of a list of instances.
    """
    match _decode_cursor(cursor):
        case None:
            return None
        case ["instances", int(created_at_ms), str(instance_id)] if not isinstance(created_at_ms, bool):
            try:
                limits.check_existing_id(instance_id)
            except InvalidInput:
                raise _bad_cursor(cursor) from None
            if abs(created_at_ms) < 2**63:
                return created_at_ms, instance_id
    raise _bad_cursor(cursor)


def execution_cursor(cursor: str | None) -> int:
    """
    Return the execution that *cursor* stands for; 0 for none.

    Raises:
        InvalidInput: If it is no cursor of a list of executions.
    """
    match _decode_cursor(cursor):
        case None:
            return 0
        case ["executions", int(execution_id)] if not isinstance(execution_id, bool) and 0 < execution_id < 2**63:
            return execution_id
    raise _bad_cursor(cursor)


def _decode_cursor(cursor: object) -> object:
    if cursor is None:
        return None
    if not isinstance(cursor, str):
        raise _bad_cursor(cursor)
    try:
        position: object = json.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_cursor(cursor) from None
    # A cursor that says null would otherwise be the first page.
    return position if isinstance(position, list) else [position]


def _bad_cursor(cursor: object) -> InvalidInput:
    return InvalidInput(
        f"cursor={_SHORT.repr(cursor)} is not a cursor of this list: give the `cursor` of a Page that the same call returned, or None"
        " for the first page."
    )
