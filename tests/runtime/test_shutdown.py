"""Shutting down: what runs is finished and recorded, what does not finish is free for others at once."""

from __future__ import annotations

import asyncio
import threading

from typing import Any

import pytest

from duroxide import ActivityContext, Client, Orchestration, OrchestrationContext, Registry, Runtime, TagFilter
from duroxide._clock import monotonic
from duroxide._core import events as e
from duroxide.testing.faults import FaultPlan, FaultyProvider, LoseConnection, Rule

from .stage import PATIENCE, Stage


@pytest.fixture
def gates(registry: Registry) -> tuple[threading.Event, threading.Event]:
    """Set when the activity of `gated` begins; to be set for it to end."""
    began, release = threading.Event(), threading.Event()

    @registry.activity
    def pass_gate(ctx: ActivityContext) -> str:
        began.set()
        release.wait(PATIENCE)
        return ctx.worker_id

    @registry.activity
    def follow(ctx: ActivityContext, who: str) -> list[str]:
        return [who, ctx.worker_id]

    @registry.orchestration
    def gated(ctx: OrchestrationContext) -> Orchestration[list[str]]:
        who = yield from ctx.schedule_activity(pass_gate)
        return (yield from ctx.schedule_activity(follow, who))

    return began, release


def shut_down_while(runtime: Any, release: threading.Event, timeout: float = PATIENCE) -> None:
    """Shut *runtime* down, with what it runs being released only after that has begun."""
    stopping = threading.Thread(target=runtime.shutdown, args=(timeout,))
    stopping.start()
    release.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


class TestGraceful:
    def test_idle(self, stage: Stage, registry: Registry) -> None:
        """A runtime that has nothing to do stops at once; stopping twice is no mistake, starting again is one."""
        runtime = stage.start(shutdown_timeout=PATIENCE)
        before = monotonic()
        runtime.shutdown()
        runtime.shutdown()

        assert monotonic() - before < PATIENCE / 3
        with pytest.raises(RuntimeError, match="started once"):
            runtime.start()

    def test_idle_with_a_history(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """A runtime that has worked, and waits for events and timers, stops at once."""
        _, release = gates
        release.set()

        @stage.registry.orchestration
        def patient(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_custom_status("waiting")
            yield from ctx.select(ctx.schedule_wait("never"), ctx.schedule_timer(3600))

        runtime = stage.start(shutdown_timeout=PATIENCE)
        stage.run("before", "gated")
        stage.client.start_orchestration("patient", patient)
        stage.until_status("patient")
        before = monotonic()
        runtime.shutdown()

        assert monotonic() - before < PATIENCE / 3

    def test_in_flight(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """What runs when the shutdown begins ends, and its result is recorded; what follows is for others."""
        began, release = gates
        first = stage.start(worker_node_id="first")
        stage.client.start_orchestration("flight", "gated")
        assert began.wait(PATIENCE)
        shut_down_while(first, release)
        if stage.has_short_cuts:
            assert "ActivityCompleted" in stage.kinds("flight")
        stage.start(worker_node_id="second")

        assert stage.result("flight") == ["first", "second"]

    def test_the_result_is_stored_whatever_it_takes(
        self, stage: Stage, gates: tuple[threading.Event, threading.Event]
    ) -> None:
        """A database in trouble during the shutdown costs no result."""
        began, release = gates
        faulty = FaultyProvider(stage.open())
        first = stage.start(on=faulty, worker_node_id="first")
        stage.client.start_orchestration("trouble", "gated")
        assert began.wait(PATIENCE)
        faulty.follow(
            FaultPlan(
                (
                    Rule(LoseConnection(), on=("commit_turns", "ack_activities"), nth=(1, 2)),
                    Rule(LoseConnection(after_commit=True), on="ack_activities", nth=3),
                )
            )
        )
        shut_down_while(first, release)
        stage.start(worker_node_id="second")

        assert stage.result("trouble") == ["first", "second"]

    def test_busy(self, stage: Stage, registry: Registry) -> None:
        """Runtimes that come and go in the middle of much work lose nothing and need no lock to expire."""

        @registry.activity
        def add(ctx: ActivityContext, number: int) -> int:
            return number + 1

        @registry.orchestration
        def count(ctx: OrchestrationContext) -> Orchestration[int]:
            number = 0
            for _ in range(10):
                number = max((yield from ctx.join(*(ctx.schedule_activity(add, number) for _ in range(3)))))
            return number

        for number in range(20):
            stage.client.start_orchestration(f"count-{number}", count)
        for goal in (3, 30, 90):
            runtime = stage.start()
            heard: list[str | None] = []
            with stage.provider.wakeups.on_instance("count-0", heard.append):
                stage.until_kind("count-0", e.ActivityCompleted, goal // 5)
            runtime.shutdown()
        stage.start()

        for number in range(20):
            assert stage.result(f"count-{number}") == 10
            assert stage.kinds(f"count-{number}").count("ActivityCompleted") == 30


class TestImpatient:
    def test_given_back(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """What does not end in time is free at once for another runtime; the late result is dropped."""
        began, release = gates
        first = stage.start(worker_node_id="first")
        stage.client.start_orchestration("late", "gated")
        assert began.wait(PATIENCE)
        began.clear()
        before = monotonic()
        first.shutdown(0.05)
        assert monotonic() - before < PATIENCE / 3
        stage.start(worker_node_id="second")
        assert began.wait(PATIENCE)  # half the time of its lock
        release.set()

        assert stage.result("late") == ["second", "second"]
        assert stage.kinds("late").count("ActivityCompleted") == 2

    def test_not_begun(self, stage: Stage, registry: Registry) -> None:
        """What was fetched but has not begun is given back, and that delivery does not count."""
        began, release = threading.Event(), threading.Event()

        @registry.activity
        def work(ctx: ActivityContext, number: int) -> int:
            if number == 0:
                began.set()
                release.wait(PATIENCE)
            return number

        @registry.orchestration
        def fan_out(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            return (yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(40))))

        first = stage.start(worker_concurrency=1)
        stage.client.start_orchestration("fan", fan_out)
        assert began.wait(PATIENCE)
        shut_down_while(first, release)
        waiting = stage.provider.fetch_activities(100, 50, tags=TagFilter(), session=None)
        assert {item.attempt_count for item in waiting} <= {1}
        stage.start(poll_interval=0.05)

        assert stage.result("fan") == list(range(40))

    def test_async_given_back(self, stage: Stage, registry: Registry) -> None:
        """An `async def` activity that does not end in time is given back, too."""
        began = threading.Event()

        @registry.activity
        async def dawdle(ctx: ActivityContext) -> str:
            began.set()
            if ctx.worker_id == "first":
                await asyncio.sleep(PATIENCE)
            return ctx.worker_id

        @registry.orchestration
        def wait(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(dawdle))

        first = stage.start(worker_node_id="first")
        stage.client.start_orchestration("async", wait)
        assert began.wait(PATIENCE)
        first.shutdown(0.05)
        stage.start(worker_node_id="second")

        assert stage.result("async") == "second"


class TestLife:
    def test_threads_end(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """After the shutdown, no thread of the runtime is left."""
        _, release = gates
        release.set()
        before = set(threading.enumerate())
        runtime = stage.start()
        stage.run("once", "gated")
        runtime.shutdown()

        left = {thread.name for thread in set(threading.enumerate()) - before}
        assert {name for name in left if not name.startswith("duroxide-watcher")} == set()


def test_own_provider(store_url: str) -> None:
    """A runtime and a client that were given a URL open providers of their own, and close them."""
    registry = Registry()
    registry.register_orchestration(lambda ctx: "done", name="done")
    before = set(threading.enumerate())
    with Runtime(store_url, registry) as runtime, Client(store_url) as client:
        client.start_orchestration("own", "done")

        assert client.wait_for_result("own", PATIENCE) == "done"
        assert runtime.client.get_orchestration_status("own") == client.get_orchestration_status("own")
    assert set(threading.enumerate()) - before == set()
