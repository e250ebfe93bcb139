"""
Counts what goes to a database: transactions, statements, and rows.

`watch` counts what a provider asks for, call by call and the same on every database; `statement_counting_engine`
counts everything that a driver is told.
"""

from __future__ import annotations

import re
import threading

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from attrs import asdict, define, field, frozen
from sqlalchemy import Connection, Engine, create_engine, event, make_url

from .._clock import monotonic
from ..providers.sql import SqlProvider
from ..providers.sql.dialect import Dialect, Use
from ..providers.sql.schema import TABLES
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


@frozen
class Asked:
    """One thing that a database was asked: a statement, several sent together, or the end of a transaction."""

    #: Such as ``INSERT history``; of several together, joined by a semicolon.
    what: str
    rows: int
    seconds: float


@define
class Call:
    """One call of a provider's method, and what it asked of the database."""

    operation: str
    counts: Counts = field(factory=Counts)
    #: When it began, in seconds of `monotonic`, and in which thread.
    begun: float = 0.0
    seconds: float = 0.0
    thread: str = ""
    asked: list[Asked] = field(factory=list)


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

    def so_far(self) -> list[Call]:
        """Return all calls that have ended, in that order."""
        with self._lock:
            return list(self.all)

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
        if name == "send_turns":
            # What is under way beside other work cannot be measured by itself.
            raise AttributeError(name)
        found = getattr(self._provider, name)
        if not callable(found) or name == "now_ms":
            return found

        def call(*arguments: Any, **keywords: Any) -> Any:
            self._before(name, arguments)
            made = Call(name, begun=monotonic(), thread=threading.current_thread().name)
            token = _current.set(made)
            try:
                return found(*arguments, **keywords)
            finally:
                made.seconds = monotonic() - made.begun
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
        begun = monotonic()
        touched = self._inner.many(connection, bulk, rows)
        _add(_name(bulk), touched, begun, statements=1, rows_written=touched)
        return touched

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Any:
        """Count one statement, and the rows of its answer."""
        begun = monotonic()
        rows = self._inner.query(connection, query, keys, parameters)
        _add(_name(query), len(rows), begun, **_counts_of(query, rows))
        return rows

    def finish(self, *_: object) -> None:
        """Leave it to the others: it is the same statements."""

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Sequence[Any]:
        """Count each as a statement; their time is one wait for all of them."""
        if self.single_writer:
            return [self.query(connection, ask.query, ask.keys, ask.parameters) for ask in asks]
        begun = monotonic()
        answers = self._inner.queries(connection, asks)
        counts = Counts()
        for ask, rows in zip(asks, answers, strict=True):
            counts = counts.plus(Counts(**_counts_of(ask.query, rows)))
        name = "; ".join(_name(ask.query) for ask in asks)
        _add(name, sum(map(len, answers)), begun, **asdict(counts))
        return answers

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> bool:
        """Count a statement for each step, and its rows."""
        if not self.single_writer:
            begun = monotonic()
            answer = self._inner.steps(connection, steps, ask)
            _add_steps(steps, ask, begun)
            return answer
        # Where each is a statement by itself, its time is its own.
        for step in steps:
            begun = monotonic()
            self._inner.steps(connection, [step])
            _add_steps([step], None, begun)
        return ask is not None and bool(self.query(connection, ask.query, ask.keys, ask.parameters))

    def transact(
        self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str
    ) -> Callable[[], bool]:
        """Count a transaction of steps, the last of which may be a notification."""
        begun = monotonic()
        wait = self._inner.transact(connection, steps, ask, tell=tell)

        def answer() -> bool:
            found = wait()
            notifies = steps[-1].bulk is self._inner.notification("").bulk
            _add_steps(steps[:-1] if notifies else steps, ask, begun, notifications=int(notifies), commits=1)
            return found

        return answer

    def notify(self, connection: Connection, payload: str) -> None:
        """Count one notification, where the database has any."""
        begun = monotonic()
        self._inner.notify(connection, payload)
        if not self.single_writer:
            _add("NOTIFY", 0, begun, notifications=1)

    def begin(self, connection: Connection, use: Use) -> None:
        """Take down what the transaction is for."""
        begun = monotonic()
        self._inner.begin(connection, use)
        self._use[id(connection)] = use
        _add("BEGIN", 0, begun)

    def commit(self, connection: Connection, notification: str | None = None) -> None:
        """Count a transaction that wrote."""
        begun = monotonic()
        self._inner.commit(connection, notification)
        notifies = notification is not None and not self.single_writer
        _add("NOTIFY; COMMIT" if notifies else "COMMIT", 0, begun, commits=1, notifications=int(notifies))

    def rollback(self, connection: Connection) -> None:
        """Count a transaction that only asked, or that failed."""
        begun = monotonic()
        self._inner.rollback(connection)
        kind = "rollbacks" if self._use.get(id(connection)) in {Use.WRITE, Use.LEASE} else "reads"
        _add("ROLLBACK", 0, begun, **{kind: 1})


def _counts_of(query: Query, rows: Sequence[Any]) -> dict[str, int]:
    """Return what *query*, answered by *rows*, counts as."""
    if not query.text.lstrip().upper().startswith(("SELECT", "WITH")):
        return {"statements": 1, "rows_written": len(rows)}
    history = len(rows) if "{history}" in query.text else 0
    return {"statements": 1, "rows_read": len(rows), "history_rows_read": history}


def _add_steps(steps: Sequence[Step], ask: Ask | None, begun: float, **more: int) -> None:
    # Some only lock something, or tell somebody.
    rows = sum(len(step.rows) for step in steps if not step.bulk.text.startswith("SELECT"))
    asked = () if ask is None else (_name(ask.query),)
    ending = ("COMMIT",) if "commits" in more else ()
    name = "; ".join([*(_name(step.bulk) for step in steps), *asked, *ending])
    _add(name, rows, begun, statements=len(steps) + len(asked), rows_written=rows, **more)


#: The verb of a statement, and the first table that it names.
_VERB = re.compile(r"\b(INSERT|UPDATE|DELETE|SELECT)\b")
_TABLE = re.compile(r"\{([a-z_]+)\}")


def _name(statement: Bulk | Query) -> str:
    """Return what *statement* does, in two words."""
    verbs = _VERB.findall(statement.text)
    tables = [name for name in _TABLE.findall(statement.text) if name in TABLES]
    verb = next((each for each in verbs if each != "SELECT"), "SELECT")
    return f"{verb} {tables[0] if tables else ''}".strip()


def _add(what: str, rows: int, begun: float, **more: int) -> None:
    call = _current.get()
    if call is not None:
        call.asked.append(Asked(what, rows, monotonic() - begun))
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
