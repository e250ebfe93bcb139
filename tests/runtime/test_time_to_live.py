"""Activities that no worker begins in time: noticed when their time is over, not by the slow poll."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext
from duroxide._clock import monotonic
from duroxide._runtime import activities
from duroxide.errors import ProviderError
from duroxide.providers.wrapping import WrappedProvider
from duroxide.testing.faults import Delay, FaultPlan, FaultyProvider, Rule

from .stage import Stage


#: Longer than a test may take.
NEVER = 3600


def step(ctx: ActivityContext) -> None:
    """Do nothing."""


def impatient(ctx: OrchestrationContext, seconds: float) -> Orchestration[Any]:
    """Call what nobody does, and say what came of it."""
    try:
        yield from ctx.schedule_activity(step, tag="nobody", time_to_live=seconds)
    except TimeoutError:
        return "timed out"
    return "done"


class TestExpiry:
    def test_at_once(self, stage: Stage) -> None:
        """A time to live is over when it is over, however seldom the runtime polls."""
        stage.registry.register_orchestration(impatient)
        stage.start(poll_interval=NEVER)
        # The first look of all is at the start.
        stage.run("a", impatient, 0.01)
        for instance_id, seconds in [("b", 0.3), ("c", 1.5), ("d", 0.0)]:
            began = monotonic()

            assert "timed out" == stage.run(instance_id, impatient, seconds)
            assert seconds <= monotonic() - began

    def test_many(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many have waited for too long at the same time, all of them fail now."""
        monkeypatch.setattr(activities, "MOST_AHEAD", 3)

        @stage.registry.orchestration
        def crowd(ctx: OrchestrationContext) -> Orchestration[list[bool]]:
            calls = (ctx.schedule_activity(step, tag="nobody", time_to_live=0.1) for _ in range(10))
            answers = yield from ctx.join(*calls, return_exceptions=True)
            return [isinstance(each, TimeoutError) for each in answers]

        stage.registry.register_orchestration(impatient)
        stage.start(poll_interval=NEVER)
        # The first look of all is at the start.
        stage.run("a", impatient, 0.01)

        assert [True] * 10 == stage.run("crowd", crowd)

    def test_slow_store(self, stage: Stage) -> None:
        """Nor is it missed because the store takes longer for it than it lives."""
        stage.registry.register_orchestration(impatient)
        slow = FaultyProvider(stage.provider, FaultPlan([Rule(Delay(0.3), on="commit_turns")]))
        stage.start(on=slow, poll_interval=NEVER)
        stage.run("a", impatient, 0.01)

        assert "timed out" == stage.run("b", impatient, 0.05)

    def test_lost_answer(self, stage: Stage) -> None:
        """Nor is it forgotten when the answer that says what is over is lost, or who has got it dies."""

        class Forgetful(WrappedProvider):
            """Loses the first answer."""

            lost: Any = ()

            def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
                answer = operation(*args, **keywords)
                if name == "fetch_expired_activities" and answer and not self.lost:
                    self.lost = answer
                    raise ProviderError(name, "connection lost", retryable=True)
                return answer

        stage.registry.register_orchestration(impatient)
        forgetful = Forgetful(stage.provider)
        stage.start(on=forgetful, poll_interval=0.02, worker_lock_timeout=0.1)

        assert "timed out" == stage.run("a", impatient, 0.01)
        assert forgetful.lost

    def test_runs_alone(self, stage: Stage) -> None:
        """A runtime without workers notices it, too."""
        stage.registry.register_orchestration(impatient)
        stage.start(poll_interval=NEVER, worker_concurrency=0)
        stage.run("a", impatient, 0.01)

        assert "timed out" == stage.run("b", impatient, 0.3)
