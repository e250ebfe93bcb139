"""Wake-ups: whoever waits is told after the commit, in this process and in others."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary

import pytest

from attrs import evolve
from sqlalchemy import Engine, NullPool, create_engine

from duroxide._core.commit import CustomStatusChange, ExecutionStatus
from duroxide.errors import InvalidInput
from duroxide.providers.contract import Release, SessionClaim, TagFilter
from duroxide.providers.sql import SqlProvider, shared, watcher
from duroxide.providers.sql.watcher import DataVersionEar, Ear, NotificationEar
from duroxide.providers.wakeups import Changes, Output
from duroxide.testing.conformance.vocabulary import (
    LOCK_MS,
    activity,
    completed,
    ending,
    fetch_one,
    first_turn,
    lock_of,
    must_commit,
    next_turn,
    scheduled,
    start,
    under,
)

from ..patience import PATIENCE, in_time
from .stores import Store


REPOSITORY = Path(__file__).parents[2]


class Heard:
    """Writes down what is published."""

    def __init__(self, provider: SqlProvider, instance_id: str = "a") -> None:
        self.calls: list[str | int] = []
        wakeups = provider.wakeups
        wakeups.on_messages(lambda due_ms: self.calls.append("messages" if due_ms is None else due_ms))
        wakeups.on_activities(lambda: self.calls.append("activities"))
        wakeups.on_instance(
            instance_id, lambda output: self.calls.append("instance" if output is None else output.text)
        )


class TestInProcess:
    def test_local_path(self, memory: SqlProvider) -> None:
        """What stays with the committer wakes nobody: eager activities and history."""
        first = first_turn("a", activity(), eager=(lock_of(activity()),))
        must_commit(memory, first)
        heard = Heard(memory)
        next_work = activity("a", 4)
        must_commit(
            memory,
            evolve(
                next_turn(first, completed(3, 2), scheduled(4)),
                finished_activities=first.eager,
                activities=(next_work,),
                eager=(lock_of(next_work),),
            ),
        )

        assert [] == heard.calls

    def test_unlocked_activities(self, memory: SqlProvider) -> None:
        """Activities for anybody wake the workers; that an instance was started wakes nobody who waits for it."""
        heard = Heard(memory)
        must_commit(memory, first_turn("a", activity()))

        assert ["activities"] == heard.calls

    def test_status(self, memory: SqlProvider) -> None:
        """A custom status wakes those who wait for this instance, not others."""
        turn = first_turn()
        must_commit(memory, turn)
        heard, others = Heard(memory), Heard(memory, "b")
        must_commit(memory, evolve(next_turn(turn, scheduled(2)), custom_status=CustomStatusChange("x")))

        assert (["instance"], []) == (heard.calls, others.calls)

    def test_refused_commit(self, memory: SqlProvider) -> None:
        """A refused commit tells nobody anything."""
        must_commit(memory, first_turn())
        heard = Heard(memory)
        memory.commit_turns([first_turn("a", activity())], lock_ms=LOCK_MS)

        assert [] == heard.calls

    def test_nothing_left(self, memory: SqlProvider) -> None:
        """A lock given back with nothing waiting wakes nobody."""
        memory.enqueue([start()])
        item = fetch_one(memory)
        heard = Heard(memory, "b")
        must_commit(memory, under(item, first_turn()))

        assert [] == heard.calls

    def test_output(self, memory: SqlProvider) -> None:
        """Who waits for an instance is told what it completes with, and need not ask."""
        turn = first_turn()
        must_commit(memory, turn)
        heard, others = Heard(memory), Heard(memory, "b")
        must_commit(memory, ending(turn, "42"))

        assert (["42"], []) == (heard.calls, others.calls)

    @pytest.mark.parametrize("may_have_status", [True, False])
    def test_output_is_all(self, memory: SqlProvider, may_have_status: bool) -> None:
        """With it they are told whether there may be a custom status to look for."""
        turn = first_turn()
        must_commit(memory, turn)
        told: list[Output | None] = []
        memory.wakeups.on_instance("a", told.append)
        must_commit(memory, evolve(ending(turn, "42"), may_have_status=may_have_status))

        assert [may_have_status] == [output is not None and not output.is_all for output in told]

    def test_failure(self, memory: SqlProvider) -> None:
        """Of a failure they are told that there is something to look at."""
        turn = first_turn()
        must_commit(memory, turn)
        heard = Heard(memory)
        must_commit(memory, evolve(ending(turn, "42"), status=ExecutionStatus.FAILED))

        assert ["instance"] == heard.calls

    def test_late(self, memory: SqlProvider) -> None:
        """Who begins to wait after the commit, and before it is published, must look: the id may be another's by then."""
        early, late = Heard(memory), Heard(memory, "nobody")
        output = Output("42", memory.wakeups.waiting_for("a"))
        memory.wakeups.on_instance("a", lambda output: late.calls.append("look" if output is None else output.text))
        memory.wakeups.publish(Changes(instances=["a"], outputs={"a": output}))

        assert (["42"], ["look"]) == (early.calls, late.calls)

    def test_not_listening_any_more(self, memory: SqlProvider) -> None:
        """A subscription that is closed, even twice, takes nobody else's with it."""
        calls: list[object] = []
        mine = memory.wakeups.on_instance("a", lambda output: calls.append("mine"))
        theirs = memory.wakeups.on_instance("a", calls.append)
        mine.close()
        mine.close()
        memory.wakeups.publish(Changes(instances=["a"]))
        theirs.close()
        memory.wakeups.publish(Changes(instances=["a"]))

        assert [None] == calls
        assert not memory.wakeups.has_subscribers


class TestTwoProviders:
    def test_survive_each_other(self, shared_store: Store) -> None:
        """Closing one provider leaves the other one working."""
        one, other = shared_store.open(), shared_store.open()
        Heard(other)
        one.enqueue([start()])
        one.close()

        assert "a" == fetch_one(other).lock.instance_id

    def test_memory_is_private(self) -> None:
        """Each in-memory provider has a database of its own."""
        with SqlProvider.in_memory() as one, SqlProvider.in_memory() as other:
            one.enqueue([start()])

            assert [] == list(other.fetch_orchestration_items(1, LOCK_MS))


class TestTwoNames:
    """One database that this process knows by two names is told of what it writes itself, as by others."""

    @pytest.fixture
    def twice(self, shared_store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[SqlProvider, SqlProvider]:
        """Two providers that do not know that their database is the same."""
        monkeypatch.setattr(NotificationEar, "BEHIND", 3600.0)
        one = shared_store.open()
        monkeypatch.setattr(shared, "_databases", WeakValueDictionary())
        return one, shared_store.open()

    def woken(self, provider: SqlProvider, write: Callable[[], object]) -> bool:
        """Whether somebody who waits for messages or activities is woken by what *write* does."""
        ready, settled, woken = threading.Event(), threading.Event(), threading.Event()

        def note(due_ms: int | None = None) -> None:
            (woken if settled.is_set() else ready).set()

        with provider.wakeups.on_messages(note), provider.wakeups.on_activities(note):
            assert ready.wait(PATIENCE)  # the watcher, as it starts
            settled.set()
            write()
            return woken.wait(PATIENCE)

    def test_enqueue(self, twice: tuple[SqlProvider, SqlProvider]) -> None:
        """A message wakes those who wait under the other name."""
        one, other = twice

        assert one.wakeups is not other.wakeups
        assert self.woken(one, lambda: other.enqueue([start()]))

    def test_delayed_release(self, twice: tuple[SqlProvider, SqlProvider]) -> None:
        """So does an instance that is passed on, though it is for later: who can work on it has to know when."""
        one, other = twice
        other.enqueue([start()])
        item = fetch_one(other)

        assert self.woken(one, lambda: other.release_orchestration_items([Release(item.lock, delay_ms=60_000)]))

    def test_ended_sessions(self, twice: tuple[SqlProvider, SqlProvider]) -> None:
        """So does a worker that ends its sessions."""
        one, other = twice
        must_commit(other, first_turn("a", activity("a", 2, session_id="s")))
        other.fetch_activities(1, LOCK_MS, tags=TagFilter(), session=SessionClaim("alice", LOCK_MS))

        assert self.woken(one, lambda: other.renew_sessions("alice", 0, LOCK_MS))

    def test_rouse(self, twice: tuple[SqlProvider, SqlProvider]) -> None:
        """Whoever leaves lets others look: under the other name where nothing was written, under the same one always."""
        one, other = twice
        heard = Heard(other)
        if other._database.dialect.single_writer:
            other.rouse()
        else:
            assert self.woken(one, other.rouse)

        assert {"messages", "activities"} <= set(heard.calls)


def test_a_busy_writer_looks(shared_store: Store) -> None:
    """SQLite: whoever writes without a pause notices all the same what others write."""
    provider = shared_store.open()
    if not provider._database.dialect.single_writer:
        pytest.skip("there is no turn to wait for")
    ear = DataVersionEar(provider._database)
    lock = provider._database.shared.write_lock
    assert ear._look()  # the first one always
    with engine_of(shared_store).begin() as connection:
        connection.exec_driver_sql("UPDATE duroxide_sessions SET owner = owner")
        connection.exec_driver_sql("DELETE FROM duroxide_kv")
        connection.exec_driver_sql("INSERT INTO duroxide_kv VALUES ('a', 'k', '1', 1)")
    lock.acquire()
    threading.Timer(0.05, lock.release).start()

    assert ear._look()


@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
def test_a_file_that_is_gone(
    is_replaced: bool, sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite: a file that somebody has removed while it is in use is said to be gone, once."""
    path = tmp_path / "duroxide.db"
    with SqlProvider(sqlite_url) as provider:
        ear = DataVersionEar(provider._database)
        stop = threading.Event()
        stop.set()
        with provider.wakeups.on_messages(lambda _: None):
            # Nobody else is to say it.
            provider._watching.stop()  # type: ignore[union-attr]
            ear.listen(stop)
            path.rename(tmp_path / "elsewhere.db")
            if is_replaced:
                path.touch()
            ear.listen(stop)
            ear.listen(stop)

    (message,) = caplog.messages
    assert f"the file {path} was removed or replaced" in message


def test_closing_interrupts_the_watcher(shared_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever closes a provider does not wait until its watcher has waited long enough for others."""
    monkeypatch.setattr(NotificationEar, "PATIENCE", 3600.0)
    monkeypatch.setattr(watcher, "ENDS_WITHIN", 3600.0)
    before = set(threading.enumerate())
    provider = shared_store.open()
    listening = threading.Event()
    with provider.wakeups.on_messages(lambda _: listening.set()):
        assert listening.wait(PATIENCE)  # the watcher, as it starts
        in_time(provider.close)

    assert not set(threading.enumerate()) - before


def test_no_more_files(shared_store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A watcher that the process has no files left for is said not to be there, and begins with the next who waits."""
    provider = shared_store.open()
    begun, watching = threading.Event(), provider._watching
    assert watching is not None
    make_ear = watching._make_ear

    def none_left() -> Ear:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(watching, "_make_ear", none_left)
        first = provider.wakeups.on_messages(lambda _: None)
    monkeypatch.setattr(watching, "_make_ear", lambda: begun.set() or make_ear())
    with first, provider.wakeups.on_messages(lambda _: None):
        assert begun.wait(PATIENCE)

    (message,) = caplog.messages
    assert "found by polling alone for now: [Errno 24] Too many open files" in message


ENQUEUE = """
import sys
from duroxide._core.messages import StartOrchestration
from duroxide._core.commit import Outgoing
from duroxide.providers.sql import SqlProvider

url, schema = sys.argv[1], sys.argv[2] or None
with SqlProvider(url, schema=schema) as provider:
    provider.enqueue([Outgoing(StartOrchestration("from-afar", "fulfil", "null"))])
"""


class TestOtherProcesses:
    def test_are_heard(self, shared_store: Store) -> None:
        """What another process enqueues wakes those who wait here."""
        provider = shared_store.open()
        woken = threading.Event()
        settled = threading.Event()

        def note(due_ms: int | None) -> None:
            (woken if settled.is_set() else ready).set()

        ready = threading.Event()
        with provider.wakeups.on_messages(note):
            # The watcher publishes once when it begins to hear; from then on, only what it hears counts.
            assert ready.wait(PATIENCE)
            settled.set()
            subprocess.run(
                [sys.executable, "-c", ENQUEUE, shared_store.url, shared_store.schema or ""],
                check=True,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            )

            assert woken.wait(PATIENCE)


def engine_of(store: Store) -> Engine:
    """Return an engine of the caller's own, for the same database."""
    return create_engine(store.open()._engine.url, poolclass=NullPool)


class TestCallersTransaction:
    def test_commit(self, shared_store: Store) -> None:
        """A message in the caller's transaction is there, and wakes, once the caller commits."""
        provider, theirs = shared_store.open(), engine_of(shared_store)
        woken = threading.Event()
        with theirs.connect() as connection, provider.wakeups.on_messages(lambda due_ms: woken.set()):
            provider.enqueue([start()], connection=connection)
            assert woken.wait(PATIENCE)  # the watcher, as it starts
            before = shared_store.url.startswith("postgresql") and list(provider.fetch_orchestration_items(1, LOCK_MS))
            woken.clear()
            connection.commit()

            assert woken.wait(PATIENCE)
        assert not before
        assert "a" == fetch_one(provider).lock.instance_id

    def test_rollback(self, shared_store: Store) -> None:
        """A message in a transaction that is rolled back never was."""
        provider, theirs = shared_store.open(), engine_of(shared_store)
        with theirs.connect() as connection:
            provider.enqueue([start()], connection=connection)
            connection.rollback()

        assert [] == list(provider.fetch_orchestration_items(1, LOCK_MS))

    def test_session(self, shared_store: Store) -> None:
        """An ORM session will do as well."""
        orm = pytest.importorskip("sqlalchemy.orm")
        provider, theirs = shared_store.open(), engine_of(shared_store)
        with orm.Session(theirs) as session:
            provider.enqueue([start()], connection=session)
            session.commit()

        assert "a" == fetch_one(provider).lock.instance_id

    def test_other_database(self, shared_store: Store, tmp_path: Path) -> None:
        """A connection to another database is refused."""
        provider = shared_store.open()
        other = SqlProvider(f"sqlite:///{tmp_path}/elsewhere.db")
        with pytest.raises(InvalidInput, match="use one database"), other._engine.connect() as connection:
            provider.enqueue([start()], connection=connection)

    def test_memory(self, memory: SqlProvider) -> None:
        """An in-memory database has no connection to share, and says so."""
        with pytest.raises(InvalidInput, match="use a file"), memory._engine.connect() as connection:
            memory.enqueue([start()], connection=connection)
