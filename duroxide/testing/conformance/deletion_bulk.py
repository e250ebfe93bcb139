"""Deleting many instances."""

from __future__ import annotations

from ..._core.commit import (
    ExecutionStatus,
)
from ...providers.management import (
    ANY_INSTANCE,
    DeleteResult,
    InstanceFilter,
)
from .checks import Checks
from .populations import begin, continued, end, ended, with_child
from .vocabulary import (
    NOW,
    fetch,
    raised,
)


class BulkDeletion(Checks):
    """Deleting by filter."""

    def six_ended(self) -> None:
        """Six instances that ended a second after each other, and two that run."""
        for number in range(6):
            ended(self.provider, f"done-{number}")
            self.clock.advance(1000)
        begin(self.provider, "running")
        ended(self.provider, "between", status=ExecutionStatus.CONTINUED_AS_NEW)

    def left_over(self) -> list[str]:
        """Return the ids of what is left."""
        return sorted(info.instance_id for info in self.client.list_all_instances())

    def test_bulk_delete_all(self) -> None:
        """[467][556] Without conditions, everything that has ended goes; what runs is skipped."""
        self.six_ended()
        assert DeleteResult(instances=6, executions=6, events=12) == self.client.delete_instance_bulk(ANY_INSTANCE)
        assert ["between", "running"] == self.left_over()

    def test_bulk_delete_ids(self) -> None:
        """[467][556] Of a list of ids, those that are there and have ended go; an empty list is nothing."""
        self.six_ended()
        result = self.client.delete_instance_bulk(InstanceFilter(ids=["done-1", "done-3", "running", "nobody"]))

        assert 2 == result.instances
        assert DeleteResult() == self.client.delete_instance_bulk(InstanceFilter(ids=["nobody"]))
        assert DeleteResult() == self.client.delete_instance_bulk(InstanceFilter(ids=[]))
        assert ["between", "done-0", "done-2", "done-4", "done-5", "running"] == self.left_over()

    def test_bulk_delete_completed_before(self) -> None:
        """[558] What ended at the time or later stays; the condition adds to the others."""
        self.six_ended()
        before = NOW + 3000
        both = InstanceFilter(completed_before=before, ids=["done-2", "done-4"])
        assert 1 == self.client.delete_instance_bulk(both).instances
        assert 2 == self.client.delete_instance_bulk(InstanceFilter(completed_before=before)).instances

        assert ["between", "done-3", "done-4", "done-5", "running"] == self.left_over()

    def test_bulk_delete_limit(self) -> None:
        """[467] A limit counts roots, the oldest first; calling again goes on."""
        self.six_ended()
        assert [4, 2, 0] == [self.client.delete_instance_bulk(ANY_INSTANCE, limit=4).instances for _ in range(3)]

    def test_bulk_delete_limit_counts_what_went(self) -> None:
        """What is skipped does not count: it cannot keep the rest from ever being deleted."""
        self.six_ended()
        begin(self.provider, "child", parent="done-0")

        assert 2 == self.client.delete_instance_bulk(ANY_INSTANCE, limit=2).instances
        assert ["between", "child", "done-0", "done-3", "done-4", "done-5", "running"] == self.left_over()

    def test_bulk_delete_cascade(self) -> None:
        """[467][559] Each root takes its children along, and only roots are chosen."""
        for children in [0, 1, 3]:
            for root in ["r1", "r2"]:
                ended(self.provider, root)
                for number in range(children):
                    ended(self.provider, f"{root}-{number}", parent=root)

            assert 0 == self.client.delete_instance_bulk(InstanceFilter(id_prefix="r1-")).instances
            assert 2 + 2 * children == self.client.delete_instance_bulk(ANY_INSTANCE).instances

    def test_bulk_delete_children_of_pruned(self) -> None:
        """Children of executions that have been pruned are chosen as well, if nothing below them runs."""
        continued(self.provider, "root", 2)
        for instance_id, parent in [("a", "root"), ("a1", "a"), ("b", "root")]:
            ended(self.provider, instance_id, parent=parent)
        begin(self.provider, "b1", parent="b")
        assert 0 == self.client.delete_instance_bulk(ANY_INSTANCE).instances
        self.client.prune_executions("root")

        assert 2 == self.client.delete_instance_bulk(ANY_INSTANCE).instances
        assert ["b", "b1", "root"] == self.left_over()

    def test_bulk_delete_running_child(self) -> None:
        """A root of which anything runs or is about to start is skipped; one that is just locked is not."""
        for instance_id in ["waits", "locked", "free"]:
            ended(self.provider, instance_id)
        begin(self.provider, "child", parent="waits")
        end(self.provider, with_child(self.provider, "starts", "other"))
        self.provider.enqueue([raised("locked")])
        fetch(self.provider)

        assert 2 == self.client.delete_instance_bulk(ANY_INSTANCE).instances
        assert ["child", "starts", "waits"] == self.left_over()
