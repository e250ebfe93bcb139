"""
The statements that a committed turn consists of.

Rule 1: each touches one row for each row that it is given, or the commit it belongs to does not hold.

Rule 2: each finds its rows by a key, so that its cost does not grow with its table.
"""

from __future__ import annotations

from ..._core.codec import START_KIND
from .statements import Bulk, Query


def _overtakes_none(waiting: str) -> str:
    """Return the condition under which what was handed over overtakes no message that is *waiting*."""
    # Not EXISTS: see `orchestrations`. And a sum: see `transaction`.
    return f"""
        (:handed_over = 0 OR (
            SELECT q.id FROM {{orchestrator_queue}} AS q WHERE q.instance_id = :instance_id AND {waiting} LIMIT 1
        ) IS NULL)
    """  # noqa: S608  # constants


#: The token of an instance that is kept from being fetched for a while. Nobody holds it: who needs no lock is not kept.
PASSED_ON = "passed on"
#: Whether somebody holds an instance.
_HELD = f"""
    EXISTS (
            SELECT 1 FROM {{instance_locks}} AS l
            WHERE l.instance_id = :instance_id AND l.locked_until_ms > :now_ms AND l.token <> '{PASSED_ON}'
        )
"""  # noqa: S608  # a constant

_VISIBLE = "q.visible_at_ms + 0 <= :now_ms"
_VISIBLE_OR_START = f"({_VISIBLE} OR q.kind = '{START_KIND}')"

#: Where an execution must stand for a turn of it to count. What waits while it continues as new is for the next one.
_STANDS = f"""
    WHERE i.instance_id = :instance_id AND i.incarnation = :incarnation
        AND i.execution_id = :execution_id AND i.last_event_id = :last_event_id
        AND NOT {_HELD} AND (i.status <> 'ContinuedAsNew'
"""
_STOOD = "instance_id text, incarnation bigint, execution_id bigint, last_event_id bigint, now_ms bigint,"

# Two statements, because a column that is named in SET costs an entry in each index that it is part of, changed or not;
# and what is handed over is checked with the one that is the rarer.
ADVANCE = Bulk(
    f"{_STOOD} new_last_event_id bigint, changed_ms bigint",
    """
    UPDATE {instances} AS i SET
        last_event_id = :new_last_event_id,
        updated_at_ms = COALESCE(:changed_ms, i.updated_at_ms)
    {rows}
    """
    + _STANDS
    + ")",
)
CHANGE = Bulk(
    f"{_STOOD} new_last_event_id bigint, changed_ms bigint, status text, output text, status_changes bigint,"
    " custom_status text, handed_over bigint",
    """
    UPDATE {instances} AS i SET
        last_event_id = :new_last_event_id,
        updated_at_ms = COALESCE(:changed_ms, i.updated_at_ms),
        status = COALESCE(:status, i.status),
        output = CASE WHEN :status IS NULL THEN i.output ELSE :output END,
        custom_status = CASE WHEN :status_changes = 1 THEN :custom_status ELSE i.custom_status END,
        custom_status_version = i.custom_status_version + :status_changes
    {rows}
    """
    + _STANDS
    + " OR :status = 'Failed') AND "
    + _overtakes_none(_VISIBLE),
)

CREATE_INSTANCES = Bulk(
    "instance_id text, incarnation bigint, orchestration_name text, orchestration_version text, execution_id bigint,"
    " last_event_id bigint, status text, output text, pinned bigint, custom_status text, custom_status_version bigint,"
    " parent_instance_id text, parent_execution_id bigint, parent_event_id bigint, now_ms bigint, handed_over bigint",
    """
    INSERT INTO {instances} (
        instance_id, incarnation, orchestration_name, orchestration_version, execution_id, last_event_id, status,
        output, pinned, custom_status, custom_status_version, parent_instance_id, parent_execution_id, parent_event_id,
        created_at_ms, updated_at_ms
    )
    SELECT
        :instance_id, :incarnation, :orchestration_name, :orchestration_version, :execution_id, :last_event_id, :status,
        :output, :pinned, :custom_status, :custom_status_version, :parent_instance_id, :parent_execution_id,
        :parent_event_id, :now_ms, :now_ms
    {rows}
    WHERE NOT """
    + _HELD
    + " AND "
    + _overtakes_none(_VISIBLE_OR_START),
)

CONTINUE_INSTANCES = Bulk(
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
        AND NOT """
    + _HELD,
)

UNLOCK = Bulk(
    "instance_id text, token text, now_ms bigint",
    "DELETE FROM {instance_locks} AS l {rows}"
    " WHERE l.instance_id = :instance_id AND l.token = :token AND l.locked_until_ms > :now_ms",
)
CONSUME = Bulk(
    "id bigint, instance_id text, token text",
    "DELETE FROM {orchestrator_queue} AS q {rows}"
    " WHERE q.id = :id AND q.instance_id = :instance_id AND q.batch_token = :token",
)
PUT_BACK = Bulk(
    "instance_id text, token text",
    "UPDATE {orchestrator_queue} AS q SET batch_token = NULL {rows}"
    " WHERE q.instance_id = :instance_id AND q.batch_token = :token",
)
FINISH_ACTIVITIES = Bulk(
    "instance_id text, execution_id bigint, activity_id bigint, token text, now_ms bigint",
    "DELETE FROM {worker_queue} AS w {rows} WHERE w.instance_id = :instance_id AND w.execution_id = :execution_id"
    " AND w.activity_id = :activity_id AND w.lock_token = :token AND w.visible_at_ms > :now_ms",
)
REMOVE_ACTIVITIES = Bulk(
    "instance_id text, execution_id bigint, activity_id bigint",
    "DELETE FROM {worker_queue} AS w {rows} WHERE w.instance_id = :instance_id AND w.execution_id = :execution_id"
    " AND w.activity_id = :activity_id",
)
REMOVE_TIMERS = Bulk(
    "instance_id text, execution_id bigint, event_id bigint",
    "DELETE FROM {orchestrator_queue} AS q {rows} WHERE q.instance_id = :instance_id AND q.event_id = :event_id"
    " AND q.execution_id = :execution_id AND q.kind = 'TimerFired'",
)
#: The same, as a statement of its own, since it must find each of them.
REMOVE_FIRED = Bulk(REMOVE_TIMERS.columns, REMOVE_TIMERS.text)
APPEND = Bulk.insert(
    "history",
    "instance_id text, execution_id bigint, event_id bigint, event_type text, timestamp_ms bigint, data text",
)
CREATE_EXECUTIONS = Bulk.insert(
    "executions",
    "instance_id text, execution_id bigint, status text, output text, version text, pinned bigint,"
    " started_at_ms bigint, completed_at_ms bigint",
)
END_EXECUTIONS = Bulk(
    "instance_id text, execution_id bigint, status text, output text, completed_at_ms bigint",
    "UPDATE {executions} AS e SET status = :status, output = :output, completed_at_ms = :completed_at_ms {rows}"
    " WHERE e.instance_id = :instance_id AND e.execution_id = :execution_id",
)
SET_VALUES = Bulk(
    "instance_id text, key text, value text, updated_at_ms bigint",
    "INSERT INTO {kv} (instance_id, key, value, updated_at_ms) SELECT :instance_id, :key, :value, :updated_at_ms {rows}"
    " WHERE TRUE ON CONFLICT (instance_id, key)"
    " DO UPDATE SET value = excluded.value, updated_at_ms = excluded.updated_at_ms",
)
REMOVE_VALUES = Bulk(
    "instance_id text, key text",
    "DELETE FROM {kv} AS v {rows} WHERE v.instance_id = :instance_id AND v.key = :key",
)

INSERT_MESSAGES = Bulk.insert(
    "orchestrator_queue",
    "instance_id text, execution_id bigint, kind text, event_id bigint, data text, visible_at_ms bigint,"
    " attempt_count bigint",
)
INSERT_ACTIVITIES = Bulk.insert(
    "worker_queue",
    "instance_id text, execution_id bigint, activity_id bigint, name text, input text, orchestration_name text,"
    " orchestration_version text, session_id text, tag text, retry_attempt bigint, position bigint,"
    " visible_at_ms bigint, lock_token text, attempt_count bigint, expires_at_ms bigint",
)

# The questions that tell why a commit does not hold. Rows are locked in the order of their keys.
ASK_INSTANCES = Query(
    "SELECT i.instance_id, i.incarnation, i.execution_id, i.last_event_id, i.status FROM {instances} AS i"
    " WHERE i.instance_id IN (SELECT k.p_instance_id FROM {keys}) ORDER BY i.instance_id {for_update}",
    "instance_id text",
)
ASK_LOCKS = Query(
    "SELECT l.instance_id, l.token FROM {instance_locks} AS l"  # noqa: S608  # a constant
    " WHERE l.instance_id IN (SELECT k.p_instance_id FROM {keys}) AND l.locked_until_ms > :now_ms"
    f" AND l.token <> '{PASSED_ON}' ORDER BY l.instance_id {{for_update}}",
    "instance_id text",
)
ASK_OVERTAKEN = Query(
    "SELECT k.p_instance_id FROM {keys} WHERE (SELECT q.id FROM {orchestrator_queue} AS q"  # noqa: S608  # constants
    f" WHERE q.instance_id = k.p_instance_id AND ({_VISIBLE} OR k.p_is_new = 1 AND q.kind = '{START_KIND}')"
    " LIMIT 1) IS NOT NULL",
    "instance_id text, is_new bigint",
)
ASK_MESSAGES = Query(
    "SELECT q.id, q.instance_id, q.batch_token FROM {orchestrator_queue} AS q"
    " WHERE q.id IN (SELECT k.p_id FROM {keys}) ORDER BY q.id {for_update}",
    "id bigint",
)
ASK_ACTIVITIES = Query(
    "SELECT w.instance_id, w.execution_id, w.activity_id, w.lock_token FROM {worker_queue} AS w"
    " WHERE (w.instance_id, w.execution_id, w.activity_id) IN"
    " (SELECT k.p_instance_id, k.p_execution_id, k.p_activity_id FROM {keys}) AND w.visible_at_ms > :now_ms"
    " ORDER BY w.instance_id, w.execution_id, w.activity_id {for_update}",
    "instance_id text, execution_id bigint, activity_id bigint",
)
ASK_TIMERS = Query(
    "SELECT q.instance_id, q.execution_id, q.event_id FROM {orchestrator_queue} AS q"
    " WHERE (q.instance_id, q.execution_id, q.event_id) IN"
    " (SELECT k.p_instance_id, k.p_execution_id, k.p_event_id FROM {keys}) AND q.kind = 'TimerFired'"
    " ORDER BY q.id {for_update}",
    "instance_id text, execution_id bigint, event_id bigint",
)
