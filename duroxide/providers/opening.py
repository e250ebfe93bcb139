"""From what users pass as *database* to a provider."""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy import URL, Engine

from ..errors import InvalidInput
from .contract import Provider
from .sql import SqlProvider


#: A database URL, a SQLAlchemy Engine, or a provider.
Database: TypeAlias = str | URL | Engine | Provider


def open_provider(database: Database) -> tuple[Provider, bool]:
    """
    Return the provider for *database*, and whether it was made here, so that the caller has to close it.

    Raises:
        InvalidInput: If *database* is nothing of the kind, or a database that is not supported.
    """
    if isinstance(database, str | URL | Engine):
        return SqlProvider(database), True
    if hasattr(database, "commit_turns") and not isinstance(database, type):
        return database, False
    msg = f"{database!r} is no database: pass a URL such as 'sqlite:///orders.db', a SQLAlchemy Engine, or a Provider."
    raise InvalidInput(msg)
