"""Continue-as-new: what ends, what is carried over, and what is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide._core import events as e
from duroxide._core import limits
from duroxide._core.commit import ExecutionStatus
from duroxide._core.messages import StartOrchestration
from duroxide._core.verdicts import ContinuesAsNew

from .histories import PARENT, Instance, Steps, completed, enqueued, fired, raised, started, summary, turn


def counts(ctx: Any, number: int) -> Steps:
    """Count to two, one execution each."""
    if number < 2:
        yield ctx.continue_as_new(number + 1)
    return number


def carries(ctx: Any, number: int) -> Steps:
    """Wait for E; then continue as new once, and drain the queue after that."""
    if number == 0:
        yield ctx.schedule_wait("E")
        ctx.set_kv_value("k", "v")
        ctx.set_custom_status("status")
        yield ctx.continue_as_new(1)
    results = []
    for _ in range(3):
        results += [(yield ctx.dequeue_event("Q"))]
    return [ctx.get_kv_value("k"), ctx.get_custom_status(), *results]


class TestChain:
    def test_counter(self) -> None:
        """[269] Each execution ends as continued, with the next input as output; only the last one completes."""
        first = Instance(counts, started(input=0))
        second = first.next_execution()
        third = second.next_execution()

        assert [each.commit.status for each in (first, second, third)] == [
            ExecutionStatus.CONTINUED_AS_NEW, ExecutionStatus.CONTINUED_AS_NEW, ExecutionStatus.COMPLETED,
        ]  # fmt: skip
        assert [each.commit.output for each in (first, second, third)] == ["1", "2", "2"]
        assert first.kinds == ["OrchestrationStarted", "OrchestrationContinuedAsNew"]
        assert third.execution.started.execution_id == 3
        assert summary(third.history) == [(1, "OrchestrationStarted"), (2, "OrchestrationCompleted")]

    def test_activity_per_step(self) -> None:
        """[271] A chain with an activity per step."""

        def chain(ctx: Any, number: int) -> Steps:
            total = number + (yield ctx.schedule_activity("A"))
            if total < 3:
                yield ctx.continue_as_new(total)
            return total

        instance = Instance(chain, started(input=0))
        for _ in range(2):
            instance.deliver(completed(0, 2, 1))
            instance = instance.next_execution()
        instance.deliver(completed(0, 2, 1))

        assert instance.output == 3

    @pytest.mark.parametrize("wait", [True, False])
    def test_beats_a_return(self, wait: bool) -> None:
        """Continuing as new beats a return, waited for or not; the first one counts."""

        def chain(ctx: Any) -> Steps:
            action = ctx.continue_as_new("first", version="2.0.0")
            ctx.continue_as_new("second")
            if wait:
                yield action
            return "ignored"

        assert turn(chain).verdict == ContinuesAsNew('"first"', "2.0.0")

    def test_version_and_parent(self) -> None:
        """[640] [Q2] The version that was asked for and the parent travel with the start message."""

        def chain(ctx: Any) -> Steps:
            yield ctx.continue_as_new(version="2.0.0")

        instance = Instance(chain, started(parent=PARENT))

        (outgoing,) = instance.commit.messages
        assert isinstance(outgoing.message, StartOrchestration)
        assert outgoing.message == StartOrchestration("i", "fn", "null", "2.0.0", execution_id=2, parent=PARENT)


class TestCarriedOver:
    def test_everything(self) -> None:
        """[276] [278] Unread messages in order, key-values and status are carried, in the start event."""
        first = Instance(carries, started(input=0))
        first.deliver(enqueued(0, data=1))
        first.deliver(enqueued(0, data=2), raised(0))
        second = first.next_execution()
        start = second.execution.started
        second.deliver(enqueued(0, data=3))

        assert start.queued == (e.QueuedMessage("Q", "1"), e.QueuedMessage("Q", "2"))
        assert (start.kv["k"].value, start.custom_status) == ('"v"', "status")
        assert second.output == ["v", "status", 1, 2, 3]
        assert second.kinds.count("QueueEventDelivered") == 1
        assert (second.commit.kv, second.commit.custom_status) == ({}, None)

    def test_dequeued_ones_stay(self) -> None:
        """A dequeue that nobody waited for has taken its message all the same."""

        def chain(ctx: Any) -> Steps:
            ctx.dequeue_event("Q")
            yield ctx.schedule_wait("E")
            yield ctx.continue_as_new()

        instance = Instance(chain)
        instance.deliver(enqueued(0, data=1), enqueued(0, data=2), raised(0))

        assert instance.next_execution().execution.started.queued == (e.QueuedMessage("Q", "2"),)

    def test_cap(self) -> None:
        """[182] The oldest messages up to the limit are carried, and the loss of the rest is told."""

        def chain(ctx: Any) -> Steps:
            yield ctx.schedule_wait("E")
            yield ctx.continue_as_new()

        instance = Instance(chain)
        instance.deliver(*(enqueued(0, data=number) for number in range(limits.MAX_CARRIED_MESSAGES + 2)), raised(0))
        queued = instance.next_execution().execution.started.queued

        assert [queued[0].data, queued[-1].data, len(queued)] == ["0", "999", 1000]
        (warning,) = instance.staged.warnings
        assert warning == (
            "continue-as-new drops the newest 2 of 1002 unread queue messages: at most 1000 are carried"
            " (max_carried_messages)"
        )


class TestLeftBehind:
    def test_open_work(self) -> None:
        """Open activities, timers and children end with the execution; late answers are dropped."""

        def chain(ctx: Any, number: int) -> Steps:
            if number:
                yield ctx.schedule_wait("E")
            ctx.schedule_activity("A")
            ctx.schedule_timer(1)
            ctx.schedule_sub_orchestration("C")
            yield ctx.schedule_wait("E")
            yield ctx.continue_as_new(1)

        first = Instance(chain, started(input=0))
        first.deliver(raised(0))
        second = first.next_execution()
        second.deliver(completed(0, 2), fired(0, 3), execution_id=1)

        assert (first.commit.cancelled_activities, first.commit.cancelled_timers) == ((2,), (3,))
        assert second.commit.events == ()
        assert len(second.staged.dropped) == 2

    def test_asked_for_after_it(self) -> None:
        """What is asked for after continue_as_new is recorded with the turn, and replays."""

        def chain(ctx: Any) -> Steps:
            action = ctx.continue_as_new()
            ctx.schedule_activity("A")
            yield action

        instance = Instance(chain)

        assert summary(instance.history) == [
            (1, "OrchestrationStarted"), (2, "ActivityScheduled"), (3, "ActivityCancelRequested", 2),
            (4, "OrchestrationContinuedAsNew"),
        ]  # fmt: skip
        assert turn(chain, *instance.history[:2]).verdict == ContinuesAsNew("null", None)

    def test_nothing_goes_on_after_it(self) -> None:
        """Answers behind it in the same batch wake nobody up: the outcome is that of batches of one."""

        def steps(ctx: Any) -> Steps:
            yield ctx.schedule_activity("A")
            yield ctx.continue_as_new(1)

        def goes_on(ctx: Any) -> Steps:
            yield ctx.schedule_activity("B")
            ctx.set_kv_value("k", "too late")
            ctx.schedule_orchestration("D", "d")

        def both(ctx: Any) -> Steps:
            yield ctx.join(steps(ctx), goes_on(ctx))

        instance = Instance(both)
        instance.deliver(completed(0, 2), completed(0, 3))

        assert instance.kinds[-3:] == ["ActivityCompleted", "ActivityCompleted", "OrchestrationContinuedAsNew"]
        assert instance.commit.kv == {}
        assert [type(each.message) for each in instance.commit.messages] == [StartOrchestration]
        assert turn(both, *instance.history[:-1]).verdict == ContinuesAsNew("1", None)

    def test_detached_starts_happen(self) -> None:
        """[Q4] A detached start in the turn that continues is not lost."""

        def chain(ctx: Any) -> Steps:
            ctx.schedule_orchestration("D", "d")
            yield ctx.continue_as_new()

        assert [m.message.instance_id for m in Instance(chain).commit.messages] == ["d", "i"]

    def test_positional_events_are_not_carried(self) -> None:
        """[248] [249] Events belong to the execution that was current."""

        def chain(ctx: Any, number: int) -> Steps:
            yield ctx.schedule_wait("E")
            if number == 0:
                yield ctx.continue_as_new(1)

        first = Instance(chain, started(input=0))
        first.deliver(raised(0, data=1), raised(0, data=2))
        second = first.next_execution()

        assert second.commit.status is ExecutionStatus.RUNNING
        second.deliver(raised(0, data=3))
        assert second.commit.status is ExecutionStatus.COMPLETED
