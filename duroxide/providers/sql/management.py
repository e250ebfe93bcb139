"""
`SqlManagement`: the management contract for `SqlProvider`. What the operations do is in the module of their topic.

Rule: that module is imported by the operation. A process that starts to run orchestrations needs none of them.
"""

from __future__ import annotations

from ..._core.arguments import check_count
from ..contract import InstanceInfo
from ..management import (
    DeleteResult,
    ExecutionInfo,
    InstanceFilter,
    InstanceTree,
    Page,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
)
from .database import Database
from .dialect import Use


class SqlManagement:
    """What `SqlProvider` can do beyond running orchestrations; see `Management` for what each promises."""

    _database: Database

    def list_instances(self, which: InstanceFilter, *, limit: int, cursor: str | None) -> Page[InstanceInfo]:
        """Return a page of instances, the newest first."""
        from . import listing

        listing.check_page(limit)
        after = listing.instance_cursor(cursor)
        return self._database.read(
            "list_instances", lambda transaction: listing.instances(transaction, which, limit, after)
        )

    def list_executions(self, instance_id: str, *, limit: int, cursor: str | None) -> Page[ExecutionInfo]:
        """Return a page of executions, the oldest first."""
        from . import listing

        listing.check_page(limit)
        after = listing.execution_cursor(cursor)
        return self._database.read(
            "list_executions", lambda transaction: listing.executions(transaction, instance_id, limit, after)
        )

    def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo | None:
        """Return how an execution stands."""
        from . import listing

        return self._database.read(
            "get_execution_info", lambda transaction: listing.execution(transaction, instance_id, execution_id)
        )

    def get_instance_tree(self, instance_id: str) -> InstanceTree | None:
        """Return an instance with everything below it."""
        from . import listing

        return self._database.read("get_instance_tree", lambda transaction: listing.tree(transaction, instance_id))

    def get_system_metrics(self, *, count_events: bool) -> SystemMetrics:
        """Return how much there is."""
        from . import listing

        return self._database.read(
            "get_system_metrics",
            lambda transaction: listing.system_metrics(transaction, count_events=count_events),
            use=Use.SNAPSHOT,
        )

    def get_queue_depths(self) -> QueueDepths:
        """Return how much waits."""
        from . import listing

        return self._database.read("get_queue_depths", listing.queue_depths)

    def delete_instance(self, instance_id: str, *, force: bool) -> DeleteResult:
        """Delete an instance with everything below it."""
        from . import deletion

        return self._database.write(
            "delete_instance", lambda transaction: deletion.delete_tree(transaction, instance_id, force=force)
        )

    def delete_instance_bulk(self, which: InstanceFilter, *, limit: int) -> DeleteResult:
        """Delete roots that match and have ended, each with everything below it."""
        from . import deletion

        check_count("limit", limit)
        return deletion.delete_bulk(self._database, which, limit)

    def prune_executions(self, instance_id: str, options: PruneOptions) -> PruneResult:
        """Remove old executions of an instance."""
        from . import pruning

        return pruning.prune(self._database, instance_id, options)

    def prune_executions_bulk(self, which: InstanceFilter, options: PruneOptions, *, limit: int) -> PruneResult:
        """Remove old executions of instances that match."""
        from . import pruning

        check_count("limit", limit)
        return pruning.prune_bulk(self._database, which, options, limit)
