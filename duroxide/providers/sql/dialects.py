"""
What SQLite and Postgres do differently, behind a few names.

Rule: nothing here depends on session state that a transaction-mode pooler would lose: table names are qualified,
locks of the database end with the transaction, and statements are prepared only on connections that are known to
lead to one and the same session.
"""

from __future__ import annotations

import json
import sqlite3
import zlib

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from .dialect import Conflict, Use, driver_error, reported
from .schema import PARTIAL_INDEXES, PREFIX, STORAGE, TABLES
from .statements import (
    NOT_EXACT,
    AnyRow,
    Ask,
    Bulk,
    Query,
    Step,
    Values,
    postgres_arrays,
    postgres_bulk,
    postgres_exact_bulk,
    postgres_query,
    sqlite_bulk,
    sqlite_query,
)


_WRITING = frozenset({Use.WRITE, Use.LEASE})

_NOTIFY = Bulk("channel text, payload text", "SELECT pg_notify(:channel, :payload) {rows}")


class SqliteDialect:
    """SQLite: one writer at a time; `executemany` costs next to nothing per row."""

    name = "SQLite"
    single_writer = True
    # We say BEGIN ourselves: the driver would not say IMMEDIATE.
    isolation: Mapping[Use, str] = dict.fromkeys(Use, "AUTOCOMMIT")

    _BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
    #: What may pass, and what to do about it.
    _REMEDIES: Mapping[int, str] = {
        sqlite3.SQLITE_IOERR: "Check the disk that holds the file",
        sqlite3.SQLITE_FULL: "Make room on the disk",
        sqlite3.SQLITE_CANTOPEN: "Check that its folder exists, and that this user may create files in it",
        sqlite3.SQLITE_READONLY: "Let this user write to the file, to its -wal and -shm, and to their folder",
    }

    def __init__(self, *, relaxes: bool = False) -> None:
        # With synchronous=FULL, leases do without it. The next commit that does not makes them last, too.
        self._relaxes = relaxes
        self._is_used_for = Use.WRITE
        self._words = {name: table.name for name, table in TABLES.items()}
        self._words |= {
            "for_update": "",
            "skip_locked": "",
            "nobody_else_claims": "TRUE",
            "indexes_only_from_here": "",
            "need_not_last": "",
        }
        self._texts: dict[Bulk | Query, str] = {}

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* once for each row."""
        return connection.exec_driver_sql(self._bulk_text(bulk), list(rows)).rowcount

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Run *query*; its keys travel as JSON."""
        text = self._texts.get(query)
        if text is None:
            text = self._texts[query] = sqlite_query(query, self._words)
        given = parameters if keys is None else {**parameters, "keys": json.dumps(keys)}
        return _rows(text, _driver_connection(connection).execute(text, given))

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> bool:
        """Run *steps* until one does not hold."""
        cursor = _driver_connection(connection).cursor()
        try:
            for step in steps:
                cursor.executemany(self._bulk_text(step.bulk), step.rows)
                if step.exact and cursor.rowcount != len(step.rows):
                    msg = f"{cursor.rowcount} rows instead of {len(step.rows)}"
                    raise Conflict(msg)
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from error
        finally:
            cursor.close()
        return ask is not None and bool(self.query(connection, ask.query, ask.keys, ask.parameters))

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Sequence[Sequence[AnyRow]]:
        """Run one after the other."""
        return [self.query(connection, ask.query, ask.keys, ask.parameters) for ask in asks]

    def transact(self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str) -> bool:
        """Round trips cost nothing here, and there is one connection that writes."""
        raise NotImplementedError

    def note_failure(self, error: BaseException) -> None:
        """Do nothing: there is nothing to learn."""

    def begin(self, connection: Connection, use: Use) -> None:
        """Take the write lock at once for writing: upgrading later fails whatever the busy timeout."""
        driver = _driver_connection(connection)
        if use in _WRITING:
            if self._relaxes and use is not self._is_used_for:
                driver.execute("PRAGMA synchronous=" + ("NORMAL" if use is Use.LEASE else "FULL"))
                self._is_used_for = use
            driver.execute("BEGIN IMMEDIATE")
        elif use is Use.SNAPSHOT:
            driver.execute("BEGIN")

    def commit(self, connection: Connection, notification: str | None = None) -> None:
        """Make the transaction last. Other processes look at ``PRAGMA data_version``."""
        _driver_connection(connection).execute("COMMIT")

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction, unless SQLite has done so already (disk full, I/O error)."""
        if _driver_connection(connection).in_transaction:
            _driver_connection(connection).execute("ROLLBACK")

    def notification(self, payload: str) -> Step:
        """Do nothing: other processes look at ``PRAGMA data_version``."""
        return Step(_NOTIFY, ())

    def notify(self, connection: Connection, payload: str) -> None:
        """Do nothing, likewise."""

    def guard_schema(self, connection: Connection) -> None:
        """Do nothing: the write lock keeps everybody else out."""

    def claim_ids(self, instance_ids: Sequence[str]) -> Sequence[Ask]:
        """Do nothing: the write lock keeps everybody else out."""
        return ()

    def completion(self) -> Sequence[str]:
        """Return what adds the partial indexes."""
        return _partial_indexes(self._words)

    def database_now_ms(self, connection: Connection) -> int | None:
        """Return None: SQLite has this machine's clock."""
        return None

    def is_conflict(self, error: BaseException) -> bool:
        """Whether a unique key was violated."""
        return isinstance(driver_error(error), sqlite3.IntegrityError)

    def is_contention(self, error: BaseException) -> bool:
        """Whether somebody else holds the database's lock."""
        return self._code(error) in self._BUSY

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same operation may succeed later: busy, disk full, file not to be opened or written."""
        return self.is_contention(error) or self._code(error) in self._REMEDIES

    def is_forbidden(self, error: BaseException) -> bool:
        """Return False: SQLite has no users."""
        return False

    def is_stale(self, error: BaseException) -> bool:
        """Whether the file was opened read-only, as it could not be written to then: SQLite does not look again."""
        return self._code(error) == sqlite3.SQLITE_READONLY

    def reason(self, error: BaseException) -> str:
        """Return what is wrong, and what to do."""
        if self.is_contention(error):
            return "is kept locked by another process. Let that one commit, or end it"
        remedy = self._REMEDIES.get(self._code(error) or 0)
        return reported(error) if remedy is None else f"{reported(error)}. {remedy}"

    @staticmethod
    def _code(error: BaseException) -> int | None:
        code = getattr(driver_error(error), "sqlite_errorcode", None)
        # The lower byte is the kind of error, the rest a detail.
        return None if code is None else code & 0xFF

    def _bulk_text(self, bulk: Bulk) -> str:
        text = self._texts.get(bulk)
        if text is None:
            text = self._texts[bulk] = sqlite_bulk(bulk, self._words)
        return text


#: For the rest of the transaction: find rows one by one, in the order in which they are given. Two batches that meet in
#: several rows would otherwise lock them in the order of their plans, and wait for each other in a circle. So there is
#: one plan for each statement, and no use in planning a prepared one again.
_IN_ORDER = (
    "SELECT "
    + ", ".join(
        f"set_config('{setting}', 'off', true)" for setting in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan")
    )
    + ", set_config('plan_cache_mode', 'force_generic_plan', true)"
)

_CLAIM_IDS = Query(
    "SELECT pg_advisory_xact_lock(hashtextextended(k.p_instance_id, :seed)) FROM {keys}", "instance_id text"
)

#: Where a pooled connection keeps whether statements may be prepared on it.
_PREPARES = "duroxide_prepares"
#: What psycopg begins with when it may prepare by itself: its own default.
_PREPARE_THRESHOLD = 5


class PostgresDialect:
    """Postgres: many writers; what counts is the number of round trips."""

    name = "Postgres"
    single_writer = False
    isolation: Mapping[Use, str] = {
        Use.WRITE: "READ COMMITTED",
        Use.LEASE: "READ COMMITTED",
        Use.READ: "AUTOCOMMIT",  # one round trip instead of three
        Use.SNAPSHOT: "REPEATABLE READ",
    }

    # What the server calls a serialisation failure and a deadlock.
    _CONTENTION = frozenset({"40001", "40P01"})
    # A statement that the server has prepared already, or not: another session than the one before.
    _PREPARED = frozenset({"42P05", "26000"})
    # A standby, or a server in maintenance.
    _READ_ONLY = "25006"
    # Connection lost, resources short, server going down, lock not available, cached plan, query cancelled.
    _TRANSIENT = ("08", "53", "57", "55P03", "0A000", "40", _READ_ONLY)

    def __init__(self, schema: str | None, channel: str, *, owns_engine: bool = True) -> None:
        # Our own engine prepares nothing by itself; what somebody else's does is up to them.
        self._owns_engine = owns_engine
        self._may_prepare = True
        prefix = "" if schema is None else '"' + schema.replace('"', '""') + '".'
        seed = zlib.crc32(channel.encode())
        self._channel = channel
        self._guard = seed
        self._words = {name: f"{prefix}{table.name}" for name, table in TABLES.items()}
        self._words |= {
            "for_update": "FOR UPDATE",
            "skip_locked": "FOR UPDATE OF w SKIP LOCKED",
            # For the rest of the transaction: a queue that has just grown has no statistics, and would be read whole.
            "indexes_only_from_here": ", set_config('enable_seqscan', 'off', true)",
            "need_not_last": ", set_config('synchronous_commit', 'off', true)",
            # Not SKIP LOCKED on the messages: two fetchers that each hold a message of one instance, and both want
            # all of them, would wait for each other.
            "nobody_else_claims": f"pg_try_advisory_xact_lock(hashtextextended(c.instance_id, {seed}))",
        }
        self._texts: dict[Bulk | Query, str] = {}
        self._exact_texts: dict[Bulk, str] = {}

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* once, with an array for each column."""
        prepare = self._prepares(connection)
        arrays = postgres_arrays(bulk.columns, rows)
        with _driver_connection(connection).cursor() as cursor:
            return int(cursor.execute(self._bulk_text(bulk), arrays, prepare=prepare).rowcount)

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Run *query*; its keys travel as arrays."""
        text, prepare = self._query_text(query), self._prepares(connection)
        with _driver_connection(connection).cursor() as cursor:
            return _rows(text, cursor.execute(text, _given(query, keys, parameters), prepare=prepare))

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Sequence[Sequence[AnyRow]]:
        """Send all at once (a pipeline), and wait once."""
        statements = [(self._query_text(ask.query), _given(ask.query, ask.keys, ask.parameters)) for ask in asks]
        prepare = self._prepares(connection)
        cursors = self._in_pipeline(_driver_connection(connection), statements, prepare=prepare)
        return [_rows(text, cursor) for (text, _), cursor in zip(statements, cursors, strict=True)]

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> bool:
        """Send everything at once (a pipeline), and wait once."""
        return self._send(connection, steps, ask, None)

    def transact(self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str) -> bool:
        """
        Do without BEGIN and COMMIT: in autocommit mode a pipeline is a transaction by itself.

        The steps themselves say whether they held, in a way that undoes it.
        """
        return self._send(connection, steps, ask, tell)

    def _send(self, connection: Connection, steps: Sequence[Step], ask: Ask | None, tell: str | None) -> bool:
        statements: list[tuple[str, Any]] = [(_IN_ORDER, None)]
        for step in steps:
            arrays = postgres_arrays(step.bulk.columns, step.rows)
            if step.exact:
                statements.append((self._exact_text(step.bulk), (*arrays, len(step.rows))))
            else:
                statements.append((self._bulk_text(step.bulk), arrays))
        if ask is not None:
            statements.append(self._telling(ask, tell))
        try:
            cursors = self._in_pipeline(_driver_connection(connection), statements, prepare=self._prepares(connection))
        except Exception as error:
            if self.is_conflict(error) or self._state(error) == NOT_EXACT:
                raise Conflict(str(error)) from error
            raise
        return ask is not None and cursors[-1].rowcount > 0

    def _telling(self, ask: Ask, tell: str | None) -> tuple[str, Any]:
        """Return the statement that asks, and notifies if there is an answer, with its parameters."""
        text, given = self._query_text(ask.query), _given(ask.query, ask.keys, ask.parameters)
        if tell is None:
            return text, given
        text = f"SELECT pg_notify(%(channel)s, %(payload)s) FROM ({text}) AS answer"  # noqa: S608  # ours
        return text, given | {"channel": self._channel, "payload": tell}

    @staticmethod
    def _in_pipeline(driver: Any, statements: Sequence[tuple[str, Any]], *, prepare: bool) -> list[Any]:
        """Return the cursor of each of *statements*."""
        cursors = []
        failure: Exception | None = None
        try:
            with driver.pipeline():
                try:
                    for text, parameters in statements:
                        cursor = driver.cursor()
                        cursors.append(cursor)
                        cursor.execute(text, parameters, prepare=prepare)
                except Exception as error:  # noqa: BLE001  # raised below: a pipeline that ends in one writes to the log
                    failure = error
        except Exception as error:  # noqa: BLE001  # re-raised
            raise failure or error from None
        if failure is not None:
            raise failure
        return cursors

    def _prepares(self, connection: Connection) -> bool:
        """
        Whether statements may be prepared on *connection*, which spares the server most of its work on each.

        Not behind a pooler, which may hand each transaction another session. A pooler invents the process id that it
        sends when a connection is opened, since cancelling goes by it; the server knows its own.
        """
        if not self._may_prepare:
            return False
        info = connection.connection.info
        known = info.get(_PREPARES)
        if known is None:
            driver = _driver_connection(connection)
            wanted = self._owns_engine or driver.prepare_threshold is not None
            known = info[_PREPARES] = wanted and _is_direct(driver)
            if known and driver.prepare_threshold is None:
                driver.prepare_threshold = _PREPARE_THRESHOLD
        return bool(known)

    def note_failure(self, error: BaseException) -> None:
        """Prepare nothing any more, if the session turned out to be another one."""
        if self._state(error) in self._PREPARED:
            self._may_prepare = False

    def begin(self, connection: Connection, use: Use) -> None:
        """Do nothing: the driver begins with the first statement."""

    def commit(self, connection: Connection, notification: str | None = None) -> None:
        """Make the transaction last; the notification goes the same way."""
        driver = _driver_connection(connection)
        if notification is None:
            driver.commit()
            return
        arrays = postgres_arrays(_NOTIFY.columns, [(self._channel, notification)])
        prepare = self._prepares(connection)
        with driver.pipeline():
            driver.execute(self._bulk_text(_NOTIFY), arrays, prepare=prepare)
            driver.commit()

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction."""
        _driver_connection(connection).rollback()

    def notification(self, payload: str) -> Step:
        """Tell those who listen, when the transaction commits."""
        return Step(_NOTIFY, [(self._channel, payload)])

    def notify(self, connection: Connection, payload: str) -> None:
        """Tell those who listen, when the transaction commits."""
        self.many(connection, _NOTIFY, [(self._channel, payload)])

    def guard_schema(self, connection: Connection) -> None:
        """Wait for the schema's lock, which ends with the transaction."""
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (0x6475726F, self._guard & 0x7FFFFFFF))

    def claim_ids(self, instance_ids: Sequence[str]) -> Sequence[Ask]:
        """Take a lock for each id; other numbers than those of `nobody_else_claims`, which is for another purpose."""
        return [Ask(_CLAIM_IDS, [(instance_id,) for instance_id in instance_ids], {"seed": ~self._guard})]

    def completion(self) -> Sequence[str]:
        """Return what adds the partial indexes, and says how tables are stored."""
        storage = []
        for table, settings in STORAGE.items():
            listed = ", ".join(f"{name} = {value}" for name, value in settings.items())
            storage.append(f"ALTER TABLE {self._words[table.name.removeprefix(PREFIX)]} SET ({listed})")
        return [*_partial_indexes(self._words), *storage]

    def database_now_ms(self, connection: Connection) -> int | None:
        """Return the time of the server."""
        result = connection.exec_driver_sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        return int(result.scalar_one())

    def is_conflict(self, error: BaseException) -> bool:
        """Whether a unique key was violated."""
        return self._state(error) == "23505"

    def is_contention(self, error: BaseException) -> bool:
        """Whether the server gave up this transaction in favour of another."""
        return self._state(error) in self._CONTENTION

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same operation may succeed later."""
        state = self._state(error)
        if state is None:
            # The server never answered: refused, cut off, or gone.
            return type(driver_error(error)).__name__ in {"OperationalError", "InterfaceError", "ConnectionTimeout"}
        return state.startswith(self._TRANSIENT)

    def is_forbidden(self, error: BaseException) -> bool:
        """Whether the role has no right to do that."""
        return self._state(error) == "42501"

    def is_stale(self, error: BaseException) -> bool:
        """Whether the server only reads (it was the primary, before a fail-over), or a session is not what it was."""
        return self._state(error) == self._READ_ONLY or self._state(error) in self._PREPARED

    def reason(self, error: BaseException) -> str:
        """Return what the server or the driver says."""
        if self._state(error) in self._PREPARED:
            return f"{reported(error)}. Behind a pooler: create_engine(..., connect_args={{'prepare_threshold': None}})"
        return reported(error)

    @staticmethod
    def _state(error: BaseException) -> str | None:
        return getattr(driver_error(error), "sqlstate", None)

    def _bulk_text(self, bulk: Bulk) -> str:
        text = self._texts.get(bulk)
        if text is None:
            text = self._texts[bulk] = postgres_bulk(bulk, self._words)
        return text

    def _exact_text(self, bulk: Bulk) -> str:
        text = self._exact_texts.get(bulk)
        if text is None:
            text = self._exact_texts[bulk] = postgres_exact_bulk(bulk, self._words)
        return text

    def _query_text(self, query: Query) -> str:
        text = self._texts.get(query)
        if text is None:
            text = self._texts[query] = postgres_query(query, self._words)
        return text


def _given(query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `postgres_query` takes: its parameters, and its keys as arrays."""
    given = dict(parameters)
    if keys is not None:
        given |= {f"key{position}": column for position, column in enumerate(postgres_arrays(query.columns, keys))}
    return given


def _is_direct(driver: Any) -> bool:
    """Whether *driver* (a psycopg connection) talks to the session itself that it opened."""
    (server_pid,) = driver.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return bool(server_pid == driver.info.backend_pid)


def _partial_indexes(words: Mapping[str, str]) -> list[str]:
    return [
        f"CREATE INDEX {name} ON {words[column.table.name.removeprefix(PREFIX)]} ({column.name})"
        f" WHERE {column.name} IS NOT NULL"
        for name, column in PARTIAL_INDEXES.items()
    ]


def _rows(text: str, cursor: Any) -> Sequence[AnyRow]:
    """Return what *cursor* found, as named tuples."""
    if cursor.description is None:
        return ()
    make = _row_types.get(text)
    if make is None:
        # Some columns are expressions without a name.
        row_type = namedtuple("Row", [column[0] for column in cursor.description], rename=True)  # type: ignore[misc]  # noqa: PYI024
        make = _row_types[text] = row_type._make
    return [make(row) for row in cursor.fetchall()]


#: What makes a row of the answer to each statement.
_row_types: dict[str, Callable[[Any], AnyRow]] = {}


def _driver_connection(connection: Connection) -> Any:
    """Return the driver's connection: statements of the hot path spare SQLAlchemy's bookkeeping."""
    return connection.connection.dbapi_connection
