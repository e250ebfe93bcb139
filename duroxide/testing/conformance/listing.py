"""Lists page by page, single records, trees and counts."""

from __future__ import annotations

from attrs import evolve

from ..._core.commit import (
    ExecutionStatus,
    Outgoing,
)
from ...client import Client
from ...errors import (
    InstanceNotFound,
)
from ...providers.contract import (
    InstanceInfo,
    Release,
)
from ...providers.management import (
    ExecutionNotFound,
    InstanceFilter,
    Page,
    QueueDepths,
)
from .checks import Checks, raises
from .populations import begin, continued, end, ended
from .vocabulary import (
    LOCK_MS,
    NOW,
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


def ids(page: Page[InstanceInfo]) -> list[str]:
    """Return the ids of the instances on *page*."""
    return [info.instance_id for info in page]


def all_pages(client: Client, which: InstanceFilter, limit: int) -> list[list[str]]:
    """Follow the cursors; return the ids on each page."""
    pages = [client.list_instances(which, limit=limit)]
    while pages[-1].cursor is not None:
        pages.append(client.list_instances(which, limit=limit, cursor=pages[-1].cursor))
    return [ids(page) for page in pages]


class Listing(Checks):
    """Lists of instances."""

    def test_list_newest_first(self) -> None:
        """Lists have the newest first, and of the same millisecond the last id first."""
        for instance_id in ["old", "a", "b"]:
            begin(self.provider, instance_id)
            self.clock.advance(1 if instance_id == "old" else 0)

        assert ["b", "a", "old"] == ids(self.client.list_all_instances())

    def test_list_info_records(self) -> None:
        """[Q31] A list has what is known of each instance, the same as when it is asked for by id."""
        ended(self.provider, "a")

        assert (self.client.get_instance_info("a"),) == self.client.list_all_instances().items

    def test_list_pages(self) -> None:
        """Pages follow each other without gap or overlap, and the last one has no cursor."""
        for number in range(6):
            begin(self.provider, f"i{number}")
            self.clock.advance(number % 2)

        assert [["i5", "i4"], ["i3", "i2"], ["i1", "i0"]] == all_pages(self.client, InstanceFilter(), 2)

    def test_list_pages_while_others_come_and_go(self) -> None:
        """What is there all the time is met once, whatever is created and deleted between two pages."""
        for number in range(4):
            ended(self.provider, f"i{number}")
            self.clock.advance(1)
        first = self.client.list_all_instances(limit=2)
        self.client.delete_instance("i2")
        begin(self.provider, "new")

        assert ["i3", "i2"] == ids(first)
        assert ["i1", "i0"] == ids(self.client.list_all_instances(limit=2, cursor=first.cursor))

    def test_list_by_status(self) -> None:
        """An instance has the status of its current execution."""
        begin(self.provider, "running")
        ended(self.provider, "completed")
        ended(self.provider, "failed", status=FAILED)
        ended(self.provider, "continued", status=CONTINUED)

        found = {status: ids(self.client.list_instances_by_status(status)) for status in ExecutionStatus}
        assert {status: [status.value.lower().removesuffix("asnew")] for status in ExecutionStatus} == found

    def test_list_unknown_id(self) -> None:
        """[458] Of an unknown id: info raises, lists are empty."""
        with raises(InstanceNotFound, match="not found"):
            self.client.get_instance_info("nobody")
        with raises(InstanceNotFound, match="not found"):
            self.client.get_execution_info("nobody", 1)
        assert Page(()) == self.client.list_executions("nobody")
        assert [] == list(self.client.read_execution_history("nobody"))


class ExecutionInfos(Checks):
    """Executions and their records."""

    def test_executions_list(self) -> None:
        """Executions are listed the oldest first, page by page."""
        continued(self.provider, "a", 3)
        first = self.client.list_executions("a", limit=2)
        second = self.client.list_executions("a", limit=2, cursor=first.cursor)

        assert [(1, CONTINUED), (2, CONTINUED)] == [(info.execution_id, info.status) for info in first]
        assert [(3, ExecutionStatus.RUNNING)] == [(info.execution_id, info.status) for info in second]
        assert second.cursor is None

    def test_executions_info(self) -> None:
        """[Q20] Times are those of the clock, in milliseconds; an execution that runs has not completed."""
        turn = begin(self.provider, "a")
        running = self.client.get_execution_info("a")
        self.clock.advance(5)
        end(self.provider, turn)
        info = self.client.get_execution_info("a", 1)

        assert (NOW, None, 1) == (running.started_at_ms, running.completed_at_ms, running.event_count)
        assert (NOW, NOW + 5, 2, COMPLETED) == (info.started_at_ms, info.completed_at_ms, info.event_count, info.status)
        assert '"done"' == info.output

    def test_executions_times_of_instance(self) -> None:
        """[674] An instance's update time moves with its turns, its creation time does not."""
        turn = begin(self.provider, "a")
        self.clock.advance(5)
        must_commit(self.provider, next_turn(turn, scheduled(2)))

        info = self.client.get_instance_info("a")
        assert (NOW, NOW + 5) == (info.created_at_ms, info.updated_at_ms)

    def test_executions_unknown(self) -> None:
        """[458] An execution that is not there is an error that says so."""
        begin(self.provider, "a")

        for execution_id in [2, 99]:
            with raises(ExecutionNotFound, match=f"execution {execution_id} of instance 'a'"):
                self.client.get_execution_info("a", execution_id)

    def test_executions_event_count(self) -> None:
        """The count of events is the length of the history."""
        must_commit(self.provider, first_turn("a", activity("a", 2), activity("a", 3)))

        assert len(events_of(self.provider)) == self.client.get_execution_info("a").event_count


class Trees(Checks):
    """Parents and children."""

    def test_tree_tree(self) -> None:
        """[552] A tree is complete, level by level; a leaf is its own tree; children are direct ones."""
        for instance_id, parent in [("root", None), ("a", "root"), ("b", "root"), ("a1", "a"), ("a2", "a")]:
            begin(self.provider, instance_id, parent=parent)
            self.clock.advance(1)
        begin(self.provider, "other")
        tree = self.client.get_instance_tree("root")

        assert ("root", "a", "b", "a1", "a2") == tree.ids
        assert ["a", "b"] == [info.instance_id for info in tree.children_of("root")]
        assert () == tree.children_of("b")
        assert ("a", "a1", "a2") == self.client.get_instance_tree("a").ids

    def test_tree_parent(self) -> None:
        """[552] A root has no parent, a child has one."""
        begin(self.provider, "root")
        begin(self.provider, "child", parent="root")

        assert None is self.client.get_instance_info("root").parent_instance_id
        assert "root" == self.client.get_instance_info("child").parent_instance_id

    def test_tree_unknown(self) -> None:
        """[552] An unknown id has no tree."""
        with raises(InstanceNotFound):
            self.client.get_instance_tree("nobody")


class Counts(Checks):
    """Metrics and queue depths."""

    def test_counts_metrics(self) -> None:
        """Everything is counted; events only when asked for."""
        begin(self.provider, "running")
        ended(self.provider, "completed")
        ended(self.provider, "failed", status=FAILED)
        ended(self.provider, "between", status=CONTINUED)
        continued(self.provider, "continued", 3)
        metrics = self.client.get_system_metrics()

        assert (5, 7, None) == (metrics.total_instances, metrics.total_executions, metrics.total_events)
        assert (3, 1, 1) == (metrics.running_instances, metrics.completed_instances, metrics.failed_instances)
        assert evolve(metrics, total_events=12) == self.client.get_system_metrics(count_events=True)

    def test_counts_depths(self) -> None:
        """What waits, what is for later, and what is locked are counted apart."""
        must_commit(self.provider, first_turn("a", activity("a", 2), activity("a", 3), activity("a", 4)))
        self.provider.enqueue([start("b"), raised("a"), raised("a"), timer("a", 9, NOW + 1000)])
        fetch_work(self.provider, 1)
        fetch(self.provider, 1)
        depths = self.client.get_queue_depths()

        assert (2, 1) == (depths.worker_queue, depths.locked_activities)
        assert (3, 1) == (depths.orchestrator_queue + _taken(depths), depths.timer_queue)
        assert 1 == depths.locked_instances

        self.clock.advance(LOCK_MS)  # at its expiry, a lock is free
        depths = self.client.get_queue_depths()
        assert (3, 0, 4, 0, 0) == (
            depths.worker_queue,
            depths.locked_activities,
            depths.orchestrator_queue,
            depths.timer_queue,
            depths.locked_instances,
        )

    def test_counts_passed_on(self) -> None:
        """The messages of an instance that was passed on are for later, until it is due; nobody holds it meanwhile."""
        self.provider.enqueue([start()])
        self.provider.release_orchestration_items([Release(fetch(self.provider)[0].lock, 1000)])
        before = self.client.get_queue_depths()
        self.clock.advance(1000)
        after = self.client.get_queue_depths()

        assert (0, 1, 0) == (before.orchestrator_queue, before.timer_queue, before.locked_instances)
        assert (1, 0, 0) == (after.orchestrator_queue, after.timer_queue, after.locked_instances)

    def test_counts_later_message_is_not_waiting(self) -> None:
        """A message for later is no depth of the orchestrator queue."""
        self.provider.enqueue([Outgoing(raised().message, NOW + 1)])
        depths = self.client.get_queue_depths()

        assert (0, 1) == (depths.orchestrator_queue, depths.timer_queue)


def _taken(depths: QueueDepths) -> int:
    """How many messages the fetch took: one if it was b, two if it was a."""
    return 3 - depths.orchestrator_queue
