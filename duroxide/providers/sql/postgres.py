"""
Postgres: many writers, who are kept from each other row by row; what counts is the number of round trips.

Rule: nothing here depends on session state that a transaction-mode pooler would lose: table names are qualified,
locks of the database end with the transaction, and statements are prepared only where a connection is known to
lead to one and the same session (`postgres_session`).
"""

from __future__ import annotations

import zlib

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, inspect

from ...errors import ProviderError
from .dialect import NO_TABLES, Conflict, Use, driver_connection, driver_error, only_reads, reported
from .postgres_literals import array_literals, literal
from .postgres_session import Answer, Call, Session
from .schema import STORAGE
from .statements import (
    NOT_EXACT,
    AnyRow,
    Ask,
    Bulk,
    Query,
    Step,
    Values,
    postgres_bulk,
    postgres_exact_bulk,
    postgres_query,
)
from .tables import PREFIX, TABLE_NAMES


def _settings(**values: str) -> Call:
    """Return what changes settings for the rest of the transaction."""
    changes = [f"set_config('{name}', '{value}', true)" for name, value in values.items()]
    return Call("SELECT " + ", ".join(changes))


#: Find rows one by one, in the order in which they are given. Two batches that meet in several rows would otherwise lock
#: them in the order of their plans, and wait for each other in a circle. So there is one plan for each statement, and no
#: use in planning a prepared one again. And rows that are asked for in the order of an index are read from it until there
#: are enough: a planner without statistics, or with those of a queue that was empty, would collect and sort all that wait.
_ONE_BY_ONE = {
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
}
_IN_ORDER = _settings(**_ONE_BY_ONE)
_NEED_NOT_LAST = _settings(**_ONE_BY_ONE, synchronous_commit="off")

#: psycopg's ConnStatus.OK.
_CONNECTION_OK = 0

#: What a transaction begins with.
_OPENINGS: Mapping[Use, tuple[str, ...]] = {
    Use.READ: (),
    Use.WRITE: ("BEGIN",),
    Use.LEASE: ("BEGIN",),
    Use.SNAPSHOT: ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",),
}

_NOTIFY = Bulk("channel text, payload text", "SELECT pg_notify(:channel, :payload) {rows}")

_CLAIM_IDS = Query(
    "SELECT pg_advisory_xact_lock(hashtextextended(k.p_instance_id, :seed)) FROM {keys}", "instance_id text"
)
# The same locks; the division says `NOT_EXACT`.
_TRY_TO_CLAIM = Bulk(
    "instance_id text, seed bigint",
    "SELECT 1 / pg_try_advisory_xact_lock(hashtextextended(:instance_id, :seed))::int {rows}",
)
_CLAIMED_BY_OTHERS = Query(
    "SELECT k.p_instance_id FROM {keys} WHERE NOT pg_try_advisory_xact_lock(hashtextextended(k.p_instance_id, :seed))",
    "instance_id text",
)


class PostgresDialect:
    """Postgres: many writers; what counts is the number of round trips."""

    name = "Postgres"
    single_writer = False

    # What the server calls a serialisation failure and a deadlock.
    _CONTENTION = frozenset({"40001", "40P01"})
    # A statement that the server has prepared already, or not: another session than the one before.
    _PREPARED = frozenset({"42P05", "26000"})
    _NO_TABLE = "42P01"
    # A statement was prepared before the type of a column was changed.
    _OTHER_TYPES = "0A000"
    # A standby, or a server in maintenance.
    _READ_ONLY = "25006"
    # Connection lost, resources short, server going down, lock not available, cached plan, query cancelled.
    _TRANSIENT = ("08", "53", "57", "55P03", _OTHER_TYPES, "40", _READ_ONLY)

    def __init__(self, schema: str | None, channel: str, *, owns_engine: bool = True, read_only: bool = False) -> None:
        self._read_only = read_only
        self._owns_engine = owns_engine
        self._may_prepare = True
        prefix = "" if schema is None else '"' + schema.replace('"', '""') + '".'
        seed = zlib.crc32(channel.encode())
        self._channel = channel
        self._guard = seed
        self._words = {name: f"{prefix}{table}" for name, table in TABLE_NAMES.items()}
        self._words |= {
            "for_update": "FOR UPDATE",
            "skip_locked": "FOR UPDATE OF w SKIP LOCKED",
            # Not SKIP LOCKED on the messages: two fetchers that each hold a message of one instance, and both want
            # all of them, would wait for each other.
            "nobody_else_claims": f"pg_try_advisory_xact_lock(hashtextextended(c.instance_id, {seed}))",
        }
        self._texts: dict[Bulk, str] = {}
        self._exact_texts: dict[Bulk, str] = {}
        self._queries: dict[Query, tuple[str, tuple[str, ...]]] = {}

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* once, with an array for each column."""
        (answer,) = self._run(Session.of(connection), [self._bulk_call(Step(bulk, rows))])
        return answer.count

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Run *query*; its keys travel as arrays."""
        (rows,) = self.queries(connection, [Ask(query, keys, parameters)])
        return rows

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Sequence[Sequence[AnyRow]]:
        """Send all at once, and wait once."""
        return [answer.rows for answer in self._run(Session.of(connection), [self._ask_call(ask) for ask in asks])]

    def finish(
        self, connection: Connection, steps: Sequence[Step], asks: Sequence[Ask], notification: str | None
    ) -> Sequence[Sequence[AnyRow]] | None:
        """Send the commit along."""
        told = [] if notification is None else [self.notification(notification)]
        calls = [self._bulk_call(step) for step in [*steps, *told]]
        calls += [self._ask_call(ask) for ask in asks]
        answers = self._run(Session.of(connection), calls, closing=("COMMIT",))
        return [answer.rows for answer in answers[len(answers) - len(asks) :]]

    def is_alive(self, connection: Connection) -> bool:
        """Look at what has come in unasked: the server's farewell, or the end of the connection."""
        pgconn = Session.of(connection).driver.pgconn
        try:
            pgconn.consume_input()
        except Exception as error:
            if not self.is_transient(error):
                raise
        return int(pgconn.status) == _CONNECTION_OK

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> bool:
        """Send all at once, and wait once."""
        question = None if ask is None else self._ask_call(ask)
        with self._conflicts():
            answers = self._run(Session.of(connection), self._calls(steps, question))
        return question is not None and bool(answers[-1].rows)

    def transact(
        self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str
    ) -> Callable[[], bool]:
        """
        Do without BEGIN and COMMIT: a script is a transaction by itself.

        The steps themselves say whether they held, in a way that undoes it.
        """
        if self._read_only:
            raise only_reads()
        session = Session.of(connection)
        question = None if ask is None else self._telling_call(ask, tell)
        sent = session.send(self._calls(steps, question), prepare=self._prepares(session))

        def answer() -> bool:
            with self._conflicts():
                return sent.finds() and question is not None

        return answer

    def _calls(self, steps: Sequence[Step], question: Call | None) -> list[Call]:
        calls = [self._exact_call(step) if step.exact else self._bulk_call(step) for step in steps]
        return [_IN_ORDER, *calls] if question is None else [_IN_ORDER, *calls, question]

    @contextmanager
    def _conflicts(self) -> Iterator[None]:
        """Call a conflict by its name."""
        try:
            yield
        except Exception as error:
            if self.is_conflict(error) or self._state(error) == NOT_EXACT:
                raise Conflict(str(error)) from error
            raise

    def _run(self, session: Session, calls: Sequence[Call], *, closing: Sequence[str] = ()) -> list[Answer]:
        return session.run(calls, prepare=self._prepares(session), closing=closing)

    def _prepares(self, session: Session) -> bool:
        # Our own engine prepares nothing by itself; if somebody else's may not, they have a reason.
        return self._may_prepare and (self._owns_engine or session.driver.prepare_threshold is not None)

    # Statements

    def _bulk_call(self, step: Step) -> Call:
        bulk = step.bulk
        text = self._texts.get(bulk)
        if text is None:
            text = self._texts[bulk] = postgres_bulk(bulk, self._words)
        return Call(text, array_literals(bulk.columns, step.rows))

    def _exact_call(self, step: Step) -> Call:
        bulk = step.bulk
        text = self._exact_texts.get(bulk)
        if text is None:
            text = self._exact_texts[bulk] = postgres_exact_bulk(bulk, self._words)
        return Call(text, [*array_literals(bulk.columns, step.rows), str(len(step.rows))])

    def _ask_call(self, ask: Ask) -> Call:
        compiled = self._queries.get(ask.query)
        if compiled is None:
            compiled = self._queries[ask.query] = postgres_query(ask.query, self._words)
        text, names = compiled
        literals = [] if ask.keys is None else array_literals(ask.query.columns, ask.keys)
        return Call(text, [*literals, *(literal(ask.parameters[name]) for name in names)])

    def _telling_call(self, ask: Ask, payload: str) -> Call:
        """Return *ask* as a statement that notifies of *payload*, if there is an answer."""
        call = self._ask_call(ask)
        text = f"SELECT pg_notify({literal(self._channel)}, {literal(payload)}) FROM ({call.text}) AS answer"  # noqa: S608  # ours
        return Call(text, call.literals)

    def note_failure(self, error: BaseException) -> None:
        """Prepare nothing any more, if the session turned out to be another one."""
        if self._state(error) in self._PREPARED:
            self._may_prepare = False

    def begin(self, connection: Connection, use: Use) -> None:
        """Let the first script begin the transaction: that spares a round trip."""
        if self._read_only and use in {Use.WRITE, Use.LEASE}:
            raise only_reads()
        session = Session.of(connection)
        session.opening = _OPENINGS[use]
        session.settings = _NEED_NOT_LAST if use is Use.LEASE else None

    def attempt(self, connection: Connection, work: Callable[[], None]) -> Exception | None:
        """Writers do not exclude each other, and need not share a transaction."""
        raise NotImplementedError

    def commit(self, connection: Connection, notification: str | None = None) -> None:
        """Make the transaction last; the notification goes the same way."""
        session = Session.of(connection)
        if session.opening:
            session.opening, session.settings = (), None
            return
        calls = [] if notification is None else [self._bulk_call(self.notification(notification))]
        self._run(session, calls, closing=("COMMIT",))

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction, if it has begun."""
        session = Session.of(connection)
        session.opening, session.settings = (), None
        if session.is_in_transaction:
            session.driver.execute("ROLLBACK", prepare=False)

    def notification(self, payload: str) -> Step:
        """Tell those who listen, when the transaction commits."""
        return Step(_NOTIFY, [(self._channel, payload)])

    def notify(self, connection: Connection, payload: str) -> None:
        """Tell those who listen, when the transaction commits."""
        self.many(connection, _NOTIFY, [(self._channel, payload)])

    def guard_schema(self, connection: Connection) -> None:
        """Wait for the schema's lock, which ends with the transaction."""
        numbers = [literal(0x6475726F), literal(self._guard & 0x7FFFFFFF)]
        self._run(Session.of(connection), [Call("SELECT pg_advisory_xact_lock($1, $2)", numbers)])

    def has_table(self, connection: Connection, table: str, schema: str | None) -> bool:
        """Ask SQLAlchemy, which knows where to look."""
        return inspect(connection).has_table(table, schema=schema)

    def check_texts(self, connection: Connection) -> None:
        """Refuse a database whose encoding is not UTF8: ids and names may be of any language."""
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            message = (
                f"the database's encoding is {encoding}, which cannot hold every text. Use another database, made with"
                " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0."
            )
            raise ProviderError("initialize", message, retryable=False)

    def user(self, connection: Connection) -> str | None:
        """Return the role, also where the URL leaves it to the system."""
        return str(driver_connection(connection).info.user)

    def claim_ids(self, instance_ids: Sequence[str]) -> Sequence[Ask]:
        """Take a lock for each id; other numbers than those of `nobody_else_claims`, which is for another purpose."""
        return [Ask(_CLAIM_IDS, [(instance_id,) for instance_id in instance_ids], {"seed": ~self._guard})]

    def try_claim_ids(self, instance_ids: Sequence[str]) -> tuple[Sequence[Step], Sequence[Ask]]:
        """Take the same locks, where they are free."""
        seed = ~self._guard
        step = Step(_TRY_TO_CLAIM, [(instance_id, seed) for instance_id in instance_ids])
        return [step], [Ask(_CLAIMED_BY_OTHERS, [(instance_id,) for instance_id in instance_ids], {"seed": seed})]

    def find_one_by_one(self, connection: Connection) -> None:
        """Leave the planner no other way: it takes the few rows of a recursion for thousands, and reads whole indexes."""
        session = Session.of(connection)
        if session.is_in_transaction:
            self._run(session, [_IN_ORDER])
        else:
            session.settings = _IN_ORDER  # goes the same way as the first question

    def definitions(self) -> Sequence[str]:
        """Return nothing: what creates the tables depends on the schema."""
        return ()

    def storage(self) -> Sequence[str]:
        """Return what says how tables are stored."""
        storage = []
        for table, settings in STORAGE.items():
            listed = ", ".join(f"{name} = {value}" for name, value in settings.items())
            storage.append(f"ALTER TABLE {self._words[table.name.removeprefix(PREFIX)]} SET ({listed})")
        return storage

    def database_now_ms(self, connection: Connection) -> int | None:
        """Return the time of the server."""
        result = connection.exec_driver_sql("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
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
        return self._state(error) in {self._READ_ONLY, self._OTHER_TYPES, *self._PREPARED}

    def reason(self, error: BaseException) -> str:
        """Return what the server or the driver says."""
        if self._state(error) in self._PREPARED:
            return f"{reported(error)}. Behind a pooler: create_engine(..., connect_args={{'prepare_threshold': None}})"
        if isinstance(error, UnicodeEncodeError):
            return f"{reported(error)}. Use create_engine(..., connect_args={{'client_encoding': 'utf8'}})"
        if self._state(error) == self._NO_TABLE:
            return f"{reported(error)}. {NO_TABLES}"
        return reported(error)

    @staticmethod
    def _state(error: BaseException) -> str | None:
        return getattr(driver_error(error), "sqlstate", None)
