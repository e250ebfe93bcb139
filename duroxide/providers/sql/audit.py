"""
Gather the facts for the conservation law, instance by instance, from one moment of a live database.

What must hold is in `duroxide._core.audit`; here is only where the facts are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from attrs import field

from ..._core.audit import ExecutionFacts, Violation, check_execution
from ..._core.codec import START_KIND, UnreadableEvent, decode_event
from ..._core.commit import ExecutionStatus
from ..._core.events import Event, Parent, SubOrchestrationScheduled
from ..._nouns import define
from .statements import AnyRow, Query
from .transaction import Transaction


__all__ = ["Violation", "audit"]

#: Instances looked at together.
BATCH = 200

_PAGE = Query(
    "SELECT instance_id, execution_id, last_event_id, status FROM {instances}"
    " WHERE instance_id > :after ORDER BY instance_id LIMIT :batch"
)
_EXECUTIONS = Query(
    "SELECT e.instance_id, e.execution_id, e.status FROM {keys} JOIN {executions} AS e"
    " ON e.instance_id = k.p_instance_id ORDER BY e.instance_id, e.execution_id",
    "instance_id text",
)
_HISTORY = Query(
    "SELECT h.instance_id, h.execution_id, h.event_id, h.event_type, h.timestamp_ms, h.data"
    " FROM {keys} JOIN {history} AS h ON h.instance_id = k.p_instance_id"
    " ORDER BY h.instance_id, h.execution_id, h.event_id",
    "instance_id text",
)
_ACTIVITIES = Query(
    "SELECT w.instance_id, w.execution_id, w.activity_id FROM {keys} JOIN {worker_queue} AS w"
    " ON w.instance_id = k.p_instance_id",
    "instance_id text",
)
_MESSAGES = Query(
    "SELECT q.id, q.instance_id, q.execution_id, q.kind, q.data FROM {keys} JOIN {orchestrator_queue} AS q"
    " ON q.instance_id = k.p_instance_id WHERE q.execution_id IS NOT NULL",
    "instance_id text",
)
_RUNNING = Query(
    "SELECT i.instance_id, i.parent_instance_id, i.parent_execution_id, i.parent_event_id FROM {keys}"
    " JOIN {instances} AS i ON i.instance_id = k.p_instance_id"
    " WHERE i.parent_instance_id IS NOT NULL AND i.status IN ('Running', 'ContinuedAsNew')",
    "instance_id text",
)
_STARTING = Query(
    "SELECT k.p_instance_id FROM {keys}"  # noqa: S608  # constants
    " WHERE EXISTS (SELECT 1 FROM {orchestrator_queue} AS q"
    f" WHERE q.instance_id = k.p_instance_id AND q.kind = '{START_KIND}')",
    "instance_id text",
)
# Rows of instances that do not exist, or of executions that have no row, by rule.
_STRAYS: Mapping[str, Query] = {
    "activity_unwanted": Query(
        "SELECT w.instance_id, w.execution_id, w.activity_id AS event_id, w.name AS detail FROM {worker_queue} AS w"
        " WHERE NOT EXISTS (SELECT 1 FROM {executions} AS e"
        " WHERE e.instance_id = w.instance_id AND e.execution_id = w.execution_id)"
    ),
    "timer_unwanted": Query(
        "SELECT q.instance_id, q.execution_id, q.event_id, q.kind AS detail FROM {orchestrator_queue} AS q"
        " WHERE q.kind = 'TimerFired' AND NOT EXISTS (SELECT 1 FROM {executions} AS e"
        " WHERE e.instance_id = q.instance_id AND e.execution_id = q.execution_id)"
    ),
    "stray_execution": Query(
        "SELECT e.instance_id, e.execution_id, NULL AS event_id, e.status AS detail FROM {executions} AS e"
        " WHERE NOT EXISTS (SELECT 1 FROM {instances} AS i WHERE i.instance_id = e.instance_id)"
    ),
    "stray_history": Query(
        "SELECT h.instance_id, h.execution_id, h.event_id, h.event_type AS detail FROM {history} AS h"
        " WHERE NOT EXISTS (SELECT 1 FROM {executions} AS e"
        " WHERE e.instance_id = h.instance_id AND e.execution_id = h.execution_id)"
    ),
    "no_execution": Query(
        "SELECT i.instance_id, i.execution_id, NULL AS event_id, i.status AS detail FROM {instances} AS i"
        " WHERE NOT EXISTS (SELECT 1 FROM {executions} AS e"
        " WHERE e.instance_id = i.instance_id AND e.execution_id = i.execution_id)"
    ),
}

_Execution = tuple[str, int]


@define
class _Page:
    """What is stored of a few instances, by execution."""

    instances: Sequence[AnyRow]
    executions: Sequence[AnyRow] = ()
    events: dict[_Execution, list[Event]] = field(factory=lambda: defaultdict(list))
    activities: dict[_Execution, list[int]] = field(factory=lambda: defaultdict(list))
    waiting: dict[_Execution, list[Event]] = field(factory=lambda: defaultdict(list))
    running: frozenset[tuple[str, Parent]] = frozenset()
    starting: frozenset[str] = frozenset()
    unreadable: dict[_Execution, Violation] = field(factory=dict)

    @classmethod
    def read(cls, transaction: Transaction, instances: Sequence[AnyRow]) -> _Page:
        """Return what is stored of *instances*."""
        keys = [(row.instance_id,) for row in instances]
        page = cls(instances, transaction.query(_EXECUTIONS, keys))
        for row in transaction.query(_HISTORY, keys):
            page._add(row, page.events, row.event_type, row.event_id, row.timestamp_ms)
        for row in transaction.query(_ACTIVITIES, keys):
            page.activities[row.instance_id, row.execution_id].append(row.activity_id)
        for row in transaction.query(_MESSAGES, keys):
            if row.kind != START_KIND:
                page._add(row, page.waiting, row.kind, 0, 0)
        children = sorted(
            {
                (event.instance_id,)
                for events in page.events.values()
                for event in events
                if isinstance(event, SubOrchestrationScheduled)
            }
        )
        page.running = frozenset((row[0], Parent(*row[1:])) for row in transaction.query(_RUNNING, children))
        page.starting = frozenset(row[0] for row in transaction.query(_STARTING, children))
        return page

    def violations(self) -> Iterator[Violation]:
        """Yield what is wrong with the instances of this page."""
        current = {row.instance_id: row for row in self.instances}
        for row in self.executions:
            key = (row.instance_id, row.execution_id)
            if key in self.unreadable:
                yield self.unreadable[key]
                continue
            instance = current[row.instance_id]
            is_current = instance.execution_id == row.execution_id
            yield from check_execution(
                ExecutionFacts(
                    instance_id=row.instance_id,
                    execution_id=row.execution_id,
                    status=ExecutionStatus(row.status),
                    instance_status=ExecutionStatus(instance.status) if is_current else None,
                    last_event_id=instance.last_event_id if is_current else None,
                    events=self.events[key],
                    queued_activities=self.activities[key],
                    waiting=self.waiting[key],
                    running=self.running,
                    starting=self.starting,
                )
            )

    def _add(self, row: AnyRow, to: dict[_Execution, list[Event]], kind: str, event_id: int, timestamp_ms: int) -> None:
        key = (row.instance_id, row.execution_id)
        try:
            to[key].append(decode_event(kind, event_id, timestamp_ms, row.data))
        except UnreadableEvent as error:
            self.unreadable.setdefault(key, Violation("unreadable", *key, event_id or None, str(error)))


def audit(transaction: Transaction) -> list[Violation]:
    """Return everything in which the database breaks the conservation law."""
    found = [
        Violation(rule, row.instance_id, row.execution_id, row.event_id, f"belongs to nothing: {row.detail}")
        for rule, query in _STRAYS.items()
        for row in transaction.query(query)
    ]
    after = ""
    while instances := transaction.query(_PAGE, after=after, batch=BATCH):
        found += _Page.read(transaction, instances).violations()
        after = instances[-1].instance_id
    return found
