"""Lists, page by page, and counts."""

from __future__ import annotations

import json

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from attrs import evolve

from duroxide._core.commit import ExecutionStatus, Outgoing
from duroxide.client import Client
from duroxide.errors import InstanceNotFound, InvalidInput
from duroxide.management import ManagementClient
from duroxide.providers.management import (
    ExecutionNotFound,
    InstanceFilter,
    Management,
    ManagementNotAvailable,
    Page,
    PruneOptions,
)
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.database import Transaction
from duroxide.providers.sql.statements import Query

from .populations import begin, continued, crowd, end, ended
from .stores import (
    NOW,
    HeldClock,
    Store,
    activity,
    events_of,
    fetch,
    fetch_work,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    timer,
)


COMPLETED, FAILED, CONTINUED = (
    ExecutionStatus.COMPLETED,
    ExecutionStatus.FAILED,
    ExecutionStatus.CONTINUED_AS_NEW,
)


@pytest.fixture
def client(provider: SqlProvider) -> Client:
    """A client of the provider."""
    return Client(provider)


def ids(page: Page[Any]) -> list[str]:
    """Return the ids of the instances on *page*."""
    return [info.instance_id for info in page]


def all_pages(client: Client, which: InstanceFilter, limit: int) -> list[list[str]]:
    """Follow the cursors; return the ids on each page."""
    pages = [client.list_instances(which, limit=limit)]
    while pages[-1].cursor is not None:
        pages.append(client.list_instances(which, limit=limit, cursor=pages[-1].cursor))
    return [ids(page) for page in pages]


class TestCapability:
    def test_available(self, provider: SqlProvider, client: Client) -> None:
        """[456] SqlProvider has management, and the calls work."""
        assert isinstance(provider, Management)
        assert Page(()) == client.list_all_instances()

    def test_not_available(self) -> None:
        """[456] A provider without management is said to have none."""

        class Bare(ManagementClient):
            def __init__(self) -> None:
                self._provider = object()  # type: ignore[assignment]

        with pytest.raises(ManagementNotAvailable, match="has no management"):
            Bare().list_all_instances()


class TestInstances:
    def test_newest_first(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """Lists have the newest first, and of the same millisecond the last id first."""
        for instance_id in ["old", "a", "b"]:
            begin(provider, instance_id)
            clock.advance(1 if instance_id == "old" else 0)

        assert ["b", "a", "old"] == ids(client.list_all_instances())

    def test_info_records(self, provider: SqlProvider, client: Client) -> None:
        """[Q31] A list has what is known of each instance, the same as when it is asked for by id."""
        ended(provider, "a")

        assert (client.get_instance_info("a"),) == client.list_all_instances().items

    def test_pages(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """Pages follow each other without gap or overlap, and the last one has no cursor."""
        for number in range(6):
            begin(provider, f"i{number}")
            clock.advance(number % 2)

        assert [["i5", "i4"], ["i3", "i2"], ["i1", "i0"]] == all_pages(client, InstanceFilter(), 2)

    def test_pages_while_others_come_and_go(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """What is there all the time is met once, whatever is created and deleted between two pages."""
        for number in range(4):
            ended(provider, f"i{number}")
            clock.advance(1)
        first = client.list_all_instances(limit=2)
        client.delete_instance("i2")
        begin(provider, "new")

        assert ["i3", "i2"] == ids(first)
        assert ["i1", "i0"] == ids(client.list_all_instances(limit=2, cursor=first.cursor))

    @pytest.mark.parametrize("cursor", ["", "x", "!", "bnVsbA", "W10", 7, b"x", "WzFd" * 100])
    def test_bad_cursor(self, client: Client, cursor: Any) -> None:
        """A cursor that this list did not return is refused by name."""
        with pytest.raises(InvalidInput, match=r"^cursor="):
            client.list_all_instances(cursor=cursor)

    def test_cursor_of_another_list(self, provider: SqlProvider, client: Client) -> None:
        """A cursor of executions is none of instances."""
        continued(provider, "a", 2)
        cursor = client.list_executions("a", limit=1).cursor

        with pytest.raises(InvalidInput, match=r"^cursor="):
            client.list_all_instances(cursor=cursor)

    @pytest.mark.parametrize("limit", [0, -1, 1001, True, "7", 1.5, None])
    def test_bad_limit(self, client: Client, limit: Any) -> None:
        """A limit that is no int from 1 to 1000 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^limit is"):
            client.list_all_instances(limit=limit)

    def test_by_status(self, provider: SqlProvider, client: Client) -> None:
        """An instance has the status of its current execution."""
        begin(provider, "running")
        ended(provider, "completed")
        ended(provider, "failed", status=FAILED)
        ended(provider, "continued", status=CONTINUED)

        found = {status: ids(client.list_instances_by_status(status)) for status in ExecutionStatus}
        assert {status: [status.value.lower().removesuffix("asnew")] for status in ExecutionStatus} == found

    def test_unknown_status(self, client: Client) -> None:
        """A status that does not exist is refused, with those that do."""
        with pytest.raises(InvalidInput, match=r"statuses is .*'Paused'.*'Running', 'Completed'"):
            client.list_instances_by_status("Paused")

    def test_unknown_id(self, client: Client) -> None:
        """[458] Of an unknown id: info raises, lists are empty."""
        with pytest.raises(InstanceNotFound, match="not found"):
            client.get_instance_info("nobody")
        with pytest.raises(InstanceNotFound, match="not found"):
            client.get_execution_info("nobody", 1)
        assert Page(()) == client.list_executions("nobody")
        assert [] == list(client.read_execution_history("nobody"))


class TestFilter:
    @pytest.fixture
    def stocked(self, provider: SqlProvider, client: Client, clock: HeldClock) -> Client:
        """Four instances, a second apart, of which the first two ended ten seconds after the start of all."""
        turns = []
        for instance_id, name in [("order-1", "fulfil"), ("order-2", "fulfil"), ("trip_1", "travel")]:
            turns.append(begin(provider, instance_id, name=name))
            clock.advance(1000)
        begin(provider, "order-2-child", parent="order-2")
        clock.ms = NOW + 10_000
        end(provider, turns[0])
        end(provider, turns[1], FAILED)
        return client

    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ({}, "order-1 order-2 order-2-child trip_1"),
            ({"ids": ["order-1", "nobody"]}, "order-1"),
            ({"ids": []}, ""),
            ({"statuses": [COMPLETED, FAILED]}, "order-1 order-2"),
            ({"statuses": ["Running"]}, "order-2-child trip_1"),
            ({"statuses": []}, ""),
            ({"orchestration_name": "travel"}, "trip_1"),
            ({"id_prefix": "order-"}, "order-1 order-2 order-2-child"),
            ({"id_prefix": "trip%"}, ""),
            ({"id_prefix": "ORDER"}, ""),
            ({"created_before": NOW + 1000}, "order-1"),
            ({"created_after": NOW + 2000}, "order-2-child trip_1"),
            ({"created_after": NOW + 1000, "created_before": NOW + 2000}, "order-2"),
            ({"updated_before": NOW + 10_000}, "order-2-child trip_1"),
            ({"updated_after": NOW + 10_000}, "order-1 order-2"),
            ({"completed_before": NOW + 10_000}, ""),
            ({"completed_before": NOW + 10_001}, "order-1 order-2"),
            ({"completed_after": NOW + 10_000}, "order-1 order-2"),
            ({"completed_after": NOW}, "order-1 order-2"),
            ({"roots_only": True}, "order-1 order-2 trip_1"),
            ({"parent": "order-2"}, "order-2-child"),
            ({"parent": "order-2", "roots_only": True}, ""),
            ({"ids": ["order-1", "order-2"], "statuses": ["Failed"], "id_prefix": "order"}, "order-2"),
        ],
    )
    def test_matches(self, stocked: Client, conditions: dict[str, Any], expected: str) -> None:
        """Everything given must hold; before is exclusive, after inclusive."""
        assert expected.split() == sorted(ids(stocked.list_instances(InstanceFilter(**conditions))))

    def test_pages(self, stocked: Client) -> None:
        """A filter holds on every page."""
        assert [["order-2-child"], ["order-2"], ["order-1"]] == all_pages(stocked, InstanceFilter(id_prefix="order"), 1)

    def test_datetime(self, stocked: Client) -> None:
        """A time is an aware datetime of any zone, or milliseconds."""
        zone = datetime.fromtimestamp(NOW / 1000, UTC).astimezone().tzinfo
        time = datetime.fromtimestamp(NOW / 1000, zone) + timedelta(seconds=1)

        assert ["order-1"] == ids(stocked.list_instances(InstanceFilter(created_before=time)))

    @pytest.mark.parametrize(
        "conditions",
        [
            {"created_before": datetime(2024, 1, 1)},  # noqa: DTZ001  # that is what is wrong with it
            {"completed_after": "yesterday"},
            {"updated_before": 1.5},
            {"updated_after": True},
            {"created_after": 2**63},
            {"ids": "order-1"},
            {"ids": ["\ud800"]},
            {"ids": [7]},
            {"id_prefix": ""},
            {"orchestration_name": "a\0"},
            {"parent": 7},
        ],
    )
    def test_refused(self, conditions: dict[str, Any]) -> None:
        """A condition that no database can check is refused when it is made, by name."""
        with pytest.raises(InvalidInput, match=f"^{next(iter(conditions))} "):
            InstanceFilter(**conditions)

    def test_no_filter(self, client: Client) -> None:
        """Something else than a filter is refused: it might have been meant to match less."""
        with pytest.raises(InvalidInput, match="filter is None"):
            client.delete_instance_bulk(None)  # type: ignore[arg-type]


class TestExecutions:
    def test_list(self, provider: SqlProvider, client: Client) -> None:
        """Executions are listed the oldest first, page by page."""
        continued(provider, "a", 3)
        first = client.list_executions("a", limit=2)
        second = client.list_executions("a", limit=2, cursor=first.cursor)

        assert [(1, CONTINUED), (2, CONTINUED)] == [(info.execution_id, info.status) for info in first]
        assert [(3, ExecutionStatus.RUNNING)] == [(info.execution_id, info.status) for info in second]
        assert second.cursor is None

    def test_info(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """[Q20] Times are those of the clock, in milliseconds; an execution that runs has not completed."""
        turn = begin(provider, "a")
        running = client.get_execution_info("a")
        clock.advance(5)
        end(provider, turn)
        info = client.get_execution_info("a", 1)

        assert (NOW, None, 1) == (running.started_at_ms, running.completed_at_ms, running.event_count)
        assert (NOW, NOW + 5, 2, COMPLETED) == (info.started_at_ms, info.completed_at_ms, info.event_count, info.status)
        assert '"done"' == info.output

    def test_times_of_instance(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """[674] An instance's update time moves with its turns, its creation time does not."""
        turn = begin(provider, "a")
        clock.advance(5)
        must_commit(provider, next_turn(turn, scheduled(2)))

        info = client.get_instance_info("a")
        assert (NOW, NOW + 5) == (info.created_at_ms, info.updated_at_ms)

    @pytest.mark.parametrize("execution_id", [2, 99])
    def test_unknown(self, provider: SqlProvider, client: Client, execution_id: int) -> None:
        """[458] An execution that is not there is an error that says so."""
        begin(provider, "a")

        with pytest.raises(ExecutionNotFound, match=f"execution {execution_id} of instance 'a' not found"):
            client.get_execution_info("a", execution_id)

    def test_event_count(self, provider: SqlProvider, client: Client) -> None:
        """The count of events is the length of the history."""
        must_commit(provider, first_turn("a", activity("a", 2), activity("a", 3)))

        assert len(events_of(provider)) == client.get_execution_info("a").event_count


class TestTree:
    def test_tree(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """[552] A tree is complete, level by level; a leaf is its own tree; children are direct ones."""
        for instance_id, parent in [("root", None), ("a", "root"), ("b", "root"), ("a1", "a"), ("a2", "a")]:
            begin(provider, instance_id, parent=parent)
            clock.advance(1)
        begin(provider, "other")
        tree = client.get_instance_tree("root")

        assert ("root", "a", "b", "a1", "a2") == tree.ids
        assert ["a", "b"] == [info.instance_id for info in tree.children_of("root")]
        assert () == tree.children_of("b")
        assert ("a", "a1", "a2") == client.get_instance_tree("a").ids

    def test_parent(self, provider: SqlProvider, client: Client) -> None:
        """[552] A root has no parent, a child has one."""
        begin(provider, "root")
        begin(provider, "child", parent="root")

        assert None is client.get_instance_info("root").parent_instance_id
        assert "root" == client.get_instance_info("child").parent_instance_id

    def test_unknown(self, client: Client) -> None:
        """[552] An unknown id has no tree."""
        with pytest.raises(InstanceNotFound):
            client.get_instance_tree("nobody")


class TestCounts:
    def test_metrics(self, provider: SqlProvider, client: Client) -> None:
        """Everything is counted; events only when asked for."""
        begin(provider, "running")
        ended(provider, "completed")
        ended(provider, "failed", status=FAILED)
        ended(provider, "between", status=CONTINUED)
        continued(provider, "continued", 3)
        metrics = client.get_system_metrics()

        assert (5, 7, None) == (metrics.total_instances, metrics.total_executions, metrics.total_events)
        assert (3, 1, 1) == (metrics.running_instances, metrics.completed_instances, metrics.failed_instances)
        assert evolve(metrics, total_events=12) == client.get_system_metrics(count_events=True)

    def test_depths(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """What waits, what is for later, and what is locked are counted apart."""
        must_commit(provider, first_turn("a", activity("a", 2), activity("a", 3), activity("a", 4)))
        provider.enqueue([start("b"), raised("a"), raised("a"), timer("a", 9, NOW + 1000)])
        fetch_work(provider, 1)
        fetch(provider, 1)
        depths = client.get_queue_depths()

        assert (2, 1) == (depths.worker_queue, depths.locked_activities)
        assert (3, 1) == (depths.orchestrator_queue + _taken(depths), depths.timer_queue)
        assert 1 == depths.locked_instances

        clock.advance(1_000_000)
        depths = client.get_queue_depths()
        assert (3, 0, 4, 0, 0) == (
            depths.worker_queue,
            depths.locked_activities,
            depths.orchestrator_queue,
            depths.timer_queue,
            depths.locked_instances,
        )


def _taken(depths: Any) -> int:
    """How many messages the fetch took: one if it was b, two if it was a."""
    return 3 - int(depths.orchestrator_queue)


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
        ids=repr,
    )
    def test_page(self, store: Store, provider: SqlProvider, which: InstanceFilter) -> None:
        """A page of a list is a stretch of an index, wherever it begins; nothing is scanned, nothing sorted."""
        crowd(store, provider, 20_000)

        def list_two_pages() -> None:
            first = provider.list_instances(which, limit=10, cursor=None)
            provider.list_instances(which, limit=10, cursor=first.cursor)

        found = plans(store, provider, list_two_pages)
        assert 2 == len(found)
        assert [] == [plan for plan in found if scans(plan, "duroxide_instances")]

    def test_candidates_for_deletion(self, store: Store, provider: SqlProvider) -> None:
        """Retention looks at what is old enough, not at what is there."""
        crowd(store, provider, 20_000)
        which = InstanceFilter(completed_before=NOW + 5)

        (plan,) = plans(store, provider, lambda: provider.delete_instance_bulk(which, limit=10))
        assert not scans(plan, "duroxide_instances"), plan

    def test_candidates_for_pruning(self, store: Store, provider: SqlProvider) -> None:
        """Pruning looks at instances that have continued as new, not at all."""
        crowd(store, provider, 20_000, continued_each=1000)
        options = PruneOptions(completed_before=NOW)

        (plan,) = plans(store, provider, lambda: provider.prune_executions_bulk(InstanceFilter(), options, limit=10))
        assert not scans(plan, "duroxide_executions"), plan
        assert "executions_continued" in plan

    def test_few_of_many(self, store: Store, provider: SqlProvider) -> None:
        """Running and failed instances are counted and listed from an index of their own."""
        crowd(store, provider, 20_000, running_each=1000)

        def ask() -> None:
            provider.list_instances(InstanceFilter(statuses=["Running"]), limit=10, cursor=None)
            provider.list_instances(InstanceFilter(statuses=["Failed"]), limit=10, cursor=None)
            provider.get_system_metrics(count_events=False)

        assert [True] * 3 == ["instances_not_completed" in plan for plan in plans(store, provider, ask)]

    def test_no_history(self, store: Store, provider: SqlProvider) -> None:
        """Metrics and depths never look at history."""

        def ask() -> None:
            provider.get_system_metrics(count_events=False)
            provider.get_queue_depths()

        found = plans(store, provider, ask)
        assert 2 == len(found)
        assert [] == [plan for plan in found if "history" in plan or "SCAN h" in plan.split("\n")]


def test_later_message_is_not_waiting(provider: SqlProvider) -> None:
    """A message for later is no depth of the orchestrator queue."""
    provider.enqueue([Outgoing(raised().message, NOW + 1)])

    assert (0, 1) == (provider.get_queue_depths().orchestrator_queue, provider.get_queue_depths().timer_queue)
