"""How a database carries out what a call asks of it: the plan of every statement, taken where and when it is run."""

from __future__ import annotations

import json

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from sqlalchemy import Connection

from ..providers.sql import SqlProvider
from ..providers.sql.statements import Bulk, Query, Step, Values, postgres_arrays


_SQLITE = "EXPLAIN QUERY PLAN "
_POSTGRES = "EXPLAIN (FORMAT JSON) "


@frozen
class Node:
    """One step of a plan: what is done, to which table and by which index, and how many rows are expected."""

    text: str
    depth: int = 0
    #: By Postgres; SQLite does not say.
    rows: int | None = None

    def __str__(self) -> str:
        rows = "" if self.rows is None else f" ({self.rows:,} rows)"
        return "  " * self.depth + self.text + rows


@frozen
class Plan:
    """One statement, and how it is carried out."""

    statement: str
    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return "\n".join(str(node) for node in self.nodes)


def plans(provider: SqlProvider, call: Callable[[], object]) -> list[Plan]:
    """Return the plans of all statements that *call* asks of the database of *provider*, in order."""
    found: list[Plan] = []
    with _explaining(provider, found):
        call()
    return found


@contextmanager
def _explaining(provider: SqlProvider, found: list[Plan]) -> Iterator[None]:
    """Explain each statement on its own connection, in its own transaction, just before it is run."""
    dialect: Any = provider._database.dialect  # noqa: SLF001  # plans are not the contract's business
    query, many, steps = dialect.query, dialect.many, dialect.steps

    def explain_query(
        connection: Connection, asked: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Any:
        prefix = _SQLITE if dialect.single_writer else _POSTGRES
        rows = query(connection, Query(prefix + asked.text, asked.columns), keys, parameters)
        found.append(_plan(asked.text, rows, is_sqlite=dialect.single_writer))
        return query(connection, asked, keys, parameters)

    def explain_bulk(connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> None:
        prefix = _SQLITE if dialect.single_writer else _POSTGRES
        text = prefix + dialect._bulk_text(bulk)  # noqa: SLF001
        given = rows[0] if dialect.single_writer else postgres_arrays(bulk.columns, rows)
        answer = connection.exec_driver_sql(text, given).all()
        found.append(_plan(bulk.text, answer, is_sqlite=dialect.single_writer))

    def explain_many(connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> Any:
        explain_bulk(connection, bulk, rows)
        return many(connection, bulk, rows)

    def explain_steps(connection: Connection, asked: Sequence[Step]) -> Any:
        if not dialect.single_writer and any(step.exact and len(step.rows) > 1 for step in asked):
            dialect.find_one_by_one(connection)  # as it does itself, later
        for step in asked:
            explain_bulk(connection, step.bulk, step.rows)
        return steps(connection, asked)

    dialect.query, dialect.many, dialect.steps = explain_query, explain_many, explain_steps
    try:
        yield
    finally:
        del dialect.query, dialect.many, dialect.steps


def _plan(statement: str, rows: Sequence[Any], *, is_sqlite: bool) -> Plan:
    nodes = _sqlite_nodes(rows) if is_sqlite else _postgres_nodes(rows[0][0])
    return Plan(" ".join(statement.split()), tuple(nodes))


def _sqlite_nodes(rows: Sequence[Any]) -> Iterator[Node]:
    depths = {0: -1}
    for number, parent, _, text in rows:
        depths[number] = depths[parent] + 1
        yield Node(text, depths[number])


def _postgres_nodes(explained: Any) -> Iterator[Node]:
    explained = json.loads(explained) if isinstance(explained, str) else explained
    todo = [(explained[0]["Plan"], 0)]
    while todo:
        node, depth = todo.pop()
        yield Node(_postgres_text(node), depth, node["Plan Rows"])
        todo += [(child, depth + 1) for child in reversed(node.get("Plans", ()))]


def _postgres_text(node: Mapping[str, Any]) -> str:
    text = str(node["Node Type"])
    if "Index Name" in node:
        text += f" using {node['Index Name']}"
    if "Relation Name" in node:
        text += f" on {node['Relation Name']}"
    return text
