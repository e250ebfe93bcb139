"""
What SQLite and Postgres do differently, behind a few names.

Rule: nothing here depends on session state that a transaction-mode pooler would lose: table names are qualified,
nothing is prepared, locks of the database end with the transaction.
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
    AnyRow,
    Bulk,
    Query,
    Step,
    Values,
    postgres_arrays,
    postgres_bulk,
    postgres_query,
    sqlite_bulk,
    sqlite_query,
)


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

    def __init__(self) -> None:
        self._words = {name: table.name for name, table in TABLES.items()}
        self._words |= {"for_update": "", "skip_locked": "", "nobody_else_claims": "TRUE", "indexes_only_from_here": ""}
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

    def steps(self, connection: Connection, steps: Sequence[Step]) -> bool:
        """Run *steps* until one does not hold."""
        cursor = _driver_connection(connection).cursor()
        try:
            for step in steps:
                cursor.executemany(self._bulk_text(step.bulk), step.rows)
                if step.exact and cursor.rowcount != len(step.rows):
                    return False
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from error
        finally:
            cursor.close()
        return True

    def begin(self, connection: Connection, use: Use) -> None:
        """Take the write lock at once for writing: upgrading later fails whatever the busy timeout."""
        if use is not Use.READ:
            _driver_connection(connection).execute("BEGIN IMMEDIATE" if use is Use.WRITE else "BEGIN")

    def commit(self, connection: Connection) -> None:
        """Make the transaction last."""
        _driver_connection(connection).execute("COMMIT")

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction, unless SQLite has done so already (disk full, I/O error)."""
        if _driver_connection(connection).in_transaction:
            _driver_connection(connection).execute("ROLLBACK")

    def notify(self, connection: Connection, payload: str) -> None:
        """Do nothing: other processes look at ``PRAGMA data_version``."""

    def guard_schema(self, connection: Connection) -> None:
        """Do nothing: the write lock keeps everybody else out."""

    def claim_ids(self, connection: Connection, instance_ids: Sequence[str]) -> None:
        """Do nothing: the write lock keeps everybody else out."""

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
#: several rows would otherwise lock them in the order of their plans, and wait for each other in a circle.
_IN_ORDER = "SELECT " + ", ".join(
    f"set_config('{setting}', 'off', true)" for setting in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan")
)


class PostgresDialect:
    """Postgres: many writers; what counts is the number of round trips."""

    name = "Postgres"
    single_writer = False
    isolation: Mapping[Use, str] = {
        Use.WRITE: "READ COMMITTED",
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

    def __init__(self, schema: str | None, channel: str) -> None:
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
            # Not SKIP LOCKED on the messages: two fetchers that each hold a message of one instance, and both want
            # all of them, would wait for each other.
            "nobody_else_claims": f"pg_try_advisory_xact_lock(hashtextextended(c.instance_id, {seed}))",
        }
        self._texts: dict[Bulk | Query, str] = {}

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* once, with an array for each column."""
        return connection.exec_driver_sql(self._bulk_text(bulk), postgres_arrays(bulk.columns, rows)).rowcount

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Run *query*; its keys travel as arrays."""
        text = self._texts.get(query)
        if text is None:
            text = self._texts[query] = postgres_query(query, self._words)
        given = dict(parameters)
        if keys is not None:
            given |= {f"key{position}": column for position, column in enumerate(postgres_arrays(query.columns, keys))}
        with _driver_connection(connection).cursor() as cursor:
            return _rows(text, cursor.execute(text, given))

    def steps(self, connection: Connection, steps: Sequence[Step]) -> bool:
        """Send all *steps* at once (a pipeline), and wait once."""
        try:
            cursors = self._in_pipeline(_driver_connection(connection), steps)
        except Exception as error:
            if self.is_conflict(error):
                raise Conflict(str(error)) from error
            raise
        return all(cursor.rowcount == len(step.rows) for cursor, step in zip(cursors, steps, strict=True) if step.exact)

    def _in_pipeline(self, driver: Any, steps: Sequence[Step]) -> list[Any]:
        """Return the cursor of each step."""
        cursors = []
        failure: Exception | None = None
        try:
            with driver.pipeline():
                try:
                    if any(step.exact and len(step.rows) > 1 for step in steps):
                        driver.execute(_IN_ORDER, prepare=False)
                    for step in steps:
                        cursor = driver.cursor()
                        cursors.append(cursor)
                        arrays = postgres_arrays(step.bulk.columns, step.rows)
                        cursor.execute(self._bulk_text(step.bulk), arrays, prepare=False)
                except Exception as error:  # noqa: BLE001  # raised below: a pipeline that ends in one writes to the log
                    failure = error
        except Exception as error:  # noqa: BLE001  # re-raised
            raise failure or error from None
        if failure is not None:
            raise failure
        return cursors

    def begin(self, connection: Connection, use: Use) -> None:
        """Do nothing: the driver begins with the first statement."""

    def commit(self, connection: Connection) -> None:
        """Make the transaction last."""
        _driver_connection(connection).commit()

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction."""
        _driver_connection(connection).rollback()

    def notify(self, connection: Connection, payload: str) -> None:
        """Tell those who listen, when the transaction commits."""
        connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (self._channel, payload))

    def guard_schema(self, connection: Connection) -> None:
        """Wait for the schema's lock, which ends with the transaction."""
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (0x6475726F, self._guard & 0x7FFFFFFF))

    def claim_ids(self, connection: Connection, instance_ids: Sequence[str]) -> None:
        """Take a lock for each id; other numbers than those of `nobody_else_claims`, which is for another purpose."""
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended(id, %s)) FROM unnest(%s::text[]) AS id",
            (~self._guard, list(instance_ids)),
        )

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
        """Whether the server only reads: it was the primary, before a fail-over."""
        return self._state(error) == self._READ_ONLY

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


class ReadOnlyPostgresDialect(PostgresDialect):
    """Postgres, for engines whose transactions read only. Reads are transactions, as nothing else can be read-only."""

    isolation: Mapping[Use, str] = {**PostgresDialect.isolation, Use.READ: "READ COMMITTED"}


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
