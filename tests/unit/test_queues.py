"""Positional events and queues: who gets what, and who never does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from duroxide._core.events import ActivityScheduled, OrchestrationStarted
from duroxide._core.execution import Execution
from duroxide._core.executor import Executor

from .histories import Instance, Steps, completed, enqueued, fired, raised, started, summary


class TestPositionalEvents:
    def test_one(self) -> None:
        """[241] Wait, then raise: the data."""

        def waits(ctx: Any) -> Steps:
            return (yield ctx.schedule_wait("E"))

        instance = Instance(waits)
        instance.deliver(raised(0))

        assert instance.output == "data"

    @pytest.mark.parametrize("together", [True, False])
    def test_in_order(self, together: bool) -> None:
        """[242] Two waits get two events in order, in one batch or two."""

        def waits(ctx: Any) -> Steps:
            first, second = ctx.schedule_wait("E"), ctx.schedule_wait("E")
            return [(yield second), (yield first)]

        instance = Instance(waits)
        for batch in (
            ([raised(0, data=1), raised(0, data=2)],) if together else ([raised(0, data=1)], [raised(0, data=2)])
        ):
            instance.deliver(*batch)

        assert instance.output == [2, 1]

    def test_too_early(self) -> None:
        """[244] [249] An event before the subscription is in history, and never delivered."""

        def late(ctx: Any) -> Steps:
            yield ctx.schedule_timer(1)
            return (yield ctx.schedule_wait("E"))

        instance = Instance(late)
        instance.deliver(raised(0, data="early"))
        instance.deliver(fired(0, 2))
        instance.deliver(raised(0, data="late"))

        assert (instance.output, instance.kinds.count("ExternalEvent")) == ("late", 2)

    def test_same_batch_is_too_early(self) -> None:
        """An event in the batch that makes the code subscribe comes too early as well."""

        def late(ctx: Any) -> Steps:
            yield ctx.schedule_timer(1)
            return (yield ctx.schedule_wait("E"))

        instance = Instance(late)
        instance.deliver(fired(0, 2), raised(0))

        assert instance.commit.output is None

    def test_surplus(self) -> None:
        """[245] A second event for one wait is in history, and lost to the code."""

        def waits(ctx: Any) -> Steps:
            return (yield ctx.schedule_wait("E"))

        instance = Instance(waits)
        instance.deliver(raised(0, data=1), raised(0, data=2))

        assert (instance.output, instance.kinds.count("ExternalEvent")) == (1, 2)

    def test_lost_wait(self) -> None:
        """[246] A wait that lost a race gives its place to the next one of the name."""

        def again(ctx: Any) -> Steps:
            yield ctx.select(ctx.schedule_wait("E"), ctx.schedule_timer(1))
            return (yield ctx.schedule_wait("E"))

        instance = Instance(again)
        instance.deliver(fired(0, 3))
        instance.rebuild()
        instance.deliver(raised(0))

        assert instance.output == "data"

    @pytest.mark.parametrize("rebuild", [False, True])
    def test_stale_event_in_one_batch(self, rebuild: bool) -> None:
        """[651] [Q8] In one batch [timer, event] the lost wait does not take the event, nor does the next one."""

        def again(ctx: Any) -> Steps:
            yield ctx.select(ctx.schedule_wait("E"), ctx.schedule_timer(1))
            return (yield ctx.schedule_wait("E"))

        instance = Instance(again)
        instance.deliver(fired(0, 3), raised(0, data="stale"))
        if rebuild:
            instance.rebuild()
        instance.deliver(raised(0, data="fresh"))

        assert instance.output == "fresh"

    @pytest.mark.parametrize("rebuild", [False, True])
    @pytest.mark.parametrize("is_late", [False, True])
    def test_race_with_a_timer(self, is_late: bool, rebuild: bool) -> None:
        """[238] [252] What comes first, event or timer, wins; the other one changes nothing any more."""

        def race(ctx: Any) -> Steps:
            winner = yield ctx.select(ctx.schedule_wait("E"), ctx.schedule_timer(1))
            return [winner.index, winner.value, (yield ctx.schedule_activity("A"))]

        instance = Instance(race)
        answers = [raised(0), fired(0, 3)]
        for answer in reversed(answers) if is_late else answers:
            instance.deliver(answer)
            if rebuild:
                instance.rebuild()
        (scheduled,) = (event for event in instance.history if isinstance(event, ActivityScheduled))
        instance.deliver(completed(0, scheduled.event_id, "a"))

        assert instance.output == ([1, None, "a"] if is_late else [0, "data", "a"])

    def test_race_of_two(self) -> None:
        """[250] Of two racing waits the one whose event came first wins."""

        def race(ctx: Any) -> Steps:
            winner = yield ctx.select(ctx.schedule_wait("A"), ctx.schedule_wait("B"))
            return winner.index

        instance = Instance(race)
        instance.deliver(raised(0, "B"), raised(0, "A"))

        assert instance.output == 1

    def test_typed(self) -> None:
        """[264] The data comes as the type that is asked for; a wrong type raises where it is waited for."""

        def typed(ctx: Any) -> Steps:
            moment = yield ctx.schedule_wait("E", type=datetime)
            try:
                yield ctx.schedule_wait("E", type=int)
            except ValueError as error:
                return [moment.year, "data of event 'E'" in str(error)]

        instance = Instance(typed)
        instance.deliver(raised(0, data="2024-01-01T00:00:00+00:00"))
        instance.deliver(raised(0, data="x"))

        assert instance.output == [2024, True]


class TestQueues:
    @pytest.mark.parametrize("early", [True, False])
    def test_early_or_late(self, early: bool) -> None:
        """[253] [254] A message waits for its dequeue, or the dequeue for its message."""

        def takes(ctx: Any) -> Steps:
            yield ctx.schedule_activity("A")
            return (yield ctx.dequeue_event("Q"))

        instance = Instance(takes)
        for event in (enqueued(0), completed(0, 2)) if early else (completed(0, 2), enqueued(0)):
            instance.deliver(event)

        assert instance.output == "data"

    def test_lost_dequeue(self) -> None:
        """[256] [257] [259] [261] Dequeues that lost a race take nothing; the message goes to the next one."""

        def again(ctx: Any) -> Steps:
            for _ in range(2):
                yield ctx.select(ctx.dequeue_event("Q"), ctx.schedule_timer(1))
            return (yield ctx.dequeue_event("Q"))

        instance = Instance(again)
        instance.deliver(fired(0, 3))
        instance.deliver(fired(0, 6))
        instance.rebuild()
        instance.deliver(enqueued(0, data="one"), enqueued(0, data="two"))

        assert instance.output == "one"
        assert instance.kinds.count("QueueSubscriptionCancelled") == 2

    @pytest.mark.parametrize("rebuild", [False, True])
    def test_lost_in_the_same_batch(self, rebuild: bool) -> None:
        """[Q8] In one batch [timer, message] the next dequeue gets the message, also when replayed."""

        def again(ctx: Any) -> Steps:
            yield ctx.select(ctx.dequeue_event("Q"), ctx.schedule_timer(1))
            first = yield ctx.dequeue_event("Q")
            return [first, (yield ctx.dequeue_event("Q"))]

        instance = Instance(again)
        instance.deliver(fired(0, 3), enqueued(0, data=1))
        if rebuild:
            instance.rebuild()
        instance.deliver(enqueued(0, data=2))

        assert instance.output == [1, 2]

    def test_isolated(self) -> None:
        """[178] [265] Queues are first in, first out, and do not leak into each other or into events."""

        def takes(ctx: Any) -> Steps:
            event = ctx.schedule_wait("a")
            results = []
            for name in "abab":
                results += [(yield ctx.dequeue_event(name))]
            return [*results, event.is_done]

        instance = Instance(takes)
        instance.deliver(*(enqueued(0, name, f"{name}{number}") for number in (1, 2) for name in "cba"))

        assert instance.output == ["a1", "b1", "a2", "b2", False]

    def test_waiting_in_another_order(self) -> None:
        """The order of dequeues counts, not the order in which they are waited for."""

        def takes(ctx: Any) -> Steps:
            first, second = ctx.dequeue_event("Q"), ctx.dequeue_event("Q")
            return [(yield second), (yield first)]

        instance = Instance(takes)
        instance.deliver(enqueued(0, data=1), enqueued(0, data=2))

        assert instance.output == [2, 1]

    def test_drain_in_one_turn(self) -> None:
        """[671] [Q37] 500 inherited messages are drained in one turn."""

        def drains(ctx: Any) -> Steps:
            total = 0
            for _ in range(500):
                total += yield ctx.dequeue_event("Q")
            return total

        instance = Instance(drains, started(queued=[("Q", 1)] * 500))

        assert instance.output == 500

    def test_reload(self) -> None:
        """[268] A loop that drains what there is, and then sleeps, loses nothing."""

        def reloads(ctx: Any) -> Steps:
            seen: list[int] = []
            while len(seen) < 4:
                winner = yield ctx.select(ctx.dequeue_event("Q"), ctx.schedule_timer(60))
                if winner.index == 0:
                    seen.append(winner.value)
            return seen

        instance = Instance(reloads)
        instance.deliver(fired(0, 3))
        instance.deliver(enqueued(0, data=1), enqueued(0, data=2))
        instance.rebuild()
        instance.deliver()
        instance.deliver(enqueued(0, data=3), enqueued(0, data=4))

        assert instance.output == [1, 2, 3, 4]

    def test_typed(self) -> None:
        """[264] A message comes as the type that is asked for."""

        def typed(ctx: Any) -> Steps:
            moment = yield ctx.dequeue_event("Q", type=datetime)
            return moment.year

        instance = Instance(typed)
        instance.deliver(enqueued(0, data="2024-01-01T00:00:00+00:00"))

        assert instance.output == 2024

    def test_open_at_the_end(self) -> None:
        """[189] [260] [263] Only subscriptions that got nothing are closed at the end."""

        def leaves(ctx: Any) -> Steps:
            got, opened = ctx.dequeue_event("Q"), ctx.dequeue_event("Q")
            yield ctx.join(got, ctx.schedule_wait("E"))
            return opened.is_done

        instance = Instance(leaves)
        instance.deliver(enqueued(0), raised(0))

        assert summary(instance.commit.events)[2:] == [
            (7, "QueueSubscriptionCancelled", 3), (8, "OrchestrationCompleted"),
        ]  # fmt: skip


def unread(start: OrchestrationStarted, fn: Any, *events: Any) -> list[str]:
    """Return what would be carried over."""
    execution = Execution(Executor(fn, start), incarnation=1, is_new=False)
    execution.catch_up(events)
    return [f"{message.queue}{message.data}" for message in execution.executor.unread_messages()]


class TestCarryForward:
    @staticmethod
    def takes_two(ctx: Any) -> Steps:
        """Take two messages of Q, giving up a dequeue before."""
        ctx.cancel(ctx.dequeue_event("Q"))
        ctx.dequeue_event("Q")
        ctx.dequeue_event("Q")
        yield ctx.schedule_wait("never")

    def test_nothing(self) -> None:
        """[174] [181] [180] Nothing arrived, or no more than was asked for: nothing to carry."""
        assert unread(started(), self.takes_two) == []
        assert unread(started(), self.takes_two, enqueued(10), raised(11)) == []

    def test_arrival_order(self) -> None:
        """[175] [177] [178] [188] Unread messages are carried in arrival order over all queues."""
        events = [enqueued(10 + number, queue, number) for number, queue in enumerate("XQYQQX")]

        assert unread(started(), self.takes_two, *events) == ["X0", "Y2", "Q4", "X5"]

    def test_inherited_come_first(self) -> None:
        """[199] What was inherited comes before what arrived."""
        assert unread(started(queued=[("X", 1)]), self.takes_two, enqueued(10, "X", 2)) == ["X1", "X2"]
