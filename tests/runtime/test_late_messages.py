"""What comes to an instance after its end is consumed, and changes nothing."""

from __future__ import annotations

from duroxide import Completed, Orchestration, OrchestrationContext

from .stage import Stage, eventually


def test_outcome_stays(stage: Stage) -> None:
    """An event that is raised after the end leaves output and history as they are."""

    @stage.registry.orchestration
    def done(ctx: OrchestrationContext) -> Orchestration[str]:
        yield from ctx.schedule_timer(0)
        return "result"

    stage.start()
    stage.client.start_orchestration("late", done)
    before = stage.client.wait_for_orchestration("late")
    history = stage.client.read_execution_history("late")
    stage.client.raise_event("late", "too late")
    stage.client.cancel_instance("late", "too late")
    stage.client.enqueue_event("late", "queue", "too late")
    eventually(lambda: stage.client.get_queue_depths().orchestrator_queue == 0)

    assert before == stage.client.get_orchestration_status("late") == Completed("result")
    assert history == stage.client.read_execution_history("late")
