"""Stopping once: whoever calls waits for it, and for no longer than it wants to."""

from __future__ import annotations

import threading

import pytest

from duroxide._runtime import stopping
from duroxide._runtime.stopping import Deadline, Stopper, end

from ..patience import PATIENCE


@pytest.fixture
def gate() -> threading.Event:
    """Holds what is stopped until the test lets it go."""
    return threading.Event()


@pytest.fixture
def times(gate: threading.Event) -> list[str]:
    """The threads in which it was stopped."""
    return []


@pytest.fixture
def stopper(gate: threading.Event, times: list[str]) -> Stopper:
    """Stops when the gate is open."""

    def stop(deadline: Deadline) -> None:
        times.append(threading.current_thread().name)
        gate.wait(PATIENCE)

    return Stopper("stopper", stop)


def test_once(stopper: Stopper, gate: threading.Event, times: list[str]) -> None:
    """However often it is called, it is done once, in a thread that is gone afterwards."""
    gate.set()

    assert [True, True] == [stopper.stop(PATIENCE), stopper.stop(PATIENCE)]
    assert ["stopper"] == times
    assert "stopper" not in {thread.name for thread in threading.enumerate()}


def test_impatient(stopper: Stopper, gate: threading.Event, times: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not want to wait longer is told that it is not done, be it the first or not; others wait on."""
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "GRACE", 0.01)
        assert [False, False] == [stopper.stop(0), stopper.stop(0.01)]
    gate.set()

    assert stopper.stop(PATIENCE)
    assert ["stopper"] == times


def test_no_thread(stopper: Stopper, gate: threading.Event, times: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no threads any more, as when the process ends, who calls does it."""

    def start(thread: threading.Thread) -> None:
        msg = "can't create new thread at interpreter shutdown"
        raise RuntimeError(msg)

    monkeypatch.setattr(threading.Thread, "start", start)
    gate.set()

    assert stopper.stop(PATIENCE)
    assert [threading.current_thread().name] == times


def test_error() -> None:
    """What it raises is raised where it was called first."""

    def stop(deadline: Deadline) -> None:
        raise ValueError(deadline.left())

    stopper = Stopper("stopper", stop)
    with pytest.raises(ValueError, match=r"0\.0"):
        stopper.stop(0)

    assert stopper.stop(PATIENCE)


def test_deadline() -> None:
    """What is left of a time-out is never negative, and at least what is asked for."""
    assert 0 == Deadline(-1).left()
    assert 2 == Deadline(0).left(2)
    assert 2 < Deadline(PATIENCE).left(2) <= PATIENCE


def test_left_behind(gate: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    """A thread that does not end is left behind, which the log says; of one that does, or never began, it says nothing."""
    thread = threading.Thread(target=gate.wait, args=(PATIENCE,), name="stubborn", daemon=True)
    end(thread, PATIENCE)
    thread.start()
    end(thread, 0.01)
    gate.set()
    end(thread, PATIENCE)

    assert not thread.is_alive()
    assert ["left_behind"] == [getattr(record, "action", None) for record in caplog.records]
    assert "stubborn" in caplog.text
