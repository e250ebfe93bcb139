"""The orchestrator queue: who gets which messages, when, and under which lock."""

from __future__ import annotations

import logging
import threading

from collections import Counter

import pytest

from attrs import evolve
from sqlalchemy import update

from duroxide._core.commit import CommitResult, ExecutionStatus, NewExecution, Outgoing, TurnCommit
from duroxide._core.versions import VersionRange
from duroxide.providers.contract import Release
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.schema import orchestrator_queue

from .stores import (
    LOCK_MS,
    NOW,
    UNKNOWN_LOCK,
    HeldClock,
    Store,
    commit,
    events_of,
    fetch,
    fetch_one,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    started,
    timer,
    under,
)


def damage(store: Store, provider: SqlProvider) -> None:
    """Make every message unreadable."""
    with provider._engine.begin() as connection:
        connection = connection.execution_options(schema_translate_map={None: store.schema})
        connection.execute(update(orchestrator_queue).values(data="{"))


class TestEnqueue:
    def test_makes_no_instance(self, provider: SqlProvider) -> None:
        """A start message alone brings no instance to life."""
        provider.enqueue([start()])

        assert None is provider.get_instance_info("a")

    def test_keeps_order(self, provider: SqlProvider) -> None:
        """Messages are delivered in the order in which they were enqueued."""
        provider.enqueue([start(), raised(data="1"), raised(data="2")])
        provider.enqueue([raised(data="3")])

        messages = [item.message for item in fetch_one(provider).messages]

        assert [start().message, *(raised(data=str(n)).message for n in (1, 2, 3))] == messages

    def test_nothing(self, provider: SqlProvider) -> None:
        """Enqueueing nothing is allowed."""
        provider.enqueue([])

        assert [] == fetch(provider)

    def test_timer_waits(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A message that becomes visible later is not delivered before, and is from then on."""
        must_commit(provider, first_turn(messages=(timer("a", 2, NOW + 1000),), timers=(2,)))

        before = fetch(provider)
        clock.advance(1000)

        assert ([], "a") == (before, fetch_one(provider).lock.instance_id)


class TestFetch:
    def test_locks(self, provider: SqlProvider) -> None:
        """A fetched instance is not fetched again while it is locked."""
        provider.enqueue([start()])

        assert (1, 0) == (len(fetch(provider)), len(fetch(provider)))

    def test_unknown_instance(self, provider: SqlProvider) -> None:
        """An instance that does not exist yet comes with zeros."""
        provider.enqueue([start()])
        item = fetch_one(provider)

        assert (0, 0, 0, None) == (item.execution_id, item.last_event_id, item.incarnation, item.parent)

    def test_known_instance(self, provider: SqlProvider) -> None:
        """A known instance comes with where its history stands."""
        must_commit(provider, first_turn())
        provider.enqueue([raised()])
        item = fetch_one(provider)

        assert (1, 1, 7, ExecutionStatus.RUNNING) == (
            item.execution_id,
            item.last_event_id,
            item.incarnation,
            item.status,
        )

    def test_oldest_first(self, provider: SqlProvider, clock: HeldClock) -> None:
        """The instance with the oldest visible message comes first."""
        for instance_id in ("z", "m", "a"):
            provider.enqueue([start(instance_id)])
            clock.advance(1)
        provider.enqueue([raised("z")])

        assert ["z", "m"] == [item.lock.instance_id for item in fetch(provider, 2)]

    def test_limit(self, provider: SqlProvider) -> None:
        """No more instances are locked than were asked for."""
        provider.enqueue([start(str(number)) for number in range(5)])

        assert [2, 2, 1, 0] == [len(fetch(provider, 2)) for _ in range(4)]

    def test_limit_of_nothing(self, provider: SqlProvider) -> None:
        """Asking for no instance locks none."""
        provider.enqueue([start()])

        assert [] == fetch(provider, 0)

    def test_expiry(self, provider: SqlProvider, clock: HeldClock) -> None:
        """At its expiry a lock is free: the instance is fetched again, under another token."""
        provider.enqueue([start()])
        first = fetch_one(provider)
        clock.advance(LOCK_MS - 1)
        held = fetch(provider)
        clock.advance(1)
        second = fetch_one(provider)

        assert [] == held
        assert first.lock.token != second.lock.token

    def test_counts_attempts(self, provider: SqlProvider, clock: HeldClock) -> None:
        """Each fetch counts; a batch counts as its most-fetched message."""
        provider.enqueue([start()])
        fetch(provider)
        clock.advance(LOCK_MS)
        provider.enqueue([raised()])
        item = fetch_one(provider)

        assert [2, 1] == [message.attempt_count for message in item.messages]
        assert 2 == item.attempt_count

    def test_concurrently(self, provider: SqlProvider) -> None:
        """Whatever the number of threads, nobody gets an instance twice."""
        provider.enqueue([start(str(number)) for number in range(40)])
        found: list[str] = []

        def take() -> None:
            for _ in range(12):
                found.extend(item.lock.instance_id for item in fetch(provider, 3))

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Threads that met at the same candidates may have left some to whoever comes next.
        found.extend(item.lock.instance_id for item in fetch(provider, 40))

        assert Counter({str(number): 1 for number in range(40)}) == Counter(found)


class TestReplayable:
    RANGE = VersionRange.between("1.0.0", "1.9.9")

    def pinned(self, provider: SqlProvider, release: str) -> None:
        """Start an instance under *release*, and send it something."""
        new = NewExecution("fulfil", "1.0.0", None, release)
        turn = first_turn(release)
        must_commit(provider, evolve(turn, started=new))
        provider.enqueue([raised(release)])

    def test_bounds(self, provider: SqlProvider) -> None:
        """Both ends of the range are in it; the others stay unlocked."""
        for release in ("0.9.9", "1.0.0", "1.9.9", "2.0.0"):
            self.pinned(provider, release)
        mine = provider.fetch_orchestration_items(10, LOCK_MS, replayable=self.RANGE)
        others = fetch(provider)

        assert ["1.0.0", "1.9.9"] == [item.lock.instance_id for item in mine]
        assert ["0.9.9", "2.0.0"] == [item.lock.instance_id for item in others]

    def test_new_instance(self, provider: SqlProvider) -> None:
        """An instance that does not exist yet is for everybody."""
        provider.enqueue([start()])

        assert 1 == len(provider.fetch_orchestration_items(1, LOCK_MS, replayable=self.RANGE))


class TestOrphans:
    def test_are_dropped(self, provider: SqlProvider, caplog: pytest.LogCaptureFixture) -> None:
        """Messages for nobody are removed with one warning, and keep nobody waiting."""
        with caplog.at_level(logging.WARNING, "duroxide.provider"):
            provider.enqueue([raised("ghost"), raised("ghost"), start("b")])
            found = [item.lock.instance_id for item in fetch(provider)]

        assert ["b"] == found
        assert ["drop_orphans"] == [record.__dict__["action"] for record in caplog.records]
        assert "ghost" == caplog.records[0].__dict__["instance"]

    def test_leave_no_lock(self, provider: SqlProvider) -> None:
        """Once its orphans are dropped, the id can be started at once."""
        provider.enqueue([raised()])
        fetch(provider)
        provider.enqueue([start()])

        assert 1 == len(fetch_one(provider).messages)


class TestUnreadable:
    def test_is_reported(self, store: Store) -> None:
        """A message that cannot be read is named with the reason, and stays until it is consumed."""
        provider = store.open()
        provider.enqueue([start()])
        damage(store, provider)
        item = fetch_one(provider)

        assert () == item.messages
        assert 1 == len(item.unreadable_messages)
        assert "StartOrchestration" in (item.unreadable_reason or "")

    def test_can_be_thrown_away(self, store: Store, clock: HeldClock) -> None:
        """A commit of an instance that does not exist removes messages, and nothing else."""
        provider = store.open()
        provider.enqueue([start()])
        item = fetch_one(provider)
        turn = TurnCommit(
            instance_id="a",
            execution_id=0,
            incarnation=0,
            last_event_id=0,
            lock=item.lock,
            consumed_messages=tuple(message.id for message in item.messages),
        )
        must_commit(provider, turn)
        clock.advance(LOCK_MS)

        assert ([], None) == (fetch(provider), provider.get_instance_info("a"))


class TestRelease:
    def test_at_once(self, provider: SqlProvider) -> None:
        """A released instance is fetched again at once, and the attempt counts."""
        provider.enqueue([start()])
        held = provider.release_orchestration_items([Release(fetch_one(provider).lock)])

        assert [True] == held
        assert 2 == fetch_one(provider).attempt_count

    def test_delay(self, provider: SqlProvider, clock: HeldClock) -> None:
        """With a delay, the batch is back after it; newer messages do not wait for it."""
        provider.enqueue([start()])
        item = fetch_one(provider)
        provider.release_orchestration_items([Release(item.lock, delay_ms=500)])
        before = fetch(provider)
        clock.advance(500)

        assert ([], 1) == (before, len(fetch(provider)))

    def test_ignored_attempt(self, provider: SqlProvider) -> None:
        """An attempt that is ignored leaves the count as it was, and never below zero."""
        provider.enqueue([start()])
        counts = []
        for _ in range(3):
            item = fetch_one(provider)
            counts.append(item.attempt_count)
            provider.release_orchestration_items([Release(item.lock, ignore_attempt=True)])

        assert [1, 1, 1] == counts

    def test_only_the_batch(self, provider: SqlProvider) -> None:
        """Delay and attempts are the batch's: a message that came later is visible and uncounted."""
        provider.enqueue([start()])
        item = fetch_one(provider)
        provider.enqueue([start("b"), raised()])
        must_commit(provider, first_turn("c"))
        provider.release_orchestration_items([Release(item.lock, delay_ms=500, ignore_attempt=True)])

        # The later message alone is for nobody yet, and is dropped as an orphan.
        assert ["b"] == [found.lock.instance_id for found in fetch(provider)]

    def test_unknown_or_expired(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A lock that is not held is not released, and others of the batch are."""
        provider.enqueue([start("a"), start("b")])
        first, second = fetch(provider)
        clock.advance(LOCK_MS - 1)
        provider.renew_instance_locks([second.lock], LOCK_MS)
        clock.advance(1)
        held = provider.release_orchestration_items([Release(first.lock), Release(UNKNOWN_LOCK), Release(second.lock)])

        assert [False, False, True] == held


class TestRenew:
    def test_extends(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A renewed lock lasts from the renewal on."""
        provider.enqueue([start()])
        lock = fetch_one(provider).lock
        clock.advance(LOCK_MS - 1)
        held = provider.renew_instance_locks([lock, UNKNOWN_LOCK], LOCK_MS)
        clock.advance(LOCK_MS - 1)

        assert frozenset([lock]) == held
        assert [] == fetch(provider)

    def test_expired(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A lock that has expired cannot be renewed, even if nobody has taken it."""
        provider.enqueue([start()])
        lock = fetch_one(provider).lock
        clock.advance(LOCK_MS)

        assert frozenset() == provider.renew_instance_locks([lock], LOCK_MS)


class TestGeneralPath:
    def test_commit_consumes(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A commit consumes its messages and gives the lock back; what came meanwhile stays."""
        provider.enqueue([start()])
        item = fetch_one(provider)
        provider.enqueue([raised()])
        must_commit(provider, under(item, first_turn()))

        assert [raised().message] == [message.message for message in fetch_one(provider).messages]

    def test_unconsumed_messages_are_back(self, provider: SqlProvider) -> None:
        """Messages of the batch that the commit does not name are there again at once."""
        provider.enqueue([start(), raised()])
        item = fetch_one(provider)
        turn = under(item, first_turn())
        must_commit(provider, evolve(turn, consumed_messages=turn.consumed_messages[:1]))

        assert [2] == [message.attempt_count for message in fetch_one(provider).messages]

    def test_expired(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A commit whose lock has expired is refused, and leaves no trace."""
        provider.enqueue([start()])
        item = fetch_one(provider)
        clock.advance(LOCK_MS)

        assert [CommitResult.LOCK_LOST] == commit(provider, under(item, first_turn()))
        assert (None, 2) == (provider.get_instance_info("a"), fetch_one(provider).attempt_count)

    def test_twice(self, provider: SqlProvider) -> None:
        """Of two commits under one lock, one succeeds."""
        provider.enqueue([start()])
        turn = under(fetch_one(provider), first_turn())

        assert [CommitResult.COMMITTED] == commit(provider, turn)
        assert [CommitResult.LOCK_LOST] == commit(provider, turn)

    def test_somebody_else_holds_the_lock(self, provider: SqlProvider) -> None:
        """The short way is closed while anybody holds the instance."""
        turn = first_turn()
        must_commit(provider, turn)
        provider.enqueue([raised()])
        fetch(provider)

        assert [CommitResult.LOCK_LOST] == commit(provider, next_turn(turn, scheduled(2)))
        assert [started()] == events_of(provider)

    def test_expired_lock_of_somebody_else(self, provider: SqlProvider, clock: HeldClock) -> None:
        """The short way is open again when the lock has expired."""
        turn = first_turn()
        must_commit(provider, turn)
        provider.enqueue([raised()])
        fetch(provider)
        clock.advance(LOCK_MS)

        must_commit(provider, next_turn(turn, scheduled(2)))

    def test_foreign_message(self, provider: SqlProvider) -> None:
        """A message that is not of the batch cannot be consumed."""
        provider.enqueue([start("a"), start("b")])
        first, second = fetch(provider)
        stolen = tuple(message.id for message in second.messages)
        turn = evolve(under(first, first_turn("a")), consumed_messages=stolen)

        assert [CommitResult.STALE] == commit(provider, turn)


class TestNextDue:
    def test_nothing(self, provider: SqlProvider) -> None:
        """With nothing waiting there is nothing to wait for."""
        provider.enqueue([start()])

        assert None is provider.next_due_ms()

    def test_earliest(self, provider: SqlProvider) -> None:
        """The earliest of all that is not visible yet."""
        provider.enqueue([Outgoing(raised(name="x").message, NOW + 900), Outgoing(raised().message, NOW + 400)])

        assert NOW + 400 == provider.next_due_ms()

    def test_lock_of_an_instance(self, provider: SqlProvider) -> None:
        """When a lock expires, its messages are due: its owner may be dead."""
        provider.enqueue([start()])
        fetch(provider)

        assert NOW + LOCK_MS == provider.next_due_ms()
