"""Sessions where two workers look at the same time."""

from __future__ import annotations

import pytest

from duroxide.providers.contract import ActivityItem, SessionClaim, TagFilter
from duroxide.providers.sql import SqlProvider, activities
from duroxide.providers.wakeups import Changes
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.vocabulary import LOCK_MS, activity, first_turn, must_commit

from .stores import Store


LEASE_MS = 10_000


def fetch(provider: SqlProvider, owner: str) -> list[ActivityItem]:
    """Fetch for a worker with room for one session."""
    claim = SessionClaim(owner, LEASE_MS, room=1)
    return list(provider.fetch_activities(10, LOCK_MS, tags=TagFilter(), session=claim))


def test_left_to_others(
    postgres_url: str, postgres_schema: str, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Who looks while another worker has its hands on more sessions than it has room for is told when it lets go.

    Otherwise it would sleep until its next poll, with work for it there.
    """
    store = Store(postgres_url, postgres_schema, clock)
    alice, bob = store.open(), store.open()
    must_commit(alice, first_turn("a", *[activity("a", number, session_id=f"s{number}") for number in range(2, 5)]))
    told: list[Changes] = []
    meanwhile: list[list[ActivityItem]] = []
    claim_sessions = activities.claim_sessions

    def claim_while_bob_looks(*args: object) -> frozenset[str]:
        monkeypatch.setattr(activities, "claim_sessions", claim_sessions)
        meanwhile.append(fetch(bob, "bob"))
        return claim_sessions(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(bob.wakeups, "publish", told.append)
    monkeypatch.setattr(activities, "claim_sessions", claim_while_bob_looks)
    taken = fetch(alice, "alice")

    assert [[]] == meanwhile
    assert ["s2"] == [item.work.session_id for item in taken]
    assert [False, True] == [changes.activities for changes in told]
    assert ["s3"] == [item.work.session_id for item in fetch(bob, "bob")]
    store.close()


def test_nothing_taken_nobody_told(shared_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes nothing tells nobody, or two of them would wake each other for ever."""
    provider = shared_store.open()
    must_commit(provider, first_turn("a", *[activity("a", number, session_id=f"s{number}") for number in range(2, 5)]))
    full = SessionClaim("alice", LEASE_MS, room=0)
    told: list[Changes] = []
    monkeypatch.setattr(provider.wakeups, "publish", told.append)

    assert [] == list(provider.fetch_activities(10, LOCK_MS, tags=TagFilter(), session=full))
    assert not any(changes.activities for changes in told)
