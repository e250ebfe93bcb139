"""Continue-as-new: one instance, many executions, and what goes along."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    ErrorCategory,
    Failed,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
)
from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus, Outgoing
from duroxide._core.messages import Deliver

from .stage import PATIENCE, Stage, eventually


class TestExecutions:
    def test_three(self, stage: Stage, registry: Registry) -> None:
        """[269] [279] [226] Each execution has a history of its own; an earlier one ends with the next one's input."""

        @registry.orchestration
        def count(ctx: OrchestrationContext, number: int) -> Orchestration[str]:
            yield from ctx.schedule_timer(0)
            if number < 2:
                yield ctx.continue_as_new(number + 1)
            return f"done at {number} in execution {ctx.execution_id}"

        stage.start()

        assert stage.run("count", count, 0) == "done at 2 in execution 3"
        executions = stage.client.list_executions("count").items
        assert [each.execution_id for each in executions] == [1, 2, 3]
        assert [each.status for each in executions] == [
            ExecutionStatus.CONTINUED_AS_NEW,
            ExecutionStatus.CONTINUED_AS_NEW,
            ExecutionStatus.COMPLETED,
        ]
        assert [each.output for each in executions][:2] == ["1", "2"]
        for number in (1, 2):
            history = stage.client.read_execution_history("count", number)
            assert isinstance(history[-1], e.OrchestrationContinuedAsNew)
            assert history[-1].input == str(number)
            assert not any(isinstance(event, e.OrchestrationCompleted) for event in history)
        assert stage.history("count") == stage.client.read_execution_history("count", 3)

    def test_chains(self, stage: Stage, registry: Registry) -> None:
        """[271] Chains of five executions with an activity in each, three of them at once."""

        @registry.activity
        def add(ctx: ActivityContext, number: int) -> int:
            return number + 1

        @registry.orchestration
        def chain(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
            number = yield from ctx.schedule_activity(add, number)
            if ctx.execution_id < 5:
                yield ctx.continue_as_new(number)
            return [number, ctx.execution_id]

        stage.start()
        for start in range(3):
            stage.client.start_orchestration(f"chain-{start}", chain, start * 10)

        assert [stage.result(f"chain-{start}") for start in range(3)] == [[5, 5], [15, 5], [25, 5]]

    def test_hundreds(self, stage: Stage, registry: Registry) -> None:
        """[271] Three hundred executions in a loop: none is skipped, and the queue is empty afterwards."""

        @registry.orchestration
        def loop(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
            seen = ctx.get_kv_value("seen") or 0
            ctx.set_kv_value("seen", seen + 1)
            yield from ctx.join()
            if number < 299:
                yield ctx.continue_as_new(number + 1)
            return [seen + 1, ctx.execution_id]

        stage.start()

        assert stage.run("loop", loop, 0) == [300, 300]
        assert stage.client.get_queue_depths().orchestrator_queue == 0

    def test_what_stays_behind(self, stage: Stage, registry: Registry) -> None:
        """[316] [272] Open activities, timers, waits and children stay behind, cancelled; code after it is not run."""
        running, noticed, went_on = threading.Event(), threading.Event(), threading.Event()

        @registry.activity
        def work(ctx: ActivityContext) -> None:
            running.set()
            if ctx.wait_cancelled(PATIENCE):
                noticed.set()

        @registry.orchestration
        def child(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_wait("never")

        @registry.orchestration
        def again(ctx: OrchestrationContext, is_second: bool = False) -> Orchestration[str]:
            if is_second:
                return "second"
            ctx.schedule_activity(work)
            ctx.schedule_timer(3600)
            ctx.schedule_wait("never")
            ctx.schedule_sub_orchestration(child, instance_id="child")
            yield from ctx.schedule_wait("go on")
            yield ctx.continue_as_new(True)
            went_on.set()
            return "first"

        stage.start()
        stage.client.start_orchestration("again", again)
        assert running.wait(PATIENCE)
        eventually(lambda: stage.history("child") != ())
        stage.client.raise_event("again", "go on")

        assert stage.result("again") == "second"
        assert noticed.wait(PATIENCE)
        ended = stage.client.wait_for_orchestration("child", PATIENCE)
        assert isinstance(ended, Failed)
        assert ended.is_cancelled
        assert not went_on.is_set()
        eventually(lambda: stage.provider.next_due_ms() is None)


class TestCarried:
    def test_status_values_messages(self, stage: Stage, registry: Registry) -> None:
        """[276] [278] [350] Status, key-values and unread messages go along; older messages come before newer ones."""

        @registry.orchestration
        def carry(ctx: OrchestrationContext, is_second: bool = False) -> Orchestration[Any]:
            if not is_second:
                ctx.set_custom_status("carried")
                ctx.set_kv_value("key", {"a": 1})
                yield from ctx.dequeue_event("start")
                read = yield from ctx.dequeue_event("box")
                assert read == 0
                yield ctx.continue_as_new(True)
            before = ctx.get_custom_status()
            ctx.set_custom_status("second")
            messages = []
            for _ in range(3):
                messages.append((yield from ctx.dequeue_event("box")))  # noqa: PERF401  # generators cannot wait in comprehensions
            return [before, ctx.get_kv_value("key"), messages]

        stage.start()
        stage.client.start_orchestration("carry", carry)
        for number in range(3):
            stage.client.enqueue_event("carry", "box", number)
        stage.client.enqueue_event("carry", "start")
        assert stage.until_status("carry", 1) == "second"
        stage.client.enqueue_event("carry", "box", 3)

        assert stage.result("carry") == ["carried", {"a": 1}, [1, 2, 3]]
        started = stage.history("carry")[0]
        assert isinstance(started, e.OrchestrationStarted)
        assert started.custom_status == "carried"
        assert [message.data for message in started.queued] == ["1", "2"]
        assert started.kv["key"].value == '{"a":1}'

    def test_events_are_not(self, stage: Stage, registry: Registry) -> None:
        """[248] [249] An event goes to the execution that waits for it; one that is too early is not carried."""

        @registry.orchestration
        def again(ctx: OrchestrationContext, is_second: bool = False) -> Orchestration[Any]:
            if not is_second:
                yield from ctx.dequeue_event("go on")
                yield ctx.continue_as_new(True)
            ctx.set_custom_status("second")
            return (yield from ctx.schedule_wait("news"))

        stage.start()
        stage.client.start_orchestration("again", again)
        stage.client.raise_event("again", "news", "early")
        stage.client.enqueue_event("again", "go on")
        stage.until_status("again")
        stage.client.raise_event("again", "news", "late")

        assert stage.result("again") == "late"
        assert len(stage.of_kind("again", e.ExternalEvent)) == 1


class TestStrayMessages:
    @pytest.mark.parametrize("execution_id", [0, 1, 999])
    def test_other_execution(self, stage: Stage, registry: Registry, execution_id: int) -> None:
        """[272] A completion for another execution, an old, a future or an impossible one, is ignored."""

        @registry.orchestration
        def again(ctx: OrchestrationContext, is_second: bool = False) -> Orchestration[Any]:
            if not is_second:
                yield ctx.continue_as_new(True)
            ctx.set_custom_status("second")
            return (yield from ctx.schedule_wait("end"))

        stage.start()
        stage.client.start_orchestration("again", again)
        stage.until_status("again")
        stray = e.ActivityCompleted(0, 0, 3, '"stray"')
        stage.provider.enqueue([Outgoing(Deliver("again", execution_id, stray))])
        stage.client.raise_event("again", "end", "fine")

        assert stage.result("again") == "fine"
        assert stage.of_kind("again", e.ActivityCompleted) == []

    def test_unknown_schedule(self, stage: Stage, registry: Registry) -> None:
        """[274] A completion of something that was never scheduled fails the instance as nondeterministic."""

        @registry.orchestration
        def wait(ctx: OrchestrationContext) -> Orchestration[Any]:
            yield from ctx.schedule_wait("end")
            yield ctx.continue_as_new()

        stage.start()
        stage.client.start_orchestration("wait", wait)
        stage.until_kind("wait", e.ExternalSubscribed)
        stray = Outgoing(Deliver("wait", 1, e.ActivityCompleted(0, 0, 77, "1")))
        event = Outgoing(Deliver("wait", None, e.ExternalEvent(0, 0, "end", "null")))
        stage.provider.enqueue([stray, event])

        with pytest.raises(OrchestrationFailed, match="no matching schedule 77") as failure:
            stage.result("wait")
        assert failure.value.details.category is ErrorCategory.CONFIGURATION


class TestVersions:
    def test_upgrade(self, stage: Stage, registry: Registry) -> None:
        """[420] [202] Without a version the next execution is the latest one, with one exactly that; the rest stays."""

        @registry.orchestration(name="app")
        def first(ctx: OrchestrationContext, hops: list[str]) -> Orchestration[Any]:
            yield from ctx.schedule_timer(0)
            if len(hops) >= 3:
                return [*hops, ctx.orchestration_version]
            yield ctx.continue_as_new([*hops, ctx.orchestration_version])

        @registry.orchestration(name="app", version="2.0.0")
        def second(ctx: OrchestrationContext, hops: list[str]) -> Orchestration[Any]:
            yield from ctx.schedule_timer(0)
            version = "1.0.0" if len(hops) == 2 else None
            yield ctx.continue_as_new([*hops, ctx.orchestration_version], version=version)

        stage.start()
        stage.client.start_orchestration("app", "app", [], version="1.0.0")

        assert stage.result("app") == ["1.0.0", "2.0.0", "2.0.0", "1.0.0"]
        assert [stage.client.get_execution_info("app", number).orchestration_version for number in range(1, 5)] == [
            "1.0.0",
            "2.0.0",
            "2.0.0",
            "1.0.0",
        ]

    def test_missing_version(self, stage: Stage, registry: Registry) -> None:
        """[275] [657] A version that nobody has becomes poison, in an execution of its own."""

        @registry.orchestration
        def leap(ctx: OrchestrationContext) -> Orchestration[None]:
            yield ctx.continue_as_new("next", version="9.0.0")

        stage.start(max_attempts=2, unregistered_backoff=0.01)
        stage.client.start_orchestration("leap", leap)

        with pytest.raises(OrchestrationFailed, match="'leap' execution 2 exceeded 3 attempts") as failure:
            stage.result("leap")
        assert failure.value.details.category is ErrorCategory.POISON
        assert stage.kinds("leap") == ["OrchestrationStarted", "OrchestrationFailed"]
        assert stage.client.get_instance_info("leap").execution_id == 2
        first = stage.client.read_execution_history("leap", 1)
        assert isinstance(first[-1], e.OrchestrationContinuedAsNew)
