"""Values in the text of a statement: Postgres reads what was written, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.pool import NullPool

from duroxide.providers.sql.postgres_literals import array_literals, literal
from duroxide.providers.sql.postgres_session import Call, Session
from duroxide.providers.sql.statements import Values


#: Everything that has a meaning in an array, in a literal, or in both; and what only looks like it.
TEXTS = [
    "",
    "a",
    "NULL",
    "null",
    " ",
    "a,b",
    "{a}",
    '"',
    '""',
    "'",
    "''",
    "\\",
    "\\\\",
    "\\'",
    '\\"',
    "\\0",
    "\n",
    "é€😀",
    "$1",
]

PAIRS = "a text, b bigint"


@pytest.fixture(params=["on", "off"])
def connection(postgres_url: str, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection, with and without standard_conforming_strings."""
    url = make_url(postgres_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET standard_conforming_strings = {request.param}")
        connection.exec_driver_sql("SET escape_string_warning = off")
        yield connection


def read(connection: Connection, rows: Sequence[Values]) -> list[tuple[Any, ...]]:
    """Return *rows* as Postgres has them, having been given them as arrays."""
    call = Call("SELECT a, b FROM unnest($1::text[], $2::bigint[]) AS k(a, b)", array_literals(PAIRS, rows))
    return [tuple(row) for row in Session.of(connection).run([call], prepare=False)[0].rows]


@pytest.mark.parametrize("text", TEXTS)
def test_single(connection: Connection, text: str) -> None:
    """A text by itself."""
    (answer,) = Session.of(connection).run([Call("SELECT $1", [literal(text)])], prepare=False)

    assert [(text,)] == [tuple(row) for row in answer.rows]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([(text, number) for number, text in enumerate(TEXTS)], id="all different"),
        pytest.param([("x", 1), (None, None), ("y", -(2**63)), ("x", 2**63 - 1)], id="some are NULL"),
        pytest.param([("x", None), ("y", None)], id="a column is NULL"),
        pytest.param([(None, 1), (None, 1)], id="the first column is NULL, the other the same"),
        pytest.param([("x", 7)], id="one row"),
        pytest.param([("x", None)], id="one row with NULL"),
    ],
)
def test_arrays(connection: Connection, rows: Sequence[Values]) -> None:
    """Rows as arrays, one for each column."""
    assert list(rows) == read(connection, rows)


@pytest.mark.parametrize("text", TEXTS)
def test_the_same_in_each_row(connection: Connection, text: str) -> None:
    """A text that is the same in each row."""
    rows = [(text, 1), (text, 2), (text, 1)]

    assert rows == read(connection, rows)
