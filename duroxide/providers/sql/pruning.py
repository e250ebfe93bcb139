"""
Pruning: old executions of instances that go on, removed with their history.

What is to go is looked up first, holding nobody up; each transaction then makes sure that it is still the same life of
the instance, and still old. An execution of which a child is about to start stays until it has: nothing else says whose
it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from ..._core.arguments import MAX_INTEGER
from ..._core.portions import portions
from ..._core.times import time_ms
from ..._nouns import frozen
from ...errors import InstanceNotFound
from ..management import InstanceFilter, PruneOptions, PruneResult
from .children import about_to_have_children
from .database import Database
from .deletion import MAX_EVENTS, MAX_INSTANCES
from .giving_way import GivingWay
from .listing import Where, in_parts
from .statements import Bulk, Query
from .transaction import Transaction


#: Executions looked up, and removed, together; a few of each instance at least.
MAX_EXECUTIONS = 5 * MAX_INSTANCES

_INSTANCE = Query("SELECT 1 FROM {instances} AS i WHERE i.instance_id = :instance_id")
_HOLD_INSTANCES = Query(
    "SELECT i.instance_id, i.incarnation, i.execution_id FROM {instances} AS i"
    " WHERE i.instance_id IN (SELECT k.p_instance_id FROM {keys}) ORDER BY i.instance_id {for_update}",
    "instance_id text",
)
_COLUMNS = "instance_id text, execution_id bigint"
_DELETE_HISTORY = Bulk(
    _COLUMNS,
    "DELETE FROM {history} AS h {rows} WHERE h.instance_id = :instance_id AND h.execution_id = :execution_id",
)
_DELETE_EXECUTIONS = Bulk(
    _COLUMNS,
    "DELETE FROM {executions} AS e {rows} WHERE e.instance_id = :instance_id AND e.execution_id = :execution_id",
)


@frozen
class _Old:
    """An execution that is to go."""

    instance_id: str
    incarnation: int
    execution_id: int
    events: int


@frozen
class _Removed:
    """What one transaction has removed."""

    ids: frozenset[str]
    executions: int
    events: int


def _is_old(execution_id: str, *, by_age: bool) -> str:
    """Return what makes execution *e* of instance *i* old."""
    has_ended = " AND e.completed_at_ms < :ended_before" if by_age else ""
    return f"{execution_id} <= i.execution_id - :keep AND e.status <> 'Running'{has_ended}"


@cache
def _old_query(*, by_age: bool) -> Query:
    """
    Return the query for the old executions of instances, the oldest first: up to as many of each as are wanted.

    Not a LIMIT for all of them together: for each batch, all that are old would be read and sorted. The sum keeps SQLite
    from taking what is old for the end of the stretch to be read.
    """
    return Query(
        f"""
        SELECT e.instance_id, i.incarnation, e.execution_id, (
            SELECT COUNT(*) FROM {{history}} AS h
            WHERE h.instance_id = e.instance_id AND h.execution_id = e.execution_id
        ) AS events
        FROM {{keys}}
            JOIN {{instances}} AS i ON i.instance_id = k.p_instance_id
            JOIN {{executions}} AS e ON e.instance_id = i.instance_id AND e.execution_id > k.p_after
                AND e.execution_id < COALESCE((
                    SELECT f.execution_id FROM {{executions}} AS f
                    WHERE f.instance_id = k.p_instance_id AND f.execution_id > k.p_after
                    ORDER BY f.execution_id LIMIT 1 OFFSET :wanted
                ), {MAX_INTEGER})
        WHERE {_is_old("e.execution_id + 0", by_age=by_age)}
        ORDER BY e.instance_id, e.execution_id
        """,  # noqa: S608  # constants
        "instance_id text, after bigint",
    )


@cache
def _candidate_query(conditions: tuple[str, ...], columns: str, *, by_age: bool, by_ids: bool) -> Query:
    """
    Return the query for instances that have something old, by id.

    They have come to a second execution at least, and those have an index of their own. What else is asked of them is in a
    query within the query, so that no planner begins with that, and sorts what it finds anew for each batch.
    """
    has_old = f"""
        EXISTS (
            SELECT 1 FROM {{executions}} AS e
            WHERE e.instance_id = i.instance_id AND {_is_old("e.execution_id", by_age=by_age)}
        )
    """  # noqa: S608  # constants
    asked = " AND ".join([*conditions, has_old])
    if by_ids:
        text = f"SELECT i.instance_id FROM {{instances}} AS i WHERE i.instance_id > :after AND {asked}"  # noqa: S608  # constants
    else:
        text = f"""
        SELECT l.instance_id FROM {{executions}} AS l WHERE l.execution_id > 1 AND l.instance_id > :after AND (
            SELECT 1 FROM {{instances}} AS i
            WHERE i.instance_id = l.instance_id AND i.execution_id = l.execution_id AND {asked}
        ) IS NOT NULL
        """  # noqa: S608  # constants
    return Query(f"{text} ORDER BY instance_id LIMIT :wanted", columns)


def _parameters(options: PruneOptions) -> dict[str, int]:
    keep = {"keep": max(options.keep_last or 1, 1)}
    if options.completed_before is None:
        return keep
    return {**keep, "ended_before": time_ms("completed_before", options.completed_before)}


def prune(database: Database, instance_id: str, options: PruneOptions) -> PruneResult:
    """Prune one instance."""

    def exists(transaction: Transaction) -> bool:
        return bool(transaction.query(_INSTANCE, instance_id=instance_id))

    if not database.read("prune_executions", exists):
        raise InstanceNotFound(instance_id)
    return _prune(database, "prune_executions", [instance_id], options, GivingWay())


def prune_bulk(database: Database, which: InstanceFilter, options: PruneOptions, limit: int) -> PruneResult:
    """Prune up to *limit* instances that match and have something to remove."""
    result, giving_way = PruneResult(), GivingWay()
    for part in [which] if which.ids is None else in_parts(which, sorted(which.ids)):
        after: str | None = ""
        while after is not None and result.instances < limit:
            ids = _candidates(database, part, options, min(limit - result.instances, MAX_INSTANCES), after)
            result += _prune(database, "prune_executions_bulk", ids, options, giving_way)
            after = ids[-1] if ids else None
    return result


def _candidates(
    database: Database, which: InstanceFilter, options: PruneOptions, wanted: int, after: str
) -> Sequence[str]:
    """Return the instances that match, have something old and follow *after*."""
    where = Where.of(which)
    by_age, by_ids = options.completed_before is not None, which.ids is not None
    query = _candidate_query(where.conditions, where.columns, by_age=by_age, by_ids=by_ids)
    parameters: dict[str, Any] = {**where.parameters, **_parameters(options), "after": after}

    def look(transaction: Transaction) -> Sequence[str]:
        transaction.find_one_by_one()
        rows = transaction.query(query, where.keys, wanted=wanted, **parameters)
        return [row.instance_id for row in rows]

    return database.read("prune_executions_bulk", look)


def _prune(
    database: Database, operation: str, ids: Sequence[str], options: PruneOptions, giving_way: GivingWay
) -> PruneResult:
    """Remove what is old of *ids*, until there is nothing left that is."""
    query = _old_query(by_age=options.completed_before is not None)

    def look(transaction: Transaction) -> Sequence[_Old]:
        transaction.find_one_by_one()
        rows = transaction.query(query, list(looked_at.items()), wanted=wanted, **_parameters(options))
        return [_Old(row.instance_id, row.incarnation, row.execution_id, row.events) for row in rows]

    #: Of each instance that may have more: the last execution that was looked at.
    looked_at = dict.fromkeys(ids, 0)
    pruned: set[str] = set()
    executions = events = 0
    while looked_at:
        wanted = MAX_EXECUTIONS // len(looked_at)
        old = database.read(operation, look)
        for batch in portions(old, lambda each: (each.events,), (MAX_EVENTS,)):
            with giving_way.to_others():
                removed = database.write(operation, partial(_remove, batch=batch))
            pruned |= removed.ids
            executions += removed.executions
            events += removed.events
        counts = Counter(each.instance_id for each in old)
        looked_at = {each.instance_id: each.execution_id for each in old if counts[each.instance_id] == wanted}
    return PruneResult(len(pruned), executions, events)


def _remove(transaction: Transaction, batch: Sequence[_Old]) -> _Removed:
    """Remove those of *batch* that still are what they were."""
    transaction.find_one_by_one()
    keys = sorted({(each.instance_id,) for each in batch})
    current = {row.instance_id: (row.incarnation, row.execution_id) for row in transaction.query(_HOLD_INSTANCES, keys)}
    rows = [
        (each.instance_id, each.execution_id)
        for each in batch
        if (found := current.get(each.instance_id)) is not None
        and found[0] == each.incarnation
        and each.execution_id < found[1]
    ]
    awaited = about_to_have_children(transaction, rows)
    rows = [row for row in rows if row not in awaited]
    events = transaction.many(_DELETE_HISTORY, rows)
    executions = transaction.many(_DELETE_EXECUTIONS, rows)
    return _Removed(frozenset(instance_id for instance_id, _ in rows), executions, events)
