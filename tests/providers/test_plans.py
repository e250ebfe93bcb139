"""How the databases carry out the queries of management: what is asked page by page costs what the page costs."""

from __future__ import annotations

import json

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from attrs import frozen

from duroxide.providers.management import (
    InstanceFilter,
    PruneOptions,
)
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.database import Transaction
from duroxide.providers.sql.statements import Query
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.vocabulary import (
    NOW,
)

from .populations import crowd
from .stores import Store


def _explain(query: Query, keys: Any, parameters: dict[str, Any], transaction: Transaction) -> Sequence[Any]:
    return transaction.query(query, keys, **parameters)


def plans(store: Store, provider: SqlProvider, call: Any) -> list[str]:
    """Return how the database carries out the queries of *call*."""
    asked: list[tuple[Query, Any, Any]] = []
    dialect: Any = provider._database.dialect
    ask = dialect.query

    def listen(connection: Any, query: Query, keys: Any, parameters: Any) -> Any:
        asked.append((query, keys, dict(parameters)))
        return ask(connection, query, keys, parameters)

    dialect.query = listen
    try:
        call()
    finally:
        del dialect.query
    is_sqlite = provider._engine.dialect.name == "sqlite"
    prefix = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN (FORMAT JSON) "
    found = []
    for query, keys, parameters in asked:
        explain = partial(_explain, Query(prefix + query.text, query.columns), keys, parameters)
        rows = provider._database.read("explain", explain)
        found.append("\n".join(row[3] for row in rows) if is_sqlite else json.dumps(rows[0][0]))
    return found


#: Rows of a short stretch of an index, which Postgres may well read in another order, and sort.
FEW = 1000


def scans(plan: str, table: str) -> bool:
    """Whether *plan* reads all of *table*, or sorts more than a few rows of it."""
    if plan.startswith("["):
        return any(_is_sort(node) or _is_seq_scan(node, table) for node in _nodes(json.loads(plan)))
    alias = {"duroxide_instances": "i", "duroxide_executions": "l"}[table]
    lines = plan.splitlines()
    return any(line in {f"SCAN {alias}", f"SCAN {table}"} or "TEMP B-TREE FOR ORDER" in line for line in lines)


def _is_sort(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Sort" and node["Plans"][0]["Plan Rows"] > FEW


def _is_seq_scan(node: dict[str, Any], table: str) -> bool:
    return "Seq Scan" in node["Node Type"] and node.get("Relation Name") == table


def _nodes(plan: Any) -> Sequence[dict[str, Any]]:
    """Return all nodes of a plan of Postgres."""
    found = []
    todo = [plan[0]["Plan"]]
    while todo:
        node = todo.pop()
        found.append(node)
        todo += node.get("Plans", [])
    return found


@frozen
class Years:
    """A store that holds what years leave behind."""

    store: Store
    provider: SqlProvider


@pytest.fixture(params=["memory", "postgres"], scope="module")
def make_years(request: pytest.FixtureRequest) -> Iterator[Callable[..., Years]]:
    """Make stores with a crowd in them; nobody changes them, so that one is enough for many tests."""
    made: list[Store] = []

    def make(**each: int) -> Years:
        if request.param == "memory":
            made.append(Store("sqlite://", None, HeldClock(NOW)))
        else:
            schema = request.getfixturevalue("new_schema")()
            made.append(Store(request.getfixturevalue("postgres_url"), schema, HeldClock(NOW)))
        provider = made[-1].open()
        crowd(made[-1], provider, 20_000, **each)
        return Years(made[-1], provider)

    yield make
    for store in made:
        store.close()


@pytest.fixture(scope="module")
def years(make_years: Callable[..., Years]) -> Years:
    """Most have completed, some run, some have continued as new."""
    return make_years()


@pytest.fixture(scope="module")
def few(make_years: Callable[..., Years]) -> Years:
    """Hardly any runs, hardly any has continued as new."""
    return make_years(running_each=1000, continued_each=1000)


class TestPlans:
    @pytest.mark.parametrize(
        "which",
        [
            InstanceFilter(),
            InstanceFilter(statuses=["Running"]),
            InstanceFilter(statuses=["Failed"]),
            InstanceFilter(statuses=["Completed"]),
            InstanceFilter(statuses=["Completed", "Failed"]),
            InstanceFilter(created_after=NOW + 19_000),
            InstanceFilter(created_before=NOW + 500),
            InstanceFilter(completed_before=NOW + 500),
            InstanceFilter(orchestration_name="kind-3", roots_only=True),
            InstanceFilter(id_prefix="crowd-0"),
        ],
        # Not repr: the order of a set is another one in each process.
        ids=["all", "running", "failed", "completed", "ended", "after", "before", "ended before", "name", "prefix"],
    )
    def test_page(self, years: Years, which: InstanceFilter) -> None:
        """A page of a list is a stretch of an index, wherever it begins; nothing is scanned, nothing sorted."""
        store, provider = years.store, years.provider

        def list_two_pages() -> None:
            first = provider.list_instances(which, limit=10, cursor=None)
            provider.list_instances(which, limit=10, cursor=first.cursor)

        found = plans(store, provider, list_two_pages)
        assert 2 == len(found)
        assert [] == [plan for plan in found if scans(plan, "duroxide_instances")]

    def test_candidates_for_deletion(self, years: Years) -> None:
        """Retention looks at what is old enough, not at what is there."""
        store, provider = years.store, years.provider
        which = InstanceFilter(completed_before=NOW + 5)

        (plan,) = plans(store, provider, lambda: provider.delete_instance_bulk(which, limit=10))
        assert not scans(plan, "duroxide_instances"), plan

    def test_candidates_for_pruning(self, few: Years) -> None:
        """Pruning looks at instances that have continued as new, not at all."""
        store, provider = few.store, few.provider
        options = PruneOptions(completed_before=NOW)

        (plan,) = plans(store, provider, lambda: provider.prune_executions_bulk(InstanceFilter(), options, limit=10))
        assert not scans(plan, "duroxide_executions"), plan
        assert "executions_continued" in plan

    def test_few_of_many(self, few: Years) -> None:
        """Running and failed instances are counted and listed from an index of their own."""
        store, provider = few.store, few.provider

        def ask() -> None:
            provider.list_instances(InstanceFilter(statuses=["Running"]), limit=10, cursor=None)
            provider.list_instances(InstanceFilter(statuses=["Failed"]), limit=10, cursor=None)
            provider.get_system_metrics(count_events=False)

        assert [True] * 3 == ["instances_not_completed" in plan for plan in plans(store, provider, ask)]

    def test_no_history(self, years: Years) -> None:
        """Metrics and depths never look at history."""
        store, provider = years.store, years.provider

        def ask() -> None:
            provider.get_system_metrics(count_events=False)
            provider.get_queue_depths()

        found = plans(store, provider, ask)
        assert 2 == len(found)
        assert [] == [plan for plan in found if "history" in plan or "SCAN h" in plan.split("\n")]
