"""
Bring the schema up to date: at once when it is, under a lock when it is not.

Rule 1: Alembic is imported only for a database that an older release made; a fresh one is created from
`schema.py` as it is, on SQLite from what was made of that before, and a current one costs one query. (Alembic
alone takes longer to import than everything else to start.)

Rule 2: releases share a database as long as they are of one generation, the part of a revision before the
underscore. Within it, a migration only adds what older releases can ignore.
"""

from __future__ import annotations

import io
import logging
import shlex

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from sqlalchemy import URL, Connection, inspect

from ...errors import InvalidInput, ProviderError
from .database import Database
from .dialect import Dialect, driver_error, execute
from .tables import HEAD, REVISIONS, VERSION_TABLE, qualified, quoted
from .transaction import Transaction
from .translation import is_database_error


_log = logging.getLogger("duroxide.provider")


def migrate(database: Database, schema: str | None) -> None:
    """Create or upgrade the schema, unless it is up to date."""
    if database.shared.in_memory or not _is_current(database, schema):
        database.write("initialize", lambda transaction: _migrate(transaction, schema))


def check_readable(database: Database, schema: str | None) -> None:
    """
    See whether the tables are there and can be used; change nothing.

    Raises:
        ProviderError: If they are not, or belong to another generation.
    """
    if _revision(database, schema) is None:
        where = database.engine.url.render_as_string(hide_password=True)
        message = f"there are no tables of duroxide that can be read in {where}, and this provider only reads. Check URL, schema and role."
        raise ProviderError("initialize", message, retryable=False)


def _table(schema: str | None) -> str:
    return qualified(VERSION_TABLE, schema)


def _is_current(database: Database, schema: str | None) -> bool:
    found = _revision(database, schema)
    return found is not None and found not in REVISIONS[:-1]


def _revision(database: Database, schema: str | None) -> str | None:
    """Ask which revision it is, and take a failure to mean none: the guarded way finds out why."""

    def ask(transaction: Transaction) -> str | None:
        try:
            found = execute(transaction.connection, f"SELECT version_num FROM {_table(schema)}").fetchone()  # noqa: S608  # a constant
        except Exception as error:
            if not is_database_error(error) or database.dialect.is_transient(error):
                raise
            _log.debug("no schema yet: %s", error)
            return None
        return None if found is None else str(found[0])

    found = database.read("initialize", ask)
    return found if found is not None and _is_usable(found, schema) else None


def _noted(row: Any, schema: str | None) -> str:
    """
    Return the revision that *row* of the version table notes.

    Raises:
        ProviderError: If there is none.
    """
    if row is None:
        message = f"{_table(schema)} is empty: somebody has removed its row. Put it back, or use another database."
        raise ProviderError("initialize", message, retryable=False)
    return str(row[0])


def _is_usable(found: str, schema: str | None) -> bool:
    """
    Whether a database at revision *found* can be used, warning of a newer one.

    Raises:
        ProviderError: If it belongs to another generation.
    """
    if found in REVISIONS:
        return True
    generation = HEAD.partition("_")[0]
    if found.partition("_")[0] != generation:
        message = (
            f"the database is at revision {found!r} of {_table(schema)}, and this release works with generation"
            f" {generation} only. Upgrade duroxide in this process, or use another database."
        )
        raise ProviderError("initialize", message, retryable=False)
    _log.warning(
        "the database is at revision %s, newer than %s, which this release knows; it is used as it is",
        found,
        HEAD,
        extra={"action": "newer_schema"},
    )
    return True


def _migrate(transaction: Transaction, schema: str | None) -> None:
    connection = transaction.connection
    found = None
    try:
        transaction.dialect.guard_schema(connection)
        if transaction.dialect.has_table(connection, VERSION_TABLE, schema):
            row = execute(connection, f"SELECT version_num FROM {_table(schema)}").fetchone()  # noqa: S608  # a constant
            found = _noted(row, schema)
            if _is_usable(found, schema) and found in REVISIONS[:-1]:
                upgrade(connection, schema)
        else:
            create(connection, transaction.dialect, schema)
    except Exception as error:
        if not transaction.dialect.is_forbidden(error):
            raise
        role = transaction.dialect.user(connection) or ""
        message = _forbidden(connection.engine.url, schema, found, role=role, reason=str(driver_error(error)))
        raise ProviderError("initialize", message, retryable=False) from error


def _forbidden(url: URL, schema: str | None, found: str | None, *, role: str, reason: str) -> str:
    """Return what a role without rights is told, with the command that prints what is to be run from *found* on."""
    command = ["python", "-m", "duroxide", "schema", "--url", url.render_as_string()]
    command += [] if schema is None else ["--schema", schema]
    command += [] if found is None else ["--from", found]
    command += ["--grant-to", role]
    return (
        f"the role {role!r} may not create, change or use the tables ({' '.join(reason.split())})."
        f" Let a role that may run what this command prints, and try again: {shlex.join(command)}"
    )


def create(connection: Connection, dialect: Dialect, schema: str | None) -> None:
    """Create everything as `schema.py` says, and note that no migration is due."""
    dialect.check_texts(connection)
    if schema is not None and not inspect(connection).has_schema(schema):
        # Not IF NOT EXISTS, which wants the right to create schemas even where there is nothing to create.
        execute(connection, f"CREATE SCHEMA {quoted(schema)}")
    for statement in _definitions(connection, dialect, schema):
        execute(connection, statement)


def _definitions(connection: Connection, dialect: Dialect, schema: str | None) -> Iterable[str]:
    if written := dialect.definitions():
        return written
    from .definitions import definitions  # noqa: PLC0415  # needed once in the life of a database, and slow to import

    return definitions(connection.dialect, dialect, schema)


def upgrade(connection: Connection, schema: str | None) -> None:
    """Run all migrations that are due, in the transaction that *connection* is in."""
    if not connection.in_transaction():
        connection.begin()  # as far as SQLAlchemy knows; or Alembic would do so, and commit
    config = _alembic(schema)
    config.attributes["connection"] = connection
    _command().upgrade(config, "head")


def upgrade_script(dialect_name: str, schema: str | None, found: str) -> str:
    """
    Return the statements that upgrade a database from revision *found* to that of this release.

    Raises:
        InvalidInput: If this release knows no such revision, or it is the newest one.
    """
    if found not in REVISIONS[:-1]:
        msg = f"there is nothing to upgrade from revision {found!r}: use one of {', '.join(REVISIONS[:-1])}."
        raise InvalidInput(msg)
    printed = io.StringIO()
    config = _alembic(schema)
    config.attributes["dialect_name"] = dialect_name
    config.output_buffer = printed
    _command().upgrade(config, f"{found}:head", sql=True)
    return printed.getvalue()


def _command() -> Any:
    return import_module("alembic.command")


def _alembic(schema: str | None) -> Any:
    config = import_module("alembic.config").Config()
    config.set_main_option("script_location", "duroxide.providers.sql:migrations")
    config.attributes["schema"] = schema
    return config
