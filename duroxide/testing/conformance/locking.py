"""Locks of instances: who gets which, until when, and how they are given back."""

from __future__ import annotations

from collections import Counter

from ..._core.commit import (
    CommitResult,
    ExecutionStatus,
    Outgoing,
)
from ...providers.contract import (
    Release,
)
from .checks import Checks, at_once, found_by
from .vocabulary import (
    LOCK_MS,
    NOW,
    UNKNOWN_LOCK,
    commit,
    fetch,
    fetch_one,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    under,
)


class Locking(Checks):
    """Who gets an instance, until when."""

    def test_fetch_locks(self) -> None:
        """A fetched instance is not fetched again while it is locked."""
        self.provider.enqueue([start()])

        assert (1, 0) == (len(fetch(self.provider)), len(fetch(self.provider)))

    def test_fetch_unknown_instance(self) -> None:
        """An instance that does not exist yet comes with zeros."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)

        assert (0, 0, 0, None) == (item.execution_id, item.last_event_id, item.incarnation, item.parent)

    def test_fetch_known_instance(self) -> None:
        """A known instance comes with where its history stands."""
        must_commit(self.provider, first_turn())
        self.provider.enqueue([raised()])
        item = fetch_one(self.provider)

        assert (1, 1, 7, ExecutionStatus.RUNNING) == (
            item.execution_id,
            item.last_event_id,
            item.incarnation,
            item.status,
        )

    def test_fetch_oldest_first(self) -> None:
        """The instance with the oldest visible message comes first."""
        for instance_id in ("z", "m", "a"):
            self.provider.enqueue([start(instance_id)])
            self.clock.advance(1)
        self.provider.enqueue([raised("z")])

        assert ["z", "m"] == [item.lock.instance_id for item in fetch(self.provider, 2)]

    def test_fetch_limit(self) -> None:
        """No more instances are locked than were asked for."""
        self.provider.enqueue([start(str(number)) for number in range(5)])

        assert [2, 2, 1, 0] == [len(fetch(self.provider, 2)) for _ in range(4)]

    def test_fetch_behind_many_messages(self) -> None:
        """However many messages one instance has, it takes one place, and others are found behind it."""
        self.provider.enqueue([start("a"), *[raised("a", name=f"n{number}") for number in range(100)], start("b")])

        assert [("a", 101), ("b", 1)] == [
            (item.lock.instance_id, len(item.messages)) for item in fetch(self.provider, 2)
        ]

    def test_fetch_limit_of_nothing(self) -> None:
        """Asking for no instance locks none."""
        self.provider.enqueue([start()])

        assert [] == fetch(self.provider, 0)

    def test_fetch_expiry(self) -> None:
        """At its expiry a lock is free: the instance is fetched again, under another token."""
        self.provider.enqueue([start()])
        first = fetch_one(self.provider)
        self.clock.advance(LOCK_MS - 1)
        held = fetch(self.provider)
        self.clock.advance(1)
        second = fetch_one(self.provider)

        assert [] == held
        assert first.lock.token != second.lock.token

    def test_fetch_counts_attempts(self) -> None:
        """Each fetch counts; a batch counts as its most-fetched message."""
        self.provider.enqueue([start()])
        fetch(self.provider)
        self.clock.advance(LOCK_MS)
        self.provider.enqueue([raised()])
        item = fetch_one(self.provider)

        assert [2, 1] == [message.attempt_count for message in item.messages]
        assert 2 == item.attempt_count

    def test_fetch_concurrently(self) -> None:
        """Whatever the number of threads, nobody gets an instance twice."""
        self.provider.enqueue([start(str(number)) for number in range(40)])

        found = found_by(4, lambda: [item.lock.instance_id for item in fetch(self.provider, 3)])
        # Threads that met at the same candidates may have left some to whoever comes next.
        found += [item.lock.instance_id for item in fetch(self.provider, 40)]

        assert Counter(str(number) for number in range(40)) == Counter(found)

    def test_fetch_one_instance_at_once(self) -> None:
        """[497] However many threads want one instance, one of them holds it."""
        self.provider.enqueue([start(), raised()])
        found: list[int] = []
        at_once(*[lambda: found.extend(len(item.messages) for item in fetch(self.provider))] * 6)

        assert [2] == found

    def test_fetch_no_message_twice(self) -> None:
        """[494] Locks of different instances are independent: working on one hides nothing of another."""
        self.provider.enqueue([start("a"), start("b")])
        (first,) = fetch(self.provider, 1)
        (second,) = fetch(self.provider, 1)
        must_commit(self.provider, under(first, first_turn(first.lock.instance_id)))

        assert {"a", "b"} == {first.lock.instance_id, second.lock.instance_id}
        assert frozenset([second.lock]) == self.provider.renew_instance_locks([first.lock, second.lock], LOCK_MS)


class Releasing(Checks):
    """Giving instance locks back."""

    def test_release_instance_at_once(self) -> None:
        """A released instance is fetched again at once, and the attempt counts."""
        self.provider.enqueue([start()])
        held = self.provider.release_orchestration_items([Release(fetch_one(self.provider).lock)])

        assert [True] == held
        assert 2 == fetch_one(self.provider).attempt_count

    def test_release_instance_delay(self) -> None:
        """With a delay, the instance is back after it, and not before."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        self.provider.release_orchestration_items([Release(item.lock, delay_ms=500)])
        self.clock.advance(499)
        before = fetch(self.provider)
        self.clock.advance(1)

        assert ([], 2) == (before, fetch_one(self.provider).attempt_count)

    def test_release_instance_delay_keeps_order(self) -> None:
        """What comes for an instance that is passed on waits with the rest, and comes after it."""
        must_commit(self.provider, first_turn())
        self.provider.enqueue([raised(data="1")])
        item = fetch_one(self.provider)
        self.provider.enqueue([raised(data="2")])
        self.provider.release_orchestration_items([Release(item.lock, delay_ms=500)])
        self.provider.enqueue([raised(data="3")])
        before = fetch(self.provider)
        self.clock.advance(500)
        found = fetch_one(self.provider)

        assert [] == before
        assert [raised(data=data).message for data in "123"] == [queued.message for queued in found.messages]
        assert [2, 1, 1] == [queued.attempt_count for queued in found.messages]

    def test_release_instance_delay_of_a_start(self) -> None:
        """What comes while the start of its instance is passed on is not for nobody."""
        self.provider.enqueue([start()])
        self.provider.release_orchestration_items([Release(fetch_one(self.provider).lock, delay_ms=500)])
        self.provider.enqueue([raised()])
        before = fetch(self.provider)
        self.clock.advance(500)

        assert [] == before
        assert [start(), raised()] == [Outgoing(queued.message) for queued in fetch_one(self.provider).messages]

    def test_release_instance_delay_holds_nobody_up(self) -> None:
        """Nobody holds an instance that is passed on: who needs no lock goes on, and its former lock is worth nothing."""
        turn = first_turn()
        must_commit(self.provider, turn)
        self.provider.enqueue([raised()])
        item = fetch_one(self.provider)
        self.provider.release_orchestration_items([Release(item.lock, delay_ms=500)])

        assert frozenset() == self.provider.renew_instance_locks([item.lock], LOCK_MS)
        assert [False] == list(self.provider.release_orchestration_items([Release(item.lock)]))
        assert [CommitResult.LOCK_LOST] == commit(self.provider, under(item, next_turn(turn, scheduled(2))))
        must_commit(self.provider, next_turn(turn, scheduled(2)))
        assert [] == fetch(self.provider)
        self.clock.advance(500)
        assert 2 == fetch_one(self.provider).attempt_count

    def test_release_instance_delay_is_due(self) -> None:
        """Whoever asks is told when an instance that is passed on will be back."""
        self.provider.enqueue([start()])
        self.provider.release_orchestration_items([Release(fetch_one(self.provider).lock, delay_ms=500)])

        assert NOW + 500 == self.provider.next_due_ms()

    def test_release_instance_ignored_attempt(self) -> None:
        """An attempt that is ignored leaves the count as it was, and never below zero."""
        self.provider.enqueue([start()])
        counts = []
        for _ in range(3):
            item = fetch_one(self.provider)
            counts.append(item.attempt_count)
            self.provider.release_orchestration_items([Release(item.lock, ignore_attempt=True)])

        assert [1, 1, 1] == counts

    def test_release_instance_only_the_batch(self) -> None:
        """Attempts are the batch's: a message that came later, for that instance or another one, is uncounted."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        self.provider.enqueue([start("b"), raised()])
        self.provider.release_orchestration_items([Release(item.lock, delay_ms=500)])
        other = fetch_one(self.provider)
        self.clock.advance(500)
        found = fetch_one(self.provider)

        assert ("b", 1) == (other.lock.instance_id, other.attempt_count)
        assert [2, 1] == [queued.attempt_count for queued in found.messages]

    def test_release_instance_unknown_or_expired(self) -> None:
        """A lock that is not held is not released, and others of the batch are."""
        self.provider.enqueue([start("a"), start("b")])
        first, second = fetch(self.provider)
        self.clock.advance(LOCK_MS - 1)
        self.provider.renew_instance_locks([second.lock], LOCK_MS)
        self.clock.advance(1)
        held = self.provider.release_orchestration_items(
            [Release(first.lock), Release(UNKNOWN_LOCK), Release(second.lock)]
        )

        assert [False, False, True] == held

    def test_release_instance_expired_delay(self) -> None:
        """Who has let a lock expire cannot keep the instance from others any more."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        self.clock.advance(LOCK_MS)

        assert [False] == self.provider.release_orchestration_items([Release(item.lock, 1000)])
        assert 1 == len(fetch(self.provider))


class Renewing(Checks):
    """Extending instance locks."""

    def test_renew_instance_extends(self) -> None:
        """A renewed lock lasts from the renewal on."""
        self.provider.enqueue([start()])
        lock = fetch_one(self.provider).lock
        self.clock.advance(LOCK_MS - 1)
        held = self.provider.renew_instance_locks([lock, UNKNOWN_LOCK], LOCK_MS)
        self.clock.advance(LOCK_MS - 1)

        assert frozenset([lock]) == held
        assert [] == fetch(self.provider)

    def test_renew_instance_expired(self) -> None:
        """A lock that has expired cannot be renewed, even if nobody has taken it."""
        self.provider.enqueue([start()])
        lock = fetch_one(self.provider).lock
        self.clock.advance(LOCK_MS)

        assert frozenset() == self.provider.renew_instance_locks([lock], LOCK_MS)
