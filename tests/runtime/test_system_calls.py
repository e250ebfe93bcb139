"""Time, identity, chance and logs in orchestration code: the same in replay, and free."""

from __future__ import annotations

import logging
import uuid

from datetime import UTC, datetime
from typing import Any

import pytest

from duroxide import ActivityContext, Failed, Orchestration, OrchestrationContext, Registry, TagFilter
from duroxide._core import events as e

from .stage import HOUR_MS, NOW, PATIENCE, Stage


class TestIdentityAndChance:
    def test_guids(self, stage: Stage, registry: Registry) -> None:
        """[378] [663] [385] Ids differ and are version 4 UUIDs, also after a restart, with no activity registered."""

        @registry.orchestration
        def ids(ctx: OrchestrationContext) -> Orchestration[list[str]]:
            made = [ctx.new_guid(), ctx.new_guid()]
            ctx.set_custom_status("made")
            yield from ctx.schedule_wait("go on")
            made.append(ctx.new_guid())
            return made

        first = stage.start()
        stage.client.start_orchestration("ids", ids)
        stage.until_status("ids")
        first.shutdown()
        stage.client.raise_event("ids", "go on")
        stage.start()
        made = stage.result("ids")

        assert len(set(made)) == 3
        for text in made:
            assert (uuid.UUID(text).version, str(uuid.UUID(text))) == (4, text)
        assert registry.activities.count() == 0
        assert "ActivityScheduled" not in stage.kinds("ids")

    def test_over_lives(self, stage: Stage, registry: Registry) -> None:
        """[378] [663] Ids and random numbers are others in another instance, execution, or life of an id."""

        @registry.orchestration
        def draw(ctx: OrchestrationContext, before: list[Any]) -> Orchestration[list[Any]]:
            yield from ctx.schedule_timer(0.002)
            before.append([ctx.new_guid(), ctx.random.random(), ctx.random.randrange(10**12)])
            if ctx.execution_id < 2:
                yield ctx.continue_as_new(before)
            return before

        stage.start()
        drawn = [*stage.run("one", draw, []), *stage.run("two", draw, [])]
        stage.client.delete_instance("one")
        drawn += stage.run("one", draw, [])

        assert [len(set(column)) for column in zip(*drawn, strict=True)] == [6, 6, 6]

    def test_random_in_replay(self, stage: Stage, registry: Registry) -> None:
        """[380] Random numbers are drawn again alike after a restart, so code that follows them does not change."""

        @registry.activity
        def note(ctx: ActivityContext, number: float) -> float:
            return number

        @registry.orchestration
        def gamble(ctx: OrchestrationContext) -> Orchestration[bool]:
            drawn = [ctx.random.random() for _ in range(3)]
            noted = []
            for number in drawn:
                noted.append((yield from ctx.schedule_activity(note, number)))  # noqa: PERF401  # generators cannot wait in comprehensions
            ctx.set_custom_status("half")
            yield from ctx.schedule_wait("go on")
            yield from ctx.schedule_activity(note, ctx.random.choice(drawn))
            return noted == drawn

        first = stage.start()
        stage.client.start_orchestration("gamble", gamble)
        stage.until_status("gamble")
        first.shutdown()
        stage.client.raise_event("gamble", "go on")
        stage.start()

        assert stage.result("gamble") is True


class TestTime:
    def test_of_the_history(self, held_stage: Stage, registry: Registry) -> None:
        """[380] [383] utc_now is the time of the event being processed: recorded, and the same in replay."""

        @registry.orchestration
        def clock(ctx: OrchestrationContext) -> Orchestration[list[str]]:
            times = [ctx.utc_now(), ctx.utc_now()]
            yield from ctx.schedule_wait("go on")
            times.append(ctx.utc_now())
            ctx.set_custom_status("half")
            yield from ctx.schedule_wait("go on")
            times.append(ctx.utc_now())
            return [time.isoformat() for time in times]

        stage, held = held_stage, held_stage.clock
        assert held is not None
        first = stage.start()
        stage.client.start_orchestration("clock", clock)
        stage.until_kind("clock", e.ExternalSubscribed)
        held.advance(HOUR_MS)
        stage.client.raise_event("clock", "go on")
        stage.until_status("clock")
        first.shutdown()
        held.advance(-2 * HOUR_MS)
        stage.client.raise_event("clock", "go on")
        stage.start(poll_interval=0.05)
        at = [datetime.fromtimestamp(ms / 1000, UTC).isoformat() for ms in (NOW, NOW, NOW + HOUR_MS, NOW + HOUR_MS)]

        assert stage.result("clock") == at

    def test_beside_others(self, stage: Stage, registry: Registry) -> None:
        """[381] [383] Time and ids cost no event: between activities, in joins and races they keep the order."""

        @registry.activity
        def echo(ctx: ActivityContext, value: Any) -> Any:
            return value

        @registry.orchestration
        def mixed(ctx: OrchestrationContext) -> Orchestration[Any]:
            first = yield from ctx.schedule_activity(echo, ctx.new_guid())
            now = [ctx.utc_now(), ctx.utc_now()]
            both = yield from ctx.join(
                ctx.schedule_activity(echo, ctx.new_guid()), ctx.schedule_activity(echo, str(ctx.utc_now()))
            )
            winner = yield from ctx.select(ctx.schedule_activity(echo, ctx.new_guid()), ctx.schedule_timer(60))
            return [len({first, both[0], winner.value}), now[0] == now[1], both[1] >= str(now[0])]

        stage.start()

        assert stage.run("mixed", mixed) == [3, True, True]
        assert stage.kinds("mixed").count("ActivityScheduled") == 4

    def test_cancelled_after(self, stage: Stage, registry: Registry) -> None:
        """[384] An instance that waits after using them can be cancelled."""

        @registry.orchestration
        def park(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_custom_status(ctx.new_guid() + str(ctx.utc_now()))
            yield from ctx.schedule_wait("never")

        stage.start()
        stage.client.start_orchestration("park", park)
        stage.until_status("park")
        stage.client.cancel_instance("park", "enough")
        status = stage.client.wait_for_orchestration("park", PATIENCE)

        assert isinstance(status, Failed)
        assert status.is_cancelled


class TestLogs:
    def test_fields(self, stage: Stage, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
        """[470] Records of activities and orchestrations carry who they are from, at every level."""

        @registry.activity
        def work(ctx: ActivityContext) -> int:
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                ctx.logger.log(level, "activity at %d", level)
            return ctx.activity_id

        @registry.orchestration(version="1.2.0")
        def order(ctx: OrchestrationContext) -> Orchestration[int]:
            ctx.logger.debug("orchestration at %d", 10)
            ctx.logger.info("orchestration at %d", 20, extra={"color": "red"})
            ctx.logger.warning("orchestration at %d", 30)
            ctx.logger.error("orchestration at %d", 40)
            return (yield from ctx.schedule_activity(work, tag="gpu"))

        with caplog.at_level(logging.DEBUG, "duroxide"):
            stage.start(worker_node_id="node", worker_tag_filter=TagFilter(tags=None))
            activity_id = stage.run("order", order)

        ids = {"instance_id": "order", "execution_id": 1, "orchestration_name": "order"}
        ids |= {"orchestration_version": "1.2.0", "worker_id": "node"}
        own = {"activity_name": "work", "activity_id": activity_id, "activity_tag": "gpu"}
        for name, fields in (("duroxide.orchestrations", ids), ("duroxide.activities", ids | own)):
            records = [record for record in caplog.records if record.name == name]
            assert [record.levelno for record in records] == [10, 20, 30, 40]
            for record in records:
                assert record.getMessage().endswith(f"at {record.levelno}")
                assert {key: getattr(record, key) for key in fields} == fields
        orchestration = [record for record in caplog.records if record.name == "duroxide.orchestrations"]
        assert getattr(orchestration[1], "color", None) == "red"
        assert not any(hasattr(record, "activity_name") for record in orchestration)

    def test_as_from_any_logger(self, stage: Stage, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
        """What is given as *extra* is kept, and the place in the code is the caller's, whichever method it calls."""

        def say(logger: Any) -> None:
            logger.warning("said", extra={"color": "red"})
            logger.log(logging.WARNING, "said", extra={"color": "red"})
            logger.exception("said", extra={"color": "red"}, exc_info=ValueError("red"))  # noqa: LOG004  # as any logger takes it

        @registry.activity
        def work(ctx: ActivityContext) -> None:
            say(ctx.logger)

        @registry.orchestration
        def order(ctx: OrchestrationContext) -> Orchestration[None]:
            say(ctx.logger)
            return (yield from ctx.schedule_activity(work))

        stage.start()
        stage.run("order", order)

        said = [record for record in caplog.records if record.getMessage() == "said"]
        assert [getattr(record, "color", None) for record in said] == ["red"] * 6
        assert {(record.pathname, record.funcName) for record in said} == {(__file__, "say")}

    def test_silent_in_replay(self, stage: Stage, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
        """[470] [142] [145] Every line is logged once, however often the code is run again."""

        @registry.orchestration
        def chat(ctx: OrchestrationContext) -> Orchestration[None]:
            for number in range(4):
                ctx.logger.warning("line %d", number)
                ctx.set_custom_status(str(number))
                yield from ctx.dequeue_event("next")
            ctx.logger.warning("line %d", 4)

        stage.client.start_orchestration("chat", chat)
        for number in range(4):
            runtime = stage.start()
            stage.until_status("chat", number)
            runtime.shutdown()
            stage.client.enqueue_event("chat", "next")
        stage.start()
        stage.result("chat")

        lines = [record.getMessage() for record in caplog.records if record.name == "duroxide.orchestrations"]
        assert lines == [f"line {number}" for number in range(5)]

    def test_range_at_start(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        """[478] A runtime says that it starts and stops, with its name."""
        with caplog.at_level(logging.INFO, "duroxide.runtime"):
            stage.start(worker_node_id="node-9").shutdown()

        actions = [(getattr(record, "action", None), getattr(record, "worker_id", None)) for record in caplog.records]
        assert ("runtime_started", "node-9") in actions
        assert ("runtime_stopped", "node-9") in actions
