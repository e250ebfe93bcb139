"""Cancelling instances: down to the last child, once, and whatever the code would have done."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    Completed,
    Failed,
    NotFound,
    Orchestration,
    OrchestrationContext,
    Registry,
    SubOrchestrationFailed,
)
from duroxide._core import events as e
from duroxide._core.effects import PARENT_DROPPED, PARENT_ENDED

from .stage import PATIENCE, Stage, eventually


@pytest.fixture
def waiter(registry: Registry) -> Any:
    """Waits until it is told to go on."""

    @registry.orchestration
    def waiter(ctx: OrchestrationContext) -> Orchestration[Any]:
        ctx.set_custom_status("waiting")
        return (yield from ctx.schedule_wait("go on"))

    return waiter


def cancelled(stage: Stage, instance_id: str) -> str:
    """Wait until an instance has been cancelled, and return the reason."""
    status = stage.client.wait_for_orchestration(instance_id, PATIENCE)
    assert isinstance(status, Failed)
    assert status.is_cancelled
    assert status.message == f"canceled: {status.details.message}"
    return status.details.message


class TestCascade:
    def test_down(self, stage: Stage, registry: Registry) -> None:
        """[306] [227] A cancelled instance ends Failed with the reason, and so do its children and theirs."""

        @registry.orchestration
        def level(ctx: OrchestrationContext, depth: int) -> Orchestration[None]:
            if depth == 0:
                ctx.set_custom_status("at the bottom")
                yield from ctx.schedule_wait("never")
            yield from ctx.schedule_sub_orchestration(level, depth - 1, instance_id=f"level {depth - 1}")

        stage.start()
        stage.client.start_orchestration("top", level, 2)
        eventually(lambda: not isinstance(stage.client.get_orchestration_status("level 0"), NotFound))
        stage.client.cancel_instance("top", "enough")

        assert cancelled(stage, "top") == "enough"
        assert [cancelled(stage, f"level {depth}") for depth in (1, 0)] == [PARENT_ENDED] * 2
        for instance_id in ("top", "level 1", "level 0"):
            assert len(stage.of_kind(instance_id, e.OrchestrationCancelRequested)) == 1
            assert stage.kinds(instance_id)[-1] == "OrchestrationFailed"

    def test_up(self, stage: Stage, registry: Registry, waiter: Any) -> None:
        """[308] A child that is cancelled directly is a failure that its parent can catch."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_sub_orchestration(waiter)
            except SubOrchestrationFailed as error:
                return f"{error.details.kind}: {error}"
            return "done"

        stage.start()
        stage.client.start_orchestration("p", parent)
        stage.until_status("p::sub::2")
        stage.client.cancel_instance("p::sub::2", "by_test_child")

        assert stage.result("p") == "Cancelled: canceled: by_test_child"
        (failed,) = stage.of_kind("p", e.SubOrchestrationFailed)
        assert (failed.source_event_id, failed.details.message) == (2, "by_test_child")

    @pytest.mark.parametrize("child_id", [None, "own"])
    def test_loser_of_a_race(self, stage: Stage, registry: Registry, waiter: Any, child_id: str | None) -> None:
        """[322] A child that lost a race is cancelled; its parent goes on."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[str]:
            action = ctx.schedule_sub_orchestration(waiter, instance_id=child_id)
            winner = yield from ctx.select(action, ctx.schedule_wait("enough"))
            yield from ctx.schedule_timer(0)
            return f"won by {winner.index}"

        stage.start()
        stage.client.start_orchestration("p", parent)
        stage.until_status(child_id or "p::sub::2")
        stage.client.raise_event("p", "enough")

        assert stage.result("p") == "won by 1"
        assert cancelled(stage, child_id or "p::sub::2") == PARENT_DROPPED

    @pytest.mark.parametrize("how", ["given up", "left open", "cancelled at once"])
    def test_given_up(self, stage: Stage, registry: Registry, waiter: Any, how: str) -> None:
        """[323] A child that is given up, or left open at the end, is cancelled; one of the same turn never starts."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[str]:
            action = ctx.schedule_sub_orchestration(waiter, instance_id="child")
            if how == "cancelled at once":
                ctx.cancel(action)
                yield from ctx.schedule_timer(0.01)
                return how
            yield from ctx.schedule_wait("enough")
            if how == "given up":
                ctx.cancel(action)
                yield from ctx.schedule_timer(0.01)
            return how

        stage.start()
        stage.client.start_orchestration("p", parent)
        if how == "cancelled at once":
            assert stage.result("p") == how
            assert isinstance(stage.client.get_orchestration_status("child"), NotFound)
            return
        stage.until_status("child")
        stage.client.raise_event("p", "enough")

        assert stage.result("p") == how
        assert cancelled(stage, "child") == PARENT_DROPPED

    def test_detached_goes_on(self, stage: Stage, registry: Registry, waiter: Any) -> None:
        """[306] [288] A detached instance has nothing to do with the end of the one that started it."""

        @registry.orchestration
        def launch(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.schedule_orchestration(waiter, "detached")
            yield from ctx.schedule_wait("never")

        stage.start()
        stage.client.start_orchestration("launch", launch)
        stage.until_status("detached")
        stage.client.cancel_instance("launch", "enough")
        assert cancelled(stage, "launch") == "enough"
        stage.client.raise_event("detached", "go on", "still here")

        assert stage.result("detached") == "still here"


class TestOneInstance:
    def test_in_a_later_execution(self, stage: Stage, registry: Registry) -> None:
        """[309] A cancellation during a chain of executions ends the current one, in whose history it is."""

        @registry.orchestration
        def chain(ctx: OrchestrationContext) -> Orchestration[None]:
            if ctx.execution_id < 2:
                yield ctx.continue_as_new()
            ctx.set_custom_status("second")
            yield from ctx.schedule_wait("never")

        stage.start()
        stage.client.start_orchestration("chain", chain)
        stage.until_status("chain")
        stage.client.cancel_instance("chain", "stop")

        assert cancelled(stage, "chain") == "stop"
        assert len(stage.of_kind("chain", e.OrchestrationCancelRequested)) == 1
        first = stage.client.read_execution_history("chain", 1)
        assert not any(isinstance(event, e.OrchestrationCancelRequested) for event in first)

    def test_five_times(self, stage: Stage, registry: Registry, waiter: Any) -> None:
        """[312] Of five cancellations the first counts, and is recorded once."""
        stage.client.start_orchestration("often", waiter)
        for number in range(5):
            stage.client.cancel_instance("often", f"reason {number}")
        stage.start()

        assert cancelled(stage, "often") == "reason 0"
        assert len(stage.of_kind("often", e.OrchestrationCancelRequested)) == 1

    def test_before_it_begins(self, stage: Stage, registry: Registry) -> None:
        """[313] An instance that was cancelled before any runtime saw it ends cancelled, and nothing of it is run."""
        ran = threading.Event()

        @registry.activity
        def work(ctx: ActivityContext) -> None:
            ran.set()

        @registry.orchestration
        def early(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_activity(work)
            return "done"

        stage.client.start_orchestration("early", early)
        stage.client.cancel_instance("early", "early_cancel")
        stage.start()

        assert cancelled(stage, "early") == "early_cancel"
        assert not ran.is_set()

    def test_code_cannot_refuse(self, stage: Stage, registry: Registry) -> None:
        """[107] [109] Code that would complete in the very turn of the cancellation is cancelled all the same."""

        @registry.orchestration
        def eager(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.set_custom_status("waiting")
            return (yield from ctx.schedule_wait("end"))

        first = stage.start()
        stage.client.start_orchestration("eager", eager)
        stage.until_status("eager")
        first.shutdown()
        stage.client.raise_event("eager", "end", "done")
        stage.client.cancel_instance("eager", "no")
        stage.start()

        assert cancelled(stage, "eager") == "no"

    def test_unknown_and_ended(self, stage: Stage, registry: Registry) -> None:
        """[311] [646] Cancelling an unknown id, or an instance that has ended, has no effect and holds nobody up."""

        @registry.orchestration
        def quick(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.join()
            return "done"

        stage.client.cancel_instance("unknown", "who?")
        stage.start()
        assert stage.run("quick", quick) == "done"
        before = stage.history("quick")
        stage.client.cancel_instance("quick", "too late")
        stage.client.cancel_instance("unknown", "still nobody")
        eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 0)

        assert isinstance(stage.client.get_orchestration_status("quick"), Completed)
        assert stage.history("quick") == before
        assert isinstance(stage.client.get_orchestration_status("unknown"), NotFound)
