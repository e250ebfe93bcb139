"""The slots of a worker: how many are free, and who is told when one is."""

from __future__ import annotations

import pytest

from duroxide import ActivityContext, Registry
from duroxide._core.commit import ActivityLock
from duroxide._runtime.fetching import Next
from duroxide._runtime.slots import RunningActivity, Slots
from duroxide.testing.conformance.vocabulary import activity


SIZE = 2

registry = Registry()


@registry.activity(name="charge")
def charge(ctx: ActivityContext) -> None:
    pass


INFO = registry.activities.resolve("charge")


def running(number: int, *, again: bool = False) -> RunningActivity:
    """An activity that is held, fetched for the first time or again."""
    work = activity("a", number)
    assert INFO is not None
    return RunningActivity(INFO, work, ActivityLock(work.key, "u" if again else "t"), 0.0)


@pytest.fixture
def slots() -> Slots:
    """Two slots, both full, with more waiting in the store."""
    slots = Slots(SIZE)
    assert (SIZE, frozenset()) == slots.room()
    slots.fill([running(2), running(3)])
    assert slots.fetched(SIZE, SIZE, 0.001) is Next.WAIT_FOR_ROOM
    return slots


def nothing(is_last: bool) -> None:
    """Hand nothing over."""


def test_promises() -> None:
    """A slot is promised once, and again when it is given back."""
    slots = Slots(SIZE)

    assert [True, True, False] == [slots.promise() for _ in range(3)]
    slots.release(1)
    assert [True, False] == [slots.promise() for _ in range(2)]


def test_promise_not_kept() -> None:
    """Who was told of work while the last slots were promised is told again when they are given back."""
    slots = Slots(SIZE)
    assert [True, True] == [slots.promise() for _ in range(2)]
    assert (0, frozenset()) == slots.room()

    assert [False, True] == [slots.release(how_many) for how_many in (0, 2)]


def test_end(slots: Slots) -> None:
    """One that ends makes room; the outcome of the last one is handed over as such, while nobody looks."""
    first, second = slots.held
    told: list[bool] = []

    assert (False, True) == slots.end(first, told.append)
    assert (True, True) == slots.end(second, told.append)
    assert [False, True] == told
    assert [] == slots.held


def test_last_but_promised(slots: Slots) -> None:
    """Who ends last is not the last one if a slot is promised: something is going on."""
    first, second = slots.held
    slots.end(first, nothing)
    slots.promise()

    assert (False, True) == slots.end(second, nothing)


def test_drop(slots: Slots) -> None:
    """One that did not run makes room as well, and takes the slot back that it had given away."""
    first, _ = slots.held
    assert slots.abandon(first)
    assert not slots.abandon(first)
    assert slots.room()[0]
    slots.fill([running(4)])

    assert not slots.drop(first), "three were held with three slots, and now there are two"
    assert (0, frozenset()) == slots.room()


def test_drop_makes_room(slots: Slots) -> None:
    """The worker is told that it may fetch, when it has none left."""
    assert slots.drop(slots.held[0])


def test_overtaken(slots: Slots) -> None:
    """What was fetched again after its lock expired is held twice, each by itself, until both runs have ended."""
    first, other = slots.held
    again = running(2, again=True)
    slots.fill([again])

    assert {first, other, again} == set(slots.held)
    assert [again] == slots.of([again.lock.key]), "it is the second run whose result counts"
    assert [first] == slots.cancel([first, running(2)])
    assert [first.cancelled_at is None, again.cancelled_at is None] == [False, True]
    assert slots.abandon(first)
    slots.end(first, nothing)
    assert {other, again} == set(slots.held)
    slots.end(again, nothing)
    assert [other] == slots.held
    assert [] == slots.of([again.lock.key])


def test_told_once(slots: Slots) -> None:
    """Who was told is not told again."""
    assert slots.held == slots.cancel(slots.held)
    assert [] == slots.cancel(slots.held)


def test_late() -> None:
    """What comes after the close is not held, but given back, as is what has not begun."""
    slots = Slots(SIZE)
    began, waits, late = running(2), running(3), running(4)
    slots.fill([began, waits])
    assert slots.begin(began)
    slots.close()

    assert not slots.fill([late])
    assert [late.lock, waits.lock] == slots.withdraw()
    assert not slots.begin(waits)
    assert [] == slots.withdraw()
    assert [began] == slots.held


def test_what_has_begun_is_not_taken_back() -> None:
    """Of what is held, that is taken back which has not begun; it cannot begin any more, nor be taken back twice."""
    slots = Slots(SIZE)
    begun, waiting = running(2), running(3)
    slots.fill([begun, waiting])
    assert slots.begin(begun)

    assert [waiting.lock] == slots.take_back([begun, waiting])
    assert [] == slots.take_back([begun, waiting])
    assert not slots.begin(waiting)
    assert [begun] == slots.held


def test_slow_store() -> None:
    """Where it takes long to fetch, more is taken in advance; a fetch that has found nothing says nothing."""
    slots = Slots(SIZE)
    usual = slots._pace._in_advance
    slots.fetched(0, 2, 1.0)
    assert usual == slots._pace._in_advance

    slots.fetched(1, 2, 1.0)
    assert usual < slots._pace._in_advance
