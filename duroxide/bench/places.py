"""Databases for scenarios: made afresh next to the one the user named, and removed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve, frozen
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from .._clock import new_token
from ..errors import InvalidInput
from ..providers.sql import SqlProvider
from .measuring import database_settings


@frozen
class Place:
    """A database file, or a schema of a Postgres database, that nobody else uses."""

    url: str
    schema: str | None = None
    #: SQLite only: ``FULL`` or ``NORMAL``.
    synchronous: str = "FULL"

    @property
    def is_postgres(self) -> bool:
        """Whether it is in Postgres."""
        return self.schema is not None

    def open(self) -> SqlProvider:
        """Return a provider for it."""
        return SqlProvider(self.url, schema=self.schema, synchronous=self.synchronous)

    def settings(self) -> dict[str, str]:
        """Return the version of the database, and how durable its commits are."""
        engine = create_engine(_with_driver(self.url), poolclass=NullPool)
        settings = database_settings(engine)
        return settings if self.is_postgres else {**settings, "synchronous": self.synchronous}

    def remove(self) -> None:
        """Remove everything that is in it."""
        if self.schema is None:
            file = make_url(self.url).database
            for suffix in ("", "-wal", "-shm", "-journal"):
                Path(f"{file}{suffix}").unlink(missing_ok=True)
            return
        engine = create_engine(_with_driver(self.url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f'DROP SCHEMA IF EXISTS "{self.schema}" CASCADE')


@contextmanager
def fresh_place(url: str, *, synchronous: str = "FULL") -> Iterator[Place]:
    """
    Give a place of one's own: a file beside the SQLite file of *url*, or a schema in its Postgres database.

    Raises:
        InvalidInput: If *url* is neither, or names no file.
    """
    place = _named(url, new_token()[:8], synchronous)
    try:
        yield place
    finally:
        place.remove()


def _named(url: str, name: str, synchronous: str) -> Place:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return Place(url, f"duroxide_bench_{name}")
    if parsed.get_backend_name() != "sqlite" or parsed.database in {None, "", ":memory:"}:
        msg = f"{url!r} cannot be measured: use sqlite:///a-file.db or postgresql://user:password@host/database."
        raise InvalidInput(msg)
    file = Path(parsed.database or "").absolute()
    beside = parsed.set(database=str(file.with_name(f"{file.stem}-{name}{file.suffix or '.db'}")))
    return Place(beside.render_as_string(hide_password=False), synchronous=synchronous)


def sibling(place: Place) -> Place:
    """Return another place beside *place*; whoever asks for it removes it."""
    named = _named(place.url, new_token()[:8], place.synchronous)
    return evolve(place, url=named.url, schema=named.schema)


def _with_driver(url: str) -> str:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)
