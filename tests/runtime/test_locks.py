"""Locks that expire are taken over, locks that are needed are renewed, and one that is lost harms nobody."""

from __future__ import annotations

import asyncio
import threading

from typing import Any

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, TagFilter
from duroxide._core import events as e
from duroxide.testing.faults import FaultPlan, FaultyProvider, LoseConnection, Rule

from .stage import PATIENCE, Stage, eventually


#: Of runtimes in these tests: a dead one is noticed soon, and what runs longer needs renewal.
LOCK_MS = 300
SHORT = {
    "worker_lock_timeout": LOCK_MS / 1000,
    "orchestrator_lock_timeout": LOCK_MS / 1000,
    "session_lock_timeout": LOCK_MS / 1000,
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
        stage.start(poll_interval=0.05)  # its own locks do not expire

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

    def test_overtaken_by_itself(self, held_stage: Stage, registry: Registry) -> None:
        """A runtime that fetches again what it still runs tells the first run that it lost its lock, and not the second."""
        began, again, first_told = threading.Event(), threading.Event(), threading.Event()

        @registry.activity
        def step(ctx: ActivityContext) -> str:
            if not began.is_set():
                began.set()
                if ctx.wait_cancelled(PATIENCE):
                    first_told.set()
                ctx.raise_if_cancelled()
                return "the first was not told"
            again.set()
            assert first_told.wait(PATIENCE)
            ctx.raise_if_cancelled()
            return "by the second"

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(step))

        no_renewal = Rule(LoseConnection(), on={"renew_activity_locks", "held_activity_locks"})
        faulty = FaultyProvider(held_stage.open(), FaultPlan((no_renewal,)))
        held_stage.start(on=faulty, **SHORT)
        held_stage.client.start_orchestration("stalled", work)
        assert began.wait(PATIENCE)
        assert held_stage.clock is not None
        held_stage.clock.advance(LOCK_MS + 1)
        assert again.wait(PATIENCE)
        faulty.follow(FaultPlan())

        assert held_stage.result("stalled") == "by the second"
        assert first_told.is_set()


def outlive(stage: Stage, runtime: FaultyProvider, operation: str, times: int = 4) -> None:
    """Let most of a lock's time pass, again and again, each time when the *runtime* has renewed it."""
    assert stage.clock is not None
    for _ in range(times):
        before = runtime.calls[operation]
        eventually(lambda: runtime.calls[operation] >= before + 2)  # noqa: B023  # the first of the two is over
        stage.clock.advance(LOCK_MS * 8 // 10)


class TestRenewal:
    """The clock stands still unless the test moves it, so that no lock expires because the machine is busy."""

    def test_long_activities(self, held_stage: Stage, registry: Registry) -> None:
        """Activities that run for several lock times are run once, by one runtime, and not cancelled."""
        ran: list[int] = []
        all_begun, release = threading.Barrier(5), threading.Event()

        @registry.activity
        def long(ctx: ActivityContext, number: int) -> bool:
            ran.append(number)
            all_begun.wait(PATIENCE)
            release.wait(PATIENCE)
            return ctx.is_cancelled

        @registry.activity
        async def long_async(ctx: ActivityContext, number: int) -> bool:
            ran.append(number)
            await asyncio.to_thread(all_begun.wait, PATIENCE)
            await asyncio.to_thread(release.wait, PATIENCE)
            return ctx.is_cancelled

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[list[bool]]:
            return (
                yield from ctx.join(
                    *(ctx.schedule_activity(long, number) for number in range(3)), ctx.schedule_activity(long_async, 3)
                )
            )

        first = FaultyProvider(held_stage.open())
        held_stage.start(on=first, **SHORT)
        held_stage.client.start_orchestration("long", work)
        all_begun.wait(PATIENCE)
        held_stage.start(on=held_stage.open(), **SHORT)
        outlive(held_stage, first, "renew_activity_locks")
        release.set()

        assert held_stage.result("long") == [False] * 4
        assert sorted(ran) == [0, 1, 2, 3]

    def test_waiting_for_a_slot(self, held_stage: Stage, registry: Registry) -> None:
        """What a worker holds is renewed while it waits for a thread, too: everything runs once."""
        ran: list[int] = []
        began, release = threading.Event(), threading.Event()

        @registry.activity
        def work(ctx: ActivityContext, number: int) -> int:
            ran.append(number)
            if number == 2:
                began.set()
                release.wait(PATIENCE)
            return number

        @registry.orchestration
        def all_of_it(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            return (yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(8))))

        first = FaultyProvider(held_stage.open())
        held_stage.start(on=first, **SHORT, worker_concurrency=1)
        held_stage.client.start_orchestration("all", all_of_it)
        assert began.wait(PATIENCE)
        outlive(held_stage, first, "renew_activity_locks")
        release.set()

        assert held_stage.result("all") == list(range(8))
        assert sorted(ran) == list(range(8))

    def test_long_turn(self, held_stage: Stage, registry: Registry) -> None:
        """A turn that takes longer than the lock of its instance is run once and committed once."""
        turns: list[str] = []
        began, release = threading.Event(), threading.Event()

        @registry.orchestration
        def slow_coder(ctx: OrchestrationContext) -> Orchestration[str]:
            if not ctx.is_replaying:
                turns.append("turn")
                began.set()
                release.wait(PATIENCE)
            yield from ctx.schedule_timer(0)
            return "done"

        first = FaultyProvider(held_stage.open())
        held_stage.start(on=first, **SHORT)
        held_stage.client.start_orchestration("slow", slow_coder)
        assert began.wait(PATIENCE)
        held_stage.start(on=held_stage.open(), **SHORT)
        outlive(held_stage, first, "renew_instance_locks")
        release.set()

        assert held_stage.result("slow") == "done"
        assert turns == ["turn"]

    @pytest.mark.parametrize("operation", ["renew_activity_locks", "held_activity_locks"])
    def test_trouble_is_no_cancellation(self, held_stage: Stage, registry: Registry, operation: str) -> None:
        """A database that does not answer a renewal does not cancel what runs; the next renewal does its job."""
        losses = (
            Rule(LoseConnection(), on=operation, nth=(1, 3)),
            Rule(LoseConnection(after_commit=True), on=operation, nth=2),
        )
        faulty = FaultyProvider(held_stage.open(), FaultPlan(losses))

        @registry.activity
        def long(ctx: ActivityContext) -> bool:
            assert faulty.wait_for_faults(3, PATIENCE)
            eventually(lambda: faulty.calls[operation] >= 5)
            return ctx.is_cancelled

        @registry.orchestration
        def work(ctx: OrchestrationContext) -> Orchestration[bool]:
            return (yield from ctx.schedule_activity(long))

        held_stage.start(on=faulty, **{**SHORT, "worker_lock_timeout": 1.2, "cancellation_poll_interval": 0.1})

        assert held_stage.run("troubled", work) is False


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
