"""How a database carries out what a call asks of it: the plan of every statement, taken where and when it is run."""

from __future__ import annotations

import json

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from sqlalchemy import Connection

from ..providers.sql import SqlProvider
from ..providers.sql.dialect import Use
from ..providers.sql.postgres_literals import array_literals
from ..providers.sql.statements import Ask, Bulk, Query, Step, Values, in_text_order, postgres_bulk, sqlite_bulk


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
    database = provider._database  # noqa: SLF001  # plans are not the contract's business
    dialect = database.dialect
    database.dialect = _Explaining(dialect, found)
    try:
        yield
    finally:
        database.dialect = dialect


class _Explaining:
    """Another dialect, whose statements are explained before they are run."""

    def __init__(self, inner: Any, found: list[Plan]) -> None:
        self._inner = inner
        self._found = found
        self._is_sqlite = inner.single_writer
        self._prefix = _SQLITE if self._is_sqlite else _POSTGRES

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def query(
        self, connection: Connection, query: Query, keys: Sequence[Values] | None, parameters: Mapping[str, Any]
    ) -> Any:
        explained = Query(self._prefix + query.text, query.columns)
        rows = self._inner.query(connection, explained, keys, parameters)
        self._found.append(_plan(query.text, rows, is_sqlite=self._is_sqlite))
        return self._inner.query(connection, query, keys, parameters)

    def finish(self, *_: object) -> None:
        """Leave it to the others: it is the same statements."""

    def queries(self, connection: Connection, asks: Sequence[Ask]) -> Any:
        return [self.query(connection, ask.query, ask.keys, ask.parameters) for ask in asks]

    def many(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> Any:
        self._explain(connection, bulk, rows)
        return self._inner.many(connection, bulk, rows)

    def steps(self, connection: Connection, steps: Sequence[Step], ask: Ask | None = None) -> Any:
        self._explain_all(connection, steps, ask)
        return self._inner.steps(connection, steps, ask)

    def transact(self, connection: Connection, steps: Sequence[Step], ask: Ask | None, *, tell: str) -> Any:
        self._inner.begin(connection, Use.WRITE)
        self._explain_all(connection, steps, ask)
        self._inner.rollback(connection)
        return self._inner.transact(connection, steps, ask, tell=tell)

    def _explain_all(self, connection: Connection, steps: Sequence[Step], ask: Ask | None) -> None:
        self._inner.find_one_by_one(connection)  # as it does itself, later
        for step in steps:
            self._explain(connection, step.bulk, step.rows)
        if ask is not None:
            self.query(connection, ask.query, ask.keys, ask.parameters)

    def _explain(self, connection: Connection, bulk: Bulk, rows: Sequence[Values]) -> None:
        explained = Bulk(bulk.columns, self._prefix + bulk.text)
        if self._is_sqlite:
            answer: Sequence[Any] = connection.exec_driver_sql(
                sqlite_bulk(explained, self._inner._words, numbered=False),  # noqa: SLF001
                in_text_order(explained, rows[:1])[0],
            ).all()
        else:
            from ..providers.sql.postgres_session import Call, Session  # noqa: PLC0415  # psycopg is an extra

            call = Call(postgres_bulk(explained, self._inner._words), array_literals(bulk.columns, rows))  # noqa: SLF001
            answer = Session.of(connection).run([call], prepare=False)[0].rows
        self._found.append(_plan(bulk.text, answer, is_sqlite=self._is_sqlite))


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
