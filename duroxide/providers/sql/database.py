"""
Connections and transactions: who may write when, what is tried again, and what errors look like outside.

Rule 1: every operation is one call of `Database.write` or `Database.read`, and so one transaction.

Rule 2: wake-ups follow the commit and are sent with no lock held.

Rule 3: the driver's exceptions end here.
"""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from ..._clock import Clock, SystemClock, monotonic
from ...errors import ProviderError
from ..wakeups import Changes
from .dialect import Conflict, Dialect, Use, driver_connection
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

#: How often (seconds) the distance to the database's clock is measured again, at most.
CLOCK_CHECK_INTERVAL = 60.0

#: How often it is asked each time.
CLOCK_QUESTIONS = 3

#: A change of the distance (milliseconds) that nobody needs to be told of.
CLOCK_TOLERANCE_MS = 1000


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
        self.engine = engine
        self.dialect = dialect
        # We say BEGIN ourselves: drivers would not say IMMEDIATE, or wait for the answer. This shares the pool of *engine*,
        # and leaves *engine* itself as its owner made it; one that is our own is made like that.
        self._owns_engine = owns_engine
        self._at_hand: list[Connection] = []
        self._autocommit = engine if owns_engine else engine.execution_options(isolation_level="AUTOCOMMIT")
        self.shared = shared
        self._clock = clock or SystemClock()
        self._clock_is_ours = clock is None
        self._offset_ms = 0
        self._clock_checked = float("-inf")
        self._pragmas = pragmas
        self._writer: Connection | None = None
        self._group = GroupCommit(self._write_group)
        self._closed = threading.Event()
        self._positions = threading.Lock()
        self._last_position = 0

    def now_ms(self) -> int:
        """Return the time of the database, as far as it is known."""
        return self._clock.now_ms() + self._offset_ms

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
        if not connection.in_transaction():
            connection.begin()  # what goes to the driver directly begins none, and commit() would do nothing
        with Translated(operation, self.engine, self.dialect):
            transaction = Transaction(connection, self.dialect, self.now_ms(), is_ours=False)
            result = work(transaction)
            if payload := transaction.payload():
                # Not under our own name: our listener too must hear of it, as we cannot see the commit.
                self.dialect.notify(connection, f":{payload}")
        return result

    def notify(self, payload: str) -> None:
        """Send *payload* as a notification of its own."""
        self.write("notify", lambda transaction: self.dialect.notify(transaction.connection, payload))

    def check_clock(self) -> None:
        """Measure the distance to the database's clock, at most once a minute."""
        if not self._clock_is_ours or self.dialect.single_writer:
            return
        if monotonic() - self._clock_checked < CLOCK_CHECK_INTERVAL:
            return
        self._clock_checked = monotonic()
        self.read("now_ms", self._measure_clock)

    def close(self) -> None:
        """Close the writer's connection. Idempotent."""
        self._closed.set()
        self._let_go()
        with self.shared.write_lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def writer_version(self) -> int | None:
        """Return SQLite's ``data_version`` for the writer, which its own commits leave alone. Hold the write lock."""
        if self._closed.is_set():
            return None
        return int(driver_connection(self._open_writer()).execute("PRAGMA data_version").fetchone()[0])

    def _measure_clock(self, transaction: Transaction) -> None:
        """Take the quickest answer of several, which tells best when between question and answer the database looked."""
        took, offset_ms = min(self._ask_clock(transaction) for _ in range(CLOCK_QUESTIONS))
        before_ms, self._offset_ms = self._offset_ms, offset_ms
        if abs(offset_ms - before_ms) > CLOCK_TOLERANCE_MS:
            _log.info(
                "this machine's clock is %d ms %s the database's, whose time is used (asked in %.1f ms)",
                *(abs(offset_ms), "behind" if offset_ms > 0 else "ahead of", took * 1000),
                extra={"action": "clock_corrected"},
            )

    def _ask_clock(self, transaction: Transaction) -> tuple[float, int]:
        """Return how long (seconds) the answer took, and by how much (ms) the database's clock is ahead of ours."""
        began_at, before_ms = monotonic(), self._clock.now_ms()
        database_ms = self.dialect.database_now_ms(transaction.connection)
        after_ms, took = self._clock.now_ms(), monotonic() - began_at
        return took, 0 if database_ms is None else database_ms - (before_ms + after_ms) // 2

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
            self.dialect.begin(connection, Use.WRITE if any(each.use is Use.WRITE for each in group) else Use.LEASE)
            try:
                for written in group:
                    self._write_one_of(group, written, connection)
            except BaseException as error:
                self._undo(connection, error)
                raise
            self._commit(connection, None)

    def _write_one_of(self, group: Sequence[Written], written: Written, connection: Connection) -> None:
        """Do one piece of work; what fails is undone, and nothing else, if there is anything else."""
        transaction = Transaction(connection, self.dialect, self.now_ms())
        if len(group) == 1:
            written.result = written.work(transaction)
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
                return work(Transaction(connection, self.dialect, self.now_ms()))
            finally:
                self._undo(connection)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Lend a connection for one transaction, which may not be one of the single writer."""
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
        if self._closed.is_set() and self._owns_engine:
            connection.invalidate()  # the pool that it came from has been emptied for good
        connection.close()

    def _let_go(self) -> None:
        """Give all that is at hand back to the pool, which knows what to do with it."""
        while self._at_hand:
            self._at_hand.pop().close()

    def _open_writer(self) -> Connection:
        if self._closed.is_set():
            raise ProviderError("connect", "the provider is closed. Make a new SqlProvider.", retryable=False)
        if self._writer is None:
            connection = self._autocommit.connect()
            try:
                for name, value in self._pragmas.items():
                    connection.exec_driver_sql(f"PRAGMA {name}={value}")
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
        if connection is self._writer:
            self._writer = None
        with suppress(SQLAlchemyError):
            # SQLAlchemy recognises a lost connection by this, and empties the pool of older ones.
            connection.exec_driver_sql("SELECT 1")
        connection.invalidate()
        self._let_go()
        if self.dialect.single_writer:
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


def _is_cut_off(dialect: Dialect, error: BaseException) -> bool:
    """Whether the connection to the server was lost before the commit, so that nothing has happened."""
    return not dialect.single_writer and is_database_error(error) and dialect.is_transient(error)
