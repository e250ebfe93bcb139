"""How the databases carry out what is asked: nothing costs more because a lot is stored."""

from __future__ import annotations

import re

from collections.abc import Iterator

import pytest

from attrs import evolve, frozen

from duroxide._clock import SystemClock
from duroxide.bench.filling import AGE_MS, fill
from duroxide.bench.operations import Timings, batches, idle, life, retention
from duroxide.bench.plans import Node, Plan, plans
from duroxide.providers.contract import Release, TagFilter
from duroxide.providers.management import InstanceFilter, PruneOptions
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.schema import TABLES
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance import vocabulary as v

from .stores import Store


FINISHED, SLEEPING = 20_000, 2_000

#: When everything was as the fixture left it.
NOW = SystemClock().now_ms()
MIDDLE = NOW - AGE_MS // 2

#: What grows for ever, and what holds a row for each sleeping instance.
GROWING = ("instances", "executions", "history", "orchestrator_queue")

#: Rows of a short stretch of an index, which Postgres may well read in another order, and sort.
FEW = 1000

_TABLE = re.compile(r"\{(\w+)\}(?: AS (\w+))?")


def sorts(plan: Plan) -> bool:
    """Whether *plan* sorts more than a few rows. (SQLite does not say how many.)"""
    return any(_is_sort(node, below) for node, below in zip(plan.nodes, (*plan.nodes[1:], Node("")), strict=True))


def _is_sort(node: Node, below: Node) -> bool:
    return "TEMP B-TREE FOR ORDER" in node.text or (node.text == "Sort" and (below.rows or 0) > FEW)


def scans(plan: Plan) -> list[str]:
    """Return the steps of *plan* that read all of a table that grows."""
    aliases = {alias or f"duroxide_{table}" for table, alias in _TABLE.findall(plan.statement) if table in GROWING}
    tables = {f"duroxide_{table}" for table in GROWING}
    return [
        str(node)
        for node in plan.nodes
        if node.text in {f"SCAN {alias}" for alias in aliases}
        or node.text in {f"Seq Scan on {table}" for table in tables}
    ]


def reads_much(plan: Plan) -> list[str]:
    """Return the steps of *plan* that read all of a table that grows, or all of one of its indexes."""
    aliases = "|".join(alias or table for table, alias in _TABLE.findall(plan.statement) if table in GROWING)
    return [
        *scans(plan),
        *(str(node) for node in plan.nodes if aliases and re.match(rf"SCAN ({aliases}) ", node.text)),
        *(
            str(node)
            for above, node in zip((Node(""), *plan.nodes), plan.nodes, strict=False)
            # Below a limit, the rows are those that it would have without.
            if "Index" in node.text and (node.rows or 0) > FEW and above.text != "Limit"
        ),
    ]


@frozen
class Years:
    """A store that holds what years leave behind."""

    store: Store
    provider: SqlProvider


@pytest.fixture(params=["memory", "memory, analyzed", "postgres", "postgres, not analyzed"], scope="module")
def years(request: pytest.FixtureRequest) -> Iterator[Years]:
    """Most have completed, some sleep, some have continued as new; nobody changes that, so that one will do."""
    if request.param.startswith("postgres"):
        schema = request.getfixturevalue("new_schema")()
        store = Store(request.getfixturevalue("postgres_url"), schema, HeldClock(NOW))
    else:
        store = Store("sqlite://", None, HeldClock(NOW))
    provider = store.open()
    is_analyzed = request.param != "postgres, not analyzed"
    if not is_analyzed:
        # As it is after a backup was restored, or for a minute after a rush.
        with provider._engine.connect() as connection:
            for table in TABLES.values():
                connection.exec_driver_sql(f"ALTER TABLE {store.schema}.{table.name} SET (autovacuum_enabled = off)")
    fill(provider, store.schema, finished=FINISHED, sleeping=SLEEPING, settles=is_analyzed)
    if request.param == "memory, analyzed":
        # As somebody may do who knows SQLite: its planner then counts on other figures than ours.
        with provider._engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
            connection.commit()
    yield Years(store, provider)
    store.close()


class TestLists:
    @pytest.mark.parametrize(
        "which",
        [
            InstanceFilter(),
            InstanceFilter(statuses=["Running"]),
            InstanceFilter(statuses=["Failed"]),
            InstanceFilter(statuses=["Completed"]),
            InstanceFilter(statuses=["Completed", "Failed"]),
            InstanceFilter(created_after=NOW - 19_000),
            InstanceFilter(created_before=MIDDLE),
            InstanceFilter(completed_before=MIDDLE),
            InstanceFilter(orchestration_name="checkout", roots_only=True),
            InstanceFilter(id_prefix="completed-"),
        ],
        # Not repr: the order of a set is another one in each process.
        ids=["all", "running", "failed", "completed", "ended", "after", "before", "ended before", "name", "prefix"],
    )
    def test_page(self, years: Years, which: InstanceFilter) -> None:
        """A page of a list is a stretch of an index, wherever it begins; nothing is scanned, nothing sorted."""

        def list_two_pages() -> None:
            first = years.provider.list_instances(which, limit=10, cursor=None)
            years.provider.list_instances(which, limit=10, cursor=first.cursor)

        found = plans(years.provider, list_two_pages)
        assert 2 <= len(found)
        assert [] == [str(plan) for plan in found if scans(plan) or sorts(plan)]

    @pytest.mark.parametrize(
        ("which", "index"),
        [
            (InstanceFilter(orchestration_name="seldom"), "instances_named"),
            (InstanceFilter(orchestration_name="nobody"), "instances_named"),
            (InstanceFilter(orchestration_name="checkout", statuses=["Failed"]), "instances_not_completed"),
            (InstanceFilter(orchestration_name="seldom", statuses=["Running"]), "instances_not_completed"),
            (InstanceFilter(statuses=["Running"]), "instances_not_completed"),
            (InstanceFilter(statuses=["Failed"]), "instances_not_completed"),
        ],
        ids=["rare name", "no name", "failed, of a name", "running, of a name", "running", "failed"],
    )
    def test_few_of_many(self, years: Years, which: InstanceFilter, index: str) -> None:
        """What is rare is found by an index of its own, not by looking at everything else."""
        (plan,) = plans(years.provider, lambda: years.provider.list_instances(which, limit=10, cursor=None))

        assert index in str(plan), plan
        assert not sorts(plan), plan

    def test_tree(self, years: Years) -> None:
        """The members of a tree are found by keys, level by level."""
        (plan,) = plans(years.provider, lambda: years.provider.get_instance_tree("parent-00000000"))

        assert not scans(plan), plan

    def test_counts(self, years: Years) -> None:
        """Metrics and depths never look at history; what has not completed is counted from its own index."""

        def ask() -> None:
            years.provider.get_system_metrics(count_events=False)
            years.provider.get_queue_depths()

        metrics, depths = plans(years.provider, ask)
        assert "instances_not_completed" in str(metrics)
        assert "history" not in metrics.statement + depths.statement


class TestHotPath:
    def test_turns(self, years: Years) -> None:
        """Starting, fetching, committing either way, completing: each row is found by a key, however many there are."""
        timings = Timings(years.provider, explains=True)
        life(timings, "hot")
        batches(timings, "hot")

        assert {name: [] for name in timings.plans} == _much(timings)
        assert 20 < sum(len(each) for each in timings.plans.values())

    def test_passing_on(self, years: Years) -> None:
        """What is put off, because its start is for later or its orchestration is not known here, is found by keys."""
        provider = years.provider
        ids = [f"early-{number:03}" for number in range(100)]
        starts = [evolve(v.start(each), visible_at_ms=NOW + 1000) for each in ids]
        provider.enqueue([*starts, *(v.raised(each) for each in ids)])
        found = plans(provider, lambda: provider.fetch_orchestration_items(100, 1000))
        provider.start_instances([v.start(f"late-{number:03}").message for number in range(100)])
        items = provider.fetch_orchestration_items(100, 1000)
        later = [Release(item.lock, delay_ms=1000) for item in items]
        found += plans(provider, lambda: provider.release_orchestration_items(later))

        statements = " ".join(plan.statement for plan in found)
        assert 100 == len(items)
        assert 2 == statements.count("SET token = 'passed on'")
        assert 1 == statements.count("SELECT MIN(q.visible_at_ms + 0)")
        assert [] == [each for plan in found for each in reads_much(plan)]

    def test_giving_back(self, years: Years) -> None:
        """Activities are given back by their keys."""
        provider = years.provider
        provider.start_instances([v.start(f"given-{number:03}").message for number in range(100)])
        items = provider.fetch_orchestration_items(100, 1000)
        turns = [
            v.under(item, v.first_turn(item.lock.instance_id, v.activity(item.lock.instance_id))) for item in items
        ]
        v.must_commit(provider, *turns)
        works = provider.fetch_activities(100, 1000, tags=TagFilter(), session=None)
        found = plans(provider, lambda: provider.release_activities([Release(work.lock) for work in works]))
        for turn in turns:
            provider.delete_instance(turn.instance_id, force=True)

        assert 2 == len(found)
        assert [] == [str(plan) for plan in found if "Seq Scan" in str(plan) or "SCAN w" in str(plan)]

    def test_backlog(self, years: Years) -> None:
        """Of activities that wait by the thousand, a worker reads as many as it takes."""
        provider = years.provider
        turn = evolve(v.first_turn("crowd"), activities=tuple(v.activity("crowd", number) for number in range(2, 5002)))
        provider.start_instances([v.start("crowd").message])
        (item,) = (each for each in provider.fetch_orchestration_items(10, 1000) if each.lock.instance_id == "crowd")
        v.must_commit(provider, v.under(item, turn))
        found = plans(provider, lambda: provider.fetch_activities(10, 1000, tags=TagFilter(), session=None))
        provider.delete_instance("crowd", force=True)

        assert [] == [str(plan) for plan in found if sorts(plan) or "Bitmap" in str(plan) or "TEMP B-TREE" in str(plan)]
        assert "worker_queue_visible" in str(found[0])

    def test_idle(self, years: Years) -> None:
        """Who has nothing to do does not look at what sleeps."""
        timings = Timings(years.provider, explains=True)
        idle(timings)

        assert {name: [] for name in timings.plans} == _much(timings)


class TestRetention:
    def test_deletion(self, years: Years) -> None:
        """A batch looks for what is old enough in an index, and finds what belongs to it by keys."""
        timings = Timings(years.provider, explains=True)
        retention(timings, NOW)
        (candidates, *rest) = timings.plans["delete_instance_bulk: 100"]

        assert not scans(candidates), candidates
        assert not sorts(candidates), candidates
        assert [] == [each for plan in rest for each in reads_much(plan) if "Recursive" not in each]

    @pytest.mark.parametrize(
        "which",
        [
            InstanceFilter(),
            InstanceFilter(orchestration_name="monthly"),
            InstanceFilter(statuses=["Running", "ContinuedAsNew"]),
            InstanceFilter(statuses=["Running"]),
        ],
        ids=["all", "name", "as retention asks", "running"],
    )
    def test_candidates_for_pruning(self, years: Years, which: InstanceFilter) -> None:
        """Pruning looks along those that have continued as new, in order, whatever else is asked of them."""
        (plan,) = plans(
            years.provider,
            lambda: years.provider.prune_executions_bulk(
                which, PruneOptions(completed_before=NOW - AGE_MS * 2), limit=10
            ),
        )
        assert not scans(plan), plan
        assert "executions_continued" in str(plan)
        assert "Sort" not in str(plan)
        assert "TEMP B-TREE" not in str(plan)

    def test_pruning(self, years: Years) -> None:
        """What is old of a batch is found by keys, and removed by them."""
        found = plans(
            years.provider, lambda: years.provider.prune_executions_bulk(InstanceFilter(), PruneOptions(), limit=100)
        )

        assert 6 <= len(found)
        assert [] == [each for plan in found[1:] for each in reads_much(plan)]


def _much(timings: Timings) -> dict[str, list[str]]:
    return {name: [each for plan in found for each in reads_much(plan)] for name, found in timings.plans.items()}
