"""Leases: which locks are renewed, which are only looked at, and which are left alone for now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from duroxide import RuntimeOptions
from duroxide._clock import monotonic
from duroxide._core.commit import ActivityLock, InstanceLock
from duroxide._core.functions import inspect_activity
from duroxide._core.messages import ActivityExecute, ActivityKey
from duroxide._runtime.expiries import Expiries
from duroxide._runtime.leases import Leases
from duroxide._runtime.slots import RunningActivity
from duroxide.providers.contract import OrchestrationItem


HOUR = 3600.0
#: Long enough for this test never to come near: everything is renewed after ten hours, and looked at after one.
OPTIONS = RuntimeOptions(
    orchestrator_lock_timeout=timedelta(hours=30),
    worker_lock_timeout=timedelta(hours=30),
    session_lock_timeout=timedelta(hours=30),
    session_idle_timeout=timedelta(hours=30),
    session_cleanup_interval=timedelta(hours=1),
    cancellation_poll_interval=timedelta(hours=1),
    activity_cancellation_grace_period=timedelta(hours=1),
    poll_interval=timedelta(hours=1),
)


class Store:
    """Takes note of what it is asked; whatever is not *lost* is held."""

    def __init__(self, lost: Iterable[ActivityLock] = ()) -> None:
        self.lost = frozenset(lost)
        self.asked: list[tuple[str, int]] = []
        self.sessions = 1

    def now_ms(self) -> int:
        """The time."""
        return 1_000_000

    def renew_instance_locks(self, locks: Sequence[InstanceLock], lock_ms: int) -> frozenset[InstanceLock]:
        """Renew."""
        assert locks, "it is not asked for nothing"
        self.asked += [("instance renewed", lock_ms) for _ in locks]
        return frozenset(locks)

    def renew_sessions(self, owner: str, lease_ms: int, idle_ms: int) -> int:
        """Renew."""
        self.asked.append(("sessions renewed", lease_ms))
        return self.sessions

    def remove_orphaned_sessions(self) -> int:
        """Remove."""
        self.asked.append(("sessions removed", 0))
        return 0

    def renew_activity_locks(self, locks: Sequence[ActivityLock], lock_ms: int) -> frozenset[ActivityLock]:
        """Renew."""
        assert locks, "it is not asked for nothing"
        self.asked += [("renewed", lock.key.activity_id) for lock in locks]
        return frozenset(locks) - self.lost

    def held_activity_locks(self, locks: Sequence[ActivityLock]) -> frozenset[ActivityLock]:
        """Look."""
        assert locks, "it is not asked for nothing"
        self.asked += [("looked at", lock.key.activity_id) for lock in locks]
        return frozenset(locks) - self.lost


class Worker:
    """Runs some activities, and takes note of which are cancelled."""

    def __init__(self, *running: RunningActivity) -> None:
        self.expiries = Expiries(1000)
        self.has_sessions = False
        self._running = list(running)
        self.cancelled: list[int] = []
        self.abandoned: list[int] = []
        self.looked_for_expired = 0

    def running(self) -> list[RunningActivity]:
        """Return them."""
        return self._running

    def tell(self, activities: Iterable[RunningActivity]) -> None:
        """Take note."""
        self.cancelled += [each.work.key.activity_id for each in activities]

    def abandon(self, activity: RunningActivity) -> None:
        """Take note."""
        self.abandoned.append(activity.work.key.activity_id)

    def end_expired(self) -> None:
        """Take note."""
        self.looked_for_expired += 1


class Dispatcher:
    """Is at a round with one instance."""

    held = (OrchestrationItem(lock=InstanceLock("a", "token"), messages=()),)


def activity(activity_id: int, hours: float) -> RunningActivity:
    """An activity whose lock was taken or renewed so many *hours* ago."""
    key = ActivityKey("a", 1, activity_id)
    work = ActivityExecute(key, "work", "null", "fn", "1.0.0")
    info = inspect_activity(lambda ctx: None, name="work")
    return RunningActivity(info, work, ActivityLock(key, f"token-{activity_id}"), monotonic() - hours * HOUR)


def leases_of(store: Any, worker: Any) -> Leases:
    """Return what looks after *worker*, in the moment in which it begins."""
    dispatcher: Any = Dispatcher()
    return Leases(store, OPTIONS, worker=worker, dispatcher=dispatcher, worker_id="runtime")


def renew(store: Any, *running: RunningActivity) -> Worker:
    """Look after *running* once."""
    worker = Worker(*running)
    leases_of(store, worker)._renew_activities()
    return worker


def test_by_age() -> None:
    """What is young is left alone, what is older is looked at, what is old is renewed, and each is asked about once."""
    store = Store()
    renew(store, activity(2, 0), activity(3, 2), activity(4, 11))

    assert [("renewed", 4), ("looked at", 3)] == store.asked


def test_renewed_is_young() -> None:
    """What was renewed is left alone for a while."""
    store, old = Store(), activity(2, 11)
    renew(store, old)
    renew(store, old)

    assert [("renewed", 2)] == store.asked


@pytest.mark.parametrize("hours", [2, 11])
def test_lost(hours: float) -> None:
    """An activity whose lock is not held any more is told, whichever way that was learnt; others are not."""
    lost, kept = activity(2, hours), activity(3, hours)

    assert [2] == renew(Store([lost.lock]), lost, kept).cancelled


def test_cancelled_is_not_asked_for() -> None:
    """Nobody asks about what has been cancelled already."""
    store, cancelled = Store(), activity(2, 11)
    cancelled.cancelled_at = monotonic()
    renew(store, cancelled)

    assert [] == store.asked


def test_instances() -> None:
    """A round that takes long keeps its instances, from a third of their time on, and from then on again."""
    store = Store()
    leases = leases_of(store, Worker())
    leases._renew_instances()
    assert [] == store.asked

    leases._instances_renewed_at = dict.fromkeys(leases._instances_renewed_at, monotonic() - 11 * HOUR)
    leases._renew_instances()
    leases._renew_instances()
    assert [("instance renewed", 30 * 3_600_000)] == store.asked


class TestSessions:
    @pytest.mark.parametrize(("hours", "has_sessions", "times"), [(9, True, 0), (11, False, 0), (11, True, 1)])
    def test_renewed(self, hours: float, has_sessions: bool, times: int) -> None:
        """A runtime that has sessions renews them when a third of their time is over, and then not at once again."""
        store, worker = Store(), Worker()
        worker.has_sessions = has_sessions
        leases = leases_of(store, worker)
        leases._sessions_renewed_at = monotonic() - hours * HOUR
        leases._renew_sessions()
        leases._renew_sessions()

        assert [("sessions renewed", 30 * 3_600_000)] * times == store.asked

    @pytest.mark.parametrize("left", [0, 1])
    def test_none_left(self, left: int) -> None:
        """A runtime whose sessions have all ended need not renew any until it gets one."""
        store, worker = Store(), Worker()
        store.sessions, worker.has_sessions = left, True
        leases = leases_of(store, worker)
        leases._sessions_renewed_at = monotonic() - 11 * HOUR
        leases._renew_sessions()

        assert bool(left) == worker.has_sessions

    def test_removed(self) -> None:
        """Sessions that nobody needs are removed once in an interval."""
        store = Store()
        leases = leases_of(store, Worker())
        leases._remove_sessions()
        assert [] == store.asked

        leases._sessions_removed_at = monotonic() - 2 * HOUR
        leases._remove_sessions()
        leases._remove_sessions()
        assert [("sessions removed", 0)] == store.asked


def test_expired() -> None:
    """Activities that have expired are looked for when some are known to be due, and at the slow poll."""
    worker = Worker()
    leases = leases_of(Store(), worker)
    leases._expired_ended_at = monotonic()
    looked = []
    for _ in range(2):
        leases._end_expired()
        looked.append(worker.looked_for_expired)
    worker.expiries.note(900_000, 899_000)
    for _ in range(2):
        leases._end_expired()
        looked.append(worker.looked_for_expired)
    leases._expired_ended_at -= 2 * HOUR
    for _ in range(2):
        leases._end_expired()
        looked.append(worker.looked_for_expired)

    assert [0, 0, 1, 1, 2, 2] == looked


def test_grace() -> None:
    """Only a cancelled activity that goes on after the grace period is abandoned, and only once."""
    running = [activity(number, 0) for number in range(2, 6)]
    _, just_now, long_ago, abandoned = running
    just_now.cancelled_at = monotonic()
    long_ago.cancelled_at = abandoned.cancelled_at = monotonic() - 2 * HOUR
    abandoned.is_abandoned = True
    worker = Worker(*running)
    leases_of(Store(), worker)._enforce_grace()

    assert [long_ago.work.key.activity_id] == worker.abandoned
