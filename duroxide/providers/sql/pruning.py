"""
Pruning: old executions of instances that go on, removed with their history.

What is to go is looked up first, holding nobody up; each transaction then makes sure that it is still the same life of
the instance, and still old. An execution of which a child is about to start stays until it has: nothing else says whose
it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from ..._core.portions import portions
from ..._core.times import time_ms
from ..._nouns import frozen
from ...errors import InstanceNotFound
from ..management import InstanceFilter, PruneOptions, PruneResult
from .children import about_to_have_children
from .database import Database
from .deletion import MAX_EVENTS, MAX_INSTANCES
from .dialect import Use
from .giving_way import GivingWay
from .listing import Where
from .statements import Bulk, Query
from .transaction import Transaction


#: Executions looked up, and removed, together.
MAX_EXECUTIONS = 500

# What makes execution *e* of instance *i* old.
_IS_OLD = "e.execution_id <= i.execution_id - :keep AND e.status <> 'Running'"
_HAS_ENDED = " AND e.completed_at_ms < :ended_before"

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


@cache
def _old_query(*, by_age: bool) -> Query:
    """Return the query for the old executions of instances, the oldest first."""
    return Query(
        f"""
        SELECT e.instance_id, i.incarnation, e.execution_id, (
            SELECT COUNT(*) FROM {{history}} AS h
            WHERE h.instance_id = e.instance_id AND h.execution_id = e.execution_id
        ) AS events
        FROM {{instances}} AS i JOIN {{executions}} AS e ON e.instance_id = i.instance_id
        WHERE i.instance_id IN (SELECT k.p_instance_id FROM {{keys}}) AND {_IS_OLD}{_HAS_ENDED if by_age else ""}
        ORDER BY e.instance_id, e.execution_id LIMIT :wanted
        """,  # noqa: S608  # constants
        "instance_id text",
    )


@cache
def _candidate_query(conditions: tuple[str, ...], columns: str, *, by_age: bool, by_ids: bool) -> Query:
    """
    Return the query for instances that have something old, by id.

    They have come to a second execution at least, and those have an index of their own. CROSS makes SQLite begin
    there, whatever else it has an index for; with ids to look for, it may begin with those.
    """
    join = "," if by_ids else "CROSS JOIN"
    return Query(
        f"""
        SELECT l.instance_id FROM {{executions}} AS l {join} {{instances}} AS i
        WHERE i.instance_id = l.instance_id AND i.execution_id = l.execution_id
            AND l.execution_id > 1 AND l.instance_id > :after AND {" AND ".join(conditions)}
            AND EXISTS (
                SELECT 1 FROM {{executions}} AS e
                WHERE e.instance_id = i.instance_id AND {_IS_OLD}{_HAS_ENDED if by_age else ""}
            )
        ORDER BY l.instance_id LIMIT :wanted
        """,  # noqa: S608  # constants
        columns,
    )


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
    where = Where.of(which)
    by_age, by_ids = options.completed_before is not None, which.ids is not None
    query = _candidate_query(where.conditions, where.columns, by_age=by_age, by_ids=by_ids)
    parameters: dict[str, Any] = {**where.parameters, **_parameters(options), "after": ""}

    def look(transaction: Transaction) -> Sequence[str]:
        transaction.dialect.find_one_by_one(transaction.connection)
        wanted = min(limit - result.instances, MAX_INSTANCES)
        rows = transaction.query(query, where.keys, wanted=wanted, **parameters)
        return [row.instance_id for row in rows]

    result, giving_way = PruneResult(), GivingWay()
    while result.instances < limit:
        ids = database.read("prune_executions_bulk", look, use=Use.SNAPSHOT)
        if not ids:
            break
        result += _prune(database, "prune_executions_bulk", ids, options, giving_way)
        parameters["after"] = ids[-1]
    return result


def _prune(
    database: Database, operation: str, ids: Sequence[str], options: PruneOptions, giving_way: GivingWay
) -> PruneResult:
    """Remove what is old of *ids*, until there is nothing left that is."""
    query = _old_query(by_age=options.completed_before is not None)
    keys = [(instance_id,) for instance_id in ids]

    def look(transaction: Transaction) -> Sequence[_Old]:
        rows = transaction.query(query, keys, wanted=MAX_EXECUTIONS, **_parameters(options))
        return [_Old(row.instance_id, row.incarnation, row.execution_id, row.events) for row in rows]

    pruned: set[str] = set()
    executions = events = 0
    while True:
        old = database.read(operation, look)
        before = executions
        for batch in portions(old, lambda each: (each.events,), (MAX_EVENTS,)):
            with giving_way.to_others():
                removed = database.write(operation, partial(_remove, batch=batch))
            pruned |= removed.ids
            executions += removed.executions
            events += removed.events
        if len(old) < MAX_EXECUTIONS or executions == before:
            return PruneResult(len(pruned), executions, events)


def _remove(transaction: Transaction, batch: Sequence[_Old]) -> _Removed:
    """Remove those of *batch* that still are what they were."""
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
