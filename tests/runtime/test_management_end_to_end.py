"""Management while runtimes are at work: what is deleted stays deleted, and everybody else goes on."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import ActivityContext, InstanceNotFound, NotFound, Orchestration, OrchestrationContext, Registry
from duroxide._core.commit import ExecutionStatus
from duroxide.errors import CannotDeleteSubOrchestration, InstanceStillRunning
from duroxide.providers.management import InstanceFilter

from .stage import PATIENCE, Stage, eventually


def add(registry: Registry) -> None:
    """Register what the tests of this file run."""

    @registry.activity
    def double(ctx: ActivityContext, number: int) -> int:
        return number * 2

    @registry.orchestration
    def leaf(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
        ctx.set_kv_value("number", number)
        return (yield from ctx.schedule_activity(double, number))

    @registry.orchestration
    def family(ctx: OrchestrationContext, sizes: list[int]) -> Orchestration[list[Any]]:
        """As many children as the first size says, each with as many as the next one, and so on."""
        size, *rest = sizes
        child: Any = family if rest else leaf
        children = [ctx.schedule_sub_orchestration(child, rest or number) for number in range(size)]
        return (yield from ctx.join(*children))

    @registry.orchestration
    def waits(ctx: OrchestrationContext, text: str) -> Orchestration[str]:
        ctx.set_custom_status("waits")
        answer = yield from ctx.schedule_wait("go")
        return f"{text} {answer}"

    @registry.orchestration
    def parent_of_waiting(ctx: OrchestrationContext) -> Orchestration[str]:
        ctx.set_custom_status("waits")
        return (yield from ctx.schedule_sub_orchestration(waits, "child", instance_id=f"{ctx.instance_id}-child"))

    @registry.orchestration
    def counts(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
        ctx.set_kv_value("number", number)
        yield from ctx.schedule_activity(double, number)
        if number:
            return (yield from ctx.continue_as_new(number - 1))
        if ctx.instance_id == "eternal":
            ctx.set_custom_status("last")
            yield from ctx.schedule_wait("go")
        return 0


class TestDeletion:
    def test_tree(self, stage: Stage, registry: Registry) -> None:
        """[462] A parent with children and grandchildren goes as a whole, and the counts are of all of it."""
        add(registry)
        stage.start()
        stage.run("root", "family", [2, 3])
        stage.run("other", "leaf", 1)
        tree = stage.client.get_instance_tree("root")
        events = sum(len(stage.history(instance_id)) for instance_id in tree.ids)
        child = tree.children_of("root")[0].instance_id

        with pytest.raises(CannotDeleteSubOrchestration):
            stage.client.delete_instance(child, force=True)
        result = stage.client.delete_instance("root")

        assert (9, 9, events, 0) == (result.instances, result.executions, result.events, result.queue_messages)
        assert ["other"] == [info.instance_id for info in stage.client.list_all_instances()]
        assert {} == stage.client.get_kv_all_values(tree.ids[-1])
        assert isinstance(stage.client.get_orchestration_status("root"), NotFound)

    def test_used_again(self, stage: Stage, registry: Registry) -> None:
        """[549] A deleted id starts from nothing, with children of the same ids."""
        add(registry)
        stage.start()
        before = stage.run("root", "family", [2])
        stage.client.delete_instance("root")

        assert before == stage.run("root", "family", [2])
        assert 1 == len(stage.client.list_executions("root"))
        assert 3 == stage.client.get_system_metrics().total_instances

    def test_running_is_refused(self, stage: Stage, registry: Registry) -> None:
        """What runs goes on after a deletion without force was refused."""
        add(registry)
        stage.start()
        stage.client.start_orchestration("a", "waits", "hello")
        stage.until_status("a")

        with pytest.raises(InstanceStillRunning):
            stage.client.delete_instance("a")
        stage.client.raise_event("a", "go", "on")
        assert "hello on" == stage.result("a")

    def test_force_while_it_is_in_memory(self, stage: Stage, registry: Registry) -> None:
        """[551] A runtime that has the instance in memory cannot bring it back, nor mistake the next life for it."""
        add(registry)
        stage.start()
        stage.client.start_orchestration("a", "waits", "first")
        stage.until_status("a")
        stage.client.delete_instance("a", force=True)
        # Nobody is there for it; the next life must not get it.
        stage.client.raise_event("a", "go", "lost")
        eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 0)
        assert isinstance(stage.client.get_orchestration_status("a"), NotFound)

        stage.client.start_orchestration("a", "waits", "second")
        stage.until_status("a")
        stage.client.raise_event("a", "go", "found")
        assert "second found" == stage.result("a")
        assert 1 == stage.kinds("a").count("ExternalEvent")

    def test_force_while_an_activity_runs(self, stage: Stage, registry: Registry) -> None:
        """[555] The result of an activity of the former life is dropped; the next one has its own."""
        entered, leave = threading.Semaphore(0), threading.Event()

        @registry.activity
        def hold(ctx: ActivityContext, text: str) -> str:
            entered.release()
            if text == "first":
                assert leave.wait(PATIENCE)
            return text

        @registry.orchestration
        def holds(ctx: OrchestrationContext, text: str) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(hold, text))

        stage.start()
        stage.client.start_orchestration("a", holds, "first")
        assert entered.acquire(timeout=PATIENCE)
        stage.client.delete_instance("a", force=True)
        stage.client.start_orchestration("a", holds, "second")
        assert entered.acquire(timeout=PATIENCE)
        leave.set()

        assert "second" == stage.result("a")
        assert 1 == stage.kinds("a").count("ActivityCompleted")

    def test_force_with_children(self, stage: Stage, registry: Registry) -> None:
        """A running tree goes as a whole, from the memory of the runtime too."""
        add(registry)
        stage.start()
        stage.client.start_orchestration("root", "parent_of_waiting")
        stage.until_status("root-child")

        assert 2 == stage.client.delete_instance("root", force=True).instances
        stage.client.start_orchestration("root", "parent_of_waiting")
        stage.until_status("root-child")
        stage.client.raise_event("root-child", "go", "again")
        assert "child again" == stage.result("root")

    def test_force_with_messages_in_flight(self, stage: Stage, registry: Registry) -> None:
        """[464] However many are deleted in the middle of whatever they do, everybody else gets done."""
        add(registry)
        stage.start()
        numbers = range(40)
        for number in numbers:
            stage.client.start_orchestration(f"i{number}", "family", [2, 2])
        deleted = set()
        for number in numbers[::2]:
            instance_id = f"i{number}"
            try:
                stage.client.delete_instance(instance_id, force=True)
                deleted.add(instance_id)
            except InstanceNotFound:
                # It has not been started yet, and will be.
                pass

        for number in numbers:
            if f"i{number}" not in deleted:
                assert [[0, 2], [0, 2]] == stage.result(f"i{number}")
        roots = InstanceFilter(roots_only=True)
        assert len(numbers) - len(deleted) == len(stage.client.list_instances(roots))
        # Of a deleted tree, nothing is left: neither children nor what they were about to do.
        assert 7 * (len(numbers) - len(deleted)) == stage.client.get_system_metrics().total_instances
        eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 0)

    def test_two_at_once(self, stage: Stage, registry: Registry) -> None:
        """[465] Of two deletions of a tree at the same time, one succeeds, the other finds nothing."""
        add(registry)
        stage.start()
        stage.run("root", "family", [3])
        together, outcomes = threading.Barrier(2), []

        def delete() -> None:
            together.wait()
            try:
                outcomes.append(stage.client.delete_instance("root").instances)
            except InstanceNotFound:
                outcomes.append(0)

        threads = [threading.Thread(target=delete) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [0, 4] == sorted(outcomes)
        assert [[0, 2, 4]] == [stage.run("root", "family", [3])]

    def test_in_bulk_at_work(self, stage: Stage, registry: Registry) -> None:
        """[467] What has ended is deleted in bulk while others are started and end; what runs is not touched."""
        add(registry)
        stage.start()
        stage.client.start_orchestration("waiting", "waits", "x")
        stage.until_status("waiting")
        for number in range(10):
            stage.run(f"old-{number}", "family", [1])
        for number in range(10):
            stage.client.start_orchestration(f"new-{number}", "family", [1])

        assert 20 == stage.client.delete_instance_bulk(InstanceFilter(id_prefix="old-")).instances
        assert [[[0]]] * 10 == [[stage.result(f"new-{number}")] for number in range(10)]
        assert ["waiting"] == [info.instance_id for info in stage.client.list_instances_by_status("Running")]


class TestPruning:
    def test_chain(self, stage: Stage, registry: Registry) -> None:
        """[468] An instance that runs on is pruned to its newest executions, keeps its key-values, and ends well."""
        add(registry)
        stage.start()
        stage.client.start_orchestration("eternal", "counts", 5)
        stage.until_status("eternal")

        assert (1, 3) == _counts(stage.client.prune_executions("eternal", keep_last=3))
        assert [4, 5, 6] == [info.execution_id for info in stage.client.list_executions("eternal")]
        assert [] == list(stage.client.read_execution_history("eternal", 3))
        assert 0 == stage.client.get_kv_value("eternal", "number")
        stage.client.raise_event("eternal", "go")
        assert 0 == stage.result("eternal")

    def test_while_it_continues(self, stage: Stage, registry: Registry) -> None:
        """Pruning an instance again and again while it continues as new disturbs nothing."""
        add(registry)
        stage.start()
        stage.client.start_orchestration("busy", "counts", 30)
        eventually(lambda: not isinstance(stage.client.get_orchestration_status("busy"), NotFound))
        while stage.client.get_instance_info("busy").status is not ExecutionStatus.COMPLETED:
            stage.client.prune_executions("busy")
        stage.client.prune_executions_bulk(InstanceFilter())

        assert 0 == stage.result("busy")
        assert [31] == [info.execution_id for info in stage.client.list_executions("busy")]


class TestInformation:
    def test_count_of_events(self, stage: Stage, registry: Registry) -> None:
        """The count of events, found without counting, is the length of each history."""
        add(registry)
        stage.start()
        stage.run("a", "counts", 3)
        stage.run("b", "family", [2, 2])

        for info in stage.client.list_all_instances():
            for execution in stage.client.list_executions(info.instance_id):
                history = stage.client.read_execution_history(info.instance_id, execution.execution_id)
                assert execution.event_count == len(history)

    def test_times(self, held_stage: Stage, registry: Registry) -> None:
        """[674] Times are the clock's, in milliseconds, and the update time moves to the completion."""
        add(registry)
        held_stage.start()
        held_stage.client.start_orchestration("a", "waits", "x")
        held_stage.until_status("a")
        assert held_stage.clock is not None
        began = held_stage.clock.ms
        held_stage.clock.advance(5000)
        held_stage.client.raise_event("a", "go")
        held_stage.result("a")

        info, execution = held_stage.client.get_instance_info("a"), held_stage.client.get_execution_info("a")
        assert (began, began + 5000) == (info.created_at_ms, info.updated_at_ms)
        assert (began, began + 5000) == (execution.started_at_ms, execution.completed_at_ms)


def _counts(result: Any) -> tuple[int, int]:
    return result.instances, result.executions
