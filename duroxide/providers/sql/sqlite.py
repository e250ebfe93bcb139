"""SQLite: one writer at a time, no round trips, and no other process that could be told of anything."""

from __future__ import annotations

import json
import sqlite3
import sys

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from .dialect import NO_TABLES, Conflict, Use, driver_connection, driver_error, execute, only_reads, reported, rows_of
from .statements import (
    AnyRow,
    Ask,
    Bulk,
    Query,
    Step,
    Values,
    in_text_order,
    sqlite_bulk,
    sqlite_inserting,
    sqlite_query,
)
from .tables import PREFIX, TABLE_NAMES


_WRITING = frozenset({Use.WRITE, Use.LEASE})

#: Whether parameters are numbered, so that a value is given once for all its places. Python 3.12.0 to 3.12.3 took numbers
#: for names, and warned of each statement, an error where warnings are (CPython issue 117995).
NUMBERED = not (3, 12) <= sys.version_info < (3, 12, 4)

#: Rows that one INSERT takes at most. Each run of a statement lets go of the GIL twice, to whoever waits for it; and the
#: numbers of rows are powers of two, so that the texts are few and stay prepared.
_PORTION = 64

_SCHEMA = Path(__file__).with_name("schema.sqlite.sql")

_NOTHING = Step(Bulk("", ""), ())


class SqliteDialect:
    """SQLite: one writer at a time; another row costs next to nothing."""

    name = "SQLite"
    single_writer = True

    _BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
    #: What may pass, and what to do about it.
    _REMEDIES: Mapping[int, str] = {
        sqlite3.SQLITE_IOERR: "Check the disk that holds the file",
        sqlite3.SQLITE_FULL: "Make room on the disk",
        sqlite3.SQLITE_CANTOPEN: (
            "Check that its folder exists, and that this user may create files in it, or, "
            "if it is only to be read, that it is there; a folder is no database"
        ),
        sqlite3.SQLITE_READONLY: "Let this user write to the file, to its -wal and -shm, and to their folder",
    }

    #: What does not pass by itself.
    _REPAIRS: Mapping[int, str] = {
        sqlite3.SQLITE_NOTADB: "Give the path of an SQLite database, or of a file that is still to be made",
        sqlite3.SQLITE_CORRUPT: "Restore it from a backup",
    }

    def __init__(self, *, relaxes: bool = False, read_only: bool = False) -> None:
        self._read_only = read_only
        # With synchronous=FULL, leases do without it. The next commit that does not makes them last, too.
        self._relaxes = relaxes
        self._is_used_for = Use.WRITE
        self._words = {
            **TABLE_NAMES,
            "for_update": "",
            "skip_locked": "",
            "nobody_else_claims": "TRUE",
        }
        self._texts: dict[Bulk | Query, str] = {}
        self._inserting_texts: dict[tuple[Bulk, int], str] = {}

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* once for each row, or for a portion of them."""
        cursor = driver_connection(connection).cursor()
        try:
            return self._write(cursor, bulk, rows)
        finally:
            cursor.close()

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Run *query*; its keys travel as JSON."""
        text = self._texts.get(query)
        if text is None:
            text = self._texts[query] = sqlite_query(query, self._words)
        given = parameters if keys is None else {**parameters, "keys": json.dumps(keys)}
        return rows_of(text, driver_connection(connection).execute(text, given))

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> bool:
        """Run *steps* until one does not hold."""
        cursor = driver_connection(connection).cursor()
        try:
            for step in steps:
                touched = self._write(cursor, step.bulk, step.rows)
                if step.exact and touched != len(step.rows):
                    msg = f"{touched} rows instead of {len(step.rows)}"
                    raise Conflict(msg)
        except sqlite3.IntegrityError as error:
            raise Conflict(str(error)) from error
        finally:
            cursor.close()
        return ask is not None and bool(self.query(connection, ask.query, ask.keys, ask.parameters))

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Sequence[Sequence[AnyRow]]:
        """Run one after the other."""
        return [self.query(connection, ask.query, ask.keys, ask.parameters) for ask in asks]

    def finish(
        self, connection: Connection, steps: Sequence[Step], asks: Sequence[Ask], notification: str | None
    ) -> Sequence[Sequence[AnyRow]] | None:
        """Do nothing: there are no round trips."""
        return None

    def is_alive(self, connection: Connection) -> bool:
        """Nobody else can close a file of ours."""
        return True

    def transact(
        self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str
    ) -> Callable[[], bool]:
        """Round trips cost nothing here, and there is one connection that writes."""
        raise NotImplementedError

    def note_failure(self, error: BaseException) -> None:
        """Do nothing: there is nothing to learn."""

    def begin(self, connection: Connection, use: Use) -> None:
        """Take the write lock at once for writing: upgrading later fails whatever the busy timeout."""
        driver = driver_connection(connection)
        if use in _WRITING:
            if self._read_only:
                raise only_reads()
            if self._relaxes and use is not self._is_used_for:
                driver.execute("PRAGMA synchronous=" + ("NORMAL" if use is Use.LEASE else "FULL"))
                self._is_used_for = use
            driver.execute("BEGIN IMMEDIATE")
        elif use is Use.SNAPSHOT:
            driver.execute("BEGIN")

    def attempt(self, connection: Connection, work: Callable[[], None]) -> Exception | None:
        """Put *work* between savepoints."""
        driver = driver_connection(connection)
        driver.execute("SAVEPOINT attempt")
        try:
            work()
        except Exception as error:
            if not driver.in_transaction:
                raise  # SQLite has given up all of it: the disk is full, or broken
            driver.execute("ROLLBACK TO attempt")
            driver.execute("RELEASE attempt")
            return error
        driver.execute("RELEASE attempt")
        return None

    def commit(self, connection: Connection, notification: str | None = None) -> None:
        """Make the transaction last. Other processes look at ``PRAGMA data_version``."""
        driver_connection(connection).execute("COMMIT")

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction, unless SQLite has done so already (disk full, I/O error)."""
        if driver_connection(connection).in_transaction:
            driver_connection(connection).execute("ROLLBACK")

    def notification(self, payload: str) -> Step:
        """Do nothing: other processes look at ``PRAGMA data_version``."""
        return _NOTHING

    def notify(self, connection: Connection, payload: str) -> None:
        """Do nothing, likewise."""

    def guard_schema(self, connection: Connection) -> None:
        """Do nothing: the write lock keeps everybody else out."""

    def has_table(self, connection: Connection, table: str, schema: str | None) -> bool:
        """Look into SQLite's own list."""
        found = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{table}'"  # noqa: S608  # ours
        return execute(connection, found).fetchone() is not None

    def check_texts(self, connection: Connection) -> None:
        """Do nothing: every encoding that SQLite knows is Unicode."""

    def user(self, connection: Connection) -> str | None:
        """Return None: SQLite has no users."""
        return None

    def claim_ids(self, instance_ids: Sequence[str]) -> Sequence[Ask]:
        """Do nothing: the write lock keeps everybody else out."""
        return ()

    def try_claim_ids(self, instance_ids: Sequence[str]) -> tuple[Sequence[Step], Sequence[Ask]]:
        """Do nothing, likewise."""
        return (), ()

    def find_one_by_one(self, connection: Connection) -> None:
        """Do nothing: SQLite does so anyway."""

    def definitions(self) -> Sequence[str]:
        """Return what was made from `schema.py`: to make it again would be the longest part of a first start."""
        text = _SCHEMA.read_text(encoding="utf-8")
        return text.removeprefix("BEGIN;\n").removesuffix(";\nCOMMIT;\n").split(";\n")

    def storage(self) -> Sequence[str]:
        """Do nothing: there is nothing to choose."""
        return ()

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
        if getattr(driver_error(error), "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY_SNAPSHOT:
            return (
                "was written to by others since this transaction, which is the caller's, has read. Roll it back, and begin it"
                " again: with a write, or with BEGIN IMMEDIATE"
            )
        if self.is_contention(error):
            return (
                "is kept locked by a transaction of another process, or by one of your own. Let that commit, or end it; to"
                " write in your own, pass connection="
            )
        remedy = {**self._REMEDIES, **self._REPAIRS}.get(self._code(error) or 0)
        if f"no such table: {PREFIX}" in str(driver_error(error)):  # SQLite has no code for it
            remedy = NO_TABLES
        return reported(error) if remedy is None else f"{reported(error)}. {remedy}"

    @staticmethod
    def _code(error: BaseException) -> int | None:
        code = getattr(driver_error(error), "sqlite_errorcode", None)
        # The lower byte is the kind of error, the rest a detail.
        return None if code is None else code & 0xFF

    def _write(self, cursor: sqlite3.Cursor, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* for *rows*; return how many rows it touched."""
        if bulk.into is None:
            given = rows if NUMBERED else in_text_order(bulk, rows)
            return cursor.executemany(self._bulk_text(bulk), given).rowcount
        begun = 0
        while begun < len(rows):
            count = min(1 << (len(rows) - begun).bit_length() - 1, _PORTION)
            values = rows[begun] if count == 1 else list(chain.from_iterable(rows[begun : begun + count]))
            cursor.execute(self._inserting_text(bulk, count), values)
            begun += count
        return begun

    def _inserting_text(self, bulk: Bulk, count: int) -> str:
        text = self._inserting_texts.get((bulk, count))
        if text is None:
            text = self._inserting_texts[bulk, count] = sqlite_inserting(bulk, self._words, count)
        return text

    def _bulk_text(self, bulk: Bulk) -> str:
        text = self._texts.get(bulk)
        if text is None:
            text = self._texts[bulk] = sqlite_bulk(bulk, self._words, numbered=NUMBERED)
        return text
