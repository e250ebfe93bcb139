"""The audit: a healthy store has no violations, and each way to break the law is found and named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from attrs import evolve
from sqlalchemy import Executable, delete, insert, update

from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus, Outgoing, TurnCommit
from duroxide._core.messages import Deliver
from duroxide.providers.sql import SqlProvider, Violation
from duroxide.providers.sql.schema import executions, history, instances, orchestrator_queue, worker_queue
from duroxide.testing.conformance.vocabulary import (
    NEW,
    NOW,
    activity,
    completed,
    first_turn,
    must_commit,
    next_turn,
    start,
    started,
    timer,
)

from .stores import Store


CHILD = e.SubOrchestrationScheduled(4, NOW, "child", "a.4", "null")


@pytest.fixture
def provider(store: Store) -> SqlProvider:
    """A healthy store: instance "a" waits for activity 2, timer 3 and child 4; "b" has completed."""
    provider = store.open()
    waiting = first_turn("a", activity(), messages=(timer("a", 3, NOW + 1000), start("a.4")), timers=(3,))
    must_commit(provider, evolve(waiting, events=(*waiting.events, CHILD)))
    done = first_turn("b")
    must_commit(provider, done)
    end = next_turn(done, e.OrchestrationCompleted(2, NOW, "1"))
    must_commit(provider, evolve(end, status=ExecutionStatus.COMPLETED, output="1"))
    return provider


def plant(store: Store, provider: SqlProvider, statements: Sequence[Executable]) -> None:
    """Damage the store."""
    with provider._engine.begin() as connection:
        connection = connection.execution_options(schema_translate_map={None: store.schema})
        for statement in statements:
            connection.execute(statement)


def found(provider: SqlProvider) -> list[tuple[str, str, int | None]]:
    """What the audit finds: rule, instance and event of each violation."""
    return sorted({(violation.rule, violation.instance_id, violation.event_id) for violation in provider.audit()})


def message(instance_id: str, event: e.Event, execution_id: int = 1) -> Outgoing:
    """A message that delivers *event*."""
    return Outgoing(Deliver(instance_id, execution_id, event))


def born(parent: e.Parent | None) -> TurnCommit:
    """The first turn of the instance "a.4", as a child of *parent*."""
    return evolve(
        first_turn("a.4"),
        started=evolve(NEW, parent=parent),
        events=(evolve(started("a.4"), parent=parent),),
    )


def work_row(instance_id: str, activity_id: int) -> Executable:
    """Insert an activity that nobody scheduled."""
    values = dict.fromkeys(("name", "input", "orchestration_name", "orchestration_version"), "x")
    numbers = dict.fromkeys(("retry_attempt", "position", "visible_at_ms", "attempt_count"), 1)
    key = {"instance_id": instance_id, "execution_id": 1, "activity_id": activity_id}
    return insert(worker_queue).values(**key, **values, **numbers)


def event_row(instance_id: str, event_id: int, event_type: str, data: str = "{}", execution_id: int = 1) -> Executable:
    """Insert an event behind everybody's back."""
    key = {"instance_id": instance_id, "execution_id": execution_id, "event_id": event_id}
    return insert(history).values(**key, event_type=event_type, timestamp_ms=NOW, data=data)


DAMAGES: dict[str, tuple[list[Executable], list[tuple[str, str, int | None]]]] = {
    "activity lost": ([delete(worker_queue)], [("activity_lost", "a", 2)]),
    "activity of an ended execution": ([work_row("b", 1)], [("activity_unwanted", "b", 1)]),
    "activity nobody scheduled": ([work_row("a", 9)], [("activity_unwanted", "a", 9)]),
    "activity of nobody": ([work_row("ghost", 1)], [("activity_unwanted", "ghost", 1)]),
    "timer lost": (
        [delete(orchestrator_queue).where(orchestrator_queue.c.event_id == 3)],
        [("timer_lost", "a", 3)],
    ),
    "child lost": (
        [delete(orchestrator_queue).where(orchestrator_queue.c.instance_id == "a.4")],
        [("child_lost", "a", 4)],
    ),
    "history with a gap": (
        [
            event_row("a", 6, "QueueSubscribed", '{"name":"q"}'),
            update(instances).values(last_event_id=6).where(instances.c.instance_id == "a"),
        ],
        [("history_gap", "a", 6)],
    ),
    "wrong last event": (
        [update(instances).values(last_event_id=3).where(instances.c.instance_id == "a")],
        [("last_event_id", "a", 4)],
    ),
    "event after the end": (
        [event_row("b", 3, "ExternalEvent", '{"name":"n","data":"1"}')],
        [("last_event_id", "b", 3), ("status_differs", "b", 3), ("terminal_not_last", "b", 2)],
    ),
    "wrong status": (
        [update(instances).values(status="Failed").where(instances.c.instance_id == "b")],
        [("status_differs", "b", 2)],
    ),
    "two completions": (
        [event_row("a", n, "ActivityCompleted", '{"source_event_id":2,"result":"1"}') for n in (5, 6)]
        + [delete(worker_queue), update(instances).values(last_event_id=6).where(instances.c.instance_id == "a")],
        [("double_completion", "a", 2)],
    ),
    "no history": ([delete(history).where(history.c.instance_id == "b")], [("empty_execution", "b", None)]),
    "no execution": (
        [delete(executions).where(executions.c.instance_id == "b")],
        [("no_execution", "b", None), ("stray_history", "b", 1), ("stray_history", "b", 2)],
    ),
    "no instance": (
        [delete(instances).where(instances.c.instance_id == "b")],
        [("stray_execution", "b", None)],
    ),
    "damaged event": (
        [update(history).values(data="{").where(history.c.instance_id == "b", history.c.event_id == 2)],
        [("unreadable", "b", 2)],
    ),
}


class TestAudit:
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_damage(self, store: Store, provider: SqlProvider, damage: str) -> None:
        """Each way to break the law is found, and only that."""
        statements, expected = DAMAGES[damage]
        plant(store, provider, statements)

        assert expected == found(provider)

    def test_names_what_it_found(self, store: Store, provider: SqlProvider) -> None:
        """A violation names the execution and says what was found."""
        plant(store, provider, [delete(worker_queue)])

        assert [Violation("activity_lost", "a", 1, 2, "neither in the worker queue nor completed")] == provider.audit()

    def test_waiting_completion(self, store: Store, provider: SqlProvider) -> None:
        """A completion that waits is as good as a row of the worker queue."""
        plant(store, provider, [delete(worker_queue)])
        provider.enqueue([message("a", completed(0, 2))])

        assert [] == provider.audit()

    def test_living_child(self, store: Store, provider: SqlProvider) -> None:
        """A child that runs needs no start message."""
        plant(store, provider, [delete(orchestrator_queue).where(orchestrator_queue.c.instance_id == "a.4")])
        must_commit(provider, born(e.Parent("a", 1, 4)))

        assert [] == provider.audit()

    @pytest.mark.parametrize(
        ("parent", "has_ended"), [(None, False), (e.Parent("z", 1, 4), False), (e.Parent("a", 1, 4), True)]
    )
    def test_child_that_will_not_answer(
        self, store: Store, provider: SqlProvider, parent: e.Parent | None, has_ended: bool
    ) -> None:
        """Whoever waits for an instance that has ended, or is not his child, waits for ever, unless its answer is on its way."""
        plant(store, provider, [delete(orchestrator_queue).where(orchestrator_queue.c.instance_id == "a.4")])
        child = born(parent)
        must_commit(provider, child)
        if has_ended:
            end = next_turn(child, e.OrchestrationCompleted(2, NOW, "1"))
            must_commit(provider, evolve(end, status=ExecutionStatus.COMPLETED, output="1"))
        assert [("child_lost", "a", 4)] == found(provider)
        provider.enqueue([message("a", e.SubOrchestrationCompleted(0, 0, 4, "1"))])

        assert [] == provider.audit()

    def test_child_that_never_was(self, provider: SqlProvider) -> None:
        """A child that was given up in the turn that asked for it was never started, and is not missing."""
        asked = e.SubOrchestrationScheduled(2, NOW, "child", "c.2", "null")
        given_up = e.SubOrchestrationCancelRequested(3, NOW, 2, e.DROPPED)
        must_commit(provider, evolve(first_turn("c"), events=(started("c"), asked, given_up)))

        assert [] == provider.audit()
