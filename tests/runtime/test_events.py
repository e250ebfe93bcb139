"""Positional external events: who gets which, and who gets none."""

from __future__ import annotations

from typing import Any

from duroxide import ActivityContext, NotFound, Orchestration, OrchestrationContext, Registry
from duroxide._core import events as e

from .stage import Stage


class TestEvents:
    def test_in_order(self, stage: Stage, registry: Registry) -> None:
        """The first event answers the first wait, the second the second, each with its own data."""

        @registry.orchestration
        def listen(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            first, second = ctx.schedule_wait("bell"), ctx.schedule_wait("bell")
            ctx.set_custom_status("listening")
            return (yield from ctx.join(first, second))

        stage.start()
        stage.client.start_orchestration("listen", listen)
        stage.until_status("listen")
        stage.client.raise_event("listen", "bell", {"ring": 1})
        stage.client.raise_event("listen", "bell", {"ring": 2})

        assert stage.result("listen") == [{"ring": 1}, {"ring": 2}]

    def test_one_after_the_other(self, stage: Stage, registry: Registry) -> None:
        """Waits in a row each get the event that was raised while they waited."""

        @registry.orchestration
        def listen(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            heard = []
            for number in range(3):
                wait = ctx.schedule_wait("bell")
                ctx.set_custom_status(f"listening {number}")
                heard.append((yield from wait))
            return heard

        stage.start()
        stage.client.start_orchestration("listen", listen)
        for number in range(3):
            assert stage.until_status("listen", number) == f"listening {number}"
            stage.client.raise_event("listen", "bell", number)

        assert stage.result("listen") == [0, 1, 2]

    def test_too_early(self, stage: Stage, registry: Registry) -> None:
        """An event that is raised before anybody waits is recorded, and answers nobody."""

        @registry.orchestration
        def late(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_wait("open")
            wait = ctx.schedule_wait("bell")
            ctx.set_custom_status("listening")
            return (yield from wait)

        stage.start()
        stage.client.start_orchestration("late", late)
        stage.client.raise_event("late", "bell", "early")
        stage.until_kind("late", e.ExternalEvent)
        stage.client.raise_event("late", "open")
        assert stage.until_status("late") == "listening"
        stage.client.raise_event("late", "bell", "in time")

        assert stage.result("late") == "in time"
        assert [event.data for event in stage.of_kind("late", e.ExternalEvent)] == ['"early"', "null", '"in time"']

    def test_the_loser_does_not_hear(self, stage: Stage, registry: Registry) -> None:
        """A wait that lost a race takes no event away from a later wait for the same name."""

        @registry.orchestration
        def race(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            winner = yield from ctx.select(ctx.schedule_wait("bell"), ctx.schedule_timer(0.01))
            wait = ctx.schedule_wait("bell")
            ctx.set_custom_status("again")
            return [winner.index, (yield from wait)]

        stage.start()
        stage.client.start_orchestration("race", race)
        assert stage.until_status("race") == "again"
        stage.client.raise_event("race", "bell", "for the second")

        assert stage.result("race") == [1, "for the second"]
        assert "ExternalSubscribedCancelled" in stage.kinds("race")

    def test_the_order_of_raising_decides(self, stage: Stage, registry: Registry) -> None:
        """Of two events that are raised while no runtime runs, the first raised wins the race, whatever the arguments."""

        @registry.orchestration
        def race(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            waits = [ctx.schedule_wait("a"), ctx.schedule_wait("b")]
            ctx.set_custom_status("racing")
            winner = yield from ctx.select(*waits)
            return [winner.index, winner.value]

        first = stage.start()
        stage.client.start_orchestration("race", race)
        stage.until_status("race")
        first.shutdown()
        stage.client.raise_event("race", "b", 2)
        stage.client.raise_event("race", "a", 1)
        stage.start()

        assert stage.result("race") == [1, 2]
        assert [event.name for event in stage.of_kind("race", e.ExternalEvent)] == ["b", "a"]

    def test_to_nobody(self, stage: Stage, registry: Registry) -> None:
        """An event or a cancellation for an unknown or finished instance is dropped, and holds nobody up."""

        @registry.activity
        def work(ctx: ActivityContext) -> str:
            return "done"

        @registry.orchestration
        def quick(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(work))

        stage.client.raise_event("nobody", "bell", 1)
        stage.client.cancel_instance("nobody", "no reason")
        stage.start()
        assert stage.run("quick", quick) == "done"
        history = stage.history("quick")
        stage.client.raise_event("quick", "bell", 1)
        stage.client.cancel_instance("quick", "too late")
        assert stage.run("another", quick) == "done"
        stage.stop()

        assert stage.history("quick") == history
        assert isinstance(stage.client.get_orchestration_status("nobody"), NotFound)

    def test_many_senders(self, stage: Stage, registry: Registry) -> None:
        """Fifty events for ten instances, mixed: each instance gets its own, in its order."""

        @registry.orchestration
        def collect(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            waits = [ctx.schedule_wait("part") for _ in range(5)]
            ctx.set_custom_status("ready")
            return (yield from ctx.join(*waits))

        stage.start()
        names = [f"collect-{number}" for number in range(10)]
        for name in names:
            stage.client.start_orchestration(name, collect)
        for name in names:
            stage.until_status(name)
        for part in range(5):
            for name in names:
                stage.client.raise_event(name, "part", f"{name}/{part}")

        for name in names:
            assert stage.result(name) == [f"{name}/{part}" for part in range(5)]
