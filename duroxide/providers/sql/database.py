"""
Connections and transactions: who may write when, what is tried again, and what errors look like outside.

Rule 1: every operation is one call of `Database.write` or `Database.read`, and so one transaction.

Rule 2: wake-ups follow the commit and are sent with no lock held.

Rule 3: the driver's exceptions end here.
"""

from __future__ import annotations

import logging
import threading
import warnings

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ..._clock import Clock
from ...errors import ProviderError
from ..forking import Birthplace
from ..wakeups import Changes
from .clock import DatabaseClock
from .dialect import Conflict, Dialect, Use, driver_connection, execute
from .group_commit import GroupCommit, Written
from .sending import SentFirst
from .shared import SharedDatabase
from .transaction import Script, Transaction
from .translation import Translated, is_database_error


_log = logging.getLogger("duroxide.provider")

ResultT = TypeVar("ResultT")

#: Pauses (seconds) before contention or a lost connection is tried again; together they outlast a fail-over's blink.
PAUSES = (0.01, 0.05, 0.2, 0.5, 1.0)

#: How many connections are kept open outside of the pool, at most.
KEPT_AT_HAND = 4

#: How long (seconds) a provider that is closed waits for the transaction that is under way.
WRITER_ENDS_WITHIN = 2.0


class Database:
    """One provider's way to its database. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        shared: SharedDatabase,
        *,
        clock: Clock | None,
        pragmas: Mapping[str, str],
        owns_engine: bool,
    ) -> None:
        #: Nothing works in a child that is forked from here: the connections are not its own.
        self.birthplace = Birthplace()
        self.engine = engine
        self.dialect = dialect
        # We say BEGIN ourselves: drivers would not say IMMEDIATE, or wait for the answer. This shares the pool of *engine*,
        # and leaves *engine* itself as its owner made it; one that is our own is made like that.
        self._owns_engine = owns_engine
        self._at_hand: list[Connection] = []
        self._autocommit = engine if owns_engine else engine.execution_options(isolation_level="AUTOCOMMIT")
        self.shared = shared
        self._clock = DatabaseClock(clock, dialect)
        #: Returns the time of the database, as far as it is known, in milliseconds since the epoch.
        self.now_ms: Callable[[], int] = self._clock.now_ms
        self._pragmas = pragmas
        self._writer: Connection | None = None
        self._group = GroupCommit(self._write_group)
        self._closed = threading.Event()
        self._positions = threading.Lock()
        self._last_position = 0

    def __del__(self) -> None:
        # Nobody can see it any more: no lock is needed, and none may be taken where garbage is collected.
        if not self._closed.is_set() and not self.birthplace.is_elsewhere:
            held = self._at_hand if self._writer is None else [*self._at_hand, self._writer]
            _close_dropped(self.engine, held, disposes=self._owns_engine, warns=not self.shared.in_memory)

    def next_positions(self, count: int) -> range:
        """Return *count* numbers, greater than all before, that sort activities in the order of their writing."""
        with self._positions:
            first = max(self._last_position + 1, self.now_ms() * 1_000_000)
            self._last_position = first + count
        return range(first, first + count)

    def write(
        self,
        operation: str,
        work: Callable[[Transaction], ResultT],
        *,
        use: Literal[Use.WRITE, Use.LEASE] = Use.WRITE,
    ) -> ResultT:
        """
        Run *work* in a writing transaction, commit, and tell what it leaves.

        Raises:
            ProviderError: If the database failed, after the brief troubles were tried again.
            Conflict: If *work* raised it; nothing is written then.
        """
        self.birthplace.check(operation)
        with Translated(operation, self.engine, self.dialect):
            result, changes = self._retried(operation, lambda: self._write_once(work, use))
        self.shared.wakeups.publish(changes)
        return result

    def send_script(self, operation: str, script: Script) -> Callable[[], None]:
        """
        Begin to write *script* in one transaction, in one round trip where that counts.

        Return what waits until it is written, and raises as `write` does; this does not.
        """
        if self.dialect.single_writer:
            return lambda: self.write(operation, lambda transaction: transaction.run(script))
        attempt = SentFirst(lambda: self._script(script))

        def wait() -> None:
            with Translated(operation, self.engine, self.dialect):
                changes = self._retried(operation, attempt)
            self.shared.wakeups.publish(changes)

        return wait

    def read(
        self, operation: str, work: Callable[[Transaction], ResultT], *, use: Literal[Use.READ, Use.SNAPSHOT] = Use.READ
    ) -> ResultT:
        """Run *work*, which only asks: one query, or several of one SNAPSHOT. Raises as `write` does."""
        with Translated(operation, self.engine, self.dialect):
            return self._retried(operation, lambda: self._read_once(work, use))

    def write_with(self, operation: str, connection: Connection, work: Callable[[Transaction], ResultT]) -> ResultT:
        """Run *work* in the caller's transaction on *connection*; other processes hear of it when it commits."""
        with Translated(operation, self.engine, self.dialect):
            self._check_open()
            if not connection.in_transaction():
                connection.begin()  # what goes to the driver directly begins none, and commit() would do nothing
            transaction = Transaction(connection, self.dialect, self.now_ms(), is_ours=False)
            if self._clock.is_to_be_checked():
                # On this very connection: there may be no other one to be had.
                self._clock.measure(transaction)
                transaction.now_ms = self.now_ms()
            result = work(transaction)
            if payload := transaction.payload():
                # Not under our own name: our listener too must hear of it, as we cannot see the commit.
                self.dialect.notify(connection, f":{payload}")
        return result

    def notify(self, payload: str) -> None:
        """Send *payload* as a notification of its own; who only reads may do so, too."""
        self.read("notify", lambda transaction: self.dialect.notify(transaction.connection, payload))

    def check_clock(self, operation: str) -> None:
        """Measure the distance to the database's clock before *operation*, if it is time for that. Raises as `read` does."""
        if self._clock.is_to_be_checked():
            self.read(operation, self._clock.measure)

    def close(self) -> None:
        """
        Refuse everything from now on, and close the writer's connection, unless who writes with it does not end in some seconds.

        Idempotent.
        """
        self._closed.set()
        self._let_go()
        # Another process may have the database, or a signal handler may have called this and interrupted who writes.
        if not self.shared.write_lock.acquire(timeout=WRITER_ENDS_WITHIN):
            _log.warning("the connection that writes is left behind, in use", extra={"action": "left_behind"})
            return
        try:
            if self._writer is not None:
                _close(self._writer, for_good=self._owns_engine)
                self._writer = None
        finally:
            self.shared.write_lock.release()

    def writer_version(self) -> int | None:
        """Return SQLite's ``data_version`` for the writer, which its own commits leave alone. Hold the write lock."""
        if self._closed.is_set():
            return None
        return int(driver_connection(self._open_writer()).execute("PRAGMA data_version").fetchone()[0])

    def _write_once(self, work: Callable[[Transaction], ResultT], use: Use) -> tuple[ResultT, Changes]:
        if self.dialect.single_writer:
            written = self._group.write(work, use)
            if written.error is not None:
                raise written.error
            return written.result, written.changes
        with self._connected() as connection:
            self.dialect.begin(connection, use)
            transaction = Transaction(connection, self.dialect, self.now_ms(), sender=self.shared.token)
            try:
                result = work(transaction)
            except BaseException as error:
                self._give_up(connection, error, is_undecided=transaction.is_undecided)
                raise
            if not transaction.is_committed:
                payload = transaction.payload()
                self._commit(connection, f"{self.shared.token}:{payload}" if payload else None)
        return result, transaction.changes()

    def _write_group(self, group: Sequence[Written]) -> None:
        """Carry out all of *group* in one transaction of the single writer."""
        with self.shared.write_lock:
            connection = self._open_writer()
            use = Use.WRITE if any(each.use is Use.WRITE for each in group) else Use.LEASE
            is_ending = False
            try:
                self.dialect.begin(connection, use)
                for written in group:
                    self._write_one_of(group, written, connection)
                is_ending = True
                self.dialect.commit(connection)
                _mark_done(group)
            except BaseException as error:
                is_interrupt = not isinstance(error, Exception)
                if is_ending and is_interrupt and not driver_connection(connection).in_transaction:
                    _mark_done(group)  # Ctrl-C, just after it
                else:
                    self._undo(connection, error)
                raise

    def _write_one_of(self, group: Sequence[Written], written: Written, connection: Connection) -> None:
        """Do one piece of work; what fails is undone, and nothing else, if there is anything else."""
        transaction = Transaction(connection, self.dialect, self.now_ms())
        if len(group) == 1:
            # It may have failed before, in a group whose transaction was undone.
            written.result, written.error = written.work(transaction), None
        else:
            written.error = self.dialect.attempt(
                connection, lambda: setattr(written, "result", written.work(transaction))
            )
        if written.error is None:
            written.changes = transaction.changes()

    def _script(self, script: Script) -> Generator[None, None, Changes]:
        """Send *script*; then wait for the answer."""
        with self._connected() as connection:
            transaction = Transaction(connection, self.dialect, self.now_ms())
            script.leave(transaction)
            steps, question = script.steps, transaction.question(script)
            if payload := transaction.payload():
                steps = [*steps, self.dialect.notification(f"{self.shared.token}:{payload}")]
            try:
                answer = self.dialect.transact(connection, steps, question, tell=f"{self.shared.token}:m")
                yield
                transaction.messages |= answer()
            except BaseException as error:
                self._give_up(connection, error, is_undecided=True)
                raise
        return transaction.changes()

    def _read_once(self, work: Callable[[Transaction], ResultT], use: Use) -> ResultT:
        with self._connected() as connection:
            self.dialect.begin(connection, use)
            try:
                result = work(Transaction(connection, self.dialect, self.now_ms()))
            except BaseException as error:
                self._undo(connection, error)
                raise
            self._undo(connection)
        return result

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Lend a connection for one transaction, which may not be one of the single writer."""
        self._check_open()
        if self.shared.in_memory:
            with self.shared.write_lock:
                yield self._open_writer()
            return
        connection = self._connect()
        while not self.dialect.is_alive(connection):
            # The server was restarted, say: rather notice now than when it is not known whether it has committed.
            self._discard(connection)
            connection.close()
            connection = self._connect()
        try:
            yield connection
        finally:
            self._put_back(connection)

    def _connect(self) -> Connection:
        try:
            return self._at_hand.pop()
        except IndexError:
            return self._autocommit.connect()

    def _put_back(self, connection: Connection) -> None:
        """Keep a connection of our own for the next who wants one: the pool's way takes longer than a query."""
        is_good = not (connection.invalidated or connection.in_transaction() or self._closed.is_set())
        if is_good and self._owns_engine and len(self._at_hand) < KEPT_AT_HAND:
            self._at_hand.append(connection)
            return
        _close(connection, for_good=self._closed.is_set() and self._owns_engine)

    def _let_go(self) -> None:
        """Give all that is at hand back to the pool, which knows what to do with it."""
        while self._at_hand:
            self._at_hand.pop().close()

    def _check_open(self) -> None:
        """
        Refuse to go on if the provider is closed, or another process's.

        Raises:
            ProviderError: If it is. A pool that was disposed of would open new connections, so it is asked here.
        """
        self.birthplace.check("connect")
        if self._closed.is_set():
            raise ProviderError("connect", "the provider is closed. Make a new SqlProvider.", retryable=False)

    def _open_writer(self) -> Connection:
        self._check_open()
        if self._writer is None:
            connection = self._autocommit.connect()
            try:
                for name, value in self._pragmas.items():
                    execute(connection, f"PRAGMA {name}={value}")
            except BaseException:
                connection.close()
                raise
            self._writer = connection
        return self._writer

    def _commit(self, connection: Connection, notification: str | None) -> None:
        try:
            self.dialect.commit(connection, notification)
        except BaseException as error:
            self._give_up(connection, error, is_undecided=True)
            raise

    def _give_up(self, connection: Connection, error: BaseException, *, is_undecided: bool) -> None:
        """
        Undo a transaction that failed.

        Raises:
            ProviderError: If it was cut off in the middle of a commit (*is_undecided*): it may have happened, so it must not
                be repeated blindly. An error that the server has answered with says that it did not.
        """
        is_lost = not self.dialect.is_alive(connection)
        self._undo(connection, error)
        if is_lost and is_undecided and is_database_error(error):
            reason = self.dialect.reason(error)
            message = f"the connection was lost during a commit, which may or may not have happened: {reason}"
            raise ProviderError("commit", message, retryable=True) from error

    def _undo(self, connection: Connection, cause: BaseException | None = None) -> None:
        """Roll back; a connection that cannot even do that is thrown away, with its likes in the pool."""
        try:
            self.dialect.rollback(connection)
        except Exception:  # noqa: BLE001  # whatever it is, the error that led here is the one to report
            self._discard(connection)
        else:
            if cause is not None and self.dialect.is_stale(cause) and not self.shared.in_memory:
                self._discard(connection)
                self.engine.dispose()  # replaces the pool, also of an Engine that is the caller's: that harms nobody

    def _discard(self, connection: Connection) -> None:
        with suppress(SQLAlchemyError):
            # SQLAlchemy recognises a lost connection by this, and empties the pool of older ones.
            connection.exec_driver_sql("SELECT 1")
        connection.invalidate()
        self._let_go()
        if connection is self._writer:  # else who has lent it closes it
            self._writer = None
            connection.close()

    def _retried(self, operation: str, attempt: Callable[[], ResultT]) -> ResultT:
        for pause in PAUSES:
            try:
                return attempt()
            except (ProviderError, Conflict):
                raise
            except Exception as error:
                if not (
                    self.dialect.is_contention(error)
                    or self.dialect.is_stale(error)
                    or _is_cut_off(self.dialect, error)
                ):
                    raise
                self.dialect.note_failure(error)
                _log.info(
                    "%s is tried again: %s",
                    operation,
                    self.dialect.reason(error),
                    extra={"action": "operation_retried", "operation": operation},
                )
            self._closed.wait(pause)
        return attempt()


def _close(connection: Connection, *, for_good: bool) -> None:
    """Give *connection* back, unless the pool that it came from may have been emptied *for_good*."""
    if for_good:
        connection.invalidate()
    connection.close()


def _mark_done(group: Sequence[Written]) -> None:
    for written in group:
        written.is_done = True


def _close_dropped(engine: Engine, held: Sequence[Connection], *, disposes: bool, warns: bool) -> None:
    """Close what a provider had open that nobody has any more."""
    with suppress(Exception):  # at the end of the process, whatever this needs may be gone
        for connection in held:
            connection.close()
        if disposes:
            engine.dispose()
    if held and warns:
        warnings.warn(f"a provider of {engine!r} was dropped without close()", ResourceWarning, stacklevel=3)


def _is_cut_off(dialect: Dialect, error: BaseException) -> bool:
    """Whether the connection to the server was lost before the commit, so that nothing has happened."""
    return not dialect.single_writer and is_database_error(error) and dialect.is_transient(error)
