"""Queues of an instance: mailboxes in which nothing is lost, and nothing overtakes."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide._core import events as e
from duroxide._core.commit import Outgoing
from duroxide._core.effects import SUBSCRIPTION_TERMINAL
from duroxide._core.messages import Deliver

from .stage import PATIENCE, Stage, eventually


@frozen
class Letter:
    """A message with a shape."""

    to: str
    pages: tuple[int, ...]


def fill(stage: Stage, instance_id: str, queue: str, count: int) -> None:
    """Put the numbers up to *count* into a queue, in one transaction."""
    stage.provider.enqueue(
        [
            Outgoing(Deliver(instance_id, None, e.QueueEventDelivered(0, 0, queue, str(number))))
            for number in range(count)
        ]
    )


class TestDelivery:
    def test_wait_then_send(self, stage: Stage, registry: Registry) -> None:
        """[253] A dequeue that waits gets the message that is sent then."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.set_custom_status("waiting")
            return (yield from ctx.dequeue_event("box", type=str))

        stage.start()
        stage.client.start_orchestration("receive", receive)
        stage.until_status("receive")
        stage.client.enqueue_event("receive", "box", "hello")

        assert stage.result("receive") == "hello"

    def test_send_early(self, stage: Stage, registry: Registry) -> None:
        """[254] A message that is sent while the code is at something else waits for its dequeue."""

        @registry.activity
        def send(ctx: ActivityContext) -> None:
            ctx.client.enqueue_event(ctx.instance_id, "box", "early")

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_activity(send)
            yield from ctx.schedule_timer(0.01)
            return (yield from ctx.dequeue_event("box", type=str))

        stage.start()

        assert stage.run("early", receive) == "early"

    def test_shapes(self, stage: Stage, registry: Registry) -> None:
        """[264] Structures go through queues and events with their types."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[Any]:
            letter = yield from ctx.dequeue_event("box", type=Letter)
            event = yield from ctx.schedule_wait("letter", type=Letter)
            return [letter.to, list(letter.pages), event.to, isinstance(event, Letter)]

        stage.start()
        stage.client.start_orchestration("shapes", receive)
        stage.client.enqueue_event("shapes", "box", Letter("Ann", (1, 2)))
        stage.until_kind("shapes", e.ExternalSubscribed)
        stage.client.raise_event("shapes", "letter", Letter("Bob", ()))

        assert stage.result("shapes") == ["Ann", [1, 2], "Bob", True]

    def test_queues_are_apart(self, stage: Stage, registry: Registry) -> None:
        """[265] Three queues, and an event of the same name, filled alternately: each is in its own order."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[Any]:
            seen: dict[str, list[Any]] = {}
            for queue in ("c", "a", "b"):
                for _ in range(3):
                    seen.setdefault(queue, []).append((yield from ctx.dequeue_event(queue)))
            return seen

        stage.client.start_orchestration("apart", receive)
        for number in range(3):
            stage.client.raise_event("apart", "a", "an event, not a message")
            for queue in "abc":
                stage.client.enqueue_event("apart", queue, f"{queue}{number}")
        stage.start()

        assert stage.result("apart") == {queue: [f"{queue}{number}" for number in range(3)] for queue in "abc"}

    def test_before_the_instance(self, stage: Stage, registry: Registry) -> None:
        """[267] What is sent to an id before it was ever started is dropped, and not found by a later instance."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[int]:
            return (yield from ctx.select(ctx.dequeue_event("box"), ctx.schedule_timer(0.05))).index

        stage.start()
        stage.client.enqueue_event("later", "box", "too early")
        eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 0)

        assert stage.run("later", receive) == 1
        assert stage.of_kind("later", e.QueueEventDelivered) == []

    def test_with_the_start(self, stage: Stage, registry: Registry) -> None:
        """[254, 199] Messages that were sent before the start was processed are there, in their order."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            first = yield from ctx.dequeue_event("box")
            return [first, (yield from ctx.dequeue_event("box"))]

        stage.client.start_orchestration("with", receive)
        for number in range(2):
            stage.client.enqueue_event("with", "box", number)
        stage.start()

        assert stage.result("with") == [0, 1]


class TestGivenUp:
    def test_two_while_nothing_runs(self, stage: Stage, registry: Registry) -> None:
        """[256] [259] A dequeue that lost its race takes no message: the next one gets the first."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[Any]:
            winner = yield from ctx.select(ctx.dequeue_event("box"), ctx.schedule_timer(0.01))
            again = ctx.dequeue_event("box")
            ctx.set_custom_status(f"lost to {winner.index}")
            return (yield from again)

        runtime = stage.start()
        stage.client.start_orchestration("two", receive)
        assert stage.until_status("two") == "lost to 1"
        runtime.shutdown()
        for text in ("first", "second"):
            stage.client.enqueue_event("two", "box", text)
        stage.start()

        assert stage.result("two") == "first"
        assert len(stage.of_kind("two", e.QueueEventDelivered)) == 2
        first, _ = stage.of_kind("two", e.QueueSubscribed)
        (crumb,) = stage.of_kind("two", e.QueueSubscriptionCancelled)
        assert (crumb.source_event_id, crumb.reason) == (first.event_id, e.DROPPED)

    def test_after_the_end(self, stage: Stage, registry: Registry) -> None:
        """[257] A message to an instance that has ended is consumed, and leaves no trace."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[Any]:
            yield from ctx.select(ctx.dequeue_event("box"), ctx.schedule_timer(0))
            ctx.set_custom_status("lost")
            return (yield from ctx.dequeue_event("box"))

        stage.start()
        stage.client.start_orchestration("after", receive)
        stage.until_status("after")
        stage.client.enqueue_event("after", "box", "first")
        assert stage.result("after") == "first"
        stage.client.enqueue_event("after", "box", "second")
        eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 0)

        assert len(stage.of_kind("after", e.QueueEventDelivered)) == 1
        assert stage.kinds("after")[-1] == "OrchestrationCompleted"

    def test_open_at_the_end(self, stage: Stage, registry: Registry) -> None:
        """[260] A dequeue that is open when the instance ends is closed in its history, before the end."""

        @registry.orchestration
        def leave(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.dequeue_event("box")
            yield from ctx.schedule_timer(0)
            return "left"

        stage.start()

        assert stage.run("leave", leave) == "left"
        (crumb,) = stage.of_kind("leave", e.QueueSubscriptionCancelled)
        assert crumb.reason == SUBSCRIPTION_TERMINAL
        assert stage.kinds("leave")[-2:] == ["QueueSubscriptionCancelled", "OrchestrationCompleted"]

    def test_the_one_that_is_left(self, stage: Stage, registry: Registry) -> None:
        """[261] Of three dequeues two are given up: the only message goes to the third."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[Any]:
            for _ in range(2):
                yield from ctx.select(ctx.dequeue_event("box"), ctx.schedule_timer(0))
            third = ctx.dequeue_event("box")
            ctx.set_custom_status("two are gone")
            return (yield from third)

        stage.start()
        stage.client.start_orchestration("third", receive)
        stage.until_status("third")
        stage.client.enqueue_event("third", "box", "the only one")

        assert stage.result("third") == "the only one"
        assert len(stage.of_kind("third", e.QueueSubscriptionCancelled)) == 2

    def test_race_with_an_event(self, stage: Stage, registry: Registry) -> None:
        """[263] The winner of event against queue is taken; what lost can be asked for again, with others."""

        @registry.orchestration
        def receive(ctx: OrchestrationContext) -> Orchestration[Any]:
            winner = yield from ctx.select(ctx.schedule_wait("bell"), ctx.dequeue_event("box"))
            waits = [ctx.schedule_wait("bell"), ctx.schedule_wait("horn"), ctx.dequeue_event("box")]
            ctx.set_custom_status("again")
            return [winner.index, winner.value, *(yield from ctx.join(*waits))]

        stage.start()
        stage.client.start_orchestration("race", receive)
        stage.client.enqueue_event("race", "box", "one")
        stage.until_status("race")
        for name in ("horn", "bell"):
            stage.client.raise_event("race", name, name)
        stage.client.enqueue_event("race", "box", "two")

        assert stage.result("race") == [1, "one", "bell", "horn", "two"]


class TestMailboxes:
    def test_hot_reload(self, stage: Stage, registry: Registry) -> None:
        """[268] Cycles that each drain whatever there is, none, one or many, lose nothing."""

        @registry.orchestration
        def serve(ctx: OrchestrationContext) -> Orchestration[list[list[int]]]:
            seen: list[list[int]] = []
            for cycle in range(4):
                yield from ctx.dequeue_event("cycle")
                seen.append([])
                while (
                    winner := (yield from ctx.select(ctx.dequeue_event("config"), ctx.schedule_timer(0)))
                ).index == 0:
                    seen[-1].append(winner.value)
                ctx.set_custom_status(f"cycle {cycle}")
            return seen

        stage.start()
        stage.client.start_orchestration("serve", serve)
        number = 0
        for cycle, updates in enumerate((0, 1, 5, 2)):
            for _ in range(updates):
                stage.client.enqueue_event("serve", "config", number)
                number += 1
            stage.client.enqueue_event("serve", "cycle")
            stage.client.wait_for_status_change("serve", cycle, PATIENCE)

        assert stage.result("serve") == [[], [0], [1, 2, 3, 4, 5], [6, 7]]

    def test_carried_and_drained(self, stage: Stage, registry: Registry) -> None:
        """[671] [276] Hundreds of unread messages go along into the next execution, ahead of newer ones, and are drained."""

        @registry.orchestration
        def drain(ctx: OrchestrationContext, is_second: bool = False) -> Orchestration[list[int]]:
            if not is_second:
                yield from ctx.schedule_wait("go on")
                ctx.set_custom_status("second")
                yield ctx.continue_as_new(True)
            seen: list[int] = []
            while len(seen) < 301:
                seen.append((yield from ctx.dequeue_event("box", type=int)))
            return seen

        stage.start()
        stage.client.start_orchestration("drain", drain)
        fill(stage, "drain", "box", 300)
        stage.until_kind("drain", e.ExternalSubscribed)
        stage.client.raise_event("drain", "go on")
        stage.until_status("drain")
        stage.client.enqueue_event("drain", "box", 300)

        assert stage.result("drain") == list(range(301))
        assert len(stage.history("drain")[0].queued) == 300

    def test_thousands_in_one_loop(self, stage: Stage, registry: Registry) -> None:
        """[671] A mailbox of thousands of messages is drained in one loop, in one turn."""

        @registry.orchestration
        def drain(ctx: OrchestrationContext) -> Orchestration[int]:
            total = 0
            for _ in range(2500):
                total += yield from ctx.dequeue_event("box", type=int)
            return total

        stage.client.start_orchestration("drain", drain)
        fill(stage, "drain", "box", 2500)
        stage.start()

        assert stage.result("drain") == sum(range(2500))
