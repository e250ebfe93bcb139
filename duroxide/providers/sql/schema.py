"""
Tables and indexes: what an instance is, while it waits and when it is done.

Rule 1: all times are milliseconds since the epoch, all payloads are text.

Rule 2: every index costs on the hot path. What changes with each turn (`instances.last_event_id`,
custom statuses, locks of instances) is in no index, so that Postgres updates it in place (HOT). A status
changes at the end of an execution only.

Rule 3: a change here is a migration as well, and a change of `schema.sqlite.sql`, which is printed by
``python -m duroxide schema --url sqlite://``; tests compare the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, MetaData, Table, Text, text

from ..._nouns import frozen
from .tables import PREFIX


metadata = MetaData()

# SQLite knows auto-increment only as INTEGER.
_QueueId = BigInteger().with_variant(Integer(), "sqlite")


def _key(name: str, kind: type[BigInteger | Text]) -> Column[Any]:
    return Column(name, kind(), primary_key=True, autoincrement=False)


instances = Table(
    PREFIX + "instances",
    metadata,
    _key("instance_id", Text),
    Column("incarnation", BigInteger, nullable=False),
    Column("orchestration_name", Text, nullable=False),
    Column("orchestration_version", Text, nullable=False),
    Column("execution_id", BigInteger, nullable=False),
    Column("last_event_id", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("output", Text),
    Column("pinned", BigInteger),
    Column("custom_status", Text),
    Column("custom_status_version", BigInteger, nullable=False, server_default=text("0")),
    Column("parent_instance_id", Text),
    Column("parent_execution_id", BigInteger),
    Column("parent_event_id", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

executions = Table(
    PREFIX + "executions",
    metadata,
    _key("instance_id", Text),
    _key("execution_id", BigInteger),
    Column("status", Text, nullable=False),
    Column("output", Text),
    Column("version", Text, nullable=False),
    Column("pinned", BigInteger),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("completed_at_ms", BigInteger),
    sqlite_with_rowid=False,
)

history = Table(
    PREFIX + "history",
    metadata,
    _key("instance_id", Text),
    _key("execution_id", BigInteger),
    _key("event_id", BigInteger),
    Column("event_type", Text, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)

instance_locks = Table(
    PREFIX + "instance_locks",
    metadata,
    _key("instance_id", Text),
    Column("token", Text, nullable=False),
    Column("locked_until_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

orchestrator_queue = Table(
    PREFIX + "orchestrator_queue",
    metadata,
    Column("id", _QueueId, Identity(), primary_key=True),
    Column("instance_id", Text, nullable=False),
    # NULL: for whichever execution is current.
    Column("execution_id", BigInteger),
    Column("kind", Text, nullable=False),
    # The schedule event of a timer; NULL for everything else.
    Column("event_id", BigInteger),
    Column("data", Text, nullable=False),
    Column("visible_at_ms", BigInteger, nullable=False),
    Column("attempt_count", Integer, nullable=False, server_default=text("0")),
    Column("batch_token", Text),
)
Index(PREFIX + "orchestrator_queue_visible", orchestrator_queue.c.visible_at_ms, orchestrator_queue.c.id)
Index(PREFIX + "orchestrator_queue_instance", orchestrator_queue.c.instance_id, orchestrator_queue.c.event_id)

worker_queue = Table(
    PREFIX + "worker_queue",
    metadata,
    _key("instance_id", Text),
    _key("execution_id", BigInteger),
    _key("activity_id", BigInteger),
    Column("name", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("orchestration_name", Text, nullable=False),
    Column("orchestration_version", Text, nullable=False),
    Column("session_id", Text),
    Column("tag", Text),
    Column("retry_attempt", BigInteger, nullable=False),
    # First in, first out among rows that became visible in the same millisecond.
    Column("position", BigInteger, nullable=False),
    # While the row is locked: when the lock expires.
    Column("visible_at_ms", BigInteger, nullable=False),
    Column("lock_token", Text),
    Column("attempt_count", BigInteger, nullable=False),
    # When it fails if no worker has begun it.
    Column("expires_at_ms", BigInteger),
    sqlite_with_rowid=False,
)
Index(PREFIX + "worker_queue_visible", worker_queue.c.visible_at_ms, worker_queue.c.position)

# Lists are in this order.
Index(PREFIX + "instances_created", instances.c.created_at_ms, instances.c.instance_id)
# Of one orchestration, in the same order. Written when an instance starts (on Postgres, also when it ends), not with each turn.
Index(PREFIX + "instances_named", instances.c.orchestration_name, instances.c.created_at_ms, instances.c.instance_id)

sessions = Table(
    PREFIX + "sessions",
    metadata,
    _key("session_id", Text),
    Column("owner", Text, nullable=False),
    Column("leased_until_ms", BigInteger, nullable=False),
    Column("last_activity_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

kv = Table(
    PREFIX + "kv",
    metadata,
    _key("instance_id", Text),
    _key("key", Text),
    Column("value", Text, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Rows that live milliseconds: leave room for updates in place, and vacuum by count of dead rows, not
# by share, so that a queue that was once long is not scanned for what it held.
_CHURN = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.0,
    "autovacuum_vacuum_threshold": 2000,
    "autovacuum_vacuum_cost_delay": 0,
}
_IN_PLACE = {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.05}

# What follows is not in the tables above, because an argument called postgresql_… makes SQLAlchemy import its Postgres
# dialects, which takes a third of the time to start, for SQLite too.

#: How Postgres stores tables whose rows change or go.
STORAGE: Mapping[Table, Mapping[str, float]] = {
    instances: _IN_PLACE,
    executions: _IN_PLACE,
    kv: _IN_PLACE,
    instance_locks: _CHURN,
    orchestrator_queue: _CHURN,
    worker_queue: _CHURN,
    sessions: _CHURN,
}


@frozen
class PartialIndex:
    """An index of few rows among many: those for which *where* holds."""

    table: Table
    columns: str
    where: str


PARTIAL_INDEXES: Mapping[str, PartialIndex] = {
    PREFIX + "worker_queue_session": PartialIndex(worker_queue, "session_id", "session_id IS NOT NULL"),
    PREFIX + "worker_queue_expires": PartialIndex(worker_queue, "expires_at_ms", "expires_at_ms IS NOT NULL"),
    PREFIX + "instances_parent": PartialIndex(instances, "parent_instance_id", "parent_instance_id IS NOT NULL"),
    # Gone from it as soon as it has completed.
    PREFIX + "instances_not_completed": PartialIndex(
        instances, "status, created_at_ms, instance_id", "status <> 'Completed'"
    ),
    # Only instances that have continued as new have anything to prune.
    PREFIX + "executions_continued": PartialIndex(executions, "instance_id, execution_id", "execution_id > 1"),
}

#: The tables under the names that statements call them by.
TABLES = {table.name.removeprefix(PREFIX): table for table in metadata.sorted_tables}
