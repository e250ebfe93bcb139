"""Writers that meet share a transaction, and each bears the failure of its own work, and of nothing else."""

from __future__ import annotations

import sys
import threading

from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from duroxide.providers.sql import SqlProvider, group_commit, orchestrations
from duroxide.providers.sql.dialect import Use
from duroxide.providers.sql.group_commit import GroupCommit, Written
from duroxide.providers.sql.orchestrations import enqueue
from duroxide.providers.sql.sqlite import SqliteDialect
from duroxide.testing.conformance.vocabulary import LOCK_MS, raised, start

from ..patience import PATIENCE, eventually


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
        for each in group:
            each.is_done = True

    def send(self, *names: str, interrupt: Interrupt | None = None) -> None:
        """Let each of *names* be written by a thread of its own, in this order."""
        for name in names:
            thread = threading.Thread(target=self._send, args=(name, interrupt))
            thread.start()
            self._threads.append(thread)
            self._wait_for(name, thread)

    def _wait_for(self, name: str, thread: threading.Thread) -> None:
        """Wait until *name* leads, or waits in line, or its thread has ended."""
        eventually(lambda: not thread.is_alive() or name in self._names(), "it is not in line")

    def _names(self) -> list[str]:
        leader = self.commits._leader
        return [each.work(None) for each in (*self.commits._waiting, *([leader] if leader else []))]

    def _send(self, name: str, interrupt: Interrupt | None) -> None:
        if interrupt is not None:
            interrupt.arm()
        try:
            self.commits.write(lambda _: name, Use.WRITE)
        except (OSError, Interrupted) as error:
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


def test_what_was_undone_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose work failed because of another's, which was undone with it, has not failed when it is done again."""
    with SqlProvider(f"sqlite:///{tmp_path}/x.db") as provider:
        database = provider._database
        first, second = (
            Written(partial(orchestrations.start, messages=[start().message], must_be_new=True), Use.WRITE)
            for _ in range(2)
        )

        def full(_: object, connection: object) -> None:
            raise OSError("no space")

        with monkeypatch.context() as patch:
            patch.setattr(SqliteDialect, "commit", full)
            with pytest.raises(OSError, match="no space"):
                database._write_group([first, second])
        database._write_group([second])

        assert second.is_done
        assert second.error is None
        assert [True] == second.result
        assert second.changes.messages


class Interrupted(BaseException):
    """As a signal's handler raises it, in the middle of whatever the main thread is doing."""


class Interrupt:
    """Interrupts the thread that calls `arm`, once, at one of the moments at which Python looks for signals."""

    def __init__(self, moment: int) -> None:
        self._left = moment

    @property
    def has_come(self) -> bool:
        """Whether the thread has lived to see the moment."""
        return self._left < 0

    def arm(self) -> None:
        """Count from now on."""
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        # As a function begins, and when a call has come back.
        if event in {"call", "c_return"} and frame.f_code.co_filename == group_commit.__file__:
            self._left -= 1
            if self._left < 0:
                raise Interrupted


def interrupt_all(*, is_leader: bool) -> int:
    """Interrupt a writer at each moment, with others before and behind it; return how many moments there are."""
    for moment in count():
        door, interrupt = Door(), Interrupt(moment)
        if not is_leader:
            door.send("a")
        door.send("victim", interrupt=interrupt)
        door.send("b")
        door.open()
        door.send("c")
        door.open()

        written = [name for group in door.groups for name in group if name != "victim"]
        assert (["b", "c"] if is_leader else ["a", "b", "c"]) == sorted(written), moment
        assert door.commits._leader is None
        assert not door.commits._waiting
        if not interrupt.has_come:
            assert "written" == door.found["victim"]
            return moment
    raise AssertionError


@pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="Python 3.14 looks for signals after a lock is taken and before the block of its with",
)
@pytest.mark.parametrize("is_leader", [True, False])
def test_who_is_interrupted(is_leader: bool) -> None:
    """Whenever an interrupt comes: the others are written, once, and nobody waits for ever."""
    assert interrupt_all(is_leader=is_leader) > 10


def test_interrupted_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt just before COMMIT undoes all, just after it nothing: what is marked as done is in the store."""
    with SqlProvider(f"sqlite:///{tmp_path}/x.db") as provider:
        dialect = provider._database.dialect
        for method, is_stored in (("begin", False), ("commit", False), ("commit", True)):
            do = getattr(SqliteDialect, method)

            def interrupted(
                self: SqliteDialect, *args: Any, do: Any = do, after: bool = method == "begin" or is_stored
            ) -> None:
                if after:
                    do(self, *args)
                raise KeyboardInterrupt

            instance_id = f"{method}-{is_stored}"
            message = raised(instance_id)
            led = Written(lambda transaction, message=message: enqueue(transaction, [message]), Use.WRITE)
            provider.enqueue([start(instance_id)])
            with monkeypatch.context() as patch:
                patch.setattr(type(dialect), method, interrupted)
                with pytest.raises(KeyboardInterrupt):
                    provider._database._write_group([led])

            assert is_stored == led.is_done
            (item,) = provider.fetch_orchestration_items(2, LOCK_MS)
            assert 1 + is_stored == len(item.messages)
