"""Orchestrations that start others: children that report back, and detached ones that do not."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    Completed,
    ErrorKind,
    Failed,
    NotFound,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    SubOrchestrationFailed,
)
from duroxide._core import events as e
from duroxide._core.effects import PARENT_DROPPED, PARENT_ENDED

from .stage import PATIENCE, Stage, eventually


@pytest.fixture
def double(registry: Registry) -> Any:
    """A child that returns twice its input, after an activity, and fails at a negative one."""

    @registry.activity
    def add(ctx: ActivityContext, numbers: list[int]) -> int:
        return sum(numbers)

    @registry.orchestration
    def double(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
        if number < 0:
            raise ValueError(f"{number} is negative")
        return (yield from ctx.schedule_activity(add, [number, number]))

    return double


@pytest.fixture
def waiter(registry: Registry) -> Any:
    """A child that waits until it is told to go on."""

    @registry.orchestration
    def waiter(ctx: OrchestrationContext) -> Orchestration[Any]:
        return (yield from ctx.schedule_wait("go on"))

    return waiter


class TestResults:
    def test_one(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[281] [287] A child's output is the value; it knows its parent, the root has none."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[int]:
            return 1 + (yield from ctx.schedule_sub_orchestration(double, 20))

        stage.start()

        assert stage.run("root", parent) == 41
        (scheduled,) = stage.of_kind("root", e.SubOrchestrationScheduled)
        assert scheduled.instance_id == "root::sub::2"
        assert stage.history("root::sub::2")[0].parent == e.Parent("root", 1, 2)
        assert stage.history("root")[0].parent is None
        assert stage.client.get_instance_info("root::sub::2").parent_instance_id == "root"
        assert stage.client.get_instance_info("root").parent_instance_id is None

    def test_joined(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[282] [284] Children joined: outputs in argument order; a failure is an exception with the child's text."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[Any]:
            both = yield from ctx.join(*(ctx.schedule_sub_orchestration(double, number) for number in (3, 1)))
            try:
                yield from ctx.schedule_sub_orchestration(double, -1)
            except SubOrchestrationFailed as error:
                return [*both, isinstance(error, ValueError), str(error)]

        stage.start()

        assert stage.run("joined", parent) == [6, 2, True, "-1 is negative"]

    def test_own_id(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[285] A child with an id of its own is an instance of exactly that id."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[int]:
            return (yield from ctx.schedule_sub_orchestration(double, 2, instance_id="a child/№ 1"))

        stage.start()

        assert stage.run("own", parent) == 4
        assert stage.result("a child/№ 1") == 4

    def test_own_id_of_the_parents(self, stage: Stage, registry: Registry, double: Any) -> None:
        """An orchestration that calls its children after itself does so as a child, too, whatever its own id is."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext, level: int) -> Orchestration[list[str]]:
            if level:
                return (yield from ctx.schedule_sub_orchestration("parent", level - 1))
            yield from ctx.schedule_sub_orchestration(double, 1, instance_id=f"{ctx.instance_id}-double")
            return [ctx.instance_id]

        stage.start()

        assert stage.run("p", parent, 2) == ["p::sub::2::sub::2"]
        assert stage.client.get_instance_info("p::sub::2::sub::2-double").parent_instance_id == "p::sub::2::sub::2"

    def test_three_levels(self, stage: Stage, registry: Registry) -> None:
        """[281] [292] Children of children of children: results come up, and failures do."""

        @registry.orchestration
        def level(ctx: OrchestrationContext, depth: int) -> Orchestration[list[str]]:
            if depth == 0:
                return [ctx.instance_id]
            if depth < 0:
                raise LookupError("too deep")
            below = yield from ctx.schedule_sub_orchestration(level, depth - 1)
            try:
                yield from ctx.schedule_sub_orchestration(level, -1)
            except LookupError as error:
                return [ctx.instance_id, *below, str(error)]
            return []

        stage.start()

        assert stage.run("r", level, 3) == [
            "r",
            "r::sub::2",
            "r::sub::2::sub::2",
            "r::sub::2::sub::2::sub::2",
            *["too deep"] * 3,
        ]

    def test_a_thousand(self, stage: Stage, registry: Registry) -> None:
        """[666] A thousand children joined: all of them, each once, in argument order."""

        @registry.orchestration
        def child(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
            yield from ctx.join()
            return number

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[int]:
            numbers = yield from ctx.join(*(ctx.schedule_sub_orchestration(child, number) for number in range(1000)))
            assert numbers == list(range(1000))
            return len(numbers)

        stage.start()

        assert stage.run("many", parent) == 1000
        assert len(stage.of_kind("many", e.SubOrchestrationCompleted)) == 1000

    def test_typed(self, stage: Stage, registry: Registry) -> None:
        """[302] [303] [305] Results of different types are decoded as such, mapped in code; errors keep their types."""

        @registry.activity
        def words(ctx: ActivityContext) -> tuple[str, ...]:
            return ("a", "b")

        @registry.orchestration
        def numbers(ctx: OrchestrationContext) -> Orchestration[set[int]]:
            yield from ctx.schedule_timer(0)
            return {1, 2}

        @registry.activity
        def fail(ctx: ActivityContext) -> None:
            raise PermissionError("no")

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[Any]:
            pair = yield from ctx.join(ctx.schedule_activity(words), ctx.schedule_sub_orchestration(numbers))
            winner = yield from ctx.select(ctx.schedule_activity(words), ctx.schedule_timer(60))
            try:
                yield from ctx.join(ctx.schedule_activity(words), ctx.schedule_activity(fail))
            except PermissionError as error:
                return [*(type(each).__name__ for each in pair), type(winner.value).__name__, str(error)]

        stage.start()

        assert stage.run("typed", parent) == ["tuple", "set", "tuple", "no"]


class TestBlocks:
    def test_joined(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[291] [292] [299] Blocks of different lengths end in any order; their values come in argument order."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[Any]:
            def block(name: str, steps: int) -> Orchestration[str]:
                value = 1
                for _ in range(steps):
                    value = yield from ctx.schedule_sub_orchestration(double, value)
                return f"{name}{value}"

            return (yield from ctx.join(block("A", 3), block("B", 1), block("C", 0)))

        stage.start()

        assert stage.run("blocks", parent) == ["A8", "B2", "C1"]

    def test_race(self, stage: Stage, registry: Registry, double: Any, waiter: Any) -> None:
        """[293] [295] [297] [300] The first block wins; a loser's child is cancelled, its later steps never begin."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[Any]:
            def wins() -> Orchestration[str]:
                yield from ctx.schedule_timer(0.01)
                yield from ctx.schedule_sub_orchestration(double, 1, instance_id="winner's")
                return "quick"

            def loses() -> Orchestration[str]:
                yield from ctx.schedule_sub_orchestration(waiter, instance_id="loser's")
                yield from ctx.schedule_sub_orchestration(double, 2, instance_id="unreached")
                return "slow"

            def sleeps() -> Orchestration[str]:
                yield from ctx.schedule_timer(60)
                return "asleep"

            winner = yield from ctx.select(loses(), wins(), sleeps())
            return [winner.value, (yield from ctx.schedule_sub_orchestration(double, 4))]

        stage.start()

        assert stage.run("race", parent) == ["quick", 8]
        assert isinstance(stage.client.get_orchestration_status("winner's"), Completed)
        loser = stage.client.wait_for_orchestration("loser's", PATIENCE)
        assert isinstance(loser, Failed)
        assert (loser.is_cancelled, loser.message) == (True, f"canceled: {PARENT_DROPPED}")
        assert isinstance(stage.client.get_orchestration_status("unreached"), NotFound)

    def test_join_in_a_race(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[296] A join inside a race gives its list as the winner's value."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[Any]:
            children = ctx.join(*(ctx.schedule_sub_orchestration(double, number) for number in (1, 2)))
            winner = yield from ctx.select(ctx.schedule_timer(60), children)
            return [winner.index, winner.value]

        stage.start()

        assert stage.run("composite", parent) == [1, [2, 4]]


class TestDetached:
    def test_on_their_own(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[288] [289] Detached starts are roots with exactly their ids, and what follows them replays."""

        @registry.activity
        def nothing(ctx: ActivityContext) -> None:
            pass

        @registry.orchestration
        def launch(ctx: OrchestrationContext) -> Orchestration[Any]:
            first = yield from ctx.schedule_orchestration(double, "one", 1)
            ctx.schedule_orchestration("double", "two", 2, version="1.0.0")
            yield from ctx.schedule_activity(nothing)
            yield from ctx.schedule_timer(0)
            return first

        stage.start()

        assert stage.run("launch", launch) == "one"
        assert [stage.result("one"), stage.result("two")] == [2, 4]
        assert stage.history("one")[0].parent is None
        assert len(stage.of_kind("launch", e.OrchestrationChained)) == 2

    def test_at_every_end(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[288] [645] A detached start happens also when the very turn ends the execution, however it does."""

        @registry.orchestration
        def launch(ctx: OrchestrationContext, how: str) -> Orchestration[None]:
            ctx.schedule_orchestration(double, f"from {how}", 1)
            if how == "error":
                raise ValueError(how)
            if how == "again":
                ctx.continue_as_new("return")
            yield from ctx.join()

        stage.start()
        for how in ("return", "error", "again"):
            stage.client.start_orchestration(how, launch, how)

        assert [stage.result(f"from {how}") for how in ("return", "error", "again")] == [2, 2, 2]

    def test_of_an_id_that_exists(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[288] A detached start of an id that exists changes nothing there."""

        @registry.orchestration
        def launch(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_orchestration(double, "taken", 5))

        stage.start()
        stage.run("taken", double, 1)
        before = stage.history("taken")

        assert stage.run("launch", launch) == "taken"
        eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 0)
        assert stage.history("taken") == before


class TestAcrossExecutions:
    def test_child_continues_as_new(self, stage: Stage, registry: Registry) -> None:
        """[640] A child that continues as new reports its last result to its parent."""

        @registry.orchestration
        def child(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
            yield from ctx.schedule_timer(0)
            if number < 3:
                yield ctx.continue_as_new(number + 1)
            return number * 100

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[int]:
            return (yield from ctx.schedule_sub_orchestration(child, 0))

        stage.start()

        assert stage.run("p", parent) == 300
        assert [stage.client.read_execution_history("p::sub::2", n)[0].parent for n in range(1, 5)] == [
            e.Parent("p", 1, 2)
        ] * 4

    def test_parent_in_a_later_execution(self, stage: Stage, registry: Registry, waiter: Any) -> None:
        """[641] A parent at execution 2 that was restarted on another node gets its child's result."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext, is_second: bool = False) -> Orchestration[Any]:
            action = ctx.schedule_sub_orchestration(waiter)
            ctx.set_custom_status("second" if is_second else "first")
            if not is_second:
                yield from ctx.schedule_timer(0)
                yield ctx.continue_as_new(True)
            return (yield from action)

        first = stage.start()
        stage.client.start_orchestration("p", parent)
        eventually(lambda: stage.until_status("p") == "second")
        first.shutdown()
        stage.start(on=stage.open())
        (scheduled,) = stage.of_kind("p", e.SubOrchestrationScheduled)
        stage.client.wait_for_status_change("p", 0, PATIENCE)
        eventually(lambda: stage.history(scheduled.instance_id) != ())
        stage.client.raise_event(scheduled.instance_id, "go on", "done")

        assert stage.result("p") == "done"
        # The first execution's child has another id, and was cancelled with it.
        orphan = stage.client.wait_for_orchestration("p::sub::2", PATIENCE)
        assert scheduled.instance_id != "p::sub::2"
        assert isinstance(orphan, Failed)
        assert orphan.is_cancelled

    @pytest.mark.parametrize("is_running", [True, False])
    def test_id_that_exists(self, stage: Stage, registry: Registry, waiter: Any, is_running: bool) -> None:
        """[643] [669] A child whose id exists, running or ended, is an error that says so, not a wait without end."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_sub_orchestration(waiter, instance_id="taken")
            except SubOrchestrationFailed as error:
                return str(error)
            return "started"

        stage.start()
        stage.client.start_orchestration("taken", waiter)
        stage.until_kind("taken", e.ExternalSubscribed)
        if not is_running:
            stage.client.raise_event("taken", "go on")
            stage.result("taken")

        message = stage.run("parent", parent)

        assert "'taken'" in message
        assert "already exists" in message
        if is_running:
            assert stage.kinds("taken") == ["OrchestrationStarted", "ExternalSubscribed"]

    def test_same_id_in_the_next_execution(self, stage: Stage, registry: Registry, double: Any) -> None:
        """[643] Children with automatic ids do not collide after continue-as-new."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
            total = number + (yield from ctx.schedule_sub_orchestration(double, 1))
            if total < 6:
                yield ctx.continue_as_new(total)
            return total

        stage.start()

        assert stage.run("p", parent, 0) == 6


class TestParentsThatEnd:
    @pytest.mark.parametrize("how", ["exception", "limit", "return"])
    def test_children_are_cancelled(self, stage: Stage, registry: Registry, waiter: Any, how: str) -> None:
        """[645] [323] However a parent ends, children that are still open are cancelled."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.schedule_sub_orchestration(waiter, instance_id="open")
            yield from ctx.schedule_wait("end")
            if how == "exception":
                raise ValueError(how)
            if how == "limit":
                ctx.set_custom_status("x" * 262_145)

        stage.start()
        stage.client.start_orchestration("parent", parent)
        stage.until_kind("parent", e.ExternalSubscribed)
        eventually(lambda: stage.history("open") != ())
        stage.client.raise_event("parent", "end")

        ended = stage.client.wait_for_orchestration("parent", PATIENCE)
        assert isinstance(ended, Completed if how == "return" else Failed)
        child = stage.client.wait_for_orchestration("open", PATIENCE)
        assert isinstance(child, Failed)
        assert child.is_cancelled
        assert child.details.message in {PARENT_ENDED, PARENT_DROPPED}

    def test_nondeterminism(self, stage: Stage, registry: Registry, waiter: Any) -> None:
        """[645] [635] A parent whose code was changed under it fails, and its child is cancelled."""

        @registry.orchestration(name="parent")
        def before(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.schedule_sub_orchestration(waiter, instance_id="open")
            yield from ctx.schedule_wait("end")

        changed = Registry()
        changed.register_orchestration(waiter)

        @changed.orchestration(name="parent")
        def after(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(1)

        first = stage.start()
        stage.client.start_orchestration("parent", before)
        eventually(lambda: stage.history("open") != ())
        first.shutdown()
        stage.client.raise_event("parent", "end")
        stage.start(changed)

        with pytest.raises(OrchestrationFailed, match="nondeterministic") as failure:
            stage.result("parent")
        assert failure.value.details.kind is ErrorKind.NONDETERMINISM
        child = stage.client.wait_for_orchestration("open", PATIENCE)
        assert isinstance(child, Failed)
        assert child.is_cancelled

    def test_limit_in_a_child(self, stage: Stage, registry: Registry) -> None:
        """[648] A child that breaks a limit fails once, and its parent is told."""

        @registry.orchestration
        def child(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(0)
            ctx.set_kv_value("key", "x" * 70_000)

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_sub_orchestration(child)
            except SubOrchestrationFailed as error:
                return str(error)
            return "fine"

        stage.start()

        assert "exceeds limit" in stage.run("p", parent)
        terminal = [each for each in stage.history("p::sub::2") if isinstance(each, e.TERMINAL_EVENTS)]
        assert [type(each) for each in terminal] == [e.OrchestrationFailed]

    def test_children_see_their_end(self, stage: Stage, registry: Registry) -> None:
        """[316] [323] An activity of a child notices that the child's parent did not want it any more."""
        running, noticed = threading.Event(), threading.Event()

        @registry.activity
        def work(ctx: ActivityContext) -> None:
            running.set()
            if ctx.wait_cancelled(PATIENCE):
                noticed.set()

        @registry.orchestration
        def child(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity(work)

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.select(ctx.schedule_sub_orchestration(child), ctx.schedule_wait("enough"))

        stage.start()
        stage.client.start_orchestration("p", parent)
        assert running.wait(PATIENCE)
        stage.client.raise_event("p", "enough")

        stage.result("p")
        assert noticed.wait(PATIENCE)
