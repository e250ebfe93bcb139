"""
Counts what goes to a database: transactions, statements, and rows.

Rule: it counts what the provider asks for, the same on every database; `Statements` counts what the driver is told.
"""

from __future__ import annotations

import threading

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, define, field
from sqlalchemy import Connection, Engine, create_engine, event, make_url

from ..providers.sql import SqlProvider
from ..providers.sql.dialects import Dialect, Use
from ..providers.sql.statements import AnyRow, Bulk, Query, Step, Values
from .places import Place


@define
class Counts:
    """What was asked of the database so far."""

    #: Transactions that wrote, committed.
    commits: int = 0
    #: Transactions that wrote, rolled back.
    rollbacks: int = 0
    #: Transactions that only asked.
    reads: int = 0
    #: Statements, without BEGIN and COMMIT; one for many rows is one.
    statements: int = 0
    #: Rows inserted, updated or deleted.
    rows_written: int = 0
    #: Rows that queries answered with.
    rows_read: int = 0
    #: Rows of history among those.
    history_rows_read: int = 0
    #: Notifications for other processes.
    notifications: int = 0

    def minus(self, other: Counts) -> Counts:
        """Return what has come since *other*."""
        before = asdict(other)
        return Counts(**{name: value - before[name] for name, value in asdict(self).items()})

    def copy(self) -> Counts:
        """Return how it stands now."""
        return Counts(**asdict(self))

    def each(self, times: int) -> dict[str, float]:
        """Return the counts divided by *times*."""
        return {name: value / times for name, value in asdict(self).items()}


class CountingDialect:
    """Another dialect, and a count of what goes through it."""

    def __init__(self, inner: Dialect) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        #: What each connection is in the middle of.
        self._use: dict[int, Use] = {}
        self.counts = Counts()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Count one statement, and the rows that it touched."""
        touched = self._inner.many(connection, bulk, rows)
        self._add(statements=1, rows_written=touched)
        return touched

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Count one statement, and the rows of its answer."""
        rows = self._inner.query(connection, query, keys, parameters)
        if not query.text.lstrip().upper().startswith(("SELECT", "WITH")):
            self._add(statements=1, rows_written=len(rows))
        elif "{history}" in query.text:
            self._add(statements=1, rows_read=len(rows), history_rows_read=len(rows))
        else:
            self._add(statements=1, rows_read=len(rows))
        return rows

    def steps(self, connection: Connection, steps: Sequence[Step]) -> bool:
        """Count a statement for each step, and its rows."""
        held = self._inner.steps(connection, steps)
        self._add(statements=len(steps), rows_written=sum(len(step.rows) for step in steps) if held else 0)
        return held

    def notify(self, connection: Connection, payload: str) -> None:
        """Count one notification, where the database has any."""
        self._inner.notify(connection, payload)
        if not self._inner.single_writer:
            self._add(notifications=1)

    def begin(self, connection: Connection, use: Use) -> None:
        """Take down what the transaction is for."""
        self._inner.begin(connection, use)
        with self._lock:
            self._use[id(connection)] = use

    def commit(self, connection: Connection) -> None:
        """Count a transaction that wrote."""
        self._inner.commit(connection)
        self._add(commits=1)

    def rollback(self, connection: Connection) -> None:
        """Count a transaction that only asked, or that failed."""
        self._inner.rollback(connection)
        with self._lock:
            use = self._use.get(id(connection))
        self._add(**{"rollbacks" if use is Use.WRITE else "reads": 1})

    def _add(self, **more: int) -> None:
        with self._lock:
            for name, value in more.items():
                setattr(self.counts, name, getattr(self.counts, name) + value)


def counting(provider: SqlProvider) -> Counts:
    """Count from now on what *provider* asks of its database. The counts go on growing."""
    database = provider._database  # noqa: SLF001  # the one place that looks behind the provider, to measure it
    dialect = CountingDialect(database.dialect)
    database.dialect = dialect
    return dialect.counts


@define
class Statements:
    """How many statements a driver was given, transactions' own included."""

    count: int = 0
    texts: dict[str, int] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def add(self, text: object) -> None:
        """Count one."""
        with self._lock:
            self.count += 1
            key = str(text)[:60]
            self.texts[key] = self.texts.get(key, 0) + 1


def statement_counting_engine(place: Place) -> tuple[Engine, Statements]:
    """Return an engine for *place* whose drivers count every statement."""
    seen = Statements()
    if not place.is_postgres:
        engine = create_engine(place.url, connect_args={"timeout": 60.0, "check_same_thread": False})

        @event.listens_for(engine, "connect")
        def _(driver: Any, _: object) -> None:
            driver.set_trace_callback(seen.add)

        return engine, seen

    import psycopg  # noqa: PLC0415  # an extra

    class CountingCursor(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **keywords: Any) -> Any:
            seen.add(query)
            return super().execute(query, *arguments, **keywords)

    url = make_url(place.url).set(drivername="postgresql+psycopg")
    arguments = {"prepare_threshold": None, "cursor_factory": CountingCursor}
    return create_engine(url, connect_args=arguments, pool_size=10), seen
