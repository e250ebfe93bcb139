"""Versions side by side, which of them runs, and rolling deployments in which not every node knows everything."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide import ActivityContext, Exact, Latest, Orchestration, OrchestrationContext, Registry

from .stage import Stage, eventually


def app(*versions: str) -> Registry:
    """A registry with an orchestration ``app`` that waits, and then returns its version."""
    registry = Registry()
    for version in versions:
        registry.register_orchestration(_waits, name="app", version=version)
    return registry


def _waits(ctx: OrchestrationContext, is_patient: bool = False) -> Orchestration[str]:
    ctx.set_custom_status(ctx.orchestration_version)
    if is_patient:
        yield from ctx.schedule_wait("go on")
    yield from ctx.schedule_timer(0)
    return ctx.orchestration_version


class TestWhichOne:
    def test_asked_for(self, stage: Stage) -> None:
        """[417] [413] A start gets the version it asks for, else what the policy says: the latest, or exactly one."""
        registry = app("1.0.0", "1.10.0", "1.9.0")
        stage.start(registry)
        client = stage.client

        assert stage.run("latest", "app") == "1.10.0"
        client.start_orchestration("asked", "app", version="1.9.0")
        assert stage.result("asked") == "1.9.0"
        registry.orchestrations.set_policy("app", Exact("1.0.0"))
        assert stage.run("pinned", "app") == "1.0.0"
        client.start_orchestration("asked in spite of it", "app", version="1.10.0")
        assert stage.result("asked in spite of it") == "1.10.0"
        registry.orchestrations.set_policy("app", Latest())
        assert stage.run("latest again", "app") == "1.10.0"
        assert client.get_instance_info("pinned").orchestration_version == "1.0.0"

    def test_children(self, stage: Stage) -> None:
        """[418] A child gets the version it was scheduled with, else the policy's at the time it starts."""
        registry = app("1.0.0", "2.0.0")

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[Any]:
            exact = ctx.schedule_sub_orchestration("app", version="1.0.0")
            return (yield from ctx.join(exact, ctx.schedule_sub_orchestration("app")))

        stage.start(registry)

        assert stage.run("first", parent) == ["1.0.0", "2.0.0"]
        registry.orchestrations.set_policy("app", Exact("1.0.0"))
        assert stage.run("second", parent) == ["1.0.0", "1.0.0"]

    def test_continue_as_new(self, stage: Stage, registry: Registry) -> None:
        """[420] Asking for a version at continue-as-new overrides an Exact policy; not asking follows it."""

        @registry.orchestration(name="chain")
        def first(ctx: OrchestrationContext, path: list[str]) -> Orchestration[Any]:
            yield from ctx.schedule_timer(0)
            path.append(ctx.orchestration_version)
            if len(path) == 4:
                return path
            yield ctx.continue_as_new(path, version="2.0.0" if len(path) == 2 else None)

        registry.register_orchestration(first, name="chain", version="2.0.0")
        registry.orchestrations.set_policy("chain", Exact("1.0.0"))
        stage.start()

        assert stage.run("chain", "chain", []) == ["1.0.0", "1.0.0", "2.0.0", "1.0.0"]

    def test_activity_context(self, stage: Stage, registry: Registry) -> None:
        """[421] An activity knows name, version, instance and execution of who scheduled it."""

        @registry.activity
        def who(ctx: ActivityContext) -> list[Any]:
            return [ctx.orchestration_name, ctx.orchestration_version, ctx.instance_id, ctx.execution_id,
                    ctx.activity_name]  # fmt: skip

        @registry.orchestration(name="The App", version="3.1.4")
        def ask(ctx: OrchestrationContext) -> Orchestration[Any]:
            if ctx.execution_id < 2:
                yield ctx.continue_as_new()
            return (yield from ctx.schedule_activity(who))

        stage.start()

        assert stage.run("i", ask) == ["The App", "3.1.4", "i", 2, "who"]


class TestPinning:
    def test_running_instances_stay(self, stage: Stage) -> None:
        """[201] An instance keeps the version it began with when a newer one is deployed, and only messages come in."""
        old = stage.start(app("1.0.0"))
        stage.client.start_orchestration("i", "app", True)
        stage.until_status("i")
        old.shutdown()
        stage.start(app("1.0.0", "1.0.1"))
        stage.client.raise_event("i", "go on")

        assert stage.result("i") == "1.0.0"
        assert stage.run("new", "app") == "1.0.1"

    def test_after_an_upgrade(self, stage: Stage) -> None:
        """[202] [420] What continued into a newer version stays with that one, too."""

        def upgrade(ctx: OrchestrationContext, is_patient: bool = False) -> Orchestration[None]:
            yield ctx.continue_as_new(is_patient)

        registries = [app("1.0.1"), app("1.0.1", "1.0.2")]
        for registry in registries:
            registry.register_orchestration(upgrade, name="app", version="1.0.0")
        first = stage.start(registries[0])
        stage.client.start_orchestration("i", "app", True, version="1.0.0")
        assert stage.until_status("i") == "1.0.1"
        first.shutdown()
        stage.start(registries[1])
        stage.client.raise_event("i", "go on")

        assert stage.result("i") == "1.0.1"


class TestRollingDeployment:
    @pytest.mark.parametrize("what", ["name", "version"])
    def test_unknown_orchestration(self, stage: Stage, what: str) -> None:
        """[432] [420] A node that does not know a name or version passes the work on to one that does."""
        other = app("1.0.0") if what == "version" else Registry()
        stage.start(other, unregistered_backoff=0.02, unregistered_backoff_max=0.05, max_attempts=1000)
        stage.client.start_orchestration("i", "app", version="2.0.0")
        eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 1)
        stage.start(app("1.0.0", "2.0.0"), on=stage.open(), max_attempts=1000)

        assert stage.result("i") == "2.0.0"

    def test_unknown_activity(self, stage: Stage, registry: Registry) -> None:
        """[432] Of three nodes one knows a new activity: it is run there, wherever it is fetched first."""

        @registry.orchestration
        def one(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_activity("new"))

        full = registry.copy()

        @full.activity(name="new")
        def new(ctx: ActivityContext) -> str:
            return ctx.worker_id

        for name, known in (("a", registry), ("b", full), ("c", registry)):
            stage.start(
                known,
                on=stage.open(),
                worker_node_id=name,
                unregistered_backoff=0.02,
                max_attempts=1000,
                poll_interval=0.1,
            )

        for number in range(5):
            assert stage.run(f"i{number}", one) == "b"

    def test_while_running(self, stage: Stage, registry: Registry) -> None:
        """[636] [450] An instance goes from node to node, each step on another one, and loses nothing."""

        @registry.activity
        def add(ctx: ActivityContext, number: int) -> int:
            return number + 1

        @registry.orchestration
        def walk(ctx: OrchestrationContext) -> Orchestration[int]:
            number = 0
            for _ in range(3):
                number = yield from ctx.schedule_activity(add, number)
                ctx.set_custom_status(str(number))
                yield from ctx.dequeue_event("next")
            return number

        stage.client.start_orchestration("walk", walk)
        for number in range(3):
            runtime = stage.start()
            stage.until_status("walk", number)
            runtime.shutdown()
            stage.client.enqueue_event("walk", "next")
        stage.start()

        assert stage.result("walk") == 3
