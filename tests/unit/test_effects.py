"""From decisions to rows: what is enqueued, removed and told, for every way an execution can go on or end."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus, InstanceLock, Outgoing
from duroxide._core.execution import fail
from duroxide._core.messages import ActivityExecute, ActivityKey, Deliver, StartOrchestration
from duroxide.errors import ErrorDetails, ErrorKind

from .histories import (
    PARENT,
    Instance,
    Steps,
    activity,
    cancel,
    child,
    child_completed,
    completed,
    details,
    failed,
    fired,
    raised,
    started,
    summary,
    timer,
    waits,
)


def busy(ctx: Any) -> Steps:
    """Open one of each kind, then wait for an event and do as it says."""
    ctx.schedule_activity("A", 1)
    ctx.schedule_timer(1)
    ctx.schedule_sub_orchestration("C")
    ctx.dequeue_event("Q")
    ctx.schedule_wait("other")
    command = yield ctx.schedule_wait("E")
    if command == "fail":
        raise ValueError("as told")
    if command == "continue":
        yield ctx.continue_as_new(7)
    return command


def to_children(instance: Instance) -> list[tuple[str, str]]:
    """Whom the last turn cancelled, and why."""
    return [
        (outgoing.message.instance_id, outgoing.message.event.reason)
        for outgoing in instance.commit.messages
        if isinstance(outgoing.message, Deliver) and isinstance(outgoing.message.event, e.OrchestrationCancelRequested)
    ]


class TestContinue:
    def test_work(self) -> None:
        """A turn that goes on enqueues its activities, its timers at their time, and its children."""
        commit = Instance(busy).commit

        assert commit.activities == (ActivityExecute(ActivityKey("i", 1, 2), "A", "1", "fn", "1.0.0"),)
        assert commit.messages == (
            Outgoing(Deliver("i", 1, e.TimerFired(0, 0, 3, 1_001_000)), 1_001_000),
            Outgoing(StartOrchestration("i::sub::4", "C", "null", parent=e.Parent("i", 1, 4))),
        )
        assert (commit.status, commit.output) == (ExecutionStatus.RUNNING, None)
        assert commit.started is not None

    def test_given_up_in_the_same_turn(self) -> None:
        """What is asked for and given up in one turn is never enqueued, and nobody is told to stop."""

        def gives_up(ctx: Any) -> Steps:
            ctx.cancel(ctx.schedule_activity("A"))
            ctx.cancel(ctx.schedule_sub_orchestration("C"))
            yield ctx.schedule_wait("E")

        commit = Instance(gives_up).commit

        assert (commit.activities, commit.messages) == ((), ())

    def test_dropped_child(self) -> None:
        """[128] A child that was given up is told so."""

        def race(ctx: Any) -> Steps:
            yield ctx.select(ctx.schedule_sub_orchestration("C"), ctx.schedule_timer(1))
            yield ctx.schedule_wait("E")

        instance = Instance(race)
        instance.deliver(fired(0, 3))

        assert to_children(instance) == [("i::sub::2", "parent dropped sub-orchestration future")]

    def test_two_children_of_one_id(self) -> None:
        """A child that is given up does not take another schedule of the same explicit id with it."""

        def again(ctx: Any) -> Steps:
            yield ctx.select(ctx.schedule_sub_orchestration("C", instance_id="same"), ctx.schedule_timer(1))
            yield ctx.schedule_sub_orchestration("C", instance_id="same")

        instance = Instance(again)
        instance.deliver(fired(0, 3))

        assert to_children(instance) == [("same", "parent dropped sub-orchestration future")]
        assert [m.message.parent for m in instance.commit.messages if isinstance(m.message, StartOrchestration)] == [
            e.Parent("i", 1, 5)
        ]

    def test_eager(self) -> None:
        """Activities that the runtime claims are named with their token."""
        instance = Instance(busy)
        execution = instance.execution
        staged = execution.resume([Deliver("i", None, raised(0, "other"))], now_ms=0)
        commit = execution.decide(staged, claim=lambda activity: activity.name)

        assert commit.eager == ()


ENDINGS = [
    ("return", ExecutionStatus.COMPLETED, "OrchestrationCompleted", "dropped_future"),
    ("fail", ExecutionStatus.FAILED, "OrchestrationFailed", "dropped_future"),
    (
        "continue", ExecutionStatus.CONTINUED_AS_NEW, "OrchestrationContinuedAsNew",
        "orchestration_terminal_continued_as_new",
    ),
    ("cancel", ExecutionStatus.FAILED, "OrchestrationFailed", "orchestration_terminal_failed"),
    ("nondeterminism", ExecutionStatus.FAILED, "OrchestrationFailed", "orchestration_terminal_failed"),
]  # fmt: skip


def end(how: str, start: e.OrchestrationStarted | None = None) -> Instance:
    """Return an instance of `busy` that has ended like that."""
    instance = Instance(busy, start)
    if how == "cancel":
        instance.deliver(cancel())
    elif how == "nondeterminism":
        instance.deliver(completed(0, 99))
    else:
        instance.deliver(raised(0, data=how))
    return instance


@pytest.mark.parametrize(("how", "status", "ending", "reason"), ENDINGS, ids=[each[0] for each in ENDINGS])
class TestEndings:
    def test_events(self, how: str, status: ExecutionStatus, ending: str, reason: str) -> None:
        """[260] [645] However it ends: breadcrumbs for what is open, with the reason; then one terminal event."""
        instance = end(how)
        crumbs = [event for event in instance.commit.events if isinstance(event, e.Breadcrumb)]
        reasons = {type(crumb).__name__: crumb.reason for crumb in crumbs}

        assert reasons == {
            "ActivityCancelRequested": reason,
            "SubOrchestrationCancelRequested": reason,
            "ExternalSubscribedCancelled": "orchestration_terminal",
            "QueueSubscriptionCancelled": "orchestration_terminal",
        }
        assert type(instance.commit.events[-1]).__name__ == ending
        assert sum(isinstance(event, e.TERMINAL_EVENTS) for event in instance.history) == 1
        assert instance.commit.status is status

    def test_work_is_removed(self, how: str, status: ExecutionStatus, ending: str, reason: str) -> None:
        """[645] [Q4] However it ends: its activity and its timer are removed, and its child is cancelled."""
        instance = end(how)

        assert instance.commit.cancelled_activities == (2,)
        assert instance.commit.cancelled_timers == (3,)
        assert [child_id for child_id, _ in to_children(instance)] == ["i::sub::4"]
        assert instance.commit.activities == ()

    def test_parent_is_told(self, how: str, status: ExecutionStatus, ending: str, reason: str) -> None:
        """[640] [648] However it ends for good: the parent hears of it, once; a continuation keeps the parent."""
        instance = end(how, started(parent=PARENT))
        reports = [m.message for m in instance.commit.messages if m.message.instance_id == "parent"]

        if how == "continue":
            assert reports == []
            assert instance.next_execution().execution.started.parent == PARENT
        else:
            (report,) = reports
            assert isinstance(report, Deliver)
            assert report.execution_id == 1
            assert isinstance(report.event, e.SubOrchestrationCompleted | e.SubOrchestrationFailed)
            assert report.event.source_event_id == 7


class TestOutput:
    @pytest.mark.parametrize(
        ("how", "output"),
        [("return", '"return"'), ("fail", "as told"), ("continue", "7"), ("cancel", "canceled: why")],
    )
    def test_output(self, how: str, output: str) -> None:
        """[227] [279] The output is the result, the error's text, or the next execution's input."""
        assert end(how).commit.output == output

    def test_same_turn(self) -> None:
        """Activities, timers and children of the turn that ends are recorded, and never enqueued."""

        def hurried(ctx: Any) -> None:
            ctx.schedule_activity("A")
            ctx.schedule_timer(1)
            ctx.schedule_sub_orchestration("C")

        instance = Instance(hurried)

        assert (instance.commit.activities, instance.commit.messages) == ((), ())
        assert instance.kinds[1:4] == ["ActivityScheduled", "TimerCreated", "SubOrchestrationScheduled"]

    def test_detached_at_the_end(self) -> None:
        """[7] Detached starts happen also when the turn ends the execution."""

        def detaches(ctx: Any) -> None:
            ctx.schedule_orchestration("D", "d", 1, version="2.0.0")

        assert Instance(detaches).commit.messages == (Outgoing(StartOrchestration("d", "D", "1", "2.0.0")),)

    def test_cancelled_records_no_decisions(self) -> None:
        """A turn that is cancelled records nothing the code asked for in it."""

        def hurried(ctx: Any) -> Steps:
            yield ctx.schedule_wait("E")
            ctx.set_kv_value("k", 1)
            yield ctx.schedule_activity("A")

        cancelled = Instance(hurried)
        cancelled.deliver(raised(0), cancel())

        assert cancelled.kinds[2:] == ["ExternalEvent", "OrchestrationCancelRequested", "OrchestrationFailed"]
        assert (cancelled.commit.kv, cancelled.commit.activities) == ({}, ())

    def test_cancelled_children_of_ended_children(self) -> None:
        """[306] Children that have answered or were told already are not told again."""

        def family(ctx: Any) -> Steps:
            done = ctx.schedule_sub_orchestration("done")
            ctx.cancel(ctx.schedule_sub_orchestration("told"))
            ctx.schedule_sub_orchestration("open")
            yield done
            yield ctx.schedule_wait("E")

        instance = Instance(family)
        instance.deliver(child_completed(0, 2))
        instance.deliver(cancel())

        assert to_children(instance) == [("i::sub::4", "parent canceled")]


class TestPoison:
    def test_fail(self) -> None:
        """[658] [Q14] A poisoned execution ends without its code: what is open is ended, the parent is told."""
        why = ErrorDetails(details().category, ErrorKind.POISONED_ORCHESTRATION, "too often")
        history = [started(parent=PARENT), activity(2), timer(3), child(4), activity(5), failed(6, 5), waits(7)]
        commit = fail(
            history, why, is_new=False, incarnation=1, now_ms=5, lock=InstanceLock("i", "t"), consumed_messages=(1,)
        )

        assert summary(commit.events) == [
            (8, "ActivityCancelRequested", 2), (9, "SubOrchestrationCancelRequested", 4),
            (10, "ExternalSubscribedCancelled", 7), (11, "OrchestrationFailed"),
        ]  # fmt: skip
        assert (commit.last_event_id, commit.cancelled_activities, commit.cancelled_timers) == (7, (2,), (3,))
        assert {outgoing.message.instance_id for outgoing in commit.messages} == {"i::sub::4", "parent"}

    def test_fail_new(self) -> None:
        """[657] [Q13] A poisoned start is recorded with its start event."""
        commit = fail(
            [started(execution_id=2)], details(), is_new=True, incarnation=1, now_ms=5,
            lock=InstanceLock("i", "t"), consumed_messages=(),
        )  # fmt: skip

        assert summary(commit.events) == [(1, "OrchestrationStarted"), (2, "OrchestrationFailed")]
        assert (commit.last_event_id, commit.execution_id) == (0, 2)
