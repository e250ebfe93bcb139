"""
What a runtime has done, in numbers.

Counted where it becomes true: what a turn decided, when its commit is accepted. So over all runtimes of a database
every start, every end and every recorded outcome is counted once.
"""

from __future__ import annotations

import threading

from collections import Counter
from collections.abc import Iterable

from .._core import events as e
from .._core.commit import TurnCommit
from .._nouns import frozen
from ..errors import ErrorCategory


@frozen(kw_only=True)
class MetricsSnapshot:
    """The counters of one runtime since its start, and the depths of the database's queues at the moment."""

    #: Executions begun, those after a continue-as-new included.
    orch_starts: int = 0
    orch_completions: int = 0
    #: All failures; the next four say of what category.
    orch_failures: int = 0
    orch_application_errors: int = 0
    orch_infrastructure_errors: int = 0
    orch_configuration_errors: int = 0
    orch_poison: int = 0
    orch_continue_as_new: int = 0
    suborchestration_calls: int = 0
    activity_success: int = 0
    activity_app_errors: int = 0
    activity_infra_errors: int = 0
    activity_config_errors: int = 0
    activity_poison: int = 0
    #: Instances and activities fetched from the queues; what was handed over or went the short way is not among them.
    orch_dispatcher_items_fetched: int = 0
    worker_dispatcher_items_fetched: int = 0
    #: Removed by this runtime's retention policy: instances, children included, and executions of instances that stay.
    retention_deleted_instances: int = 0
    retention_pruned_executions: int = 0
    #: Messages and activities that could be fetched now, by anybody.
    orchestrator_queue_depth: int = 0
    worker_queue_depth: int = 0


_COUNTED_AS: dict[type[e.Event], str] = {
    e.OrchestrationStarted: "orch_starts",
    e.OrchestrationCompleted: "orch_completions",
    e.OrchestrationContinuedAsNew: "orch_continue_as_new",
    e.SubOrchestrationScheduled: "suborchestration_calls",
    e.ActivityCompleted: "activity_success",
}
_FAILURES = {e.OrchestrationFailed, e.ActivityFailed}
_ORCHESTRATION_FAILURES = {
    ErrorCategory.APPLICATION: "orch_application_errors",
    ErrorCategory.INFRASTRUCTURE: "orch_infrastructure_errors",
    ErrorCategory.CONFIGURATION: "orch_configuration_errors",
    ErrorCategory.POISON: "orch_poison",
}
_ACTIVITY_FAILURES = {
    ErrorCategory.APPLICATION: "activity_app_errors",
    ErrorCategory.INFRASTRUCTURE: "activity_infra_errors",
    ErrorCategory.CONFIGURATION: "activity_config_errors",
    ErrorCategory.POISON: "activity_poison",
}


class Metrics:
    """The counters of one runtime. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        #: Of all events committed.
        self._kinds: Counter[type[e.Event]] = Counter()

    def committed(self, commits: Iterable[TurnCommit]) -> None:
        """Count what accepted *commits* say."""
        with self._lock:
            for commit in commits:
                kinds = [type(event) for event in commit.events]
                self._kinds.update(kinds)
                if not _FAILURES.isdisjoint(kinds):
                    for event in commit.events:
                        self._counts.update(_failure_names(event))

    def fetched(self, *, instances: int = 0, activities: int = 0) -> None:
        """Count what was fetched."""
        with self._lock:
            self._counts["orch_dispatcher_items_fetched"] += instances
            self._counts["worker_dispatcher_items_fetched"] += activities

    def removed(self, *, instances: int, executions: int) -> None:
        """Count what retention has removed."""
        with self._lock:
            self._counts["retention_deleted_instances"] += instances
            self._counts["retention_pruned_executions"] += executions

    def snapshot(self, *, orchestrator_queue_depth: int, worker_queue_depth: int) -> MetricsSnapshot:
        """Return all numbers as they are now."""
        with self._lock:
            counts = {**self._counts, **{name: self._kinds[kind] for kind, name in _COUNTED_AS.items()}}
        return MetricsSnapshot(
            **counts, orchestrator_queue_depth=orchestrator_queue_depth, worker_queue_depth=worker_queue_depth
        )


def _failure_names(event: e.Event) -> tuple[str, ...]:
    """Return what *event* is counted as, if it is a failure."""
    if isinstance(event, e.OrchestrationFailed):
        return "orch_failures", _ORCHESTRATION_FAILURES[event.details.category]
    if isinstance(event, e.ActivityFailed):
        return (_ACTIVITY_FAILURES[event.details.category],)
    return ()
