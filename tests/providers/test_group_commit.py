"""Writers that meet share a transaction, and each bears the failure of its own work, and of nothing else."""

from __future__ import annotations

import threading

from collections.abc import Sequence

import pytest

from duroxide._clock import monotonic
from duroxide.providers.sql.dialect import Use
from duroxide.providers.sql.group_commit import GroupCommit, Written


PATIENCE = 60.0


class Door:
    """Lets groups in one after the other, the first of them only when it is told to."""

    def __init__(self) -> None:
        self.commits = GroupCommit(self.write)
        self.groups: list[list[str]] = []
        self.may_go_on = threading.Event()
        #: Groups of this size fail, once.
        self.fails_at = 0
        self.found: dict[str, str] = {}
        self._threads: list[threading.Thread] = []

    def write(self, group: Sequence[Written]) -> None:
        assert self.may_go_on.wait(PATIENCE)
        if len(group) == self.fails_at:
            self.fails_at = 0
            raise OSError("no space")
        self.groups.append([each.work(None) for each in group])

    def send(self, *names: str) -> None:
        """Let each of *names* be written by a thread of its own, in this order."""
        for name in names:
            waiting = len(self.commits._waiting) + bool(self._threads)
            thread = threading.Thread(target=self._send, args=(name,))
            thread.start()
            self._threads.append(thread)
            self._wait_for(waiting)

    def _wait_for(self, waiting: int) -> None:
        deadline = monotonic() + PATIENCE
        while not (self.commits._is_led and len(self.commits._waiting) == waiting):
            assert monotonic() < deadline, "nobody waits in line"
            threading.Event().wait(0.001)

    def _send(self, name: str) -> None:
        try:
            self.commits.write(lambda _: name, Use.WRITE)
        except OSError as error:
            self.found[name] = type(error).__name__
        else:
            self.found[name] = "written"

    def open(self) -> None:
        """Let all go on, and wait for them."""
        self.may_go_on.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def door() -> Door:
    """A store that writes what it is told to when it is told to."""
    return Door()


def test_who_meets_shares(door: Door) -> None:
    """All who come while one writes are written together, in the order in which they came."""
    door.send("a", "b", "c")
    door.open()

    assert [["a"], ["b", "c"]] == door.groups
    assert dict.fromkeys("abc", "written") == door.found


def test_a_group_that_fails(door: Door) -> None:
    """A transaction that fails is its leader's failure; another leads the others."""
    door.fails_at = 3
    door.send("a", "b", "c", "d")
    door.open()

    assert [["a"], ["c", "d"]] == door.groups
    assert {"a": "written", "b": "OSError", "c": "written", "d": "written"} == door.found


def test_who_is_interrupted(door: Door) -> None:
    """Whoever stops waiting is not written, and keeps nobody else from it."""
    door.send("a", "b", "c")
    gone = door.commits._waiting[0]
    door.commits._withdraw(gone)
    gone.is_done = True  # its thread would have raised
    gone.wake()
    door.open()

    assert [["a"], ["c"]] == door.groups


def test_who_is_interrupted_as_it_is_to_lead(door: Door) -> None:
    """Whoever stops waiting just as it was chosen to lead, lets the next one lead."""
    door.send("a", "b", "c")
    chosen, waits = door.commits._waiting
    door.commits._waiting.popleft()
    chosen.leads = True
    door.commits._withdraw(chosen)

    assert waits.leads
    chosen.is_done = True
    chosen.wake()
    door.open()
    assert ["c"] in door.groups
