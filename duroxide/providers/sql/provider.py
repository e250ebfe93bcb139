"""
`SqlProvider`: the provider contract, one transaction an operation, on SQLite or Postgres.

What the operations do is in the module of their topic; here is how a provider is made and closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import count
from typing import Any, Self, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy import Dialect as SqlAlchemyDialect

from ..._clock import Clock
from ..._core.arguments import check_bool
from ..._core.audit import Violation
from ..._core.commit import ActivityLock, CommitResult, InstanceLock, Outgoing, TurnCommit
from ..._core.events import Event, KvEntry
from ..._core.messages import StartOrchestration
from ..._core.versions import VersionRange
from ...errors import InvalidInput, UnreadableHistory
from ..contract import (
    ActivityAck,
    ActivityItem,
    HistoryRequest,
    InstanceInfo,
    OrchestrationItem,
    Release,
    SessionClaim,
    TagFilter,
)
from ..pipelined import SentTurns
from ..wakeups import Changes, Wakeups
from . import activities, engines, orchestrations, reads, sessions
from .callers import connection_of
from .database import Database
from .dialect import Dialect, Use, only_reads
from .engines import check_engine, engine_for, identity_of, is_in_memory, place_of
from .inheritance import INHERITANCE
from .management import SqlManagement
from .migrate import check_readable, migrate
from .shared import SharedDatabase, hurry_when_committed, shared_database
from .sqlite import SqliteDialect
from .transaction import Transaction
from .turns import SentCommits
from .watcher import DataVersionEar, NotificationEar, Watcher


ResultT = TypeVar("ResultT")

#: What ``PRAGMA synchronous`` may be: FULL survives a power cut, NORMAL may lose the last commits in one.
SYNCHRONOUS = ("FULL", "NORMAL")

#: Letters of a schema's name that is part of a channel's: with "duroxide_", 63 characters at most.
_LONGEST_NAME = 54

_members = count(1)


class SqlProvider(SqlManagement):
    """
    Durable storage in SQLite or Postgres.

    Args:
        url_or_engine: ``sqlite:///path.db``, ``postgresql://user:password@host/database``, or a SQLAlchemy Engine,
            which stays the caller's: no listener is installed on it, and it is not disposed of.

        schema: Postgres only: the schema that holds the tables; created when it is missing. Up to 63 bytes, without ``%``.

        clock: Where the time comes from; by default this machine's, corrected by Postgres' own.

        synchronous: SQLite only: ``FULL`` or ``NORMAL``.

        read_only: Never change anything, and refuse a database that has no tables: `initialize` looks at them. What would
            write raises a ProviderError at once. Not with an Engine.
    """

    def __init__(
        self,
        url_or_engine: str | URL | Engine,
        *,
        schema: str | None = None,
        clock: Clock | None = None,
        synchronous: str = "FULL",
        read_only: bool = False,
    ) -> None:
        if synchronous not in SYNCHRONOUS:
            msg = f"synchronous={synchronous!r} is not one of {SYNCHRONOUS}."
            raise InvalidInput(msg)
        check_bool("read_only", read_only)
        self._owns_engine = not isinstance(url_or_engine, Engine)
        #: Whether everything that would change something is refused.
        self.read_only = read_only
        self._engine = engine_for(url_or_engine, read_only=read_only)
        self._schema = schema
        self._member = next(_members)
        check_engine(self._engine, schema)
        in_memory = is_in_memory(self._engine)
        self._identity = identity_of(self._engine, schema, is_ours=self._owns_engine)
        INHERITANCE.check(self._identity, self._engine)
        self._shared = SharedDatabase(in_memory=True) if in_memory else shared_database(self._identity)
        self._channel = _channel(schema)
        self._database = Database(
            self._engine,
            _dialect(
                self._engine,
                schema,
                self._channel,
                owns_engine=self._owns_engine,
                read_only=read_only,
                relaxes=synchronous == "FULL" and not in_memory,
            ),
            self._shared,
            clock=clock,
            owns_engine=self._owns_engine,
            pragmas=_pragmas(synchronous, in_memory=in_memory) if self._engine.dialect.name == "sqlite" else {},
        )
        self._watching = self._watcher(in_memory=in_memory)
        self._shared.join(self._member, self._database, self._watching)
        self.wakeups = self._shared.wakeups
        if not self._database.dialect.single_writer:
            #: See `Pipelined`. Where the store is this process, there is nothing to be had from it.
            self.send_turns = self._send_turns

    @classmethod
    def in_memory(cls, *, clock: Clock | None = None) -> SqlProvider:
        """Return a provider with an SQLite database of its own, which ends with it. For tests."""
        return cls("sqlite://", clock=clock)

    def __repr__(self) -> str:
        schema = "" if self._schema is None else f", schema={self._schema!r}"
        return f"<SqlProvider({self._engine.url.render_as_string(hide_password=True)!r}{schema})>"

    def __enter__(self) -> Self:
        self.initialize()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def now_ms(self) -> int:
        """Return the provider's time."""
        return self._database.now_ms()

    @property
    def dialects(self) -> tuple[SqlAlchemyDialect, Dialect]:
        """How SQLAlchemy and how we speak to this kind of database: what `python -m duroxide schema` writes with."""
        return self._engine.dialect, self._database.dialect

    def initialize(self) -> None:
        """Create or upgrade the schema; if the provider is to read only, see whether there is one."""
        if self.read_only:
            check_readable(self._database, self._schema)
            return
        migrate(self._database, self._schema)
        self._database.check_clock("initialize")

    def close(self) -> None:
        """
        Release connections and threads; every operation raises a ProviderError from now on. Idempotent.

        Does nothing in a child that was forked, which has none of them.
        """
        if self._database.birthplace.is_elsewhere:
            return
        self._shared.leave(self._member)
        self._database.close()
        if self._owns_engine:
            self._engine.dispose()
        # Who is told of nothing hands nothing over to runtimes of other providers of this database; and who waits already
        # looks again, and hears that this one is closed.
        self.wakeups = Wakeups()
        self._shared.wakeups.look_again()

    def rouse(self) -> None:
        """Let everybody look who waits for messages or activities, in this process and in others."""
        if not self._database.dialect.single_writer:  # else others see every commit, and look at everything
            self._database.notify(f"{self._shared.token}:ma")
        self.wakeups.publish(Changes(messages=True, activities=True))

    # The orchestrator queue

    def enqueue(self, messages: Sequence[Outgoing], *, connection: Any = None) -> None:
        """Add messages to the orchestrator queue; with *connection*, in the caller's transaction."""
        if messages:
            self._send("enqueue", lambda transaction: orchestrations.enqueue(transaction, messages), connection)

    def start_instances(
        self, messages: Sequence[StartOrchestration], *, must_be_new: bool = False, connection: Any = None
    ) -> Sequence[bool]:
        """Add start messages for ids that are free; return for each whether its was."""
        if not messages:
            return ()
        return self._send(
            "start_instances",
            lambda transaction: orchestrations.start(transaction, messages, must_be_new=must_be_new),
            connection,
        )

    def _send(self, operation: str, work: Callable[[Transaction], ResultT], connection: Any) -> ResultT:
        """Run *work* in a transaction of our own, or in the caller's."""
        if connection is None:
            self._database.check_clock(operation)
            return self._database.write(operation, work)
        theirs = self._checked(connection)
        result = self._database.write_with(operation, theirs, work)
        if self._database.dialect.single_writer:
            # The event comes just before the commit, too early to wake anybody: the watcher looks for what follows it.
            hurry_when_committed(theirs, self._identity)
        return result

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        """Lock up to *limit* instances that have visible messages, and return them with those messages."""
        if limit <= 0:
            return ()
        self._database.check_clock("fetch_orchestration_items")
        return self._database.write(
            "fetch_orchestration_items",
            lambda transaction: orchestrations.fetch(transaction, limit, lock_ms, replayable),
            use=Use.LEASE,
        )

    def read_histories(self, requests: Sequence[HistoryRequest]) -> Sequence[Sequence[Event] | UnreadableHistory]:
        """Return the events asked for, ascending, one answer for each request."""
        return self._database.read("read_histories", lambda transaction: reads.histories(transaction, requests))

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        """Write what turns decided, in one transaction; return for each commit what became of it."""
        return SentCommits(self._database, commits, lock_ms).results()

    def _send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> SentTurns:
        """Begin to write what turns decided."""
        return SentCommits(self._database, commits, lock_ms)

    def release_orchestration_items(self, releases: Sequence[Release]) -> Sequence[bool]:
        """Give instance locks back; return for each whether the lock was still held."""
        if not releases:
            return ()
        return self._database.write(
            "release_orchestration_items", lambda transaction: orchestrations.release(transaction, releases)
        )

    def renew_instance_locks(self, locks: Sequence[InstanceLock], lock_ms: int) -> frozenset[InstanceLock]:
        """Extend locks to now + *lock_ms*; return those that were still held."""
        if not locks:
            return frozenset()
        self._database.check_clock("renew_instance_locks")
        return self._database.write(
            "renew_instance_locks", lambda transaction: orchestrations.renew(transaction, locks, lock_ms), use=Use.LEASE
        )

    # The worker queue

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        """Lock up to *limit* activities, oldest first, and return them."""
        if limit <= 0 or tags.accepts_nothing:
            return ()
        self._database.check_clock("fetch_activities")
        return self._database.write(
            "fetch_activities",
            lambda transaction: activities.fetch(transaction, limit, lock_ms, tags, session),
            use=Use.LEASE,
        )

    def fetch_expired_activities(self, limit: int, lock_ms: int) -> Sequence[ActivityItem]:
        """Lock up to *limit* activities that no worker has begun in time, and return them."""
        if not self._database.read("fetch_expired_activities", activities.has_expired):
            return ()
        return self._database.write(
            "fetch_expired_activities", lambda transaction: activities.fetch_expired(transaction, limit, lock_ms)
        )

    def ack_activities(self, acks: Sequence[ActivityAck]) -> Sequence[bool]:
        """Remove finished activities and enqueue their completions; return for each whether its lock was held."""
        if not acks:
            return ()
        return self._database.write("ack_activities", lambda transaction: activities.ack(transaction, acks))

    def release_activities(self, releases: Sequence[Release]) -> Sequence[bool]:
        """Unlock activities; return for each whether its lock was still held."""
        if not releases:
            return ()
        return self._database.write("release_activities", lambda transaction: activities.release(transaction, releases))

    def renew_activity_locks(self, locks: Sequence[ActivityLock], lock_ms: int) -> frozenset[ActivityLock]:
        """Extend locks; return those still held."""
        if not locks:
            return frozenset()
        self._database.check_clock("renew_activity_locks")
        return self._database.write(
            "renew_activity_locks", lambda transaction: activities.renew(transaction, locks, lock_ms), use=Use.LEASE
        )

    def held_activity_locks(self, locks: Sequence[ActivityLock]) -> frozenset[ActivityLock]:
        """Return those of *locks* whose row is still there under its token."""
        if not locks:
            return frozenset()
        return self._database.read("held_activity_locks", lambda transaction: activities.held_locks(transaction, locks))

    def renew_sessions(self, owner: str, lease_ms: int, idle_ms: int) -> int:
        """Extend the unexpired sessions of *owner* that were active within *idle_ms*; return how many."""
        return self._database.write(
            "renew_sessions", lambda transaction: sessions.renew(transaction, owner, lease_ms, idle_ms), use=Use.LEASE
        )

    def remove_orphaned_sessions(self) -> int:
        """Remove expired sessions that no row of the worker queue names; return how many."""
        return self._database.write("remove_orphaned_sessions", sessions.remove_orphaned)

    def next_due_ms(self, after_ms: int | None = None, *, activities_only: bool = False) -> int | None:
        """Return when the earliest message or activity that is not visible at *after_ms* becomes visible, if any."""
        return self._database.read("next_due_ms", lambda found: reads.next_due_ms(found, after_ms, activities_only))

    # Questions

    def get_instance_info(self, instance_id: str) -> InstanceInfo | None:
        """Return how an instance stands, or None if there is no such instance."""
        return self._database.read(
            "get_instance_info", lambda transaction: reads.instance_info(transaction, instance_id)
        )

    def get_kv_value(self, instance_id: str, key: str) -> KvEntry | None:
        """Return one live value, or None."""
        return self._database.read("get_kv_value", lambda transaction: reads.kv_value(transaction, instance_id, key))

    def get_kv_all_values(self, instance_id: str) -> Mapping[str, KvEntry]:
        """Return all live values; empty for an unknown instance."""
        return self._database.read(
            "get_kv_all_values", lambda transaction: reads.kv_all_values(transaction, instance_id)
        )

    def audit(self) -> list[Violation]:
        """
        Return everything in which the database breaks the conservation law; nothing, as long as no work was lost.

        Sees the database at one moment, and disturbs nobody.
        """
        from .audit import audit  # noqa: PLC0415  # nothing that starts needs it

        return self._database.read("audit", audit, use=Use.SNAPSHOT)

    def _watcher(self, *, in_memory: bool) -> Watcher | None:
        if in_memory:
            return None
        database, channel = self._database, self._channel
        name = f"duroxide-watcher-{self._engine.url.database}"
        if database.dialect.single_writer:
            return Watcher(name, self._shared.wakeups, lambda: DataVersionEar(database))
        return Watcher(name, self._shared.wakeups, lambda: NotificationEar(database, channel))

    def _checked(self, connection: Any) -> Connection:
        """Return the Connection behind *connection*, if it can share a transaction with us."""
        if self.read_only:
            raise only_reads()
        theirs = connection_of(connection)
        if self._shared.in_memory:
            msg = "an in-memory database has a single connection, which cannot be shared: use a file for connection=."
            raise InvalidInput(msg)
        if place_of(theirs.engine.url) != place_of(self._engine.url):
            msg = (
                f"connection= is to {theirs.engine.url!r}, and this provider to {self._engine.url!r}: use one database. If it"
                " is one, write its URL alike, or make the provider of that Engine."
            )
            raise InvalidInput(msg)
        return theirs


def _dialect(
    engine: Engine, schema: str | None, channel: str, *, owns_engine: bool, read_only: bool, relaxes: bool
) -> Dialect:
    if engine.dialect.name == "sqlite":
        return SqliteDialect(relaxes=relaxes, read_only=read_only)
    from .postgres import PostgresDialect  # noqa: PLC0415  # 20 ms of start-up that SQLite need not pay

    return PostgresDialect(schema, channel, owns_engine=owns_engine, read_only=read_only)


def _channel(schema: str | None) -> str:
    """Return the channel on which Postgres tells of changes in *schema*, and in no other."""
    name = "public" if schema is None else schema
    if not (len(name) <= _LONGEST_NAME and name.isascii() and name.replace("_", "0").isalnum()):
        # Too long for a channel, or with characters that would have to be quoted.
        name = sha256(name.encode()).hexdigest()[:32]
    return f"duroxide_{name}"


def _pragmas(synchronous: str, *, in_memory: bool) -> Mapping[str, str]:
    """Return the settings of the writing connection."""
    if in_memory:
        return {"synchronous": "OFF", "temp_store": "MEMORY"}
    return {
        "busy_timeout": str(engines.BUSY_TIMEOUT_MS),
        "journal_mode": "WAL",
        "synchronous": synchronous,
        "temp_store": "MEMORY",
        # 64 MB. The log is copied into the database at each 1,000 pages, as is SQLite's default: from then on it is written
        # over, which makes each commit cheaper than letting it grow.
        "cache_size": "-65536",
    }
