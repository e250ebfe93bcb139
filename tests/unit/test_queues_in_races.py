"""Dequeues that lose a race while messages wait already: nothing is lost, and nothing depends on where history is cut."""

from __future__ import annotations

import json

from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus
from duroxide._core.turn import run_turn

from .histories import Instance, Steps, enqueued, fed, raised, started


ORDER, CANCEL = ("orders", "o"), ("cancels", "c")


class TestRaces:
    @pytest.mark.parametrize("carried", [True, False])
    def test_loser(self, carried: bool) -> None:
        """Of two dequeues that both have a message the first wins; the other's message goes to the next dequeue."""

        def races(ctx: Any) -> Steps:
            seen = []
            yield ctx.schedule_wait("go")
            for _ in range(2):
                winner = yield ctx.select(ctx.dequeue_event("orders"), ctx.dequeue_event("cancels"))
                seen.append([winner.index, winner.value])
            return seen

        instance = Instance(races, started(queued=[ORDER, CANCEL] if carried else ()))
        if not carried:
            instance.deliver(enqueued(0, *CANCEL), enqueued(0, *ORDER))
        instance.deliver(raised(0, "go"))

        assert instance.output == [[0, "o"], [1, "c"]]
        assert instance.kinds.count("QueueSubscriptionCancelled") == 2

    def test_one_queue(self) -> None:
        """Two dequeues of one queue race: the loser takes nothing."""

        def races(ctx: Any) -> Steps:
            winner = yield ctx.select(ctx.dequeue_event("Q"), ctx.dequeue_event("Q"))
            return [winner.value, (yield ctx.dequeue_event("Q"))]

        assert Instance(races, started(queued=[("Q", 1), ("Q", 2)])).output == [1, 2]

    def test_branches(self) -> None:
        """A branch that loses before its message came has not taken one, though there was one."""

        def takes(ctx: Any, queue: str) -> Steps:
            return (yield ctx.dequeue_event(queue))

        def races(ctx: Any) -> Steps:
            winner = yield ctx.select(takes(ctx, "orders"), takes(ctx, "cancels"))
            return [winner.value, (yield ctx.dequeue_event("cancels"))]

        assert Instance(races, started(queued=[CANCEL, ORDER])).output == ["o", "c"]

    def test_given_up_on_the_way(self) -> None:
        """The code goes on after each message: what it gives up then has got none yet."""

        def takes(ctx: Any, first: Any, second: Any) -> Steps:
            value = yield first
            ctx.cancel(second)
            return value

        def races(ctx: Any) -> Steps:
            first, second = ctx.dequeue_event("Q"), ctx.dequeue_event("Q")
            [value] = yield ctx.join(takes(ctx, first, second))
            return [value, (yield ctx.dequeue_event("Q"))]

        assert Instance(races, started(queued=[("Q", 1), ("Q", 2)])).output == [1, 2]

    def test_without_cancelling(self) -> None:
        """A loser that goes on gets its message when the code next waits."""

        def races(ctx: Any) -> Steps:
            orders, cancels = ctx.dequeue_event("orders"), ctx.dequeue_event("cancels")
            winner = yield ctx.select(orders, cancels, cancel_losers=False)
            return [winner.value, cancels.is_done, (yield cancels)]

        assert Instance(races, started(queued=[CANCEL, ORDER])).output == ["o", False, "c"]

    def test_order_of_asking(self) -> None:
        """Over all queues, who asked first is served first, whichever message came first."""

        def asks(ctx: Any) -> Steps:
            seen: list[str] = []

            def takes(queue: str) -> Steps:
                seen.append((yield ctx.dequeue_event(queue)))

            yield ctx.join(takes("orders"), takes("cancels"), takes("orders"))
            return seen

        assert Instance(asks, started(queued=[CANCEL, ORDER, ("orders", "o2")])).output == ["o", "c", "o2"]


class TestContinueAsNew:
    def test_not_taken(self) -> None:
        """A dequeue that is open when the code continues as new has taken nothing: the message is carried over."""

        def continues(ctx: Any) -> Steps:
            ctx.dequeue_event("Q")
            yield ctx.continue_as_new()

        instance = Instance(continues, started(queued=[("Q", 1)]))

        assert [message.data for message in instance.next_execution().execution.started.queued] == ["1"]

    def test_arrives_in_that_turn(self) -> None:
        """Nor does it take a message that arrives in the same turn."""

        def continues(ctx: Any) -> Steps:
            ctx.dequeue_event("Q")
            yield ctx.schedule_wait("E")
            yield ctx.continue_as_new()

        instance = Instance(continues)
        instance.deliver(raised(0), enqueued(0, data=1))

        assert [message.data for message in instance.next_execution().execution.started.queued] == ["1"]


def races(ctx: Any, seen: list[Any]) -> Steps:
    """Take from three queues as messages come, in ways that lose, until told to continue as new."""

    def takes(queue: str) -> Steps:
        return (yield ctx.dequeue_event(queue))

    seen = list(seen)
    while True:
        winner = yield ctx.select(
            ctx.dequeue_event("a"),
            takes("b"),
            ctx.select(ctx.dequeue_event("c"), ctx.dequeue_event("a")),
            ctx.schedule_wait("pause"),
        )
        if winner.index == 3:
            # Messages pile up.
            if (yield ctx.schedule_wait("go")) == "anew":
                yield ctx.continue_as_new(seen)
            continue
        seen.append(winner.value.value if winner.index == 2 else winner.value)
        ctx.set_kv_value("seen", seen)


_MESSAGES = st.tuples(st.just("enqueue"), st.sampled_from("abc"))
_MOVES = st.one_of(_MESSAGES, _MESSAGES, st.sampled_from([("raise", "pause"), ("raise", "go"), ("raise", "anew")]))


def _events(moves: list[tuple[str, str]], sent: list[str]) -> list[e.Event]:
    """Return what *moves* are; *sent* gets the messages."""
    events: list[e.Event] = []
    for kind, name in moves:
        if kind == "raise":
            events.append(raised(0, "pause" if name == "pause" else "go", name))
        else:
            sent.append(f"{name}{len(sent)}")
            events.append(enqueued(0, name, sent[-1]))
    return events


class TestLaws:
    @given(st.lists(st.lists(_MOVES, max_size=6), max_size=8), st.data())
    def test_every_message_once(self, batches: list[list[tuple[str, str]]], data: st.DataObject) -> None:
        """Whatever loses: each message is seen once or still unread, first in, first out; cut anywhere, too."""
        sent: list[str] = []
        instance = Instance(races, started(input=[]))
        for batch in batches:
            instance.deliver(*_events(batch, sent))
            length = data.draw(st.integers(1, len(instance.history)))
            cuts = sorted(data.draw(st.lists(st.integers(1, length), max_size=3)))
            history = instance.history[:length]
            begun = history[0]
            assert isinstance(begun, e.OrchestrationStarted)
            assert run_turn(history, races) == fed(races, begun, history, cuts)
            if instance.commit.status is ExecutionStatus.CONTINUED_AS_NEW:
                instance = instance.next_execution()
        executor = instance.execution.executor
        seen = _seen(instance)
        unread = [message.data.strip('"') for message in executor.unread_messages()]

        assert sorted([*seen, *unread]) == sorted(sent)
        for queue in "abc":
            assert [each for each in [*seen, *unread] if each[0] == queue] == [
                each for each in sent if each[0] == queue
            ]


def _seen(instance: Instance) -> list[str]:
    """Return the messages that the code has seen."""
    entry = instance.execution.executor.kv.get("seen")
    return [] if entry is None else [str(each) for each in json.loads(entry.value)]
