"""Activities in a row, side by side, in races and branches; and what their failures look like."""

from __future__ import annotations

import threading

from collections.abc import Iterator
from typing import Any

import pytest

from attrs import frozen

from duroxide import (
    ActivityContext,
    ActivityFailed,
    ErrorCategory,
    ErrorKind,
    Failed,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
)
from duroxide._core import events as e

from .stage import PATIENCE, Stage


@frozen
class Order:
    """An input with a shape."""

    id: int
    items: list[str]


class OutOfStock(Exception):
    """An exception of the user's own."""


class TestActivities:
    def test_one(self, stage: Stage, registry: Registry) -> None:
        """One activity's result is the output, and history has the four events, no more."""

        @registry.activity
        def greet(ctx: ActivityContext, name: str) -> str:
            return f"Hello, {name}!"

        @registry.orchestration
        def hello(ctx: OrchestrationContext, name: str) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(greet, name))

        stage.start()

        assert stage.run("one", hello, "World") == "Hello, World!"
        assert stage.kinds("one") == [
            "OrchestrationStarted",
            "ActivityScheduled",
            "ActivityCompleted",
            "OrchestrationCompleted",
        ]

    def test_async(self, stage: Stage, registry: Registry) -> None:
        """An `async def` activity runs, beside others, and its failure is a failure."""
        first, second = threading.Event(), threading.Event()

        @registry.activity
        async def meet(ctx: ActivityContext, number: int) -> int:
            (first if number else second).set()
            return number * 10

        @registry.activity
        async def stumble(ctx: ActivityContext) -> None:
            raise LookupError("lost")

        @registry.orchestration
        def both(ctx: OrchestrationContext) -> Orchestration[Any]:
            numbers = yield from ctx.join(ctx.schedule_activity(meet, 0), ctx.schedule_activity(meet, 1))
            try:
                yield from ctx.schedule_activity(stumble)
            except LookupError as error:
                return [*numbers, str(error)]

        stage.start()

        assert stage.run("async", both) == [0, 10, "lost"]
        assert first.is_set()
        assert second.is_set()

    def test_shapes(self, stage: Stage, registry: Registry) -> None:
        """Inputs and results keep their types on the way through the database."""

        @registry.activity
        def pack(ctx: ActivityContext, order: Order) -> Order:
            return Order(order.id + 1, [*order.items, "box"])

        @registry.orchestration
        def fulfil(ctx: OrchestrationContext, order: Order) -> Orchestration[Order]:
            return (yield from ctx.schedule_activity(pack, order))

        stage.start()
        stage.client.start_orchestration("shapes", fulfil, Order(1, ["pen"]))

        assert stage.client.wait_for_result("shapes", PATIENCE, type=Order) == Order(2, ["pen", "box"])

    def test_who_works_for_whom(self, stage: Stage, registry: Registry) -> None:
        """An activity knows its instance, its orchestration, its id and the runtime that runs it."""

        @registry.activity
        def who(ctx: ActivityContext) -> list[Any]:
            return [ctx.instance_id, ctx.execution_id, ctx.orchestration_name, ctx.orchestration_version,
                    ctx.activity_name, ctx.activity_id, ctx.attempt, ctx.worker_id, ctx.is_cancelled]  # fmt: skip

        @registry.orchestration(version="2.1.0")
        def ask(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            return (yield from ctx.schedule_activity(who))

        stage.start(worker_node_id="node-7")

        assert stage.run("who", ask) == ["who", 1, "ask", "2.1.0", "who", 2, 1, "node-7", False]

    def test_without_a_name(self, stage: Stage, registry: Registry) -> None:
        """What has no name of its own, like a lambda, goes by the name that it was registered under, also an empty one."""
        double = registry.register_activity(lambda ctx, number: 2 * number, name="double")
        nameless = registry.register_activity(lambda ctx, number: -number, name="")
        thrice = registry.register_orchestration(lambda ctx, number: 3 * number, name="thrice")

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            return [
                (yield from ctx.schedule_activity(double, 4)),
                (yield from ctx.schedule_activity(nameless, 1)),
                (yield from ctx.schedule_activity("", 2)),
                (yield from ctx.schedule_sub_orchestration(thrice, 5)),
            ]

        stage.start()

        assert stage.run("named", parent) == [8, -1, -2, 15]

    def test_many_in_a_row(self, stage: Stage, registry: Registry) -> None:
        """Sixty activities one after the other: each once, in order."""

        @registry.activity
        def add(ctx: ActivityContext, number: int) -> int:
            return number + 1

        @registry.orchestration
        def count(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
            for _ in range(60):
                number = yield from ctx.schedule_activity(add, number)
            return number

        stage.start()

        assert stage.run("count", count, 0) == 60
        assert [event.result for event in stage.of_kind("count", e.ActivityCompleted)] == [
            str(number) for number in range(1, 61)
        ]

    def test_no_cross_talk(self, stage: Stage, registry: Registry) -> None:
        """Many instances of two orchestrations share activities, and each gets its own answers."""

        @registry.activity
        def label(ctx: ActivityContext, number: int) -> str:
            return f"{ctx.instance_id}:{number}"

        @registry.orchestration
        def twice(ctx: OrchestrationContext, number: int) -> Orchestration[list[str]]:
            first = yield from ctx.schedule_activity(label, number)
            second = yield from ctx.schedule_activity(label, number + 1)
            return [first, second]

        @registry.orchestration
        def together(ctx: OrchestrationContext, number: int) -> Orchestration[list[str]]:
            return (yield from ctx.join(ctx.schedule_activity(label, number), ctx.schedule_activity(label, number + 1)))

        stage.start()
        names = [f"{kind.__name__}-{number}" for number in range(15) for kind in (twice, together)]
        for name in names:
            kind, number = name.split("-")
            stage.client.start_orchestration(name, kind, int(number))

        for name in names:
            number = int(name.split("-")[1])
            assert stage.result(name) == [f"{name}:{number}", f"{name}:{number + 1}"]

    @pytest.mark.parametrize("concurrency", [1, 2])
    def test_few_slots(self, stage: Stage, registry: Registry, concurrency: int) -> None:
        """One slot is enough for everything; no more than the slots run at once."""
        lock, running, most = threading.Lock(), [0], [0]

        @registry.activity
        def work(ctx: ActivityContext, number: int) -> int:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            ctx.wait_cancelled(0.002)
            with lock:
                running[0] -= 1
            return number

        @registry.orchestration
        def all_of_them(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            yield from ctx.schedule_timer(0.001)
            return (yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(10))))

        stage.start(worker_concurrency=concurrency)
        for number in range(3):
            stage.client.start_orchestration(f"few-{number}", all_of_them)

        for number in range(3):
            assert stage.result(f"few-{number}") == list(range(10))
        assert most[0] == concurrency


class TestSideBySide:
    def test_fan_out(self, stage: Stage, registry: Registry) -> None:
        """Activities of a join run at the same time; their results come in argument order."""
        barrier = threading.Barrier(4, timeout=PATIENCE)

        @registry.activity
        def square(ctx: ActivityContext, number: int) -> int:
            barrier.wait()
            return number * number

        @registry.orchestration
        def squares(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            return (yield from ctx.join(*(ctx.schedule_activity(square, number) for number in range(4))))

        stage.start()

        assert stage.run("squares", squares) == [0, 1, 4, 9]

    def test_large_fan_out(self, stage: Stage, registry: Registry) -> None:
        """Two thousand activities at once: all of them, each once."""

        @registry.activity
        def square(ctx: ActivityContext, number: int) -> int:
            return number * number

        @registry.orchestration
        def squares(ctx: OrchestrationContext, count: int) -> Orchestration[int]:
            return sum((yield from ctx.join(*(ctx.schedule_activity(square, number) for number in range(count)))))

        stage.start()

        assert stage.run("squares", squares, 2000) == sum(number * number for number in range(2000))
        answered = [event.source_event_id for event in stage.of_kind("squares", e.ActivityCompleted)]
        assert sorted(answered) == list(range(2, 2002))

    def test_scheduling_is_eager(self, stage: Stage, registry: Registry) -> None:
        """What is scheduled first and awaited last runs meanwhile."""
        started, release = threading.Event(), threading.Event()

        @registry.activity
        def slow(ctx: ActivityContext) -> str:
            started.set()
            assert release.wait(PATIENCE)
            return "slow"

        @registry.activity
        def quick(ctx: ActivityContext) -> str:
            assert started.wait(PATIENCE)
            release.set()
            return "quick"

        @registry.orchestration
        def overlap(ctx: OrchestrationContext) -> Orchestration[list[str]]:
            first = ctx.schedule_activity(slow)
            second = yield from ctx.schedule_activity(quick)
            return [(yield from first), second]

        stage.start()

        assert stage.run("overlap", overlap) == ["slow", "quick"]

    def test_branches(self, stage: Stage, registry: Registry) -> None:
        """Branches of several steps, nested in joins and races, run beside each other."""

        @registry.activity
        def add(ctx: ActivityContext, number: int) -> int:
            return number + 1

        @registry.orchestration
        def branching(ctx: OrchestrationContext) -> Orchestration[Any]:
            def steps(number: int) -> Iterator[Any]:
                number = yield from ctx.schedule_activity(add, number)
                return (yield from ctx.schedule_activity(add, number))

            def race(number: int) -> Iterator[Any]:
                winner = yield from ctx.select(steps(number), ctx.schedule_wait("never"))
                return [winner.index, winner.value]

            return (yield from ctx.join(steps(0), race(10), ctx.join(steps(20), ctx.schedule_activity(add, 30))))

        stage.start()

        assert stage.run("branches", branching) == [2, [0, 12], [22, 31]]

    def test_race(self, stage: Stage, registry: Registry) -> None:
        """The first answer wins, whatever its place among the arguments."""
        began, ended = threading.Event(), threading.Event()

        @registry.activity
        def tortoise(ctx: ActivityContext) -> str:
            began.set()
            ctx.wait_cancelled(PATIENCE)
            ended.set()
            return "tortoise"

        @registry.activity
        def hare(ctx: ActivityContext) -> str:
            began.wait(PATIENCE)
            return "hare"

        @registry.orchestration
        def race(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            winner = yield from ctx.select(ctx.schedule_activity(tortoise), ctx.schedule_activity(hare))
            return [winner.index, winner.value]

        stage.start()

        assert stage.run("race", race) == [1, "hare"]
        assert ended.wait(PATIENCE)


class TestFailures:
    def test_as_itself(self, stage: Stage, registry: Registry) -> None:
        """A ValueError is caught as a ValueError, with the activity's traceback, its causes and the attempt."""
        caught: list[Exception] = []

        @registry.activity
        def look_up(ctx: ActivityContext, name: str) -> str:
            try:
                return {"pen": "shelf 1"}[name]
            except KeyError as error:
                raise ValueError(f"no {name} in stock") from error

        @registry.orchestration
        def find(ctx: OrchestrationContext, name: str) -> Orchestration[str]:
            try:
                return (yield from ctx.schedule_activity(look_up, name))
            except ValueError as error:
                caught.append(error)
                return f"sorry: {error}"

        stage.start()

        assert stage.run("find", find, "ink") == "sorry: no ink in stock"
        failure = caught[-1]
        assert isinstance(failure, ActivityFailed)
        details = failure.details
        assert (details.category, details.kind) == (ErrorCategory.APPLICATION, ErrorKind.ACTIVITY_FAILED)
        assert (details.type, details.message, details.attempt) == ("ValueError", "no ink in stock", 1)
        assert "in look_up" in (details.traceback or "")
        assert "ValueError: no ink in stock" in (details.traceback or "")
        assert [link.type for link in details.chain()] == ["ValueError", "KeyError"]

    def test_of_ones_own(self, stage: Stage, registry: Registry) -> None:
        """An exception class that is registered comes back as itself."""
        registry.exception(OutOfStock)

        @registry.activity
        def take(ctx: ActivityContext) -> None:
            raise OutOfStock("ink")

        @registry.orchestration
        def shop(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_activity(take)
            except OutOfStock as error:
                return f"out of {error}"
            return "bought"

        stage.start()

        assert stage.run("shop", shop) == "out of ink"

    def test_uncaught(self, stage: Stage, registry: Registry) -> None:
        """A failure that nobody catches ends the instance, with the activity's own type, text and traceback."""

        @registry.activity
        def explode(ctx: ActivityContext) -> None:
            raise ZeroDivisionError("bang")

        @registry.orchestration
        def careless(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity(explode)

        stage.start()
        stage.client.start_orchestration("careless", careless)

        with pytest.raises(OrchestrationFailed) as failure:
            stage.result("careless")

        details = failure.value.details
        assert details.message == "bang"
        assert "explode" in "".join(link.traceback or "" for link in details.chain())
        assert stage.kinds("careless")[-1] == "OrchestrationFailed"

    def test_at_once(self, stage: Stage, registry: Registry) -> None:
        """An orchestration that raises before it waits for anything is recorded as started and failed."""

        @registry.orchestration
        def refuse(ctx: OrchestrationContext) -> Orchestration[None]:
            raise RuntimeError("not today")
            yield

        stage.start()
        stage.client.start_orchestration("refuse", refuse)
        status = stage.client.wait_for_orchestration("refuse", PATIENCE)

        assert isinstance(status, Failed)
        assert status.details.message == "not today"
        assert stage.kinds("refuse") == ["OrchestrationStarted", "OrchestrationFailed"]

    def test_compensation(self, stage: Stage, registry: Registry) -> None:
        """When shipping fails, the money goes back; when debiting fails, nothing else happens."""
        done: list[str] = []

        @registry.activity
        def step(ctx: ActivityContext, name: str) -> str:
            done.append(f"{ctx.instance_id}:{name}")
            if name in ctx.instance_id:
                raise ConnectionError(f"{name} is down")
            return name

        @registry.orchestration
        def order(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_activity(step, "debit")
            try:
                return (yield from ctx.schedule_activity(step, "ship"))
            except ConnectionError as error:
                yield from ctx.schedule_activity(step, "refund")
                return f"refunded: {error}"

        stage.start()

        assert stage.run("good", order) == "ship"
        assert stage.run("no-ship", order) == "refunded: ship is down"
        with pytest.raises(OrchestrationFailed, match="debit is down"):
            stage.run("no-debit", order)
        assert done == ["good:debit", "good:ship", "no-ship:debit", "no-ship:ship", "no-ship:refund", "no-debit:debit"]

    def test_in_a_join(self, stage: Stage, registry: Registry) -> None:
        """One failure in a join stops no other; all end, then the first in argument order is raised."""
        ended: list[int] = []

        @registry.activity
        def work(ctx: ActivityContext, number: int) -> int:
            ended.append(number)
            if number % 2:
                raise ValueError(f"odd {number}")
            return number

        @registry.orchestration
        def gather(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            first: list[Any] = yield from ctx.join(
                *(ctx.schedule_activity(work, number) for number in range(4)), return_exceptions=True
            )
            try:
                yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(4, 8)))
            except ValueError as error:
                return [*(str(each) for each in first), str(error)]
            return []

        stage.start()

        assert stage.run("gather", gather) == ["0", "odd 1", "2", "odd 3", "odd 5"]
        assert sorted(ended) == list(range(8))

    def test_of_the_payload(self, stage: Stage, registry: Registry) -> None:
        """An input that cannot be read, and a result that cannot be written, are failures; the worker goes on."""

        @registry.activity
        def needs_number(ctx: ActivityContext, number: int) -> int:
            return number

        @registry.activity
        def leaks(ctx: ActivityContext) -> object:
            return threading.Lock()

        @registry.orchestration
        def muddle(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            errors = []
            for action in (lambda: ctx.schedule_activity("needs_number", "many"), lambda: ctx.schedule_activity(leaks)):
                try:
                    yield from action()
                except ActivityFailed as error:
                    errors.append(error.details.type)
            return [*errors, (yield from ctx.schedule_activity(needs_number, 3))]

        stage.start()

        assert stage.run("muddle", muddle) == ["duroxide.errors.PayloadError", "duroxide.errors.PayloadError", 3]

    def test_not_even_system_exit(self, stage: Stage, registry: Registry) -> None:
        """An activity that calls sys.exit() has failed, and takes no thread with it."""

        @registry.activity
        def leave(ctx: ActivityContext) -> None:
            raise SystemExit(3)

        @registry.orchestration
        def stay(ctx: OrchestrationContext) -> Orchestration[str]:
            failed = 0
            for _ in range(3):
                try:
                    yield from ctx.schedule_activity(leave)
                except ActivityFailed:
                    failed += 1
            return f"{failed} left"

        stage.start(worker_concurrency=1)

        assert stage.run("stay", stay) == "3 left"
