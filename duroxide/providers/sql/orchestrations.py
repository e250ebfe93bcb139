"""
The orchestrator queue: messages, and the locks of the instances that they are for.

Nothing here scans: candidates come from the index of what is visible, a few times as many as asked for, and
everything else is found by instance.
"""

from __future__ import annotations

import logging

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve

from ..._clock import new_token
from ..._core.codec import START_KIND, UnreadableEvent, decode_message, encode_message, message_kind
from ..._core.commit import ExecutionStatus, InstanceLock, Outgoing, execution_to_start
from ..._core.events import Parent, TimerFired
from ..._core.messages import Message, StartOrchestration
from ..._core.versions import VersionRange
from ...errors import InstanceAlreadyExists
from ..contract import OrchestrationItem, QueuedItem, Release
from .statements import AnyRow, Ask, Query, Step, Values
from .transaction import WAITING, Transaction
from .turn_statements import INSERT_MESSAGES, PASSED_ON


_log = logging.getLogger("duroxide.provider")

#: Messages looked at for each instance asked for: several may be for the same one, or for one that others are taking.
_LOOK_AHEAD = 4

# Ranked before they are claimed: to claim one has a side effect, and only those that are wanted are to have it.
_LOCK_CANDIDATES = """
    INSERT INTO {instance_locks} AS l (instance_id, token, locked_until_ms)
    SELECT f.instance_id, :token || CAST(ROW_NUMBER() OVER (ORDER BY f.instance_id) AS text), :locked_until_ms FROM (
    SELECT c.instance_id FROM (
        SELECT v.instance_id, MIN(v.visible_at_ms) AS since_ms, MIN(v.id) AS first_id FROM (
            SELECT q.instance_id, q.visible_at_ms, q.id FROM {orchestrator_queue} AS q
            WHERE q.visible_at_ms <= :now_ms AND NOT EXISTS (
                SELECT 1 FROM {instance_locks} AS l
                WHERE l.instance_id = q.instance_id AND l.locked_until_ms > :now_ms
            ) %s
            ORDER BY q.visible_at_ms, q.id LIMIT :look_at
        ) AS v GROUP BY v.instance_id ORDER BY since_ms, first_id LIMIT :look_at
    ) AS c WHERE {nobody_else_claims} LIMIT :wanted
    ) AS f WHERE TRUE ORDER BY f.instance_id
    ON CONFLICT (instance_id) DO UPDATE SET token = excluded.token, locked_until_ms = excluded.locked_until_ms
    WHERE l.locked_until_ms <= :now_ms
    RETURNING instance_id, token
"""
_LOCK_ANY = Query(_LOCK_CANDIDATES % "")
_LOCK_REPLAYABLE = Query(
    _LOCK_CANDIDATES
    % """
            AND NOT EXISTS (
                SELECT 1 FROM {instances} AS i
                WHERE i.instance_id = q.instance_id AND i.pinned NOT BETWEEN :lowest AND :highest
            )
    """
)
# The sum keeps the planners from the index of what is visible, which is most of a long backlog.
_TAKE_MESSAGES = Query(
    """
    UPDATE {orchestrator_queue} AS q SET attempt_count = attempt_count + 1, batch_token = k.p_token
    FROM {keys} WHERE q.instance_id = k.p_instance_id AND q.visible_at_ms + 0 <= :now_ms
    RETURNING id, instance_id, execution_id, kind, data, attempt_count, visible_at_ms
    """,
    "instance_id text, token text",
)
_INSTANCES = Query(
    "SELECT i.instance_id, i.execution_id, i.last_event_id, i.incarnation, i.status,"
    " i.parent_instance_id, i.parent_execution_id, i.parent_event_id FROM {instances} AS i"
    " WHERE i.instance_id IN (SELECT k.p_instance_id FROM {keys})",
    "instance_id text",
)
_DROP_MESSAGES = Query(
    "DELETE FROM {orchestrator_queue} WHERE id IN (SELECT k.p_id FROM {keys})",
    "id bigint",
)
_DROP_LOCKS = Query(
    "DELETE FROM {instance_locks} WHERE (instance_id, token) IN (SELECT k.p_instance_id, k.p_token FROM {keys})",
    "instance_id text, token text",
)
_UNLOCK = Query(
    "DELETE FROM {instance_locks} WHERE (instance_id, token) IN (SELECT k.p_instance_id, k.p_token FROM {keys})"
    " AND locked_until_ms > :now_ms RETURNING instance_id, token",
    "instance_id text, token text",
)
# What comes for an instance while it is passed on waits with the rest: alone, it would be for nobody, or overtake.
_PASS_ON = Query(
    f"""
    UPDATE {{instance_locks}} AS l SET token = '{PASSED_ON}', locked_until_ms = k.p_until_ms
    FROM {{keys}} WHERE l.instance_id = k.p_instance_id AND l.token = k.p_token AND l.locked_until_ms > :now_ms
    RETURNING instance_id
    """,  # noqa: S608  # a constant
    "instance_id text, token text, until_ms bigint",
)
_STARTS = Query(
    "SELECT k.p_instance_id, (SELECT MIN(q.visible_at_ms + 0) FROM {orchestrator_queue} AS q"  # noqa: S608  # a constant
    f" WHERE q.instance_id = k.p_instance_id AND q.kind = '{START_KIND}' AND q.execution_id = k.p_execution_id)"
    " FROM {keys}",
    "instance_id text, execution_id bigint",
)
_RENEW = Query(
    "UPDATE {instance_locks} SET locked_until_ms = :locked_until_ms"
    " WHERE (instance_id, token) IN (SELECT k.p_instance_id, k.p_token FROM {keys})"
    " AND locked_until_ms > :now_ms RETURNING instance_id, token",
    "instance_id text, token text",
)
_PUT_BACK = Query(
    """
    UPDATE {orchestrator_queue} AS q SET
        batch_token = NULL,
        attempt_count = CASE WHEN q.attempt_count > k.p_uncounted THEN q.attempt_count - k.p_uncounted ELSE 0 END
    FROM {keys} WHERE q.instance_id = k.p_instance_id AND q.batch_token = k.p_token
    """,
    "instance_id text, token text, uncounted bigint",
)
# Not EXISTS for the queue: for many ids at once, Postgres would read all of it, whatever sleeps there.
_IS_TAKEN = f"""
    (EXISTS (SELECT 1 FROM {{instances}} AS i WHERE i.instance_id = k.p_instance_id) OR (
        SELECT q.id FROM {{orchestrator_queue}} AS q
        WHERE q.instance_id = k.p_instance_id AND q.kind = '{START_KIND}' LIMIT 1
    ) IS NOT NULL)
"""  # noqa: S608  # a constant
_TAKEN = Query(
    f"SELECT k.p_instance_id AS instance_id FROM {{keys}} WHERE {_IS_TAKEN} LIMIT 1",  # noqa: S608  # constants
    "instance_id text",
)
_START = Query(
    f"""
    INSERT INTO {{orchestrator_queue}} (instance_id, execution_id, kind, data, visible_at_ms, attempt_count)
    SELECT k.p_instance_id, 1, '{START_KIND}', k.p_data, :now_ms, 0 FROM {{keys}} WHERE NOT {_IS_TAKEN}
    RETURNING instance_id
    """,  # noqa: S608  # constants
    "instance_id text, data text",
)


def message_values(message: Message, visible_at_ms: int) -> Values:
    """Return the row of the orchestrator queue for *message*."""
    if isinstance(message, StartOrchestration):
        timer = None
    else:
        timer = message.event.source_event_id if isinstance(message.event, TimerFired) else None
    kind, data = message_kind(message), encode_message(message)
    return (message.instance_id, message.execution_id, kind, timer, data, visible_at_ms, 0)


def enqueue(transaction: Transaction, messages: Sequence[Outgoing]) -> None:
    """Add *messages* to the queue, in order, and that is all."""
    transaction.finish(steps=[adding(transaction, messages)])


def adding(transaction: Transaction, messages: Sequence[Outgoing]) -> Step:
    """Return the step that adds *messages* to the queue, in order."""
    rows = []
    for outgoing in messages:
        visible_at_ms = transaction.now_ms if outgoing.visible_at_ms is None else outgoing.visible_at_ms
        rows.append(message_values(outgoing.message, visible_at_ms))
        transaction.leave_message(visible_at_ms)
    return Step(INSERT_MESSAGES, rows)


def start(transaction: Transaction, messages: Sequence[StartOrchestration], *, must_be_new: bool) -> Sequence[bool]:
    """Add start messages for ids that are free; return for each whether its was."""
    first: dict[str, StartOrchestration] = {}
    for message in messages:
        first.setdefault(message.instance_id, message)
    # Two that start the same id at the same time would not see each other.
    claim = transaction.dialect.claim_ids(sorted(first))
    if must_be_new:
        *_, taken = transaction.queries(*claim, Ask(_TAKEN, [(instance_id,) for instance_id in first], {}))
        for row in taken:
            raise InstanceAlreadyExists(row.instance_id)
        claim = ()
    keys = [(instance_id, encode_message(message)) for instance_id, message in first.items()]
    start_all = Ask(_START, keys, {"now_ms": transaction.now_ms})
    transaction.leave_message(transaction.now_ms)
    *_, rows = transaction.finish(*claim, start_all, is_repeatable=not must_be_new)
    started = {row.instance_id for row in rows}
    return [message.instance_id in started and first[message.instance_id] is message for message in messages]


def tell_of_waiting_messages(transaction: Transaction, instances: Sequence[Values]) -> None:
    """
    Note whether one of *instances*, whose locks were given back, has messages waiting.

    Whoever was woken when they came found the instance locked, and went back to sleep.
    """
    if transaction.query(WAITING, instances, now_ms=transaction.now_ms):
        transaction.messages = True


def fetch(
    transaction: Transaction, limit: int, lock_ms: int, replayable: VersionRange | None
) -> Sequence[OrchestrationItem]:
    """Lock up to *limit* instances with visible messages, and return them with those messages."""
    items: list[OrchestrationItem] = []
    while True:
        wanted = limit - len(items)
        locks = _lock(transaction, wanted, lock_ms, replayable)
        taken, left = _take(transaction, locks)
        items += left
        # What was for nobody yet, or for one and the same instance, has taken the place of what is for others.
        is_all = len(left) == len(locks) and taken < wanted * _LOOK_AHEAD
        if is_all or len(items) >= limit:
            return items


def _lock(
    transaction: Transaction, limit: int, lock_ms: int, replayable: VersionRange | None
) -> dict[str, InstanceLock]:
    """Lock up to *limit* instances with visible messages, and return the locks by instance."""
    now_ms = transaction.now_ms
    parameters: dict[str, Any] = {
        "now_ms": now_ms,
        "locked_until_ms": now_ms + lock_ms,
        "token": f"{new_token()}-",
        "look_at": limit * _LOOK_AHEAD,
        "wanted": limit,
    }
    if replayable is None:
        found = transaction.query(_LOCK_ANY, **parameters)
    else:
        lowest, highest = replayable.lowest.packed, replayable.highest.packed
        found = transaction.query(_LOCK_REPLAYABLE, **parameters, lowest=lowest, highest=highest)
    return {row.instance_id: InstanceLock(row.instance_id, row.token) for row in found}


def _take(transaction: Transaction, locks: Mapping[str, InstanceLock]) -> tuple[int, Sequence[OrchestrationItem]]:
    """Return how many messages the locked instances have, and those that exist with their messages, oldest first."""
    if not locks:
        return 0, ()
    tokens = [(lock.instance_id, lock.token) for lock in locks.values()]
    messages, instances = transaction.queries(
        Ask(_TAKE_MESSAGES, tokens, {"now_ms": transaction.now_ms}),
        Ask(_INSTANCES, [(instance_id,) for instance_id in locks], {}),
    )
    batches: dict[str, list[AnyRow]] = defaultdict(list)
    for row in sorted(messages, key=lambda row: row.id):
        batches[row.instance_id].append(row)
    known = {row.instance_id: row for row in instances}
    left = _without_unstarted(transaction, locks, batches, known)
    left = _without_orphans(transaction, left, batches, known)
    oldest_first = sorted(
        left, key=lambda instance_id: min((row.visible_at_ms, row.id) for row in batches[instance_id])
    )
    return len(messages), [_item(left[each], batches[each], known.get(each)) for each in oldest_first]


def _without_unstarted(
    transaction: Transaction,
    locks: Mapping[str, InstanceLock],
    batches: Mapping[str, Sequence[AnyRow]],
    known: Mapping[str, AnyRow],
) -> Mapping[str, InstanceLock]:
    """
    Put instances off whose next start is there, but not among what was visible, and return the others.

    The clock of who wrote it may be ahead of this one; or it was written after this transaction had looked at the clock.
    """
    expected = {}
    for instance_id, rows in batches.items():
        stands = known.get(instance_id)
        at, status = (0, None) if stands is None else (stands.execution_id, stands.status)
        execution_id = execution_to_start(at, status)
        if execution_id and not any(row.kind == START_KIND and row.execution_id == execution_id for row in rows):
            expected[instance_id] = execution_id
    if not expected:
        return locks
    starts = transaction.query(_STARTS, list(expected.items()))
    soonest_ms = transaction.now_ms + 1
    unstarted = {each: max(due_ms, soonest_ms) for each, due_ms in starts if due_ms is not None}
    if not unstarted:
        return locks
    _pass_on(transaction, [(locks[instance_id], until_ms) for instance_id, until_ms in unstarted.items()])
    transaction.query(_PUT_BACK, [(instance_id, locks[instance_id].token, 1) for instance_id in unstarted])
    return {instance_id: lock for instance_id, lock in locks.items() if instance_id not in unstarted}


def _without_orphans(
    transaction: Transaction,
    locks: Mapping[str, InstanceLock],
    batches: Mapping[str, Sequence[AnyRow]],
    known: Mapping[str, AnyRow],
) -> Mapping[str, InstanceLock]:
    """
    Remove instances from the store that do not exist and that no message starts, and return the others.

    Nor are those kept whose messages somebody else took before they were locked.
    """
    orphans = [
        lock
        for instance_id, lock in locks.items()
        if instance_id not in batches
        or (instance_id not in known and not any(row.kind == START_KIND for row in batches[instance_id]))
    ]
    for lock in orphans:
        rows = batches.get(lock.instance_id, ())
        transaction.query(_DROP_MESSAGES, [(row.id,) for row in rows])
        if rows:
            _log.warning(
                "dropped %d message(s) for instance %r, which does not exist: %s",
                len(rows),
                lock.instance_id,
                ", ".join(sorted({row.kind for row in rows})),
                extra={"action": "drop_orphans", "instance": lock.instance_id},
            )
    if not orphans:
        return locks
    transaction.query(_DROP_LOCKS, [(lock.instance_id, lock.token) for lock in orphans])
    return {instance_id: lock for instance_id, lock in locks.items() if lock not in orphans}


def _item(lock: InstanceLock, rows: Iterable[AnyRow], instance: AnyRow | None) -> OrchestrationItem:
    messages = []
    problems = {}
    attempts = 0
    for row in rows:
        try:
            message = decode_message(row.kind, row.instance_id, row.execution_id, row.data)
        except UnreadableEvent as error:
            problems[row.id] = f"message {row.id} ({row.kind}): {error}"
            attempts = max(attempts, row.attempt_count)
        else:
            messages.append(QueuedItem(row.id, message, row.attempt_count, row.visible_at_ms))
    item = OrchestrationItem(
        lock=lock,
        messages=tuple(messages),
        unreadable_messages=tuple(problems),
        unreadable_attempt_count=attempts,
        unreadable_reason="; ".join(problems.values()) or None,
    )
    if instance is None:
        return item
    return evolve(
        item,
        execution_id=instance.execution_id,
        last_event_id=instance.last_event_id,
        incarnation=instance.incarnation,
        status=ExecutionStatus(instance.status),
        parent=_parent(instance),
    )


def _parent(instance: AnyRow) -> Parent | None:
    if instance.parent_instance_id is None:
        return None
    return Parent(instance.parent_instance_id, instance.parent_execution_id, instance.parent_event_id)


def release(transaction: Transaction, releases: Sequence[Release]) -> Sequence[bool]:
    """Give instance locks back; return for each whether it was still held."""
    transaction.find_one_by_one()
    now_ms = transaction.now_ms
    at_once = [_instance_lock(release) for release in releases if release.delay_ms <= 0]
    later = [(_instance_lock(release), now_ms + release.delay_ms) for release in releases if release.delay_ms > 0]
    released = renewed_or_released(transaction, _UNLOCK, at_once, now_ms=now_ms)
    held = released | _pass_on(transaction, later)
    transaction.tells_others |= bool(later)
    given_back = [(_instance_lock(release), int(release.ignore_attempt)) for release in releases]
    rows = [(lock.instance_id, lock.token, uncounted) for lock, uncounted in given_back if lock in held]
    transaction.query(_PUT_BACK, rows)
    tell_of_waiting_messages(transaction, [(lock.instance_id,) for lock in released])
    return [lock in held for lock, _ in given_back]


def _pass_on(transaction: Transaction, locks: Sequence[tuple[InstanceLock, int]]) -> frozenset[InstanceLock]:
    """Give instances to nobody before a time (ms since the epoch); return those that were held."""
    keys = [(lock.instance_id, lock.token, until_ms) for lock, until_ms in locks]
    found = {row[0] for row in transaction.query(_PASS_ON, keys, now_ms=transaction.now_ms)}
    for lock, until_ms in locks:
        if lock.instance_id in found:
            transaction.leave_message(until_ms)
    return frozenset(lock for lock, _ in locks if lock.instance_id in found)


def renew(transaction: Transaction, locks: Sequence[InstanceLock], lock_ms: int) -> frozenset[InstanceLock]:
    """Extend *locks*; return those that were still held."""
    now_ms = transaction.now_ms
    return renewed_or_released(transaction, _RENEW, locks, now_ms=now_ms, locked_until_ms=now_ms + lock_ms)


def renewed_or_released(
    transaction: Transaction, query: Query, locks: Sequence[InstanceLock], **parameters: int
) -> frozenset[InstanceLock]:
    """Run *query* on *locks*; return those that it found held."""
    keys = [(lock.instance_id, lock.token) for lock in locks]
    return frozenset(InstanceLock(row[0], row[1]) for row in transaction.query(query, keys, **parameters))


def _instance_lock(release: Release) -> InstanceLock:
    if not isinstance(release.lock, InstanceLock):
        msg = f"{release.lock!r} is the lock of an activity: give it to release_activities()."
        raise TypeError(msg)
    return release.lock
