"""What a runtime counts, and what an instrumented provider reports."""

from __future__ import annotations

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext, ProviderError, SqlProvider
from duroxide.providers.instrumented import InstrumentedProvider

from .stage import Stage, eventually


def fine(ctx: ActivityContext) -> str:
    """Succeed."""
    return "fine"


def broken(ctx: ActivityContext) -> None:
    """Fail."""
    raise ValueError("broken")


def mixed(ctx: OrchestrationContext) -> Orchestration[str]:
    """Take one success and one failure."""
    yield from ctx.schedule_activity(fine)
    try:
        yield from ctx.schedule_activity(broken)
    except ValueError:
        return "handled"
    return "not broken"


def failing(ctx: OrchestrationContext) -> Orchestration[None]:
    """Fail."""
    yield from ctx.schedule_activity(broken)


def parent(ctx: OrchestrationContext) -> Orchestration[str]:
    """Call a child."""
    return (yield from ctx.schedule_sub_orchestration(mixed))


def counting(ctx: OrchestrationContext, left: int) -> Orchestration[int]:
    """Continue as new until nothing is left."""
    if left:
        yield ctx.continue_as_new(left - 1)
    return left


def register(stage: Stage) -> None:
    """Register everything of this module."""
    for activity in (fine, broken):
        stage.registry.register_activity(activity)
    for orchestration in (mixed, failing, parent, counting):
        stage.registry.register_orchestration(orchestration)


def test_mixed_run(stage: Stage) -> None:
    """[472] Completions, failures by category, and outcomes of activities are each counted once."""
    register(stage)
    runtime = stage.start()
    for instance_id, name in (("a", "mixed"), ("b", "failing"), ("c", "parent")):
        stage.client.start_orchestration(instance_id, name)
        stage.client.wait_for_orchestration(instance_id)
    seen = runtime.metrics_snapshot()

    assert (seen.orch_starts, seen.orch_completions, seen.orch_failures) == (4, 3, 1)
    assert (seen.orch_application_errors, seen.orch_configuration_errors, seen.orch_poison) == (1, 0, 0)
    assert (seen.activity_success, seen.activity_app_errors, seen.suborchestration_calls) == (2, 3, 1)
    # What the child is told, and what it tells; what a client of this process starts may be handed over.
    assert seen.orch_dispatcher_items_fetched >= (2 if stage.has_short_cuts else 4)


def test_continue_as_new(stage: Stage) -> None:
    """[473] Each continue-as-new is counted, and so is each start after it."""
    register(stage)
    runtime = stage.start()
    stage.client.start_orchestration("counting", "counting", 3)
    stage.client.wait_for_result("counting")
    seen = runtime.metrics_snapshot()

    assert (seen.orch_continue_as_new, seen.orch_starts, seen.orch_completions) == (3, 4, 1)


def test_queue_depths(stage: Stage) -> None:
    """[475] The depths of the queues begin at 0 and follow what waits there."""
    register(stage)
    idle = stage.start(orchestration_concurrency=0, worker_concurrency=0)

    assert (idle.metrics_snapshot().orchestrator_queue_depth, idle.metrics_snapshot().worker_queue_depth) == (0, 0)
    stage.client.start_orchestrations("mixed", {"x": None, "y": None})
    assert idle.metrics_snapshot().orchestrator_queue_depth == 2
    stage.start()
    eventually(lambda: idle.metrics_snapshot().orchestrator_queue_depth == 0)


def test_instrumented_provider(stage: Stage) -> None:
    """[476] The wrapper counts calls, errors and time, and changes no result and no error."""
    register(stage)
    instrumented = InstrumentedProvider(stage.provider)
    stage.start(on=instrumented)
    stage.client.start_orchestration("a", "mixed")
    stage.client.wait_for_result("a")
    operations = instrumented.operations

    assert operations["commit_turns"].calls >= 3
    assert operations["commit_turns"].errors == 0 < operations["commit_turns"].seconds
    assert instrumented.get_instance_info("a") == stage.provider.get_instance_info("a")  # type: ignore[attr-defined]


def test_instrumented_errors() -> None:
    """[476] An error of the provider comes through as it is, and is counted."""
    instrumented = InstrumentedProvider(SqlProvider("sqlite:////no/such/folder/duroxide.db"))
    with pytest.raises(ProviderError, match="/no/such/folder"):
        instrumented.initialize()  # type: ignore[attr-defined]

    assert instrumented.operations["initialize"].errors == 1
