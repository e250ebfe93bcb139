"""
What the rest of the SQL provider knows about the kind of database that it works on.

Rule: nobody asks which database this is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from .statements import AnyRow, Bulk, Query, Step, Values


class Conflict(Exception):  # internal: a refusal, on its way to becoming a result
    """A row that was to be inserted is there already, or one that was to be changed is not."""


class Use(Enum):
    """What a transaction is for."""

    #: Changes something.
    WRITE = "write"
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
    #: SQLAlchemy's name of the isolation level for each use.
    isolation: Mapping[Use, str]

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* for *rows*; return how many rows of the database it touched."""
        ...

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Sequence[AnyRow]:
        """Run *query* and return its rows."""
        ...

    def steps(self, connection: Connection, steps: Sequence[Step]) -> bool:
        """
        Run *steps* in order; return whether each exact one touched as many rows as it was given.

        Raises:
            Conflict: If a row was there already. The transaction must be rolled back.
        """
        ...

    def begin(self, connection: Connection, use: Use) -> None:
        """Start a transaction on a connection of the isolation level for *use*."""
        ...

    def commit(self, connection: Connection) -> None:
        """Make the transaction last."""
        ...

    def rollback(self, connection: Connection) -> None:
        """Undo the transaction."""
        ...

    def notify(self, connection: Connection, payload: str) -> None:
        """Tell other processes *payload* when the transaction commits, if the database can."""
        ...

    def guard_schema(self, connection: Connection) -> None:
        """Keep every other process from changing the schema until the transaction ends."""
        ...

    def claim_ids(self, connection: Connection, instance_ids: Sequence[str]) -> None:
        """Keep others that claim one of *instance_ids* (sorted) waiting until the transaction ends."""
        ...

    def find_one_by_one(self, connection: Connection) -> None:
        """For the rest of the transaction, find rows by their keys, one after the other, as far as that can be told."""
        ...

    def completion(self) -> Sequence[str]:
        """Return the statements that add what `schema.metadata` leaves to text."""
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


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's own exception behind *error*."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def reported(error: BaseException) -> str:
    """Return in one line what the driver says."""
    cause = driver_error(error)
    return f"reported {type(cause).__name__}: {' '.join(str(cause).split())}"
