"""
Counts what goes to a database: transactions, statements, and rows.

`watch` counts what a provider asks for, call by call and the same on every database; `statement_counting_engine`
counts everything that a driver is told.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from attrs import asdict, define, field, frozen
from sqlalchemy import Connection, Engine, create_engine, event, make_url

from .._clock import monotonic
from ..providers.sql import SqlProvider
from ..providers.sql.dialect import Dialect, Use
from ..providers.sql.statements import Ask, Bulk, Query, Step, Values
from .places import Place


@frozen
class Counts:
    """What was asked of a database."""

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

    def plus(self, other: Counts) -> Counts:
        """Return both together."""
        more = asdict(other)
        return Counts(**{name: value + more[name] for name, value in asdict(self).items()})


@define
class Call:
    """One call of a provider's method, and what it asked of the database."""

    operation: str
    counts: Counts = field(factory=Counts)
    seconds: float = 0.0


#: The call that this thread is in the middle of.
_current: ContextVar[Call | None] = ContextVar("_current", default=None)


@define
class Calls:
    """All calls so far, in the order in which they ended."""

    all: list[Call] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def of(self, operation: str, *, writing: bool = False) -> list[Call]:
        """Return the calls of one method; with *writing*, only those that wrote rows."""
        with self._lock:
            return [
                each for each in self.all if each.operation == operation and (each.counts.rows_written or not writing)
            ]

    def operations(self) -> list[str]:
        """Return the names of the methods called, in alphabetical order."""
        with self._lock:
            return sorted({each.operation for each in self.all})

    def clear(self) -> None:
        """Forget what was called."""
        with self._lock:
            self.all.clear()

    def add(self, call: Call) -> None:
        """Take down *call*, which has ended."""
        with self._lock:
            self.all.append(call)


def total(calls: Iterable[Call]) -> Counts:
    """Return the counts of all *calls* together."""
    found = Counts()
    for call in calls:
        found = found.plus(call.counts)
    return found


class _Watched:
    """A provider whose calls are taken down. *before* is told of each call, in its thread, before it is made."""

    def __init__(self, provider: SqlProvider, calls: Calls, before: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._provider = provider
        self._calls = calls
        self._before = before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._provider, name)
        if not callable(found) or name == "now_ms":
            return found

        def call(*arguments: Any, **keywords: Any) -> Any:
            self._before(name, arguments)
            made = Call(name)
            token = _current.set(made)
            begun = monotonic()
            try:
                return found(*arguments, **keywords)
            finally:
                made.seconds = monotonic() - begun
                _current.reset(token)
                self._calls.add(made)

        setattr(self, name, call)
        return call


def watch(
    provider: SqlProvider, *, before: Callable[[str, tuple[Any, ...]], None] = lambda _name, _arguments: None
) -> tuple[Any, Calls]:
    """Return a provider that does what *provider* does, and where its calls are taken down."""
    database = provider._database  # noqa: SLF001  # the one place that looks behind the provider, to measure it
    database.dialect = _CountingDialect(database.dialect)
    calls = Calls()
    return _Watched(provider, calls, before), calls


class _CountingDialect:
    """Another dialect; what goes through it is counted for the call under way."""

    def __init__(self, inner: Dialect) -> None:
        self._inner = inner
        # Asked for all the time, so not by way of __getattr__.
        self.name = inner.name
        self.single_writer = inner.single_writer
        #: What the transaction of each connection is for.
        self._use: dict[int, Use] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Count one statement, and the rows that it touched."""
        touched = self._inner.many(connection, bulk, rows)
        _add(statements=1, rows_written=touched)
        return touched

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Any:
        """Count one statement, and the rows of its answer."""
        rows = self._inner.query(connection, query, keys, parameters)
        _add_query(query, rows)
        return rows

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Sequence[Any]:
        """Count each as a statement."""
        answers = self._inner.queries(connection, asks)
        for ask, rows in zip(asks, answers, strict=True):
            _add_query(ask.query, rows)
        return answers

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> bool:
        """Count a statement for each step, and its rows."""
        answer = self._inner.steps(connection, steps, ask)
        _add_steps(steps, ask)
        return answer

    def transact(self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str) -> bool:
        """Count a transaction of steps, the last of which may be a notification."""
        answer = self._inner.transact(connection, steps, ask, tell=tell)
        if steps[-1].bulk is self._inner.notification("").bulk:
            steps = steps[:-1]
            _add(notifications=1)
        _add_steps(steps, ask)
        _add(commits=1)
        return answer

    def notify(self, connection: Connection, payload: str) -> None:
        """Count one notification, where the database has any."""
        self._inner.notify(connection, payload)
        if not self.single_writer:
            _add(notifications=1)

    def begin(self, connection: Connection, use: Use) -> None:
        """Take down what the transaction is for."""
        self._inner.begin(connection, use)
        self._use[id(connection)] = use

    def commit(self, connection: Connection, notification: str | None = None) -> None:
        """Count a transaction that wrote."""
        self._inner.commit(connection, notification)
        _add(commits=1, notifications=notification is not None and not self.single_writer)

    def rollback(self, connection: Connection) -> None:
        """Count a transaction that only asked, or that failed."""
        self._inner.rollback(connection)
        if self._use.get(id(connection)) in {Use.WRITE, Use.LEASE}:
            _add(rollbacks=1)
        else:
            _add(reads=1)


def _add_query(query: Query, rows: Sequence[Any]) -> None:
    if not query.text.lstrip().upper().startswith(("SELECT", "WITH")):
        _add(statements=1, rows_written=len(rows))
    else:
        _add(statements=1, rows_read=len(rows), history_rows_read=len(rows) if "{history}" in query.text else 0)


def _add_steps(steps: Sequence[Step], ask: Ask | None) -> None:
    statements = len(steps) + (ask is not None)
    _add(statements=statements, rows_written=sum(len(step.rows) for step in steps))


def _add(**more: int) -> None:
    call = _current.get()
    if call is not None:
        call.counts = call.counts.plus(Counts(**more))


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
