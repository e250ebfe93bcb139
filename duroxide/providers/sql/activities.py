"""
The worker queue: activities to run, and their locks.

Visibility and lock are one column: a locked row becomes visible when its lock expires, so that looking for
work never meets what others are working on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache

from attrs import evolve

from ..._clock import new_token
from ..._core.commit import ActivityLock, Outgoing
from ..._core.messages import ActivityExecute, ActivityKey, Deliver
from ..contract import ActivityAck, ActivityItem, Release, SessionClaim, TagFilter
from .orchestrations import adding
from .sessions import claim_sessions, touch_sessions
from .statements import AnyRow, Bulk, Query, Values
from .transaction import Transaction


_LOCK_COLUMNS = "instance_id text, execution_id bigint, activity_id bigint, token text"

_IS_LISTED = """
    (instance_id, execution_id, activity_id, lock_token) IN (
        SELECT k.p_instance_id, k.p_execution_id, k.p_activity_id, k.p_token FROM {keys}
    )
"""

_CANDIDATES = """
    SELECT w.instance_id, w.execution_id, w.activity_id, w.session_id FROM {worker_queue} AS w
    WHERE w.visible_at_ms <= :now_ms %s %s
    ORDER BY w.visible_at_ms, w.position LIMIT :wanted {skip_locked}
"""
_WITHOUT_SESSION = "AND w.session_id IS NULL"
_SESSION_IS_FREE = """
    AND (w.session_id IS NULL OR NOT EXISTS (
        SELECT 1 FROM {sessions} AS s
        WHERE s.session_id = w.session_id AND s.leased_until_ms > :now_ms AND s.owner <> :owner
    ))
"""
_SESSION_IN_FLIGHT = """
    AND (w.session_id IS NULL OR w.session_id IN (SELECT k.p_session_id FROM {keys}))
"""
_LISTED_TAG = "w.tag IN (SELECT k.p_tag FROM {keys})"

#: How the tokens begin that lock what nobody has begun, for its end.
_LATE = "late-"
_IS_LATE = f"""
    w.expires_at_ms <= :now_ms AND (
        w.lock_token IS NULL OR (w.visible_at_ms <= :now_ms AND substr(w.lock_token, 1, {len(_LATE)}) = '{_LATE}')
    )
"""
_EXPIRED = Query(
    f"""
    SELECT w.instance_id, w.execution_id, w.activity_id FROM {{worker_queue}} AS w
    WHERE {_IS_LATE} ORDER BY w.expires_at_ms LIMIT :wanted {{skip_locked}}
    """  # noqa: S608  # constants
)
_HAS_EXPIRED = Query(f"SELECT 1 FROM {{worker_queue}} AS w WHERE {_IS_LATE} LIMIT 1")  # noqa: S608  # constants
_LOCK = Query(
    """
    UPDATE {worker_queue} AS w SET
        lock_token = k.p_token, visible_at_ms = :locked_until_ms, attempt_count = w.attempt_count + 1
    FROM {keys}
    WHERE w.instance_id = k.p_instance_id AND w.execution_id = k.p_execution_id AND w.activity_id = k.p_activity_id
    RETURNING instance_id, execution_id, activity_id, name, input, orchestration_name, orchestration_version,
        session_id, tag, retry_attempt, position, lock_token, attempt_count, expires_at_ms
    """,
    _LOCK_COLUMNS,
)
_ACK = Query(
    f"DELETE FROM {{worker_queue}} WHERE {_IS_LISTED} AND visible_at_ms > :now_ms"  # noqa: S608  # constants
    " RETURNING instance_id, execution_id, activity_id, lock_token, session_id",
    _LOCK_COLUMNS,
)
_RELEASE = Bulk(
    "instance_id text, execution_id bigint, activity_id bigint, visible_at_ms bigint, uncounted bigint",
    """
    UPDATE {worker_queue} AS w SET
        lock_token = NULL,
        visible_at_ms = :visible_at_ms,
        attempt_count = CASE WHEN w.attempt_count > :uncounted THEN w.attempt_count - :uncounted ELSE 0 END
    {rows}
    WHERE w.instance_id = :instance_id AND w.execution_id = :execution_id AND w.activity_id = :activity_id
    """,
)
_RENEW = Query(
    f"UPDATE {{worker_queue}} SET visible_at_ms = :locked_until_ms WHERE {_IS_LISTED} AND visible_at_ms > :now_ms"  # noqa: S608  # constants
    " RETURNING instance_id, execution_id, activity_id, lock_token, session_id",
    _LOCK_COLUMNS,
)
_HELD = Query(
    f"SELECT instance_id, execution_id, activity_id, lock_token FROM {{worker_queue}} WHERE {_IS_LISTED}",  # noqa: S608  # constants
    _LOCK_COLUMNS,
)
_HOLD = Query(
    f"SELECT instance_id, execution_id, activity_id, lock_token FROM {{worker_queue}} WHERE {_IS_LISTED}"  # noqa: S608  # constants
    " AND visible_at_ms > :now_ms ORDER BY instance_id, execution_id, activity_id {for_update}",
    _LOCK_COLUMNS,
)


@cache
def _candidates(*, untagged: bool, tags: str, sessions: str) -> Query:
    """Return the query for one kind of worker; *tags* is ``none``, ``listed`` or ``any``; so is *sessions*."""
    tag_condition = {
        (True, "none"): "AND w.tag IS NULL",
        (True, "listed"): f"AND (w.tag IS NULL OR {_LISTED_TAG})",
        (True, "any"): "",
        (False, "listed"): f"AND {_LISTED_TAG}",
        (False, "any"): "AND w.tag IS NOT NULL",
    }[untagged, tags]
    session_condition = {
        "none": _WITHOUT_SESSION,
        "listed": _SESSION_IN_FLIGHT + _SESSION_IS_FREE,
        "any": _SESSION_IS_FREE,
    }[sessions]
    is_asked_about = "listed" in (tags, sessions)
    return Query(
        _CANDIDATES % (tag_condition, session_condition), "tag text, session_id text" if is_asked_about else ""
    )


def fetch(
    transaction: Transaction, limit: int, lock_ms: int, tags: TagFilter, session: SessionClaim | None
) -> Sequence[ActivityItem]:
    """Lock up to *limit* activities, oldest first, and return them."""
    if session is None:
        return _lock(transaction, [tuple(row)[:3] for row in _find(transaction, limit, tags, None)], lock_ms)
    found, claimed = _claim(transaction, limit, tags, session)
    taken = _of_sessions(found, claimed)
    if len(taken) < len(found):
        if len(found) == limit and session.room != 0:
            # Behind those that there is no room for, more may be waiting.
            rest = evolve(session, room=0, in_flight=session.in_flight | claimed)
            taken = _of_sessions(*_claim(transaction, limit, tags, rest))
        # Others who looked meanwhile passed over what this transaction leaves to them.
        transaction.activities |= bool(taken)
    return _lock(transaction, taken, lock_ms)


def _claim(
    transaction: Transaction, limit: int, tags: TagFilter, session: SessionClaim
) -> tuple[Sequence[AnyRow], frozenset[str]]:
    """Find activities, and lease their sessions as far as there is room; return them all, and the leased sessions."""
    found = _find(transaction, limit, tags, session)
    return found, claim_sessions(transaction, sorted(_wanted_sessions(found, session)), session)


def _of_sessions(found: Sequence[AnyRow], session_ids: Collection[str]) -> list[Values]:
    """Return the keys of those of *found* that belong to these sessions, or to none."""
    return [tuple(row)[:3] for row in found if row.session_id is None or row.session_id in session_ids]


def has_expired(transaction: Transaction) -> bool:
    """Whether there are activities that no worker has begun in time."""
    return bool(transaction.query(_HAS_EXPIRED, now_ms=transaction.now_ms))


def fetch_expired(transaction: Transaction, limit: int, lock_ms: int) -> Sequence[ActivityItem]:
    """Lock up to *limit* activities that no worker has begun in time, and return them."""
    found = transaction.query(_EXPIRED, now_ms=transaction.now_ms, wanted=limit)
    return _lock(transaction, [tuple(row) for row in found], lock_ms, kind=_LATE)


def _lock(transaction: Transaction, keys: Sequence[Values], lock_ms: int, *, kind: str = "") -> Sequence[ActivityItem]:
    token = kind + new_token()
    locked_until_ms = transaction.now_ms + lock_ms
    locked = transaction.query(_LOCK, [(*key, token) for key in keys], locked_until_ms=locked_until_ms)
    items = {tuple(row)[:3]: _item(row) for row in locked}
    return [items[key] for key in keys]


def _find(transaction: Transaction, limit: int, tags: TagFilter, session: SessionClaim | None) -> Sequence[AnyRow]:
    listed_tags = "any" if tags.tags is None else "listed" if tags.tags else "none"
    listed_sessions = "none" if session is None else "listed" if session.room == 0 else "any"
    query = _candidates(untagged=tags.untagged, tags=listed_tags, sessions=listed_sessions)
    listed: list[Values] = [(tag, None) for tag in sorted(tags.tags or ())]
    if session is not None and listed_sessions == "listed":
        listed += [(None, session_id) for session_id in sorted(session.in_flight)]
    owner = {} if session is None else {"owner": session.owner}
    keys = (listed or [(None, None)]) if query.columns else None
    return transaction.query(query, keys, now_ms=transaction.now_ms, wanted=limit, **owner)


def _wanted_sessions(found: Sequence[AnyRow], claim: SessionClaim) -> frozenset[str]:
    """Return the sessions of *found* that *claim* has room for, oldest work first."""
    wanted = dict.fromkeys(row.session_id for row in found if row.session_id is not None)
    new = [session_id for session_id in wanted if session_id not in claim.in_flight]
    too_many = () if claim.room is None else new[claim.room :]
    return frozenset(wanted).difference(too_many)


def _item(row: AnyRow) -> ActivityItem:
    key = ActivityKey(row.instance_id, row.execution_id, row.activity_id)
    work = ActivityExecute(
        key,
        row.name,
        row.input,
        row.orchestration_name,
        row.orchestration_version,
        session_id=row.session_id,
        tag=row.tag,
        attempt=row.retry_attempt,
        expires_at_ms=row.expires_at_ms,
    )
    return ActivityItem(ActivityLock(key, row.lock_token), work, row.attempt_count)


def ack(transaction: Transaction, acks: Sequence[ActivityAck]) -> Sequence[bool]:
    """Remove finished activities and enqueue their completions; return for each whether its lock was held."""
    keys = [_lock_values(ack.lock) for ack in acks]
    removed = transaction.query(_ACK, keys, now_ms=transaction.now_ms)
    held = {tuple(row)[:4] for row in removed}
    touch_sessions(transaction, {row.session_id for row in removed if row.session_id is not None})
    completions = [
        Outgoing(Deliver(ack.lock.key.instance_id, ack.lock.key.execution_id, ack.event))
        for ack, key in zip(acks, keys, strict=True)
        if ack.event is not None and key in held
    ]
    completed = adding(transaction, completions)
    transaction.many(completed.bulk, completed.rows)
    return [key in held for key in keys]


def release(transaction: Transaction, releases: Sequence[Release]) -> Sequence[bool]:
    """Unlock activities; return for each whether its lock was still held."""
    transaction.find_one_by_one()
    keys = [_lock_values(_activity_lock(release)) for release in releases]
    now_ms = transaction.now_ms
    held = {tuple(row) for row in transaction.query(_HOLD, keys, now_ms=now_ms)}
    rows = [
        (*key[:3], now_ms + max(release.delay_ms, 0), int(release.ignore_attempt))
        for key, release in zip(keys, releases, strict=True)
        if key in held
    ]
    transaction.many(_RELEASE, rows)
    # Also for those that are delayed: whoever looks now learns when to look again.
    transaction.activities |= bool(held)
    return [key in held for key in keys]


def renew(transaction: Transaction, locks: Sequence[ActivityLock], lock_ms: int) -> frozenset[ActivityLock]:
    """Extend *locks*; return those that were still held."""
    now_ms = transaction.now_ms
    keys = [_lock_values(lock) for lock in locks]
    held = transaction.query(_RENEW, keys, now_ms=now_ms, locked_until_ms=now_ms + lock_ms)
    touch_sessions(transaction, {row.session_id for row in held if row.session_id is not None})
    return _locks(held)


def held_locks(transaction: Transaction, locks: Sequence[ActivityLock]) -> frozenset[ActivityLock]:
    """Return those of *locks* whose row is there under its token."""
    return _locks(transaction.query(_HELD, [_lock_values(lock) for lock in locks]))


def _locks(rows: Iterable[AnyRow]) -> frozenset[ActivityLock]:
    return frozenset(ActivityLock(ActivityKey(row[0], row[1], row[2]), row[3]) for row in rows)


def _lock_values(lock: ActivityLock) -> Values:
    return (lock.key.instance_id, lock.key.execution_id, lock.key.activity_id, lock.token)


def _activity_lock(release: Release) -> ActivityLock:
    if not isinstance(release.lock, ActivityLock):
        msg = f"{release.lock!r} is the lock of an instance: give it to release_orchestration_items()."
        raise TypeError(msg)
    return release.lock
