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
    def test_first_in_first_out(self, provider: SqlProvider) -> None:
        """Activities come in the order in which they were scheduled, none twice."""
        schedule(provider, 5)
        found = [item.work.key.activity_id for _ in range(3) for item in fetch_work(provider, 2)]

        assert [2, 3, 4, 5, 6] == found

    def test_carries_everything(self, provider: SqlProvider) -> None:
        """What is fetched is what was scheduled."""
        work = activity(tag="gpu")
        must_commit(provider, first_turn("a", work))
        (item,) = fetch_work(provider)

        assert (work, work.key, 1) == (item.work, item.lock.key, item.attempt_count)

    def test_expiry(self, provider: SqlProvider, clock: HeldClock) -> None:
        """At its expiry a lock is free: the next delivery counts, under another token."""
        schedule(provider)
        (first,) = fetch_work(provider)
        clock.advance(LOCK_MS - 1)
        held = fetch_work(provider)
        clock.advance(1)
        (second,) = fetch_work(provider)

        assert ([], 2) == (held, second.attempt_count)
        assert first.lock.token != second.lock.token

    def test_limit_of_nothing(self, provider: SqlProvider) -> None:
        """Asking for nothing locks nothing."""
        schedule(provider)

        assert [] == fetch_work(provider, 0)

    def test_concurrently(self, provider: SqlProvider) -> None:
        """Whatever the number of threads, nobody gets an activity twice, and none is left over."""
        schedule(provider, 60)
        found: list[int] = []

        def take() -> None:
            while items := fetch_work(provider, 4):
                found.extend(item.work.key.activity_id for item in items)

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found.extend(item.work.key.activity_id for item in fetch_work(provider, 60))

        assert Counter(range(2, 62)) == Counter(found)


class TestTags:
    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            (TagFilter(), [None]),
            (TagFilter(tags=frozenset({"gpu"})), [None, "gpu"]),
            (TagFilter(untagged=False, tags=frozenset({"gpu", "tpu"})), ["gpu", "tpu"]),
            (TagFilter(untagged=False, tags=None), ["gpu", "tpu"]),
            (TagFilter(tags=None), [None, "gpu", "tpu"]),
            (TagFilter(untagged=False), []),
        ],
        ids=["default", "default and one", "two", "any tag", "everything", "nothing"],
    )
    def test_filter(self, provider: SqlProvider, tags: TagFilter, expected: list[str | None]) -> None:
        """A worker gets exactly what its filter accepts."""
        work = [activity("a", 2), activity("a", 3, tag="gpu"), activity("a", 4, tag="tpu")]
        must_commit(provider, first_turn("a", *work))

        assert expected == [item.work.tag for item in fetch_work(provider, tags=tags)]

    def test_survives_release(self, provider: SqlProvider) -> None:
        """A released activity still has its tag."""
        must_commit(provider, first_turn("a", activity(tag="gpu")))
        provider.release_activities([Release(item.lock) for item in fetch_work(provider)])

        assert [] == fetch_work(provider, tags=TagFilter())


class TestAck:
    def test_delivers(self, provider: SqlProvider) -> None:
        """The row goes and the completion is enqueued, in one step."""
        schedule(provider)
        (item,) = fetch_work(provider)
        held = provider.ack_activities([ActivityAck(item.lock, completed(0, 2))])
        (message,) = fetch_one(provider).messages

        assert [True] == held
        # A message has no place in history yet.
        assert Deliver("a", 1, e.ActivityCompleted(0, 0, 2, '"done"')) == message.message
        assert frozenset() == provider.held_activity_locks([item.lock])

    def test_without_event(self, provider: SqlProvider) -> None:
        """An activity nobody waits for goes without a message."""
        schedule(provider)
        (item,) = fetch_work(provider)
        provider.ack_activities([ActivityAck(item.lock, None)])

        assert [] == list(provider.fetch_orchestration_items(1, LOCK_MS))

    def test_not_held(self, provider: SqlProvider, clock: HeldClock) -> None:
        """An expired, unknown or finished lock acknowledges nothing, and takes no other down."""
        schedule(provider, 3)
        old, done, live = fetch_work(provider)
        provider.ack_activities([ActivityAck(done.lock, None)])
        clock.advance(LOCK_MS - 1)
        provider.renew_activity_locks([live.lock], LOCK_MS)
        clock.advance(1)
        locks = [old.lock, done.lock, lock_of(live.work, "other"), live.lock]
        held = provider.ack_activities([ActivityAck(lock, completed(0, lock.key.activity_id)) for lock in locks])

        assert [False, False, False, True] == held
        assert 1 == len(fetch_one(provider).messages)

    def test_after_takeover(self, provider: SqlProvider, clock: HeldClock) -> None:
        """Whoever lost the activity cannot finish it any more; whoever has it can."""
        schedule(provider)
        (mine,) = fetch_work(provider)
        clock.advance(LOCK_MS)
        (theirs,) = fetch_work(provider)

        assert [False] == provider.ack_activities([ActivityAck(mine.lock, completed(0, 2))])
        assert [True] == provider.ack_activities([ActivityAck(theirs.lock, completed(0, 2))])


class TestRelease:
    def test_at_once(self, provider: SqlProvider) -> None:
        """A released activity is fetched again, and counts."""
        schedule(provider)
        held = provider.release_activities([Release(item.lock) for item in fetch_work(provider)])
        (again,) = fetch_work(provider)

        assert ([True], 2) == (held, again.attempt_count)

    def test_delay(self, provider: SqlProvider, clock: HeldClock) -> None:
        """With a delay it waits, while others are fetched."""
        schedule(provider, 2)
        (first,) = fetch_work(provider, 1)
        provider.release_activities([Release(first.lock, delay_ms=100)])
        others = [item.work.key.activity_id for item in fetch_work(provider)]
        due = provider.next_due_ms()
        clock.advance(100)

        assert ([3], NOW + 100) == (others, due)
        assert [2] == [item.work.key.activity_id for item in fetch_work(provider)]

    def test_ignored_attempt(self, provider: SqlProvider) -> None:
        """An attempt that is ignored leaves the count as it was."""
        schedule(provider)
        counts = []
        for _ in range(3):
            (item,) = fetch_work(provider)
            counts.append(item.attempt_count)
            provider.release_activities([Release(item.lock, ignore_attempt=True)])

        assert [1, 1, 1] == counts

    def test_not_held(self, provider: SqlProvider, clock: HeldClock) -> None:
        """An unknown or expired lock releases nothing."""
        schedule(provider)
        (item,) = fetch_work(provider)
        clock.advance(LOCK_MS)
        unknown = lock_of(activity("nobody"))

        assert [False, False] == provider.release_activities([Release(item.lock), Release(unknown)])


class TestRenew:
    def test_extends(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A renewed lock lasts from the renewal on; one that is gone is not in the answer."""
        schedule(provider)
        (item,) = fetch_work(provider)
        clock.advance(LOCK_MS - 1)
        held = provider.renew_activity_locks([item.lock, lock_of(activity("nobody"))], LOCK_MS)
        clock.advance(LOCK_MS - 1)

        assert (frozenset([item.lock]), []) == (held, fetch_work(provider))

    def test_expired(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A lock that has expired cannot be renewed."""
        schedule(provider)
        (item,) = fetch_work(provider)
        clock.advance(LOCK_MS)

        assert frozenset() == provider.renew_activity_locks([item.lock], LOCK_MS)

    def test_cancelled(self, provider: SqlProvider) -> None:
        """A cancelled activity's lock is not held any more: that is how its worker learns of it."""
        turn = first_turn("a", activity())
        must_commit(provider, turn)
        (item,) = fetch_work(provider)
        from attrs import evolve

        from .stores import next_turn, scheduled

        must_commit(provider, evolve(next_turn(turn, scheduled(3)), cancelled_activities=(2,)))

        assert frozenset() == provider.renew_activity_locks([item.lock], LOCK_MS)
        assert frozenset() == provider.held_activity_locks([item.lock])


LEASE_MS = 10_000
ALICE = SessionClaim("alice", LEASE_MS)
BOB = SessionClaim("bob", LEASE_MS)


def fetch_as(provider: SqlProvider, claim: SessionClaim | None, limit: int = 10) -> list[tuple[str | None, int]]:
    """Return session and activity id of what *claim* gets."""
    items = provider.fetch_activities(limit, LOCK_MS, tags=ANY_TAG, session=claim)
    return [(item.work.session_id, item.work.key.activity_id) for item in items]


class TestSessions:
    @pytest.fixture(autouse=True)
    def scheduled(self, provider: SqlProvider) -> None:
        """Two activities of session "s", one of "t" and one of none."""
        sessions = {2: "s", 3: "s", 4: "t", 5: None}
        work = [activity("a", number, session_id=session_id) for number, session_id in sessions.items()]
        must_commit(provider, first_turn("a", *work))

    def test_without_claim(self, provider: SqlProvider) -> None:
        """Without a claim there is only work without a session."""
        assert [(None, 5)] == fetch_as(provider, None)

    def test_belongs_to_its_owner(self, provider: SqlProvider) -> None:
        """A claimed session is its owner's, in order; another session is anybody's."""
        assert [("s", 2)] == fetch_as(provider, ALICE, 1)
        assert [("t", 4), (None, 5)] == fetch_as(provider, BOB)
        assert [("s", 3)] == fetch_as(provider, ALICE)

    def test_expired_lease(self, provider: SqlProvider, clock: HeldClock) -> None:
        """When the lease expires, the session is anybody's, though the locked activity is not yet."""
        fetch_as(provider, ALICE, 1)
        clock.advance(LEASE_MS)

        assert [("s", 3), ("t", 4), (None, 5)] == fetch_as(provider, BOB)

    def test_expired_lock(self, provider: SqlProvider, clock: HeldClock) -> None:
        """When only the activity's lock expires, its session's owner alone gets it again."""
        fetch_as(provider, SessionClaim("alice", 2 * LOCK_MS), 1)
        clock.advance(LOCK_MS)

        assert [("t", 4), (None, 5)] == fetch_as(provider, BOB)
        assert {("s", 2), ("s", 3)} == set(fetch_as(provider, ALICE))

    def test_ack_after_the_lease(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A lapsed lease does not keep its owner from finishing."""
        (item,) = provider.fetch_activities(1, LOCK_MS, tags=ANY_TAG, session=ALICE)
        clock.advance(LEASE_MS)

        assert [True] == provider.ack_activities([ActivityAck(item.lock, None)])

    def test_renewal(self, provider: SqlProvider, clock: HeldClock) -> None:
        """Live, active sessions of the owner are extended, and counted."""
        fetch_as(provider, ALICE)
        clock.advance(LEASE_MS - 1)

        assert (0, 2) == (
            provider.renew_sessions("bob", LEASE_MS, LEASE_MS),
            provider.renew_sessions("alice", LEASE_MS, LEASE_MS),
        )
        clock.advance(LEASE_MS - 1)
        assert 2 == provider.renew_sessions("alice", LEASE_MS, 3 * LEASE_MS)

    def test_idle(self, provider: SqlProvider, clock: HeldClock) -> None:
        """An idle session is not extended; an ack or a renewal of its activity is activity."""
        (first, *_), _ = (provider.fetch_activities(2, LOCK_MS, tags=ANY_TAG, session=ALICE), None)
        clock.advance(500)
        idle = provider.renew_sessions("alice", LEASE_MS, 500)
        provider.renew_activity_locks([first.lock], LOCK_MS)
        active = provider.renew_sessions("alice", LEASE_MS, 500)
        clock.advance(400)
        provider.ack_activities([ActivityAck(first.lock, None)])
        clock.advance(400)

        assert (0, 1, 1) == (idle, active, provider.renew_sessions("alice", LEASE_MS, 500))

    def test_expired_is_not_renewed(self, provider: SqlProvider, clock: HeldClock) -> None:
        """An expired lease is not brought back."""
        fetch_as(provider, ALICE)
        clock.advance(LEASE_MS)

        assert 0 == provider.renew_sessions("alice", LEASE_MS, 10 * LEASE_MS)

    def test_orphans(self, provider: SqlProvider, clock: HeldClock) -> None:
        """Expired sessions without activities are removed, live ones and those with activities are not."""
        items = provider.fetch_activities(10, LOCK_MS, tags=ANY_TAG, session=ALICE)
        provider.ack_activities([ActivityAck(item.lock, None) for item in items if item.work.session_id == "t"])
        live = provider.remove_orphaned_sessions()
        clock.advance(LEASE_MS)

        assert (0, 1, 0) == (live, provider.remove_orphaned_sessions(), provider.remove_orphaned_sessions())


class TestWrongLock:
    def test_kinds_are_not_mixed_up(self, provider: SqlProvider) -> None:
        """A lock of the wrong kind is a TypeError that names the right method."""
        with pytest.raises(TypeError, match="release_activities"):
            provider.release_orchestration_items([Release(lock_of(activity()))])

        assert ActivityKey("a", 1, 2) == activity().key
