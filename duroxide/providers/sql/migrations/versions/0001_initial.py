"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op


revision = "1_0001"
down_revision = None

# As in schema.py when this was written; a migration does not follow what is changed there later.
_CHURN = {
    "fillfactor": 70,
    "autovacuum_vacuum_scale_factor": 0.0,
    "autovacuum_vacuum_threshold": 2000,
    "autovacuum_vacuum_cost_delay": 0,
}
_IN_PLACE = {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.05}
_QueueId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(schema: str | None) -> None:
    """Create all tables and indexes."""
    _create_instances(schema)
    _create_histories(schema)
    _create_queues(schema)
    _create_worker_queue(schema)
    _create_indexes(schema)


def _create_instances(schema: str | None) -> None:
    """What lasts."""
    op.create_table(
        "duroxide_instances",
        sa.Column("instance_id", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("incarnation", sa.BigInteger(), nullable=False),
        sa.Column("orchestration_name", sa.Text(), nullable=False),
        sa.Column("orchestration_version", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False),
        sa.Column("last_event_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("output", sa.Text()),
        sa.Column("pinned", sa.BigInteger()),
        sa.Column("custom_status", sa.Text()),
        sa.Column("custom_status_version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("parent_instance_id", sa.Text()),
        sa.Column("parent_execution_id", sa.BigInteger()),
        sa.Column("parent_event_id", sa.BigInteger()),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id"),
        schema=schema,
        sqlite_with_rowid=False,
        postgresql_with=_IN_PLACE,
    )
    op.create_table(
        "duroxide_executions",
        sa.Column("instance_id", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("output", sa.Text()),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("pinned", sa.BigInteger()),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("completed_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("instance_id", "execution_id"),
        schema=schema,
        sqlite_with_rowid=False,
        postgresql_with=_IN_PLACE,
    )


def _create_histories(schema: str | None) -> None:
    """What grows."""
    op.create_table(
        "duroxide_history",
        sa.Column("instance_id", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "execution_id", "event_id"),
        schema=schema,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "duroxide_kv",
        sa.Column("instance_id", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("key", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "key"),
        schema=schema,
        sqlite_with_rowid=False,
        postgresql_with=_IN_PLACE,
    )


def _create_queues(schema: str | None) -> None:
    """What comes and goes."""
    op.create_table(
        "duroxide_instance_locks",
        sa.Column("instance_id", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id"),
        schema=schema,
        sqlite_with_rowid=False,
        postgresql_with=_CHURN,
    )
    op.create_table(
        "duroxide_orchestrator_queue",
        sa.Column("id", _QueueId, sa.Identity(), nullable=False),
        sa.Column("instance_id", sa.Text(), nullable=False),
        sa.Column("execution_id", sa.BigInteger()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("event_id", sa.BigInteger()),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("visible_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("batch_token", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        schema=schema,
        postgresql_with=_CHURN,
    )


def _create_worker_queue(schema: str | None) -> None:
    """Activities, and who has them."""
    op.create_table(
        "duroxide_worker_queue",
        sa.Column("instance_id", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("execution_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("orchestration_name", sa.Text(), nullable=False),
        sa.Column("orchestration_version", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text()),
        sa.Column("tag", sa.Text()),
        sa.Column("retry_attempt", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("visible_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("lock_token", sa.Text()),
        sa.Column("attempt_count", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("instance_id", "execution_id", "activity_id"),
        schema=schema,
        sqlite_with_rowid=False,
        postgresql_with=_CHURN,
    )
    op.create_table(
        "duroxide_sessions",
        sa.Column("session_id", sa.Text(), nullable=False, autoincrement=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("leased_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_activity_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
        schema=schema,
        sqlite_with_rowid=False,
        postgresql_with=_CHURN,
    )


def _create_indexes(schema: str | None) -> None:
    """How things are found other than by their keys."""
    present = sa.text("parent_instance_id IS NOT NULL")
    op.create_index(
        "duroxide_instances_parent",
        "duroxide_instances",
        ["parent_instance_id"],
        schema=schema,
        sqlite_where=present,
        postgresql_where=present,
    )
    _create_indexes_for_lists(schema)
    op.create_index(
        "duroxide_orchestrator_queue_instance",
        "duroxide_orchestrator_queue",
        ["instance_id", "event_id"],
        schema=schema,
    )
    op.create_index(
        "duroxide_orchestrator_queue_visible", "duroxide_orchestrator_queue", ["visible_at_ms", "id"], schema=schema
    )
    present = sa.text("session_id IS NOT NULL")
    op.create_index(
        "duroxide_worker_queue_session",
        "duroxide_worker_queue",
        ["session_id"],
        schema=schema,
        sqlite_where=present,
        postgresql_where=present,
    )
    expiring = sa.text("expires_at_ms IS NOT NULL")
    op.create_index(
        "duroxide_worker_queue_expires",
        "duroxide_worker_queue",
        ["expires_at_ms"],
        schema=schema,
        sqlite_where=expiring,
        postgresql_where=expiring,
    )
    op.create_index(
        "duroxide_worker_queue_visible", "duroxide_worker_queue", ["visible_at_ms", "position"], schema=schema
    )


def _create_indexes_for_lists(schema: str | None) -> None:
    """The order of lists, the statuses that are few among many, and what can be pruned."""
    op.create_index("duroxide_instances_created", "duroxide_instances", ["created_at_ms", "instance_id"], schema=schema)
    op.create_index(
        "duroxide_instances_not_completed",
        "duroxide_instances",
        ["status", "created_at_ms", "instance_id"],
        schema=schema,
        sqlite_where=sa.text("status <> 'Completed'"),
        postgresql_where=sa.text("status <> 'Completed'"),
    )
    op.create_index(
        "duroxide_executions_continued",
        "duroxide_executions",
        ["instance_id", "execution_id"],
        schema=schema,
        sqlite_where=sa.text("execution_id > 1"),
        postgresql_where=sa.text("execution_id > 1"),
    )
