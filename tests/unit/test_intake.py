"""Intake: what the messages of a fetched instance are for."""

from __future__ import annotations

import pytest

from attrs import evolve

from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus, InstanceLock
from duroxide._core.messages import Deliver, Message, StartOrchestration
from duroxide._runtime.intake import sort_messages
from duroxide.providers.contract import OrchestrationItem, QueuedItem


PARENT = e.Parent("parent", 1, 7)
RAISED = Deliver("a", None, e.ExternalEvent(0, 0, "go", "null"))


def start(execution_id: int = 1, parent: e.Parent | None = None, version: str | None = None) -> StartOrchestration:
    """A message that starts an execution."""
    return StartOrchestration("a", "fn", "null", version, execution_id, parent)


def fetched(
    *messages: Message, execution_id: int = 0, status: ExecutionStatus = ExecutionStatus.RUNNING
) -> OrchestrationItem:
    """An instance at *execution_id* (0: it does not exist) with *messages*, whose ids count from 1."""
    queued = tuple(QueuedItem(number, message, 1) for number, message in enumerate(messages, start=1))
    return OrchestrationItem(lock=InstanceLock("a", "token"), messages=queued, execution_id=execution_id, status=status)


def test_new() -> None:
    """The first start begins an instance that does not exist; what came for it before is delivered."""
    first = start()
    batch = sort_messages(fetched(RAISED, first, start(version="2.0.0")))

    assert (batch.start, batch.deliveries, batch.refusals, batch.is_over) == (first, (RAISED,), (), False)
    assert batch.message_ids == (1, 2, 3)


@pytest.mark.parametrize("status", ExecutionStatus)
def test_child_of_an_id_that_exists(status: ExecutionStatus) -> None:
    """A parent whose child cannot be started, since there is an instance of its id, is told."""
    batch = sort_messages(fetched(start(parent=PARENT), execution_id=1, status=status))
    (refusal,) = batch.refusals
    message = refusal.message

    assert batch.start is None
    assert isinstance(message, Deliver)
    assert (message.instance_id, message.execution_id) == ("parent", 1)
    assert isinstance(message.event, e.SubOrchestrationFailed)
    assert (message.event.source_event_id, "already exists" in message.event.details.message) == (7, True)


def test_two_parents() -> None:
    """Of two that start one id as their child, the first has it, and the other one is told."""
    other = e.Parent("other", 2, 3)
    batch = sort_messages(fetched(start(parent=PARENT), start(parent=other)))

    assert batch.start == start(parent=PARENT)
    assert ["other"] == [refusal.message.instance_id for refusal in batch.refusals]


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        (ExecutionStatus.RUNNING, False),
        (ExecutionStatus.COMPLETED, False),
        (ExecutionStatus.FAILED, False),
        (ExecutionStatus.CONTINUED_AS_NEW, True),
    ],
)
def test_next_execution(status: ExecutionStatus, *, begins: bool) -> None:
    """The next execution begins after the one before has continued as new; a child's parent waits on in any case."""
    following = start(2, PARENT)
    batch = sort_messages(fetched(following, execution_id=1, status=status))

    assert (batch.start, batch.refusals) == (following if begins else None, ())


@pytest.mark.parametrize("execution_id", [2, 4])
def test_another_execution(execution_id: int) -> None:
    """What starts an execution that is not the next one is thrown away, and no parent hears of it."""
    item = fetched(start(execution_id, PARENT), execution_id=2, status=ExecutionStatus.CONTINUED_AS_NEW)
    batch = sort_messages(item)

    assert (batch.start, batch.refusals, batch.message_ids) == (None, (), (1,))


@pytest.mark.parametrize("status", ExecutionStatus)
def test_over(status: ExecutionStatus) -> None:
    """Of an instance that has ended for good, the messages are just taken away."""
    has_ended = status in {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED}

    assert has_ended == sort_messages(fetched(RAISED, execution_id=1, status=status)).is_over


def test_timers_where_they_were_due() -> None:
    """A timer comes where it was due; the rest stays as it was enqueued, though a clock was set back meanwhile."""
    long, short, second = (
        Deliver("a", 1, e.TimerFired(0, 0, source, due)) for source, due in [(2, 90), (3, 20), (4, 20)]
    )
    early, late = (Deliver("a", None, e.ExternalEvent(0, 0, name, "null")) for name in ("early", "late"))
    when = [(long, 90), (early, 50), (short, 20), (late, 40), (second, 20)]
    queued = tuple(QueuedItem(number, message, 1, at_ms) for number, (message, at_ms) in enumerate(when, start=1))
    item = evolve(fetched(execution_id=1), messages=queued)
    unknown = evolve(item, messages=tuple(evolve(each, visible_at_ms=None) for each in queued))

    assert sort_messages(item).deliveries == (short, second, early, late, long)
    assert sort_messages(unknown).deliveries == (long, early, short, late, second)
