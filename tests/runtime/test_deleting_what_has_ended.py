"""Deleting a family as soon as all of it has ended, while late reports, or starts by others, are still on their way."""

from __future__ import annotations

from duroxide import InstanceFilter, Orchestration, OrchestrationContext, Registry, SubOrchestrationFailed

from .stage import PATIENCE, Stage, eventually


registry = Registry()

#: How many families; a few of them used to be refused.
FAMILIES = 8


@registry.orchestration
def wait(ctx: OrchestrationContext) -> Orchestration[None]:
    """Wait for what never comes."""
    yield from ctx.schedule_wait("never")


@registry.orchestration
def parent(ctx: OrchestrationContext) -> Orchestration[None]:
    """Wait for a child that waits."""
    yield from ctx.schedule_sub_orchestration(wait, instance_id=f"{ctx.instance_id}-child")


@registry.orchestration
def ends(ctx: OrchestrationContext) -> Orchestration[str]:
    """End at once."""
    return ctx.instance_id
    yield


@registry.orchestration
def wants(ctx: OrchestrationContext) -> Orchestration[str]:
    """Have a child of an id that others want as well, sooner or later."""
    while True:
        try:
            return (yield from ctx.schedule_sub_orchestration(ends, instance_id="wanted"))
        except SubOrchestrationFailed:
            yield from ctx.schedule_timer(0.01)


class TestWanted:
    def test_delete_at_once(self, stage: Stage) -> None:
        """Who asks for an id at the moment at which it is deleted gets it, or an answer."""
        stage.start(registry)
        stage.client.start_orchestrations(wants, dict.fromkeys(f"w{number}" for number in range(FAMILIES)))
        deleted = 0

        def are_all_deleted() -> bool:
            nonlocal deleted
            deleted += stage.client.delete_instance_bulk(InstanceFilter()).instances
            return deleted == 2 * FAMILIES

        eventually(are_all_deleted)


class TestCancelled:
    def test_delete_at_once(self, stage: Stage) -> None:
        """Cancel, wait for parent and child, delete: the child's report, on its way, is nobody's obstacle and returns nothing."""
        stage.start(registry)
        ids = [f"p{number}" for number in range(FAMILIES)]
        stage.client.start_orchestrations(parent, dict.fromkeys(ids))
        eventually(lambda: len(stage.client.list_all_instances()) == 2 * FAMILIES)
        for instance_id in ids:
            stage.client.cancel_instance(instance_id)
            for each in (instance_id, f"{instance_id}-child"):
                stage.client.wait_for_orchestration(each, PATIENCE)

            assert 2 == stage.client.delete_instance(instance_id).instances
        stage.stop()

        assert [] == list(stage.client.list_all_instances())
        assert [] == stage.client.audit()
