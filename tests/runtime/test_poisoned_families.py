"""What poison means for those around it: parents, children, and who cleans up."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide import (
    ErrorCategory,
    NotFound,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    RuntimeOptions,
    SubOrchestrationFailed,
)

from .stage import Stage


class TestFamilies:
    def test_up_to_the_root(self, stage: Stage, registry: Registry) -> None:
        """[438] [442] [440] An activity that nobody knows poisons its orchestration, its parent and its parent's parent."""

        @registry.orchestration
        def level(ctx: OrchestrationContext, depth: int) -> Orchestration[Any]:
            if depth:
                return (yield from ctx.schedule_sub_orchestration(level, depth - 1))
            return (yield from ctx.schedule_activity("unknown"))

        stage.start(max_attempts=3, unregistered_backoff=0.001, poll_interval=0.02)

        with pytest.raises(OrchestrationFailed, match=r"poison: activity unknown#2 .* exceeded 4 attempts") as failure:
            stage.run("root", level, 2)
        assert failure.value.details.category is ErrorCategory.POISON

    def test_who_wanted_the_same_id(self, stage: Stage, registry: Registry) -> None:
        """A parent whose child cannot be started is told so, although the one that has the id is poison by then."""

        @registry.orchestration
        def wants(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_sub_orchestration("unknown", instance_id="taken")
            except SubOrchestrationFailed as error:
                return str(error)
            return "has got it"

        # Both are taken up in the first round, so that the second start of the id is there before the last delivery.
        stage.client.start_orchestration("taken", "unknown")
        stage.client.start_orchestration("wants", wants)
        stage.start(max_attempts=2, unregistered_backoff=0.001, poll_interval=0.02)

        assert "an instance of this id already exists" in stage.result("wants")
        with pytest.raises(OrchestrationFailed, match="poison"):
            stage.result("taken")

    def test_deletion(self, stage: Stage) -> None:
        """[444] What was poisoned can be deleted without force, and is gone."""
        stage.start(max_attempts=1, unregistered_backoff=0.001)
        with pytest.raises(OrchestrationFailed, match="poison"):
            stage.run("poisoned", "unknown")
        stage.client.delete_instance("poisoned")

        assert stage.client.get_orchestration_status("poisoned") == NotFound()


class TestDefaults:
    def test_options(self) -> None:
        """[445] [440] Locks last 5 and 30 seconds unless told otherwise, and ten deliveries are allowed."""
        options = RuntimeOptions()

        assert [options.orchestrator_lock_timeout.seconds, options.worker_lock_timeout.seconds] == [5, 30]
        assert options.max_attempts == 10

    def test_pauses(self) -> None:
        """[443] The pauses for what is not registered double up to a minute, or as told."""
        custom = RuntimeOptions(unregistered_backoff=0.1, unregistered_backoff_max=0.5)

        assert [RuntimeOptions().unregistered_delay_ms(attempt) // 1000 for attempt in range(1, 9)] == [
            1, 2, 4, 8, 16, 32, 60, 60,
        ]  # fmt: skip
        assert [custom.unregistered_delay_ms(attempt) for attempt in range(1, 6)] == [100, 200, 400, 500, 500]
