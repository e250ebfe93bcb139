"""Limits that are set: an error that names value, limit and remedy, a warning before, and nothing written."""

from __future__ import annotations

import pytest

from duroxide import (
    ActivityContext,
    Client,
    LimitExceeded,
    Limits,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
)

from .stage import Stage


SMALL = Limits(max_payload_bytes=1000, max_history_events=20)


def produce(ctx: ActivityContext, size: int) -> str:
    """Return so many characters."""
    return "x" * size


def once(ctx: OrchestrationContext, size: int) -> Orchestration[int]:
    """Take a result of that size."""
    return len((yield from ctx.schedule_activity(produce, size)))


def loop(ctx: OrchestrationContext, count: int) -> Orchestration[int]:
    """Take so many steps."""
    for _ in range(count):
        yield from ctx.schedule_activity(produce, 1)
    return count


def register(stage: Stage) -> None:
    """Register everything of this module."""
    stage.registry.register_activity(produce)
    stage.registry.register_orchestration(once)
    stage.registry.register_orchestration(loop)


def test_client(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A client refuses an input over its limit, and writes nothing; one that is near it is warned of."""
    with Client(stage.url if stage.schema is None else stage.provider, limits=SMALL) as client:
        with pytest.raises(
            LimitExceeded, match=r"input of orchestration 'x' of 1002 bytes exceeds limit of 1000 bytes"
        ):
            client.start_orchestration("big", "x", "y" * 1000)

        assert client.get_queue_depths().orchestrator_queue == 0
        client.start_orchestration("near", "x", "y" * 900)
        assert ["input of orchestration 'x' of 902 bytes is near the limit"] == [
            record.getMessage().partition(" of 1000")[0] for record in caplog.records
        ]


def test_result(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A result over the limit fails its activity; one that is near it is warned of."""
    register(stage)
    stage.start(limits=SMALL)
    stage.client.start_orchestration("near", once, 900)
    stage.client.start_orchestration("over", once, 2000)

    assert stage.client.wait_for_result("near") == 900
    with pytest.raises(OrchestrationFailed, match=r"2002 bytes exceeds limit of 1000 bytes .*raise the limit"):
        stage.client.wait_for_result("over")
    assert any("902 bytes is near the limit" in record.getMessage() for record in caplog.records)


def test_history(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """An execution whose history gets too long fails and says what to do; before that there is a warning."""
    register(stage)
    stage.start(limits=SMALL)
    stage.client.start_orchestration("short", loop, 8)
    stage.client.start_orchestration("long", loop, 30)

    assert stage.client.wait_for_result("short") == 8
    with pytest.raises(OrchestrationFailed, match=r"exceeds limit of 20 events .*continue_as_new"):
        stage.client.wait_for_result("long")
    assert any("near the limit of 20 events" in record.getMessage() for record in caplog.records)
    assert len(stage.client.read_execution_history("long")) <= 22
