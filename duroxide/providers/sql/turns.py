"""
Committing turns: the hot path, and what happens when it does not hold.

Everything is prepared before the transaction begins. Then, in the hope that every commit of the batch holds, all of
them are written at once, with a few statements whatever the size of the batch; the counts of touched rows tell
whether the hope was right. If not, nothing has happened: the losers are looked for under locks, and the others
written again. If even then a row was there already, the commits are written one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from attrs import define, evolve, field, frozen

from ..._core.codec import encode_event
from ..._core.commit import CommitResult, ExecutionStatus, TurnCommit
from ..._core.versions import Version
from .activities import INSERT_ACTIVITIES, touch_sessions
from .database import Database, Transaction
from .dialects import Conflict
from .orchestrations import INSERT_MESSAGES, message_values, tell_of_waiting_messages
from .statements import Bulk, Query, Step, Values


_ADVANCE = Bulk(
    "instance_id text, incarnation bigint, execution_id bigint, last_event_id bigint, now_ms bigint,"
    " new_last_event_id bigint, status text, output text, status_changes bigint, custom_status text, changed_ms bigint",
    """
    UPDATE {instances} AS i SET
        last_event_id = :new_last_event_id,
        status = COALESCE(:status, i.status),
        output = CASE WHEN :status IS NULL THEN i.output ELSE :output END,
        custom_status = CASE WHEN :status_changes = 1 THEN :custom_status ELSE i.custom_status END,
        custom_status_version = i.custom_status_version + :status_changes,
        updated_at_ms = COALESCE(:changed_ms, i.updated_at_ms)
    {rows}
    WHERE i.instance_id = :instance_id AND i.incarnation = :incarnation
        AND i.execution_id = :execution_id AND i.last_event_id = :last_event_id
        AND NOT EXISTS (
            SELECT 1 FROM {instance_locks} AS l WHERE l.instance_id = :instance_id AND l.locked_until_ms > :now_ms
        )
    """,
)

_CREATE_INSTANCES = Bulk(
    "instance_id text, incarnation bigint, orchestration_name text, orchestration_version text, execution_id bigint,"
    " last_event_id bigint, status text, output text, pinned bigint, custom_status text, custom_status_version bigint,"
    " parent_instance_id text, parent_execution_id bigint, parent_event_id bigint, now_ms bigint",
    """
    INSERT INTO {instances} (
        instance_id, incarnation, orchestration_name, orchestration_version, execution_id, last_event_id, status, output,
        pinned, custom_status, custom_status_version, parent_instance_id, parent_execution_id, parent_event_id,
        created_at_ms, updated_at_ms
    )
    SELECT
        :instance_id, :incarnation, :orchestration_name, :orchestration_version, :execution_id, :last_event_id, :status,
        :output, :pinned, :custom_status, :custom_status_version, :parent_instance_id, :parent_execution_id,
        :parent_event_id, :now_ms, :now_ms
    {rows}
    WHERE NOT EXISTS (
        SELECT 1 FROM {instance_locks} AS l WHERE l.instance_id = :instance_id AND l.locked_until_ms > :now_ms
    )
    """,
)

_CONTINUE_INSTANCES = Bulk(
    "instance_id text, incarnation bigint, orchestration_name text, orchestration_version text, execution_id bigint,"
    " last_event_id bigint, status text, output text, pinned bigint, status_changes bigint, custom_status text,"
    " now_ms bigint",
    """
    UPDATE {instances} AS i SET
        execution_id = :execution_id,
        last_event_id = :last_event_id,
        orchestration_name = :orchestration_name,
        orchestration_version = :orchestration_version,
        status = :status,
        output = :output,
        pinned = :pinned,
        custom_status = CASE WHEN :status_changes = 1 THEN :custom_status ELSE i.custom_status END,
        custom_status_version = i.custom_status_version + :status_changes,
        updated_at_ms = :now_ms
    {rows}
    WHERE i.instance_id = :instance_id AND i.incarnation = :incarnation AND i.execution_id = :execution_id - 1
        AND NOT EXISTS (
            SELECT 1 FROM {instance_locks} AS l WHERE l.instance_id = :instance_id AND l.locked_until_ms > :now_ms
        )
    """,
)

_UNLOCK = Bulk(
    "instance_id text, token text, now_ms bigint",
    "DELETE FROM {instance_locks} AS l {rows}"
    " WHERE l.instance_id = :instance_id AND l.token = :token AND l.locked_until_ms > :now_ms",
)
_CONSUME = Bulk(
    "id bigint, instance_id text, token text",
    "DELETE FROM {orchestrator_queue} AS q {rows}"
    " WHERE q.id = :id AND q.instance_id = :instance_id AND q.batch_token = :token",
)
_PUT_BACK = Bulk(
    "instance_id text, token text",
    "UPDATE {orchestrator_queue} AS q SET batch_token = NULL {rows}"
    " WHERE q.instance_id = :instance_id AND q.batch_token = :token",
)
_FINISH_ACTIVITIES = Bulk(
    "instance_id text, execution_id bigint, activity_id bigint, token text, now_ms bigint",
    "DELETE FROM {worker_queue} AS w {rows} WHERE w.instance_id = :instance_id AND w.execution_id = :execution_id"
    " AND w.activity_id = :activity_id AND w.lock_token = :token AND w.visible_at_ms > :now_ms",
)
_REMOVE_ACTIVITIES = Bulk(
    "instance_id text, execution_id bigint, activity_id bigint",
    "DELETE FROM {worker_queue} AS w {rows} WHERE w.instance_id = :instance_id AND w.execution_id = :execution_id"
    " AND w.activity_id = :activity_id",
)
_REMOVE_TIMERS = Bulk(
    "instance_id text, execution_id bigint, event_id bigint",
    "DELETE FROM {orchestrator_queue} AS q {rows} WHERE q.instance_id = :instance_id AND q.event_id = :event_id"
    " AND q.execution_id = :execution_id AND q.kind = 'TimerFired'",
)
_APPEND = Bulk.insert(
    "history",
    "instance_id text, execution_id bigint, event_id bigint, event_type text, timestamp_ms bigint, data text",
)
_CREATE_EXECUTIONS = Bulk.insert(
    "executions",
    "instance_id text, execution_id bigint, status text, output text, version text, pinned bigint, started_at_ms bigint,"
    " completed_at_ms bigint",
)
_END_EXECUTIONS = Bulk(
    "instance_id text, execution_id bigint, status text, output text, completed_at_ms bigint",
    "UPDATE {executions} AS e SET status = :status, output = :output, completed_at_ms = :completed_at_ms {rows}"
    " WHERE e.instance_id = :instance_id AND e.execution_id = :execution_id",
)
_SET_VALUES = Bulk(
    "instance_id text, key text, value text, updated_at_ms bigint",
    "INSERT INTO {kv} (instance_id, key, value, updated_at_ms) SELECT :instance_id, :key, :value, :updated_at_ms {rows}"
    " WHERE TRUE ON CONFLICT (instance_id, key)"
    " DO UPDATE SET value = excluded.value, updated_at_ms = excluded.updated_at_ms",
)
_REMOVE_VALUES = Bulk(
    "instance_id text, key text",
    "DELETE FROM {kv} AS v {rows} WHERE v.instance_id = :instance_id AND v.key = :key",
)
