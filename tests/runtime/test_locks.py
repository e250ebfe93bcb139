"""Locks that expire are taken over, locks that are needed are renewed, and one that is lost harms nobody."""

from __future__ import annotations

import asyncio
import threading

from typing import Any

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, TagFilter
from duroxide._core import events as e
from duroxide.testing.faults import FaultPlan, FaultyProvider, LoseConnection, Rule

from .stage import PATIENCE, Stage


#: Of runtimes in these tests: a dead one is noticed soon, and what runs longer needs renewal.
SHORT = {
    "worker_lock_timeout": 0.3,
    "orchestrator_lock_timeout": 0.3,
    "session_lock_timeout": 0.3,
    "poll_interval": 0.05,
}


@pytest.fixture
def attempts(registry: Registry) -> list[int]:
    """How often the activity `toil` of the orchestration `work` ran, by its input."""
    attempts = [0] * 10

    @registry.activity
    def toil(ctx: ActivityContext, number: int) -> int:
        attempts[number] += 1
        return number

    @registry.orchestration
    def work(ctx: OrchestrationContext) -> Orchestration[list[int]]:
        first = yield from ctx.schedule_activity(toil, 1)
        second = yield from ctx.schedule_activity(toil, 2)
        return [first, second]

    return attempts


class TestTakeOver:
    def test_instance(self, stage: Stage, attempts: list[int]) -> None:
        """An instance whose runtime died with its lock goes on as soon as the lock expires."""
        stage.client.start_orchestration("orphan", "work")
        assert len(stage.provider.fetch_orchestration_items(10, 200)) == 1
        stage.start(**SHORT)

        assert stage.result("orphan") == [1, 2]

    def test_activity(self, stage: Stage, attempts: list[int]) -> None:
        """An activity whose worker died is run by another as soon as the lock expires."""
        first = stage.start(worker_concurrency=0)
        stage.client.start_orchestration("orphan", "work")
        stage.until_kind("orphan", e.ActivityScheduled)
        first.shutdown()
        assert len(stage.provider.fetch_activities(10, 200, tags=TagFilter(), session=None)) == 1
        stage.start(**SHORT)

        assert stage.result("orphan") == [1, 2]
        assert attempts[1] == 1

    def test_everything_of_a_dead_runtime(self, stage: Stage, registry: Registry) -> None:
        """
        A runtime that does not get through to its database any more loses its work to another one.

        What it ends later is not wanted, and does not get into history a second time.
        """
        began, release, again = threading.Event(), threading.Event(), threading.Event()

        @registry.activity
        def stuck(ctx: ActivityContext, number: int) -> str:
            if ctx.worker_id == "first":
                began.set()
                release.wait(PATIENCE)
            else:
                again.set()
            return f"{number} by {ctx.worker_id}"

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            return (yield from ctx.join(*(ctx.schedule_activity(stuck, number) for number in range(3))))

        dying = FaultyProvider(stage.open())
        first = stage.start(on=dying, worker_node_id="first", shutdown_timeout=0.2, **SHORT)
        stage.client.start_orchestration("orphan", work)
        assert began.wait(PATIENCE)
        dying.break_down()
        stage.start(worker_node_id="second", **SHORT)

        assert again.wait(PATIENCE)
        assert stage.result("orphan") == [f"{number} by second" for number in range(3)]
        release.set()
        first.shutdown()
        assert stage.kinds("orphan").count("ActivityCompleted") == 3

    def test_the_first_comes_back(self, stage: Stage, registry: Registry) -> None:
        """A runtime that was cut off and comes back finds its locks gone; its late results are dropped."""
        began, late = threading.Event(), threading.Event()

        @registry.activity
        def stuck(ctx: ActivityContext) -> str:
            if ctx.worker_id == "first" and not began.is_set():
                began.set()
                late.wait(PATIENCE)
            return ctx.worker_id

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[list[str]]:
            who = yield from ctx.schedule_activity(stuck)
            ctx.set_custom_status("one done")
            yield from ctx.schedule_wait("go on")
            return [who, (yield from ctx.schedule_activity(stuck))]

        cut_off = FaultyProvider(stage.open())
        stage.start(on=cut_off, worker_node_id="first", **SHORT)
        stage.client.start_orchestration("both", work)
        assert began.wait(PATIENCE)
        cut_off.break_down()
        second = stage.start(worker_node_id="second", **SHORT)
        assert stage.until_status("both") == "one done"
        second.shutdown()
        cut_off.repair()
        late.set()
        stage.client.raise_event("both", "go on")

        assert stage.result("both") == ["second", "first"]
        assert stage.kinds("both").count("ActivityCompleted") == 2


class TestRenewal:
    def test_long_activities(self, stage: Stage, registry: Registry) -> None:
        """Activities that run for several lock times are run once, by one runtime, and not cancelled."""
        ran: list[int] = []

        @registry.activity
        def long(ctx: ActivityContext, number: int) -> bool:
            ran.append(number)
            return ctx.wait_cancelled(0.9)

        @registry.activity
        async def long_async(ctx: ActivityContext, number: int) -> bool:
            ran.append(number)
            await asyncio.sleep(0.9)
            return ctx.is_cancelled

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[list[bool]]:
            return (
                yield from ctx.join(
                    *(ctx.schedule_activity(long, number) for number in range(3)), ctx.schedule_activity(long_async, 3)
                )
            )

        stage.start(**SHORT)
        stage.start(on=stage.open(), **SHORT)

        assert stage.run("long", work) == [False] * 4
        assert sorted(ran) == [0, 1, 2, 3]

    def test_waiting_for_a_slot(self, stage: Stage, registry: Registry) -> None:
        """What a worker holds is renewed while it waits for a thread, too: everything runs once."""
        ran: list[int] = []

        @registry.activity
        def work(ctx: ActivityContext, number: int) -> int:
            ran.append(number)
            ctx.wait_cancelled(0.25 if number < 2 else 0.001)
            return number

        @registry.orchestration
        def all_of_it(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            return (yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(8))))

        stage.start(**SHORT, worker_concurrency=1)

        assert stage.run("all", all_of_it) == list(range(8))
        assert sorted(ran) == list(range(8))

    def test_long_turn(self, stage: Stage, registry: Registry) -> None:
        """A turn that takes longer than the lock of its instance is run once and committed once."""
        turns: list[str] = []

        @registry.orchestration
        def slow_coder(ctx: OrchestrationContext) -> Orchestration[str]:
            if not ctx.is_replaying:
                turns.append("turn")
                threading.Event().wait(0.8)
            yield from ctx.schedule_timer(0)
            return "done"

        stage.start(**SHORT)
        stage.start(on=stage.open(), **SHORT)

        assert stage.run("slow", slow_coder) == "done"
        assert turns == ["turn"]

    @pytest.mark.parametrize("operation", ["renew_activity_locks", "held_activity_locks"])
    def test_trouble_is_no_cancellation(self, stage: Stage, registry: Registry, operation: str) -> None:
        """A database that does not answer a renewal does not cancel what runs; the next renewal does its job."""
        losses = (
            Rule(LoseConnection(), on=operation, nth=(1, 3)),
            Rule(LoseConnection(after_commit=True), on=operation, nth=2),
        )
        faulty = FaultyProvider(stage.open(), FaultPlan(losses))

        @registry.activity
        def long(ctx: ActivityContext) -> bool:
            assert faulty.wait_for_faults(1, PATIENCE)
            return ctx.wait_cancelled(0.5)

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[bool]:
            return (yield from ctx.schedule_activity(long))

        options = {**SHORT, "worker_lock_timeout": 1.2, "cancellation_poll_interval": 0.1}
        stage.start(on=faulty, **options)

        assert stage.run("troubled", work) is False


class TestSharing:
    def test_two_runtimes(self, stage: Stage, registry: Registry) -> None:
        """Two runtimes share the work of many instances; each activity runs once."""
        lock, ran = threading.Lock(), []

        @registry.activity
        def toil(ctx: ActivityContext, number: int) -> int:
            with lock:
                ran.append((ctx.instance_id, number))
            return number

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[int]:
            total = 0
            for number in range(3):
                total += sum((yield from ctx.join(*(ctx.schedule_activity(toil, number * 3 + i) for i in range(3)))))
                wait = ctx.schedule_wait("next")
                ctx.set_custom_status(str(number))
                yield from wait
            return total

        stage.start(poll_interval=0.1)
        stage.start(on=stage.open(), poll_interval=0.1)
        names = [f"shared-{number}" for number in range(8)]
        for name in names:
            stage.client.start_orchestration(name, work)
        for number in range(3):
            for name in names:
                assert stage.until_status(name, number) == str(number)
                stage.client.raise_event(name, "next")

        for name in names:
            assert stage.result(name) == 36
        assert sorted(ran) == sorted((name, number) for name in names for number in range(9))

    def test_division_of_labour(self, stage: Stage, registry: Registry, attempts: list[int]) -> None:
        """One runtime only runs orchestrations, another only activities."""
        stage.start(worker_concurrency=0)
        workers = Registry()
        info = registry.activities.resolve("toil")
        assert info is not None
        workers.register_activity(info.fn, name="toil")
        watched = FaultyProvider(stage.open())
        stage.start(workers, on=watched, orchestration_concurrency=0, poll_interval=0.05)

        for number in range(5):
            assert stage.run(f"divided-{number}", "work") == [1, 2]
        # Instances that this worker took it could not run.
        assert "fetch_orchestration_items" not in watched.calls
