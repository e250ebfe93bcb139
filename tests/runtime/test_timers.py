"""Durable timers: never early, never twice, and no longer because of a restart."""

from __future__ import annotations

from typing import Any

from duroxide import Orchestration, OrchestrationContext, Registry
from duroxide._core import events as e

from .stage import HOUR_MS, NOW, Stage


class TestTimers:
    def test_never_early(self, stage: Stage, registry: Registry) -> None:
        """A timer fires when its time has come by the history's own clock, not before."""

        @registry.orchestration
        def nap(ctx: OrchestrationContext) -> Orchestration[float]:
            before = ctx.utc_now()
            yield from ctx.schedule_timer(0.1)
            return (ctx.utc_now() - before).total_seconds()

        stage.start(poll_interval=3600)

        assert stage.run("nap", nap) >= 0.1

    def test_in_a_row(self, stage: Stage, registry: Registry) -> None:
        """Timers one after the other fire in their order; a timer of no time at all fires at once."""

        @registry.orchestration
        def naps(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(0.02)
            yield from ctx.schedule_timer(0)
            yield from ctx.schedule_timer(0.01)

        stage.start()
        stage.run("naps", naps)

        created = [event.event_id for event in stage.of_kind("naps", e.TimerCreated)]
        assert [event.source_event_id for event in stage.of_kind("naps", e.TimerFired)] == created

    def test_out_of_order(self, stage: Stage, registry: Registry) -> None:
        """Timers side by side fire by their time, not by their place; joined, nobody waits for the sum."""

        @registry.orchestration
        def naps(ctx: OrchestrationContext) -> Orchestration[int]:
            winner = yield from ctx.select(ctx.schedule_timer(60), ctx.schedule_timer(0.02), ctx.schedule_timer(60))
            yield from ctx.join(*(ctx.schedule_timer(0.05) for _ in range(20)))
            return winner.index

        stage.start()

        assert stage.run("sides", naps) == 1
        assert stage.kinds("sides").count("TimerFired") == 21

    def test_not_shortened_by_another(self, stage: Stage, registry: Registry) -> None:
        """A timer that is created after another one fired takes its own full time."""

        @registry.orchestration
        def naps(ctx: OrchestrationContext) -> Orchestration[float]:
            yield from ctx.schedule_timer(0.05)
            before = ctx.utc_now()
            yield from ctx.schedule_timer(0.1)
            return (ctx.utc_now() - before).total_seconds()

        stage.start()

        assert stage.run("naps", naps) >= 0.1


class TestRestart:
    def test_not_lengthened(self, held_stage: Stage, registry: Registry) -> None:
        """A timer that was set before a restart fires when it was to fire, once."""

        @registry.orchestration
        def sleep(ctx: OrchestrationContext) -> Orchestration[float]:
            before = ctx.utc_now()
            ctx.set_custom_status("asleep")
            yield from ctx.schedule_timer(3600)
            return (ctx.utc_now() - before).total_seconds()

        stage, clock = held_stage, held_stage.clock
        assert clock is not None
        first = stage.start()
        stage.client.start_orchestration("sleep", sleep)
        assert stage.until_status("sleep") == "asleep"
        first.shutdown()
        clock.advance(HOUR_MS // 2)
        second = stage.start()
        stage.client.raise_event("sleep", "nobody waits for this")
        stage.until_kind("sleep", e.ExternalEvent)
        second.shutdown()
        clock.advance(HOUR_MS // 2)
        stage.start()

        assert stage.result("sleep") == 3600
        (fired,) = stage.of_kind("sleep", e.TimerFired)
        assert (fired.timestamp_ms, fired.fire_at_ms) == (NOW + HOUR_MS, NOW + HOUR_MS)

    def test_of_an_earlier_instance(self, held_stage: Stage, registry: Registry) -> None:
        """What was to fire in an instance that was deleted does not fire in the next one of its id, which sets another timer."""

        @registry.orchestration
        def sleep(ctx: OrchestrationContext, hours: int) -> Orchestration[float]:
            before = ctx.utc_now()
            ctx.set_custom_status(f"asleep for {hours}")
            yield from ctx.schedule_timer(3600 * hours)
            return (ctx.utc_now() - before).total_seconds()

        stage, clock = held_stage, held_stage.clock
        assert clock is not None
        stage.start(poll_interval=0.02)
        for instance_id in ("again", "beside"):
            stage.client.start_orchestration(instance_id, sleep, 1)
            assert stage.until_status(instance_id) == "asleep for 1"
        stage.client.delete_instance("again", force=True)
        stage.client.start_orchestration("again", sleep, 2)
        assert stage.until_status("again") == "asleep for 2"
        clock.advance(HOUR_MS)
        assert stage.result("beside") == 3600  # and in the same round
        clock.advance(HOUR_MS)

        assert stage.result("again") == 7200

    def test_many_overdue(self, held_stage: Stage, registry: Registry) -> None:
        """Timers of many instances that came due while nothing ran all fire, each once."""

        @registry.orchestration
        def sleep(ctx: OrchestrationContext, hours: int) -> Orchestration[int]:
            ctx.set_custom_status("asleep")
            yield from ctx.join(ctx.schedule_timer(3600 * hours), ctx.schedule_timer(1800 * hours))
            return hours

        stage, clock = held_stage, held_stage.clock
        assert clock is not None
        first = stage.start()
        for hours in range(1, 6):
            stage.client.start_orchestration(f"sleep-{hours}", sleep, hours)
            stage.until_status(f"sleep-{hours}")
        first.shutdown()
        clock.advance(5 * HOUR_MS)
        stage.start()

        for hours in range(1, 6):
            assert stage.result(f"sleep-{hours}") == hours
            assert stage.kinds(f"sleep-{hours}").count("TimerFired") == 2

    def test_all_due_at_once(self, held_stage: Stage, registry: Registry) -> None:
        """After an outage, everything comes in the order in which it was due or sent, not in that in which it was set."""

        @registry.orchestration
        def approval(ctx: OrchestrationContext) -> Orchestration[list[str]]:
            names = ["deadline", "reminder", "approved", "first", "second"]
            open_ = [
                ctx.schedule_timer(3600),
                ctx.schedule_timer(60),
                ctx.schedule_wait("approved"),
                ctx.schedule_timer(10),
                ctx.schedule_timer(10),
            ]
            ctx.set_custom_status("waiting")
            happened = []
            while open_:
                winner = yield from ctx.select(*open_, cancel_losers=False)
                happened.append(names.pop(winner.index))
                del open_[winner.index]
            return happened

        stage, clock = held_stage, held_stage.clock
        assert clock is not None
        first = stage.start()
        stage.client.start_orchestration("approval", approval)
        stage.until_status("approval")
        first.shutdown()
        clock.advance(HOUR_MS // 2)
        stage.client.raise_event("approval", "approved")
        clock.advance(HOUR_MS)
        stage.start()

        assert stage.result("approval") == ["first", "second", "reminder", "approved", "deadline"]

    def test_the_loser_of_a_race(self, held_stage: Stage, registry: Registry) -> None:
        """A timer that lost its race changes nothing when it would have fired; a time that stands still is no obstacle."""

        @registry.orchestration
        def race(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            ctx.set_custom_status("racing")
            winner = yield from ctx.select(ctx.schedule_wait("go"), ctx.schedule_timer(3600))
            ctx.set_custom_status("won")
            yield from ctx.schedule_timer(7200)
            return [winner.index, winner.value]

        stage, clock = held_stage, held_stage.clock
        assert clock is not None
        stage.start(poll_interval=0.02)
        stage.client.start_orchestration("race", race)
        stage.until_status("race")
        stage.client.raise_event("race", "go", 7)
        assert stage.until_status("race", 1) == "won"
        clock.advance(2 * HOUR_MS)

        assert stage.result("race") == [0, 7]
