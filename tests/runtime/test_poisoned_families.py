"""What poison means for those around it: parents, children, and who cleans up."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide import (
    Completed,
    ErrorCategory,
    Failed,
    NotFound,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    RuntimeOptions,
    SubOrchestrationFailed,
)

from .stage import PATIENCE, Stage


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

    def test_two_parents(self, stage: Stage, registry: Registry) -> None:
        """[Q3] Of parents that want one id as their child, the first shares its poison, and the others learn that it exists."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                return (yield from ctx.schedule_sub_orchestration("unknown", instance_id="wanted"))
            except SubOrchestrationFailed as failure:
                return failure.details.message

        stage.client.start_orchestrations(parent, dict.fromkeys(["one", "two"]))
        stage.start(max_attempts=1, unregistered_backoff=0.001, poll_interval=0.02)
        ends = [stage.client.wait_for_orchestration(each, PATIENCE) for each in ("one", "two")]

        (told,) = [each.output for each in ends if isinstance(each, Completed)]
        assert told.startswith("child 'wanted' was not started: an instance of this id already exists")
        assert ["poison"] == [each.details.category.value for each in ends if isinstance(each, Failed)]

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
