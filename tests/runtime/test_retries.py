"""Retry policies: what history shows of them, and when they give up."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    ActivityFailed,
    ErrorKind,
    Fixed,
    NonRetryableError,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    RetryPolicy,
)
from duroxide._core import events as e

from .stage import PATIENCE, Stage


QUICK = RetryPolicy(max_attempts=3, backoff=Fixed(0.01))


@pytest.fixture
def flaky(registry: Registry) -> Any:
    """An activity that succeeds at attempt number *input*, and fails before."""

    @registry.activity
    def flaky(ctx: ActivityContext, succeeds_at: int) -> int:
        if ctx.attempt < succeeds_at:
            raise ConnectionError(f"attempt {ctx.attempt}")
        return ctx.attempt

    return flaky


class TestRetries:
    def test_at_the_second_attempt(self, stage: Stage, registry: Registry, flaky: Any) -> None:
        """One failure, one pause, one more attempt: that is what history says, and the activity knows its attempt."""

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[int]:
            return (yield from ctx.schedule_activity(flaky, 2, retry=QUICK))

        stage.start()

        assert stage.run("second", persist) == 2
        assert stage.kinds("second") == [
            "OrchestrationStarted",
            "ActivityScheduled",
            "ActivityFailed",
            "TimerCreated",
            "TimerFired",
            "ActivityScheduled",
            "ActivityCompleted",
            "OrchestrationCompleted",
        ]
        assert [event.attempt for event in stage.of_kind("second", e.ActivityScheduled)] == [1, 2]

    def test_exhausted(self, stage: Stage, registry: Registry, flaky: Any) -> None:
        """The last attempt's failure is raised, and says which attempt it was."""

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[int]:
            return (yield from ctx.schedule_activity(flaky, 9, retry=RetryPolicy(max_attempts=3, backoff=None)))

        stage.start()

        with pytest.raises(OrchestrationFailed, match="attempt 3") as failure:
            stage.run("exhausted", persist)
        assert [link.attempt for link in failure.value.details.chain()][-1] == 3
        assert stage.kinds("exhausted").count("ActivityScheduled") == 3
        assert "TimerCreated" not in stage.kinds("exhausted")

    def test_not_retryable(self, stage: Stage, registry: Registry) -> None:
        """A NonRetryableError is not tried again."""

        @registry.activity
        def refuse(ctx: ActivityContext) -> None:
            raise NonRetryableError("never")

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity(refuse, retry=QUICK)

        stage.start()

        with pytest.raises(OrchestrationFailed, match="never"):
            stage.run("never", persist)
        assert stage.kinds("never").count("ActivityScheduled") == 1

    def test_time_out(self, stage: Stage, registry: Registry) -> None:
        """An attempt that takes too long is cancelled, and not tried again."""
        noticed = threading.Event()

        @registry.activity
        def dawdle(ctx: ActivityContext) -> None:
            if ctx.wait_cancelled(PATIENCE):
                noticed.set()

        @registry.orchestration
        def hurry(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_activity(dawdle, retry=RetryPolicy(max_attempts=5, timeout=0.05))
            except TimeoutError as error:
                assert isinstance(error, ActivityFailed)  # noqa: PT017  # it is both
                return error.details.kind
            return "in time"

        stage.start()

        assert stage.run("hurry", hurry) == ErrorKind.TIMED_OUT
        assert noticed.wait(PATIENCE)
        assert stage.kinds("hurry").count("ActivityScheduled") == 1

    def test_side_by_side(self, stage: Stage, registry: Registry, flaky: Any) -> None:
        """Retries of a fan-out mind their own business; over a restart, too."""

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            policy = RetryPolicy(max_attempts=5, backoff=Fixed(0.01))
            first = yield from ctx.join(*(ctx.schedule_activity(flaky, number, retry=policy) for number in (1, 3, 2)))
            ctx.set_custom_status("half")
            yield from ctx.schedule_wait("go on")
            second = yield from ctx.join(*(ctx.schedule_activity(flaky, number, retry=policy) for number in (2, 4)))
            return [*first, *second]

        runtime = stage.start()
        stage.client.start_orchestration("side", persist)
        assert stage.until_status("side") == "half"
        runtime.shutdown()
        stage.client.raise_event("side", "go on")
        stage.start()

        assert stage.result("side") == [1, 3, 2, 2, 4]
