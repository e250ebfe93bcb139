"""Instances in every state, made by commits, as a runtime makes them; and how many there are of everything."""

from __future__ import annotations

from attrs import evolve

from ..._core import events as e
from ..._core.commit import (
    ExecutionStatus,
    NewExecution,
    Outgoing,
    TurnCommit,
)
from ..._core.messages import Deliver, StartOrchestration
from ...client import Client
from ...providers.contract import (
    Provider,
)
from .vocabulary import (
    NEW,
    NOW,
    first_turn,
    must_commit,
    started,
)


def begin(
    provider: Provider, instance_id: str, *, parent: str | None = None, name: str = "fulfil", incarnation: int = 7
) -> TurnCommit:
    """Start an instance, and return its first commit."""
    above = None if parent is None else e.Parent(parent, 1, 2)
    turn = evolve(first_turn(instance_id), started=NewExecution(name, "1.0.0", above, "1.2.3"), incarnation=incarnation)
    must_commit(provider, turn)
    return turn


def end(provider: Provider, turn: TurnCommit, status: ExecutionStatus = ExecutionStatus.COMPLETED) -> TurnCommit:
    """End the execution that *turn* was the last commit of."""
    event_id = turn.events[-1].event_id + 1
    last: e.Event = e.OrchestrationCompleted(event_id, NOW, '"done"')
    if status is ExecutionStatus.CONTINUED_AS_NEW:
        last = e.OrchestrationContinuedAsNew(event_id, NOW, "null")
    ended = evolve(
        turn,
        last_event_id=turn.events[-1].event_id,
        started=None,
        events=(last,),
        status=status,
        output='"done"',
        activities=(),
        eager=(),
        messages=(),
    )
    must_commit(provider, ended)
    return ended


def ended(
    provider: Provider,
    instance_id: str,
    *,
    parent: str | None = None,
    status: ExecutionStatus = ExecutionStatus.COMPLETED,
) -> TurnCommit:
    """Start an instance and end it."""
    return end(provider, begin(provider, instance_id, parent=parent), status)


def continued(provider: Provider, instance_id: str, count: int) -> TurnCommit:
    """Start an instance that runs its execution number *count*; each before it has two events."""
    turn = begin(provider, instance_id)
    for execution_id in range(2, count + 1):
        end(provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        turn = evolve(turn, execution_id=execution_id, started=NEW, events=(started(instance_id, execution_id),))
        must_commit(provider, turn)
    return turn


def start_of_child(child: str, parent: str, event_id: int = 2) -> Outgoing:
    """The message that starts *child*."""
    return Outgoing(StartOrchestration(child, "pack", "null", parent=e.Parent(parent, 1, event_id)))


def cancellation_of(child: str, parent: str) -> Outgoing:
    """The message by which *parent* cancels *child*."""
    return Outgoing(Deliver(child, None, e.OrchestrationCancelRequested(0, 0, "ended", e.Parent(parent, 1, 2))))


def with_child(provider: Provider, parent: str, child: str) -> TurnCommit:
    """A first turn of *parent* that has scheduled *child*, whose start message waits."""
    turn = first_turn(parent, messages=(start_of_child(child, parent),))
    turn = evolve(turn, events=(*turn.events, e.SubOrchestrationScheduled(2, NOW, "pack", child, "null")))
    must_commit(provider, turn)
    return turn


def stock(client: Client) -> dict[str, int]:
    """Return how much there is of what there is; what is not there is not named."""
    metrics, depths = client.get_system_metrics(count_events=True), client.get_queue_depths()
    counts = {
        "instances": metrics.total_instances,
        "executions": metrics.total_executions,
        "events": metrics.total_events or 0,
        "messages": depths.orchestrator_queue + depths.timer_queue,
        "activities": depths.worker_queue + depths.locked_activities,
        "locks": depths.locked_instances,
    }
    return {name: count for name, count in counts.items() if count}
