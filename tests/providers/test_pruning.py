"""Pruning, as SqlProvider does it: in small transactions, and never of another life of an id."""

from __future__ import annotations

import itertools

from typing import Any

import pytest

from sqlalchemy import Connection, delete, insert, select, update

from duroxide.client import Client
from duroxide.errors import InvalidInput
from duroxide.providers.management import ANY_INSTANCE, InstanceFilter, PruneOptions, PruneResult
from duroxide.providers.sql import SqlProvider, listing, pruning
from duroxide.providers.sql.dialect import driver_connection
from duroxide.providers.sql.schema import TABLES
from duroxide.providers.sql.statements import Query
from duroxide.testing.conformance.populations import begin, continued
from duroxide.testing.conformance.pruning import left
from duroxide.testing.conformance.vocabulary import NOW

from .stores import Store


#: Executions of a long life, and how many of them a look may find.
MANY, FOUND = 1000, 50


class TestArguments:
    @pytest.mark.parametrize("keep_last", [-1, True, "2", 1.5])
    def test_bad_count(self, memory: SqlProvider, keep_last: int) -> None:
        """A count that is no int from 0 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^keep_last is"):
            Client(memory).prune_executions("a", keep_last=keep_last)

    def test_bad_time(self, memory: SqlProvider) -> None:
        """A time that is none is refused by name."""
        with pytest.raises(InvalidInput, match=r"^completed_before is"):
            Client(memory).prune_executions("a", completed_before="today")  # type: ignore[arg-type]


class TestBulk:
    def test_bounded(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """No transaction removes more events than its share, and many executions take several looks."""
        for instance_id in ["a", "b"]:
            continued(provider, instance_id, 8)
        monkeypatch.setattr(pruning, "MAX_EVENTS", 6)
        monkeypatch.setattr(pruning, "MAX_EXECUTIONS", 4)
        sizes: list[int] = []
        remove = pruning._remove

        def record(*args: object, **named: object) -> object:
            removed = remove(*args, **named)  # type: ignore[arg-type]
            sizes.append(removed.events)
            return removed

        monkeypatch.setattr(pruning, "_remove", record)

        assert PruneResult(instances=2, executions=14, events=28) == Client(provider).prune_executions_bulk(
            ANY_INSTANCE
        )
        assert [6, 2, 6, 2, 6, 2, 4] == sizes

    def test_many_ids(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of many ids, those are found that have something old, a portion at a time."""
        monkeypatch.setattr(listing, "MAX_IDS", 2)
        for instance_id in ["a", "c", "e"]:
            continued(provider, instance_id, 3)
        which = InstanceFilter(ids=["a", "b", "c", "d", "e"])

        results = [provider.prune_executions_bulk(which, PruneOptions(), limit=2) for _ in range(3)]
        assert [2, 1, 0] == [result.instances for result in results]

    def test_another_life(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """An execution of the same number of another life of the id is not what was to go."""
        continued(provider, "a", 3)
        client = Client(provider)
        # Outside of the transaction, as the other life comes from elsewhere.
        monkeypatch.setattr(pruning, "portions", _first_doing(pruning.portions, lambda: _replace(provider)))

        assert PruneResult() == client.prune_executions("a")
        assert [1] == left(client)


def _replace(provider: SqlProvider) -> None:
    provider.delete_instance("a", force=True)
    begin(provider, "a", incarnation=8)


def _first_doing(function: object, what: object) -> object:
    """Return *function*, preceded by *what* the first time."""
    todo = [what]

    def both(*args: object) -> object:
        if todo:
            todo.pop()()  # type: ignore[operator]
        return function(*args)  # type: ignore[operator]

    return both


class TestLongLife:
    def test_linear(self, store: Store, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a look reads does not depend on how many executions are old."""
        monkeypatch.setattr(pruning, "MAX_EXECUTIONS", FOUND)
        turn = begin(provider, "a", incarnation=1)
        with provider._engine.begin() as connection:
            placed = connection.execution_options(schema_translate_map={None: store.schema})
            placed.execute(update(TABLES["instances"]).values(execution_id=MANY))
            template = {**placed.execute(select(TABLES["executions"])).mappings().one(), "status": "ContinuedAsNew"}
            numbers = range(turn.execution_id, MANY)
            rows = [{**template, "execution_id": number, "completed_at_ms": NOW} for number in numbers]
            placed.execute(delete(TABLES["executions"]))
            placed.execute(insert(TABLES["executions"]), rows)
        found = _reading(provider)
        removed = provider.prune_executions("a", PruneOptions())

        assert MANY - 1 == removed.executions
        assert MANY / FOUND <= len(found)
        assert max(found) < 2 * found[-2]


def _reading(provider: SqlProvider) -> list[int]:
    """Return a list that grows by how much each look for old executions reads: steps of SQLite, or rows."""
    found: list[int] = []
    database = provider._database
    database.dialect = _Reading(database.dialect, found)  # type: ignore[assignment]
    return found


class _Reading:
    """Another dialect, which notes how much is read."""

    def __init__(self, inner: Any, found: list[int]) -> None:
        self._inner = inner
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def query(self, connection: Connection, query: Query, keys: Any, parameters: Any) -> Any:
        if query is not pruning._old_query(by_age=False):
            return self._inner.query(connection, query, keys, parameters)
        if not self._inner.single_writer:
            explained = Query(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.text}", query.columns)
            ((plan,),) = self._inner.query(connection, explained, keys, parameters)
            self._found.append(_rows(plan[0]["Plan"]))
            return self._inner.query(connection, query, keys, parameters)
        steps = itertools.count()
        driver = driver_connection(connection)
        driver.set_progress_handler(lambda: next(steps) < 0, 100)
        try:
            return self._inner.query(connection, query, keys, parameters)
        finally:
            driver.set_progress_handler(None, 0)
            self._found.append(next(steps) + 1)


def _rows(node: Any) -> int:
    mine = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return int(mine * node["Actual Loops"]) + sum(_rows(each) for each in node.get("Plans", ()))
