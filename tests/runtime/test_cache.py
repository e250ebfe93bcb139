"""Executions in memory are a cache and nothing else; replay is silent."""

from __future__ import annotations

import logging

from typing import Any

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide._core import events as e

from .stage import Stage


@pytest.fixture
def count(registry: Registry) -> Any:
    """An orchestration of five steps."""

    @registry.activity
    def add(ctx: ActivityContext, number: int) -> int:
        return number + 1

    @registry.orchestration
    def count(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
        ids = [ctx.new_guid(), ctx.random.random()]
        for step in range(5):
            ctx.logger.info("step %d of %s", step, ctx.instance_id)
            number = yield from ctx.schedule_activity(add, number)
            ids += [ctx.new_guid(), ctx.random.random()]
        return [number, len({*ids})]

    return count


class TestCache:
    @pytest.mark.parametrize("size", [0, 1, 3])
    def test_too_small(self, stage: Stage, count: Any, size: int) -> None:
        """With far more instances than the cache holds, all get their results."""
        stage.start(cache_size=size)
        for number in range(12):
            stage.client.start_orchestration(f"count-{number}", count, number)

        for number in range(12):
            assert stage.result(f"count-{number}") == [number + 5, 12]

    def test_pushed_out_in_the_middle(self, stage: Stage, registry: Registry, count: Any) -> None:
        """What waits while others push it out of the cache is replayed, and goes on where it was."""

        @registry.orchestration
        def patient(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            guid, number = ctx.new_guid(), ctx.random.random()
            wait = ctx.schedule_wait("go")
            ctx.set_custom_status(f"{guid} {number}")
            data = yield from wait
            return [f"{guid} {number}", data, ctx.new_guid() != guid]

        stage.start(cache_size=1)
        stage.client.start_orchestration("patient", patient)
        status = stage.until_status("patient")
        for number in range(3):
            stage.run(f"count-{number}", count, number)
        stage.client.raise_event("patient", "go", "now")

        assert stage.result("patient") == [status, "now", True]

    def test_moved_on_elsewhere(self, stage: Stage, registry: Registry, count: Any) -> None:
        """A runtime that knows an old state of an instance, which another one advanced, catches up."""

        @registry.orchestration
        def relay(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            heard = []
            for step in range(6):
                wait = ctx.schedule_wait("next")
                ctx.set_custom_status(str(step))
                heard.append((yield from wait))
            return heard

        other = stage.open()
        stage.start(poll_interval=0.05)
        stage.client.start_orchestration("relay", relay)
        for step in range(6):
            assert stage.until_status("relay", step) == str(step)
            if step == 2:
                stage.start(on=other, poll_interval=0.05)
            stage.client.raise_event("relay", "next", step)

        assert stage.result("relay") == list(range(6))


def test_replay_is_silent(stage: Stage, count: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Each line of an orchestration is logged once, with the instance's name, however often its code is replayed."""
    caplog.set_level(logging.INFO, logger="duroxide.orchestrations")
    stage.start()
    stage.run("logs", count, 0)
    stage.stop()

    lines = [record for record in caplog.records if record.name == "duroxide.orchestrations"]
    assert [record.getMessage() for record in lines] == [f"step {step} of logs" for step in range(5)]
    assert {getattr(record, "instance_id", None) for record in lines} == {"logs"}
    assert {getattr(record, "orchestration_name", None) for record in lines} == {"count"}


def test_shutdown_is_silent(stage: Stage, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """What stands in a ``finally`` is logged when the code gets there, not when a runtime forgets the instance."""

    @registry.orchestration
    def patient(ctx: OrchestrationContext) -> Orchestration[None]:
        try:
            wait = ctx.schedule_wait("go")
            ctx.set_custom_status("waiting")
            yield from wait
        finally:
            ctx.logger.info("over")

    caplog.set_level(logging.INFO, logger="duroxide.orchestrations")
    stage.start()
    stage.client.start_orchestration("patient", patient)
    stage.until_status("patient")
    stage.stop()
    lines = [record.getMessage() for record in caplog.records if record.name == "duroxide.orchestrations"]
    assert lines == []

    stage.start()
    stage.client.raise_event("patient", "go")
    stage.result("patient")
    stage.stop()
    lines = [record.getMessage() for record in caplog.records if record.name == "duroxide.orchestrations"]
    assert lines == ["over"]


def test_time_does_not_go_backwards(held_stage: Stage, registry: Registry) -> None:
    """A runtime whose clock is behind continues an instance at the time that its history has reached."""

    @registry.activity
    def work(ctx: ActivityContext) -> None:
        return None

    @registry.orchestration
    def look(ctx: OrchestrationContext) -> Orchestration[list[float]]:
        times = [ctx.utc_now().timestamp()]
        wait = ctx.schedule_wait("go")
        ctx.set_custom_status("looking")
        yield from wait
        times.append(ctx.utc_now().timestamp())
        yield from ctx.schedule_activity(work)
        return [*times, ctx.utc_now().timestamp()]

    stage, clock = held_stage, held_stage.clock
    assert clock is not None
    first = stage.start()
    stage.client.start_orchestration("look", look)
    stage.until_status("look")
    first.shutdown()
    stage.client.raise_event("look", "go")
    clock.advance(-5_000)
    stage.start(poll_interval=0.02)
    clock.advance(5_000)

    times = stage.result("look")
    assert times == sorted(times)
    stamps = [event.timestamp_ms for event in stage.of_kind("look", e.Event)]
    assert stamps == sorted(stamps)
