"""An activity whose result nobody wants any more learns of it, soon; one that has not begun never begins."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Callable
from typing import Any

import pytest

from attrs import define, field

from duroxide import (
    ActivityContext,
    ErrorKind,
    Failed,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
)
from duroxide._core import events as e

from .stage import PATIENCE, Stage, eventually


#: Seconds within which a running activity notices, with default options.
SOON = 1.0


@define
class Slow:
    """An activity that runs until it is cancelled, and what became of it."""

    registry: Registry
    began: threading.Event = field(factory=threading.Event)
    noticed: threading.Event = field(factory=threading.Event)
    ran: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        @self.registry.activity
        def slow(ctx: ActivityContext) -> str:
            self.ran.append(ctx.instance_id)
            self.began.set()
            if ctx.wait_cancelled(PATIENCE):
                self.noticed.set()
            return "a result that nobody wants"

        @self.registry.activity
        def quick(ctx: ActivityContext, value: object = None) -> object:
            return value


@pytest.fixture
def slow(registry: Registry) -> Slow:
    """The slow activity, registered."""
    return Slow(registry)


def race(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    """Lose interest in the slow activity when the event comes, and go on."""
    winner = yield from ctx.select(ctx.schedule_activity("slow"), ctx.schedule_wait("enough"))
    after = yield from ctx.schedule_activity("quick", "went on")
    return [winner.index, after]


def fail_beside(ctx: OrchestrationContext) -> Orchestration[None]:
    """Fail while the slow activity runs."""
    ctx.schedule_activity("slow")
    yield from ctx.schedule_wait("enough")
    raise ValueError("enough")


def wait_for_it(ctx: OrchestrationContext) -> Orchestration[str]:
    """Wait for the slow activity."""
    return (yield from ctx.schedule_activity("slow"))


class TestRunning:
    def test_lost_race(self, stage: Stage, registry: Registry, slow: Slow) -> None:
        """With default options, the loser of a race notices within a second, and its result gets nowhere."""
        registry.register_orchestration(race)
        stage.start()
        stage.client.start_orchestration("race", race)
        assert slow.began.wait(PATIENCE)
        stage.client.raise_event("race", "enough")

        assert slow.noticed.wait(SOON)
        assert stage.result("race") == [1, "went on"]
        stage.stop()
        assert [event.result for event in stage.of_kind("race", e.ActivityCompleted)] == ['"went on"']
        assert stage.kinds("race").count("ActivityCancelRequested") == 1

    def test_on_another_runtime(self, stage: Stage, registry: Registry, slow: Slow) -> None:
        """The runtime that runs the activity need not be the one that runs the orchestration."""
        registry.register_orchestration(race)
        stage.start(worker_concurrency=0)
        stage.start(on=stage.open(), orchestration_concurrency=0, cancellation_poll_interval=0.1)
        stage.client.start_orchestration("race", race)
        assert slow.began.wait(PATIENCE)
        stage.client.raise_event("race", "enough")

        assert slow.noticed.wait(SOON)
        assert stage.result("race") == [1, "went on"]

    def test_instance_cancelled(self, stage: Stage, registry: Registry, slow: Slow) -> None:
        """Cancelling the instance cancels what it runs, and the first reason is what the status says."""
        registry.register_orchestration(wait_for_it)
        stage.start()
        stage.client.start_orchestration("cancelled", wait_for_it)
        assert slow.began.wait(PATIENCE)
        for reason in ("enough", "more than enough"):
            stage.client.cancel_instance("cancelled", reason)

        assert slow.noticed.wait(SOON)
        status = stage.client.wait_for_orchestration("cancelled", PATIENCE)
        assert isinstance(status, Failed)
        assert (status.details.kind, status.details.display) == (ErrorKind.CANCELLED, "canceled: enough")
        stage.stop()
        assert stage.kinds("cancelled").count("OrchestrationCancelRequested") == 1
        assert "ActivityCompleted" not in stage.kinds("cancelled")

    def test_orchestration_failed(self, stage: Stage, registry: Registry, slow: Slow) -> None:
        """An orchestration that fails takes its running activities with it, and nothing changes afterwards."""
        registry.register_orchestration(fail_beside)
        stage.start()
        stage.client.start_orchestration("fails", fail_beside)
        assert slow.began.wait(PATIENCE)
        stage.client.raise_event("fails", "enough")

        with pytest.raises(OrchestrationFailed, match="enough"):
            stage.result("fails")
        history = stage.history("fails")
        assert slow.noticed.wait(SOON)
        stage.stop()
        assert stage.history("fails") == history
        assert stage.kinds("fails")[-1] == "OrchestrationFailed"

    def test_async(self, stage: Stage, registry: Registry) -> None:
        """An `async def` activity is told, too."""
        began, noticed = threading.Event(), threading.Event()

        @registry.activity(name="slow")
        async def slow(ctx: ActivityContext) -> None:
            began.set()
            while not ctx.is_cancelled:
                await pause()
            noticed.set()

        registry.register_activity(lambda ctx, value: value, name="quick")
        registry.register_orchestration(race)
        stage.start()
        stage.client.start_orchestration("race", race)
        assert began.wait(PATIENCE)
        stage.client.raise_event("race", "enough")

        assert noticed.wait(SOON)
        assert stage.result("race") == [1, "went on"]

    @pytest.mark.parametrize("kind", ["plain", "async", "wrapped"])
    def test_runaway(self, stage: Stage, registry: Registry, kind: str) -> None:
        """An activity that does not care loses its slot after the grace period; others get on."""
        began, release = threading.Event(), threading.Event()

        def runaway(ctx: ActivityContext) -> None:
            began.set()
            release.wait(PATIENCE)

        async def runaway_async(ctx: ActivityContext) -> None:
            runaway(ctx)

        def runaway_wrapped(ctx: ActivityContext) -> object:
            return runaway_async(ctx)

        kinds = {"plain": runaway, "async": runaway_async, "wrapped": runaway_wrapped}
        registry.register_activity(kinds[kind], name="slow")
        registry.register_activity(lambda ctx, value: value, name="quick")
        registry.register_orchestration(race)
        # The grace is looked after when locks are renewed.
        runtime = stage.start(
            worker_concurrency=1,
            activity_cancellation_grace_period=0.1,
            cancellation_poll_interval=0.05,
            poll_interval=60,
        )
        stage.client.start_orchestration("race", race)
        assert began.wait(PATIENCE)
        stage.client.raise_event("race", "enough")

        try:
            assert stage.result("race") == [1, "went on"]
            assert runtime._worker._threads._size == (2 if kind == "plain" else 1)
        finally:
            release.set()
        # A thread is replaced until it comes back: no more run at a time than were asked for.
        eventually(lambda: not runtime._worker.running())
        eventually(lambda: runtime._worker._threads._size == 1)


class TestNotBegun:
    @pytest.mark.parametrize("end", ["cancel", "race"])
    def test_never_begins(self, stage: Stage, registry: Registry, slow: Slow, end: str) -> None:
        """What was given up while no worker ran is not run by one that starts later."""
        registry.register_orchestration(race)
        ending: Callable[[], None] = {
            "cancel": lambda: stage.client.cancel_instance("given-up", "enough"),
            "race": lambda: stage.client.raise_event("given-up", "enough"),
        }[end]
        stage.start(worker_concurrency=0)
        stage.client.start_orchestration("given-up", race)
        stage.until_kind("given-up", e.ActivityScheduled)
        ending()
        stage.until_kind("given-up", e.ActivityCancelRequested)
        stage.start()
        registry.register_orchestration(quickly, name="quickly")

        assert stage.run("afterwards", "quickly") == "ran"
        stage.client.wait_for_orchestration("given-up", PATIENCE)
        assert slow.ran == []

    def test_dropped_in_the_turn_that_scheduled_it(self, stage: Stage, registry: Registry, slow: Slow) -> None:
        """An activity that is given up at once is never seen by a worker."""

        @registry.orchestration
        def change_of_mind(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.cancel(ctx.schedule_activity("slow"))
            return (yield from ctx.schedule_activity("quick", "instead"))

        stage.start()

        assert stage.run("change", change_of_mind) == "instead"
        assert slow.ran == []

    def test_started_and_cancelled_at_once(self, stage: Stage, registry: Registry, slow: Slow) -> None:
        """An instance that is cancelled before any runtime has seen it ends cancelled, and runs nothing."""
        registry.register_orchestration(wait_for_it)
        stage.client.start_orchestration("still-born", wait_for_it)
        stage.client.cancel_instance("still-born", "early")
        stage.start()

        with pytest.raises(OrchestrationFailed, match="canceled: early"):
            stage.result("still-born")
        assert slow.ran == []


class TestDeleted:
    def test_id_used_again(self, stage: Stage, registry: Registry) -> None:
        """What runs for an instance that was deleted is told, also while the same activity of the next one of its id runs."""
        runs: list[ActivityContext] = []
        again, release = threading.Event(), threading.Event()

        @registry.activity
        def slow(ctx: ActivityContext) -> bool:
            runs.append(ctx)
            if len(runs) == 2:
                again.set()
            release.wait(PATIENCE)
            return ctx.is_cancelled

        registry.register_orchestration(wait_for_it)
        stage.start(cancellation_poll_interval=0.05, poll_interval=0.05)
        stage.client.start_orchestration("again", wait_for_it)
        eventually(lambda: runs)
        stage.client.delete_instance("again", force=True)
        stage.client.start_orchestration("again", wait_for_it)
        assert again.wait(PATIENCE)

        assert runs[0].wait_cancelled(PATIENCE)
        release.set()
        assert stage.result("again") is False


def quickly(ctx: OrchestrationContext) -> Orchestration[object]:
    """Run the quick activity."""
    return (yield from ctx.schedule_activity("quick", "ran"))


async def pause() -> None:
    """Let the event loop turn."""
    await asyncio.sleep(0.01)
