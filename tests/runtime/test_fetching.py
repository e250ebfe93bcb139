"""How a worker fetches: as much as it has room for, and not for every activity that ends."""

from __future__ import annotations

import pytest

from attrs import evolve

from duroxide import ActivityContext, Client, Registry, RuntimeOptions
from duroxide._core.commit import Outgoing
from duroxide._runtime.activities import Finished
from duroxide._runtime.fetching import Fetcher, Next
from duroxide._runtime.lateness import LATE_MS
from duroxide._runtime.metrics import Metrics
from duroxide.providers.contract import Release
from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.vocabulary import LOCK_MS, NOW, activity, fetch_work, first_turn, must_commit, raised
from duroxide.testing.faults import FaultyProvider
from duroxide.testing.simulation.process import Held


WAITING = 30

registry = Registry()


@registry.activity(name="charge")
def charge(ctx: ActivityContext) -> None:
    pass


class Taken:
    """Keeps the outcomes."""

    def __init__(self) -> None:
        self.finished: list[Finished] = []

    def take(self, finished: Finished, *, quietly: bool = False) -> None:
        assert not quietly
        self.finished.append(finished)

    def lead(self) -> None:
        raise AssertionError("there are no threads")


@pytest.fixture
def taken() -> Taken:
    """The outcomes so far."""
    return Taken()


@pytest.fixture
def worker(taken: Taken) -> Held:
    """A worker of 8 slots without threads: what it holds ends when it is told to. More is waiting than it can hold."""
    provider = SqlProvider.in_memory()
    provider.initialize()
    works = [evolve(activity("a", number), name="charge", input="null") for number in range(2, 2 + WAITING)]
    must_commit(provider, first_turn("a", *works))
    return Held(
        provider,
        RuntimeOptions(worker_concurrency=8),
        worker_id="worker",
        find=registry.activities.resolve,
        outcomes=taken,
        client=Client(provider),
        metrics=Metrics(),
    )


def end(worker: Held, count: int) -> None:
    """Let *count* activities end that it holds."""
    for running in worker.running()[:count]:
        worker.run(running)


def is_told(worker: Held) -> bool:
    """Whether the thread that fetches would be woken; from now on it is not, until something more happens."""
    return worker._fetcher.bell.silence()


def test_long_work(worker: Held) -> None:
    """Of work that takes long as many are taken as there are slots, and another one with each slot that becomes free."""
    worker._fetch()
    assert (8, False) == (len(worker.running()), is_told(worker))
    end(worker, 1)
    assert is_told(worker)
    worker._fetch()

    assert 8 == len(worker.running())


def test_short_work(worker: Held) -> None:
    """Of work that takes no longer than a fetch more is taken, and in portions, which are there before it runs out."""
    for _ in range(300):
        worker._slots._pace.fetched(0.005)
        worker._slots._pace.ended(0.0105)
    worker._fetch()
    held = len(worker.running())
    ahead, portion = held - 8, worker._slots._pace.portion
    assert 2 <= portion <= ahead // 2

    # Too few have ended to be worth a fetch, also if others say that there is work.
    worker._slots._pace.ended = lambda seconds: None  # type: ignore[method-assign]  # they take as long as before
    end(worker, portion - 1)
    assert not is_told(worker)
    assert worker._fetch() is Next.WAIT_FOR_ROOM
    assert held - portion + 1 == len(worker.running())

    end(worker, 1)
    assert is_told(worker)
    worker._fetch()
    assert held == len(worker.running())


def test_all_of_it(worker: Held, taken: Taken) -> None:
    """Everything that waits is fetched in the end, and then nobody is woken any more."""
    while len(taken.finished) < WAITING:
        worker._fetch()
        end(worker, 8)
    worker._fetch()
    is_told(worker)

    assert WAITING == len({each.lock.key for each in taken.finished})
    assert not worker._slots._is_behind


def test_for_later() -> None:
    """Who begins, or was told of something, looks whenever an activity is due, whatever else is due before that."""
    clock = HeldClock()
    provider = SqlProvider.in_memory(clock=clock)
    provider.initialize()
    must_commit(provider, first_turn("a", activity()))
    (item,) = fetch_work(provider)
    provider.enqueue([Outgoing(raised().message, NOW + 1500)])
    fetches: list[int] = []

    def fetch() -> Next:
        fetches.append(len(fetch_work(provider)))
        return Next.WAIT

    fetcher = Fetcher("fetcher", provider, 3600.0, fetch)
    pauses = [fetcher._look(is_told=False)]
    provider.release_activities([Release(item.lock, delay_ms=3000)])
    for ms, is_told in ((0, True), (1000, False), (2000, False), (LOCK_MS, False)):
        clock.advance(ms)
        pauses.append(fetcher._look(is_told=is_told))

    assert [0, 0, 0, 1, 1] == fetches
    assert [LOCK_MS / 1000, 3.0, 2.0, LOCK_MS / 1000, LOCK_MS / 1000] == pauses


def test_nothing_for_later() -> None:
    """Who has nothing to wait for does not ask again before it is told of something."""
    provider = FaultyProvider(SqlProvider.in_memory())
    provider.initialize()
    fetcher = Fetcher("fetcher", provider, 3600.0, lambda: Next.WAIT)
    pauses = [fetcher._look(is_told=is_told) for is_told in (False, False, False, True, False)]

    assert [3600.0] * 5 == pauses
    assert 2 == provider.calls["next_due_ms"]


def test_passed_on(taken: Taken) -> None:
    """Who has passed an activity on comes later for it than those who have not: one that has it registered is to be first."""
    provider = SqlProvider.in_memory(clock=HeldClock())
    provider.initialize()
    must_commit(provider, first_turn("a", activity()))
    options = RuntimeOptions(unregistered_backoff=600, unregistered_backoff_max=600, poll_interval=3600)
    ignorant, other = (
        Held(
            provider,
            options,
            worker_id=worker_id,
            find=lambda name: None,
            outcomes=taken,
            client=Client(provider),
            metrics=Metrics(),
        )
        for worker_id in ("ignorant", "other")
    )
    while ignorant._fetcher._look(is_told=True) == 0:
        pass  # there may be more to fetch

    pauses = [worker._fetcher._look(is_told=True) for worker in (ignorant, other)]
    assert pauses == [600 + 2 * LATE_MS / 1000, 600]
