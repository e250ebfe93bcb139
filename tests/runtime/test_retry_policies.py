"""Retry policies in full, over restarts and executions: filters, jitter, time limits, sessions and tags."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    ActivityFailed,
    ErrorKind,
    Exponential,
    Fixed,
    Limits,
    NonRetryableError,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    RetryPolicy,
    TagFilter,
)
from duroxide._core import events as e

from .stage import PATIENCE, Stage, eventually


class OutOfStock(NonRetryableError):
    """A failure that trying again does not help."""


@pytest.fixture
def fail(registry: Registry) -> Any:
    """An activity that raises what it is told to, by name."""

    @registry.activity
    def fail(ctx: ActivityContext, name: str) -> None:
        raise {"ConnectionError": ConnectionError, "KeyError": KeyError, "OutOfStock": OutOfStock}[name](ctx.attempt)

    return fail


def attempts(stage: Stage, instance_id: str) -> int:
    """Return how often the activity was tried."""
    return len(stage.of_kind(instance_id, e.ActivityScheduled))


class TestWhen:
    def test_filters(self, stage: Stage, registry: Registry, fail: Any) -> None:
        """[332] Only what retry_if approves of is tried again; a NonRetryableError or a subclass never is."""
        policy = RetryPolicy(
            max_attempts=3, backoff=None, retry_if=lambda error: isinstance(error, ConnectionError | OutOfStock)
        )
        registry.exception(OutOfStock)

        @registry.orchestration
        def persist(ctx: OrchestrationContext, name: str) -> Orchestration[str]:
            try:
                yield from ctx.schedule_activity(fail, name, retry=policy)
            except ActivityFailed as error:
                return f"{type(error).__mro__[2].__name__} {error.details.attempt}"
            return "fine"

        stage.start()
        names = ("ConnectionError", "KeyError", "OutOfStock")
        for name in names:
            stage.run(name, persist, name)

        assert [attempts(stage, name) for name in names] == [3, 1, 1]

    @pytest.mark.parametrize(("result", "type_"), [(object(), "PayloadError"), ("x" * 100, "LimitExceeded")])
    def test_result(self, stage: Stage, registry: Registry, result: object, type_: str) -> None:
        """An activity that has done its work, and returns what cannot be stored, does not do it again."""

        @registry.activity
        def work(ctx: ActivityContext) -> object:
            return result

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                return (yield from ctx.schedule_activity("work", retry=RetryPolicy(backoff=None)))
            except ActivityFailed as error:
                return f"{error.details.type} {error.details.retryable}"

        stage.start(limits=Limits(max_payload_bytes=90))

        assert stage.run("result", persist) == f"duroxide.errors.{type_} False"
        assert attempts(stage, "result") == 1

    def test_single_attempt(self, stage: Stage, registry: Registry, fail: Any) -> None:
        """[333] A policy of one attempt fails at the first failure, without a timer."""

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity(fail, "KeyError", retry=RetryPolicy(max_attempts=1))

        stage.start()

        with pytest.raises(OrchestrationFailed):
            stage.run("single", persist)
        assert stage.kinds("single") == [
            "OrchestrationStarted", "ActivityScheduled", "ActivityFailed", "OrchestrationFailed",
        ]  # fmt: skip


class TestTimeLimits:
    def test_total(self, stage: Stage, registry: Registry, fail: Any) -> None:
        """[335] A total time limit ends attempts and pauses alike, as a TimeoutError."""
        policy = RetryPolicy(max_attempts=1000, backoff=Fixed(0.02), total_timeout=0.1)

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_activity(fail, "ConnectionError", retry=policy)
            except TimeoutError as error:
                assert isinstance(error, ActivityFailed)  # noqa: PT017  # it is both
                return error.details.kind
            return "fine"

        stage.start()

        assert stage.run("total", persist) == ErrorKind.TIMED_OUT
        assert 1 <= attempts(stage, "total") <= 6
        eventually(lambda: stage.provider.next_due_ms() is None)

    def test_each(self, stage: Stage, registry: Registry) -> None:
        """[337] [330] An attempt within its time limit gives its value, and the limit leaves no timer behind."""

        @registry.activity
        def quick(ctx: ActivityContext) -> str:
            return "quick"

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[str]:
            policy = RetryPolicy(timeout=60, total_timeout=120)
            return (yield from ctx.schedule_activity(quick, retry=policy))

        stage.start()

        assert stage.run("each", persist) == "quick"
        assert attempts(stage, "each") == 1
        eventually(lambda: stage.provider.next_due_ms() is None)


class TestReplay:
    def test_jitter(self, stage: Stage, registry: Registry, fail: Any) -> None:
        """[338] Pauses with jitter are as long when a runtime that was restarted replays them."""
        policy = RetryPolicy(max_attempts=4, backoff=Exponential(base=0.02, multiplier=1.5), jitter=1.0)

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            errors = yield from ctx.join(
                *(ctx.schedule_activity(fail, "KeyError", retry=policy) for _ in range(2)), return_exceptions=True
            )
            ctx.set_custom_status("half")
            yield from ctx.schedule_wait("go on")
            more = yield from ctx.join(ctx.schedule_activity(fail, "KeyError", retry=policy), return_exceptions=True)
            return [error.details.attempt for error in (*errors, *more) if isinstance(error, ActivityFailed)]

        first = stage.start()
        stage.client.start_orchestration("jitter", persist)
        stage.until_status("jitter")
        first.shutdown()
        stage.client.raise_event("jitter", "go on")
        stage.start()

        assert stage.result("jitter") == [4, 4, 4]

    def test_next_execution(self, stage: Stage, registry: Registry) -> None:
        """[339] Attempts and time limits of one execution mean nothing to the next one."""

        @registry.activity
        def flaky(ctx: ActivityContext) -> list[int]:
            if ctx.attempt == 1 or ctx.execution_id == 1:
                raise ConnectionError
            return [ctx.execution_id, ctx.attempt]

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[Any]:
            policy = RetryPolicy(max_attempts=2, backoff=Fixed(0.01), timeout=60)
            try:
                return (yield from ctx.schedule_activity(flaky, retry=policy))
            except ConnectionError:
                yield ctx.continue_as_new()

        stage.start()

        assert stage.run("next", persist) == [2, 2]


class TestWhere:
    def test_session_and_tag(self, stage: Stage, registry: Registry) -> None:
        """[341] All attempts go to the same session and tag; what they get is typed."""
        seen: list[tuple[str | None, str | None]] = []

        @registry.activity
        def flaky(ctx: ActivityContext, numbers: tuple[int, ...]) -> tuple[int, ...]:
            seen.append((ctx.session_id, ctx.tag))
            if ctx.attempt < 3:
                raise ConnectionError
            return (*numbers, ctx.attempt)

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[Any]:
            policy = RetryPolicy(backoff=Fixed(0.01))
            value = yield from ctx.schedule_activity(flaky, (1, 2), retry=policy, session_id="sess", tag="gpu")
            return [type(value).__name__, *value]

        stage.start(worker_tag_filter=TagFilter(tags=None))

        assert stage.run("where", persist) == ["tuple", 1, 2, 3]
        assert seen == [("sess", "gpu")] * 3

    def test_cancelled_while_pausing(self, stage: Stage, registry: Registry, fail: Any) -> None:
        """[110] An instance that is cancelled in a pause between attempts leaves no timer behind."""

        @registry.orchestration
        def persist(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity(fail, "KeyError", retry=RetryPolicy(backoff=Fixed(3600)))

        stage.start()
        stage.client.start_orchestration("pause", persist)
        stage.until_kind("pause", e.TimerCreated)
        stage.client.cancel_instance("pause", "enough")
        stage.client.wait_for_orchestration("pause", PATIENCE)

        eventually(lambda: stage.provider.next_due_ms() is None)
