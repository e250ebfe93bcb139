"""The worker queue: who gets which activity, and what becomes of it."""

from __future__ import annotations

import threading

from collections import Counter

import pytest

from duroxide._core import events as e
from duroxide._core.messages import ActivityKey, Deliver
from duroxide.providers.contract import ActivityAck, Release, SessionClaim, TagFilter
from duroxide.providers.sql import SqlProvider

from .stores import (
    ANY_TAG,
    LOCK_MS,
    NOW,
    HeldClock,
    activity,
    completed,
    fetch_one,
    fetch_work,
    first_turn,
    lock_of,
    must_commit,
)


def schedule(provider: SqlProvider, count: int = 1) -> None:
    """Let instance "a" schedule activities 2, 3 and so on."""
    must_commit(provider, first_turn("a", *(activity("a", number) for number in range(2, 2 + count))))


class TestFetch:






class TestTags:



class TestAck:





class TestRelease:





class TestRenew:




LEASE_MS = 10_000
ALICE = SessionClaim("alice", LEASE_MS)
BOB = SessionClaim("bob", LEASE_MS)


def fetch_as(provider: SqlProvider, claim: SessionClaim | None, limit: int = 10) -> list[tuple[str | None, int]]:
    """Return session and activity id of what *claim* gets."""
    items = provider.fetch_activities(limit, LOCK_MS, tags=ANY_TAG, session=claim)
    return [(item.work.session_id, item.work.key.activity_id) for item in items]


class TestSessions:











class TestWrongLock:
    def test_kinds_are_not_mixed_up(self, provider: SqlProvider) -> None:
        """A lock of the wrong kind is a TypeError that names the right method."""
        with pytest.raises(TypeError, match="release_activities"):
            provider.release_orchestration_items([Release(lock_of(activity()))])

        assert ActivityKey("a", 1, 2) == activity().key
