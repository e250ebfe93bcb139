"""The threads that run activities: every piece is run, and what blocks keeps nothing else waiting."""

from __future__ import annotations

import sys
import threading

from collections import Counter
from collections.abc import Iterator

import pytest

from duroxide._runtime.threads import WorkerThreads

from ..patience import PATIENCE
from ..runtime.stage import eventually


SIZE = 8


@pytest.fixture
def meeting() -> threading.Barrier:
    """Lets nobody through before all threads are there."""
    return threading.Barrier(SIZE)


@pytest.fixture
def names() -> list[str]:
    """The threads that have run a piece, in order."""
    return []


@pytest.fixture
def gate() -> threading.Event:
    """Holds threads back until the test lets them go."""
    return threading.Event()


@pytest.fixture
def threads(meeting: threading.Barrier, gate: threading.Event, names: list[str]) -> Iterator[WorkerThreads[str]]:
    """Threads that give their name, after a meeting if they are told to, or before they are held back."""

    def work(what: str) -> None:
        if what == "meet":
            meeting.wait(PATIENCE)
        names.append(threading.current_thread().name)
        if what == "hold":
            gate.wait(PATIENCE)

    found = WorkerThreads("worker", SIZE, work)
    yield found
    gate.set()
    found.stop()
    assert found.join(PATIENCE)


@pytest.mark.parametrize("blocks", [True, False], ids=["known to block", "thought to be short"])
def test_blocking(threads: WorkerThreads[str], names: list[str], blocks: bool) -> None:
    """Pieces that wait for each other all run at the same time, again and again, whether that was expected or not."""
    for number in range(1, 51):
        threads.post(["meet"] * SIZE, blocks=blocks)
        eventually(lambda count=number * SIZE: len(names) == count)

    assert set(Counter(names).values()) == {50}


def test_one_by_one(threads: WorkerThreads[str], names: list[str]) -> None:
    """So do pieces that come one after the other."""
    for _ in range(SIZE):
        threads.post(["meet"])
    eventually(lambda: len(names) == SIZE)

    assert SIZE == len(set(names))


def test_one_at_a_time(threads: WorkerThreads[str], names: list[str]) -> None:
    """One thread is enough for pieces of which each comes when the last one is done."""
    for number in range(1, 51):
        threads.post(["name"], blocks=True)
        eventually(lambda count=number: len(names) == count and len(threads._idle) == 1)

    assert 1 == len(set(names))


def test_comes_back(names: list[str]) -> None:
    """Who brings a piece of work and comes back at once does it, and nobody else is woken; a second piece wakes another."""
    pieces, meeting = [["name"], ["meet", "meet"]], threading.Barrier(2)

    def work(what: str) -> None:
        names.append(threading.current_thread().name)
        if what == "bring":
            threads.come_back_after(lambda: threads.post(pieces.pop(0), blocks=True))
        if what == "meet":
            meeting.wait(PATIENCE)

    threads = WorkerThreads("worker", SIZE, work)
    threads.post(["bring"])
    eventually(lambda: len(names) == 2 and len(threads._idle) == 1)
    assert 1 == len(set(names)) == threads._started

    threads.post(["bring"])
    eventually(lambda: len(names) == 5 and len(threads._idle) == threads._started)
    assert 2 == len(set(names[3:]))
    threads.stop()
    assert threads.join(PATIENCE)


def test_nobody_waits_for_who_comes_back(gate: threading.Event, names: list[str]) -> None:
    """What others bring meanwhile is done at once: who comes back may take a while."""
    is_away = threading.Event()

    def be_away() -> None:
        is_away.set()
        assert gate.wait(PATIENCE)

    def work(what: str) -> None:
        names.append(what)
        if what == "go":
            threads.come_back_after(be_away)

    threads = WorkerThreads("worker", SIZE, work)
    threads.post(["go"])
    assert is_away.wait(PATIENCE)
    threads.post(["name"])
    eventually(lambda: names == ["go", "name"])
    gate.set()
    threads.stop()
    assert threads.join(PATIENCE)


def test_lost_thread(threads: WorkerThreads[str], names: list[str]) -> None:
    """For a thread that does not come back there is another one, once that is known."""
    threads.post(["hold"] * SIZE)
    eventually(lambda: len(names) == SIZE)
    threads.post(["name"])
    threads.replace_one()
    eventually(lambda: len(names) == SIZE + 1)

    assert SIZE + 1 == len(set(names))


def test_from_many_threads(threads: WorkerThreads[str], names: list[str]) -> None:
    """Nothing is forgotten when many bring work at the same time, in whichever way it is interleaved."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        bringing = [threading.Thread(target=bring, args=(threads, number)) for number in range(4)]
        for each in bringing:
            each.start()
        for each in bringing:
            each.join(PATIENCE)
        eventually(lambda: len(names) == sum(range(4)) * 300)
    finally:
        sys.setswitchinterval(usual)


def bring(threads: WorkerThreads[str], width: int) -> None:
    """Post work again and again, *width* pieces at a time."""
    for number in range(300):
        threads.post(["name"] * width, blocks=number % 2 == 0)


def test_taken_back(threads: WorkerThreads[str], names: list[str], gate: threading.Event) -> None:
    """What no thread has begun can be taken back, and is not run then."""
    threads.post(["hold"] * SIZE, blocks=True)
    eventually(lambda: len(names) == SIZE)
    threads.post(["name"] * 5)
    assert 5 == threads.take_back()

    gate.set()
    threads.stop()
    assert threads.join(PATIENCE)
    assert SIZE == len(names)


def test_no_more_threads(
    threads: WorkerThreads[str], names: list[str], gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system gives no more threads, those that there are do all the work."""
    threads.post(["hold"])
    eventually(lambda: names)
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", no_more)
        threads.post(["name"] * 2)
        gate.set()
        eventually(lambda: len(names) == 3)
        assert 1 == len(set(names))

    threads.post(["meet"] * SIZE)
    eventually(lambda: len(names) == 3 + SIZE)


def test_no_thread_at_all(threads: WorkerThreads[str], names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If it gives none, whoever brings work is told; it is done as soon as there is one."""
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", no_more)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.post(["name"])
    threads.post(["name"])
    eventually(lambda: len(names) == 2)


def no_more(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_lost_thread_comes_back(threads: WorkerThreads[str], gate: threading.Event, names: list[str]) -> None:
    """When the one that was lost is back, there are as many threads as before, however often that happens."""
    for number in range(3):
        threads.post(["hold"])
        eventually(lambda count=2 * number + 1: len(names) == count)
        threads.replace_one()
        threads.take_one_back()
        gate.set()
        threads.post(["name"])
        eventually(lambda count=2 * number + 2: len(names) == count)
        gate.clear()
    gate.set()
    threads.post(["meet"] * SIZE, blocks=True)
    eventually(lambda: len(names) == 6 + SIZE)
    eventually(lambda: threads._started <= SIZE)

    assert threads._size == SIZE
    assert len(threads._threads) == threads._started


def test_one_too_many_leaves(gate: threading.Event, names: list[str]) -> None:
    """The thread that comes back ends if another one does its work now, and what waits meanwhile is done."""

    def work(what: str) -> None:
        names.append(threading.current_thread().name)
        if what == "hold":
            gate.wait(PATIENCE)
            threads.take_one_back()
            threads.post(["name"])

    threads = WorkerThreads("worker", 1, work)
    threads.post(["hold"])
    eventually(lambda: len(names) == 1)
    threads.replace_one()
    threads.post(["name"])
    eventually(lambda: len(names) == 2)
    gate.set()
    eventually(lambda: len(names) == 3 and threads._started == 1)

    assert names[2] == names[1] != names[0]
    threads.stop()
    assert threads.join(PATIENCE)
