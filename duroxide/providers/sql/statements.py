"""
SQL text, written once and compiled once for each database.

Two kinds of statement, because the two databases are fast in different ways. A `Bulk` writes many rows
and only counts them: SQLite runs it once for each row (`executemany`), or for some when it merely inserts them,
Postgres once for all rows, from arrays (`unnest`). A `Query` runs once and answers with rows; what it is asked about may be a set of keys.

In the text, ``{name}`` is the table *name* of the schema and ``:name`` a parameter. Columns that a
statement is given, row by row, are declared like ``"instance_id text, event_id bigint"``; a `Bulk` names them
``:instance_id``, a `Query` ``k.p_instance_id`` after ``FROM {keys}``.
"""

from __future__ import annotations

import re

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

from ..._nouns import frozen, noun


#: SQLSTATE of a division by zero: how an exact statement says that it did not hold, and undoes its transaction.
NOT_EXACT = "22012"

#: The values of one row, in the order in which the statement declares its columns.
Values = tuple[Any, ...]

#: A row of an answer: a named tuple.
AnyRow: TypeAlias = Any

# Postgres names the rows that a DELETE is given in another way; also when it is only to be explained.
_DELETES = ("DELETE", "EXPLAIN (FORMAT JSON) DELETE")
# A parameter, but not a cast.
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")


@frozen(eq=False)
class Bulk:
    """
    A statement that writes many rows and counts them.

    ``{rows}`` stands where Postgres names the rows it is given: after SET, after DELETE's table, after an
    INSERT's SELECT list.
    """

    columns: str
    text: str
    #: What comes before the values, if the rows are inserted as they are.
    into: str | None = None

    @classmethod
    def insert(cls, table: str, columns: str) -> Bulk:
        """Insert rows into *table*."""
        names = [name for name, _ in declared(columns)]
        into = f"INSERT INTO {{{table}}} ({', '.join(names)})"
        return cls(columns, f"{into} SELECT {', '.join(f':{name}' for name in names)} {{rows}}", into)


@frozen(eq=False)
class Query:
    """A statement that runs once and answers with rows; ``{keys}`` is a table of *columns*."""

    text: str
    columns: str = ""


@noun(eq=False)
class Step:
    """One statement of a batch of writes. *exact*: it must touch one row for each of *rows*."""

    bulk: Bulk
    rows: Sequence[Values]
    exact: bool = False


@noun(eq=False)
class Ask:
    """A question: *query* about *keys* (None: it is not about any), with *parameters*."""

    query: Query
    keys: Sequence[Values] | None
    parameters: Mapping[str, Any]


@cache
def declared(columns: str) -> list[tuple[str, str]]:
    """Return the names and types of a declaration."""
    return [(name, kind) for name, _, kind in (part.strip().partition(" ") for part in columns.split(",") if part)]


def sqlite_bulk(bulk: Bulk, tables: Mapping[str, str], *, numbered: bool = True) -> str:
    """Return *bulk* as text for `executemany`; if its parameters are not *numbered*, for rows that `in_text_order` makes."""
    numbers = {name: number if numbered else "" for number, (name, _) in enumerate(declared(bulk.columns), start=1)}
    return _PARAMETER.sub(lambda found: f"?{numbers[found[1]]}", bulk.text.format(rows="", **tables))


def in_text_order(bulk: Bulk, rows: Sequence[Values]) -> list[Values]:
    """Return *rows* with their values as often, and in the order, as the text of *bulk* mentions them."""
    names = [name for name, _ in declared(bulk.columns)]
    positions = [names.index(name) for name in _PARAMETER.findall(bulk.text)]
    return [tuple(row[position] for position in positions) for row in rows]


def sqlite_inserting(bulk: Bulk, tables: Mapping[str, str], count: int) -> str:
    """Return *bulk*, which merely inserts, as text that takes the values of *count* rows, one after the other."""
    assert bulk.into is not None, "it merely inserts"
    row = f"({', '.join('?' * len(declared(bulk.columns)))})"
    return f"{bulk.into.format(**tables)} VALUES {', '.join([row] * count)}"


def postgres_bulk(bulk: Bulk, tables: Mapping[str, str]) -> str:
    """Return *bulk* as text that takes one array for each column."""
    keyword = "USING" if bulk.text.startswith(_DELETES) else "FROM"
    columns = declared(bulk.columns)
    arrays = ", ".join(f"${position}::{kind}[]" for position, (_, kind) in enumerate(columns, start=1))
    names = ", ".join(f"p_{name}" for name, _ in columns)
    text = _PARAMETER.sub(r"k.p_\1", bulk.text)
    return text.format(rows=f"{keyword} unnest({arrays}) AS k({names})", **tables)


def postgres_exact_bulk(bulk: Bulk, tables: Mapping[str, str]) -> str:
    """Return `postgres_bulk` as text that fails with `NOT_EXACT` unless it touches as many rows as the last parameter says."""
    text, count = postgres_bulk(bulk, tables), len(declared(bulk.columns)) + 1
    return f"WITH touched AS ({text} RETURNING 1) SELECT 1 / (count(*) = ${count})::int FROM touched"  # noqa: S608  # ours


def sqlite_query(query: Query, tables: Mapping[str, str]) -> str:
    """Return *query* as text with named parameters; its keys are one JSON array, ``:keys``."""
    names = [name for name, _ in declared(query.columns)]
    columns = ", ".join(f"json_extract(value, '$[{position}]') AS p_{name}" for position, name in enumerate(names))
    return query.text.format(keys=f"(SELECT {columns} FROM json_each(:keys)) AS k", **tables)  # noqa: S608  # ours


def postgres_query(query: Query, tables: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return *query* as text that takes an array for each column of its keys, and then the parameters that are returned."""
    columns = declared(query.columns)
    arrays = ", ".join(f"${position}::{kind}[]" for position, (_, kind) in enumerate(columns, start=1))
    names = ", ".join(f"p_{name}" for name, _ in columns)
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(query.text)))
    numbers = {name: number for number, name in enumerate(parameters, start=len(columns) + 1)}
    text = _PARAMETER.sub(lambda found: f"${numbers[found[1]]}", query.text)
    return text.format(keys=f"unnest({arrays}) AS k({names})", **tables), parameters
