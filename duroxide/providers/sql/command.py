"""
The command ``python -m duroxide schema``: the SQL that creates or upgrades the tables, for roles that may not do it
themselves.

It only prints, and connects to nothing.
"""

from __future__ import annotations

import argparse

from collections.abc import Iterator

from ..._terminal import say
from ...errors import InvalidInput
from .definitions import definitions, grants
from .migrate import upgrade_script
from .provider import SqlProvider
from .tables import REVISIONS, quoted


SUMMARY = "print the SQL that creates or upgrades the tables, for a role that may run it"

WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--url", required=True, help="the database: sqlite:///path.db or postgresql://host/database")
    parser.add_argument("--schema", help="the schema that is to hold the tables (Postgres); created if it is missing")
    parser.add_argument(
        "--from",
        dest="found",
        metavar="REVISION",
        help=f"print what upgrades a database that is there, at this revision, instead: {', '.join(REVISIONS[:-1])}",
    )
    parser.add_argument("--grant-to", metavar="ROLE", help="a role that is to work with the tables (Postgres)")


def run(arguments: argparse.Namespace) -> int:
    """Print the statements, and return the exit code."""
    try:
        provider = SqlProvider(arguments.url, schema=arguments.schema)
        statements = list(script(provider, arguments.schema, found=arguments.found, role=arguments.grant_to))
    except InvalidInput as error:
        say(f"duroxide schema: {error}", is_error=True)
        return WRONG_USAGE
    provider.close()
    say("\n".join(f"{statement};" for statement in statements))
    return 0


def script(
    provider: SqlProvider, schema: str | None, *, found: str | None = None, role: str | None = None
) -> Iterator[str]:
    """
    Yield all statements, in one transaction: what creates the tables, or what upgrades them from revision *found*.

    Raises:
        InvalidInput: If a role is given for a database without roles, or *found* is no revision to upgrade from.
    """
    compiler, dialect = provider.dialects
    if role is not None and dialect.single_writer:
        msg = f"--grant-to {role}: SQLite has no roles. Leave it out."
        raise InvalidInput(msg)
    yield "BEGIN"
    if found is not None:
        yield from _statements(upgrade_script(compiler.name, schema, found))
    else:
        if schema is not None:
            yield f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}"
        yield from definitions(compiler, dialect, schema)
    if role is not None:
        yield from grants(schema, role)
    yield "COMMIT"


def _statements(printed: str) -> Iterator[str]:
    """Yield the statements of a script of Alembic, without its comments."""
    lines = [line for line in printed.splitlines() if not line.startswith("--")]
    for statement in "\n".join(lines).split(";\n"):
        if stripped := statement.strip():
            yield stripped.removesuffix(";")
