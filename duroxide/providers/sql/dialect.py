"""
What the rest of the SQL provider knows about the kind of database that it works on.

Rule: nobody asks which database this is.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ...errors import ProviderError
from .statements import AnyRow, Ask, Bulk, Query, Step, Values


#: What to do about tables that are not there.
NO_TABLES = (
    "There are no tables of duroxide yet, unless URL or schema are wrong: use the Runtime in a `with`, or call its start()"
    " or the provider's initialize(), before anything is asked of them"
)


class Conflict(Exception):  # internal: a refusal, on its way to becoming a result
    """A row that was to be inserted is there already, or one that was to be changed is not."""


class Use(Enum):
    """What a transaction is for."""

    #: Changes something.
    WRITE = "write"
    #: Changes only who holds what, and for how long. A power cut may undo it, although it was committed: whoever was
    #: given a lock proves at the next commit that it still has it.
    LEASE = "lease"
    #: A single query.
    READ = "read"
    #: Several queries that must all see the same moment.
    SNAPSHOT = "snapshot"


class Dialect(Protocol):
    """How one kind of database is spoken to."""

    #: As in error messages.
    name: str
    #: Whether writers exclude each other anyway, so that one connection writes for the whole process.
    single_writer: bool

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* for *rows*; return how many rows of the database it touched."""
        ...

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Run *query* and return its rows."""
        ...

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Sequence[Sequence[AnyRow]]:
        """Run several queries, none of which needs the answer of another; return the rows of each."""
        ...

    def finish(
        self, connection: Connection, steps: Sequence[Step], asks: Sequence[Ask], notification: str | None
    ) -> Sequence[Sequence[AnyRow]] | None:
        """
        Run *steps* (not exact ones) and *asks*, notify and commit, in one round trip; return the rows of each of *asks*.

        Return None, having done nothing, where round trips cost nothing.
        """
        ...

    def is_alive(self, connection: Connection) -> bool:
        """Whether *connection*, which is idle, has not been closed at its other end, as far as is known here."""
        ...

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> bool:
        """
        Run *steps* in order, then *ask*; return whether there was an answer.

        Raises:
            Conflict: If an exact step touched more or fewer rows than it was given, or a row was there
                already. The transaction must be rolled back.
        """
        ...

    def transact(
        self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str
    ) -> Callable[[], bool]:
        """
        Begin to do what `steps` does as a transaction of its own, in one round trip, on a connection for READ.

        Return what waits for it, and returns what `steps` does or raises as `steps` does; nothing has happened then. The
        connection is in use until it was called. Only where writers do not exclude each other.

        Args:
            tell: A payload to notify of, if there was an answer.
        """
        ...

    def note_failure(self, error: BaseException) -> None:
        """Learn from *error*, before the transaction is tried again."""
        ...

    def begin(self, connection: Connection, use: Use) -> None:
        """
        Start a transaction on a connection of the isolation level for *use*.

        Raises:
            ProviderError: If it would write, and the provider is only to read.
        """
        ...

    def attempt(self, connection: Connection, work: Callable[[], None]) -> Exception | None:
        """
        Do *work* in the transaction under way; return what it raised, after undoing it and nothing else.

        Only where writers exclude each other. Raises what ended the transaction as a whole.
        """
        ...

    def commit(self, connection: Connection, notification: str | None = None) -> None:
        """Make the transaction last, and with it tell other processes *notification*, if the database can."""
        ...

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction."""
        ...

    def notification(self, payload: str) -> Step:
        """Return `notify` as the step of a batch."""
        ...

    def notify(self, connection: Connection, payload: str) -> None:
        """Tell other processes *payload* when the transaction commits, if the database can."""
        ...

    def guard_schema(self, connection: Connection) -> None:
        """Keep every other process from changing the schema until the transaction ends."""
        ...

    def has_table(self, connection: Connection, table: str, schema: str | None) -> bool:
        """Whether there is a table of that name."""
        ...

    def check_texts(self, connection: Connection) -> None:
        """
        See whether the database, in which nothing is created yet, can hold every text.

        Raises:
            ProviderError: If it cannot.
        """
        ...

    def user(self, connection: Connection) -> str | None:
        """Return as whom *connection* is logged in, where there are users."""
        ...

    def claim_ids(self, instance_ids: Sequence[str]) -> Sequence[Ask]:
        """Return what keeps others that claim one of *instance_ids* (sorted) waiting until the transaction ends."""
        ...

    def try_claim_ids(self, instance_ids: Sequence[str]) -> tuple[Sequence[Step], Sequence[Ask]]:
        """
        Return what claims *instance_ids* without waiting for anybody.

        As steps of a batch, which raise `Conflict` if one of them is claimed by others; or as questions, for those that are.
        """
        ...

    def find_one_by_one(self, connection: Connection) -> None:
        """For the rest of the transaction, find rows by their keys, one after the other, as far as that can be told."""
        ...

    def definitions(self) -> Sequence[str]:
        """Return the statements that create everything, where they are written down; nothing where they have to be made."""
        ...

    def storage(self) -> Sequence[str]:
        """Return the statements that say how the database stores the tables, if it can be told."""
        ...

    def database_now_ms(self, connection: Connection) -> int | None:
        """Return the database's own time; None where it has none, being in this process."""
        ...

    def is_conflict(self, error: BaseException) -> bool:
        """Whether a unique key was violated."""
        ...

    def is_contention(self, error: BaseException) -> bool:
        """Whether the database was busy with somebody else: the same transaction may succeed right away."""
        ...

    def is_transient(self, error: BaseException) -> bool:
        """Whether the same operation may succeed later."""
        ...

    def is_forbidden(self, error: BaseException) -> bool:
        """Whether the user has no right to do that."""
        ...

    def is_stale(self, error: BaseException) -> bool:
        """Whether connections that are open will go on failing, while new ones may work."""
        ...

    def reason(self, error: BaseException) -> str:
        """Return in one line what *error* says about the database, as the rest of a sentence, and what to do."""
        ...


def only_reads() -> ProviderError:
    """Return what a provider says that is only to read, when it is asked to write."""
    return ProviderError("connect", "this provider only reads: make one without read_only=True.", retryable=False)


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own exception behind *error*."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def reported(error: BaseException) -> str:
    """Return in one line what the driver says."""
    cause = driver_error(error)
    return f"reported {type(cause).__name__}: {' '.join(str(cause).split())}"


def rows_of(text: str, cursor: Any) -> Sequence[AnyRow]:
    """Return what *cursor* found, as named tuples."""
    if text not in _row_types:
        # Once for each statement: psycopg makes an object for each column whenever it is asked.
        columns = cursor.description
        if columns is None:
            _row_types[text] = None
        else:
            # Some columns are expressions without a name.
            row_type = namedtuple("Row", [column[0] for column in columns], rename=True)  # type: ignore[misc]  # noqa: PYI024
            _row_types[text] = row_type._make
    make = _row_types[text]
    return () if make is None else [make(row) for row in cursor.fetchall()]


#: What makes a row of the answer to each statement; None for one that has no answer.
_row_types: dict[str, Callable[[Any], AnyRow] | None] = {}


def driver_connection(connection: Connection) -> Any:
    """Return the driver's connection: statements of the hot path spare SQLAlchemy's bookkeeping."""
    return connection.connection.dbapi_connection


def execute(connection: Connection, text: str) -> Any:
    """
    Run *text* and return the driver's cursor.

    Not by way of SQLAlchemy, which would tell the listeners of a caller's Engine: some begin a transaction of their own then.
    """
    return driver_connection(connection).execute(text)
