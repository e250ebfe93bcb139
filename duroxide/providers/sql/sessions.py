"""
Sessions: which worker the activities of a session go to, and for how long.

A lease is affinity, not mutual exclusion: it says who may fetch, not who may finish.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..contract import SessionClaim
from .statements import Bulk, Query
from .transaction import Transaction


_CLAIM = Query(
    """
    INSERT INTO {sessions} AS s (session_id, owner, leased_until_ms, last_activity_at_ms)
    SELECT k.p_session_id, :owner, :leased_until_ms, :now_ms FROM {keys} WHERE TRUE ORDER BY k.p_session_id
    ON CONFLICT (session_id) DO UPDATE SET
        owner = excluded.owner,
        leased_until_ms = excluded.leased_until_ms,
        last_activity_at_ms = excluded.last_activity_at_ms
    WHERE s.leased_until_ms <= :now_ms OR s.owner = :owner
    RETURNING session_id
    """,
    "session_id text",
)
TOUCH = Bulk(
    "session_id text, now_ms bigint",
    "UPDATE {sessions} AS s SET last_activity_at_ms = :now_ms {rows}"
    " WHERE s.session_id = :session_id AND s.leased_until_ms > :now_ms",
)
_RENEW = Bulk(
    "owner text, now_ms bigint, leased_until_ms bigint, active_since_ms bigint",
    "UPDATE {sessions} AS s SET leased_until_ms = :leased_until_ms {rows}"
    " WHERE s.owner = :owner AND s.leased_until_ms > :now_ms AND s.last_activity_at_ms > :active_since_ms",
)
_REMOVE_ORPHANED = Bulk(
    "now_ms bigint",
    "DELETE FROM {sessions} AS s {rows} WHERE s.leased_until_ms <= :now_ms"
    " AND NOT EXISTS (SELECT 1 FROM {worker_queue} AS w WHERE w.session_id = s.session_id)",
)


def claim_sessions(transaction: Transaction, session_ids: Sequence[str], claim: SessionClaim) -> frozenset[str]:
    """Lease those of *session_ids* that are free or already the claimer's; return which."""
    now_ms = transaction.now_ms
    keys = [(session_id,) for session_id in session_ids]
    until_ms = now_ms + claim.lease_ms
    return frozenset(
        row.session_id
        for row in transaction.query(_CLAIM, keys, owner=claim.owner, now_ms=now_ms, leased_until_ms=until_ms)
    )


def touch_sessions(transaction: Transaction, session_ids: Collection[str]) -> None:
    """Note that something happened in leased sessions."""
    transaction.many(TOUCH, [(session_id, transaction.now_ms) for session_id in sorted(session_ids)])


def renew(transaction: Transaction, owner: str, lease_ms: int, idle_ms: int) -> int:
    """Extend the unexpired sessions of *owner* that were active within *idle_ms*; return how many."""
    now_ms = transaction.now_ms
    transaction.activities |= lease_ms <= 0  # what waits for these sessions is anybody's
    return transaction.many(_RENEW, [(owner, now_ms, now_ms + lease_ms, now_ms - idle_ms)])


def remove_orphaned(transaction: Transaction) -> int:
    """Remove expired sessions without activities; return how many."""
    return transaction.many(_REMOVE_ORPHANED, [(transaction.now_ms,)])
