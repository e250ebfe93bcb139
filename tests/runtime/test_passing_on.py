"""An instance that cannot be worked on here is passed on, with everything that comes for it."""

from __future__ import annotations

import pytest

from sqlalchemy import update

from duroxide import ErrorKind, Failed, Orchestration, OrchestrationContext, Registry
from duroxide._core.codec import START_KIND
from duroxide.providers.sql.schema import orchestrator_queue

from .stage import PATIENCE, Stage, eventually


def until_passed_on(stage: Stage, messages: int = 1) -> None:
    """Wait until *messages* wait for later with their instance."""
    eventually(lambda: stage.client.get_queue_depths().timer_queue == messages)


@pytest.fixture
def both(registry: Registry) -> None:
    """An orchestration that wants two messages."""

    @registry.orchestration
    def both(ctx: OrchestrationContext) -> Orchestration[list[int]]:
        ctx.set_custom_status("on")
        first = yield from ctx.dequeue_event("q", type=int)
        return [first, (yield from ctx.dequeue_event("q", type=int))]


@pytest.mark.usefixtures("both")
class TestMessages:
    def test_for_a_start(self, stage: Stage) -> None:
        """What is sent to an instance whose start is passed on is not for nobody."""
        ignorant = stage.start(Registry(), unregistered_backoff=0.5)
        stage.client.start_orchestration("x", "both")
        until_passed_on(stage)
        for number in (1, 2):
            stage.client.enqueue_event("x", "q", number)
        ignorant.shutdown()
        stage.start()

        assert stage.result("x") == [1, 2]

    def test_order(self, stage: Stage) -> None:
        """A message that is passed on is not overtaken by a later one."""
        runtime = stage.start()
        stage.client.start_orchestration("x", "both")
        stage.until_status("x")
        runtime.shutdown()
        ignorant = stage.start(Registry(), unregistered_backoff=0.5)
        stage.client.enqueue_event("x", "q", 1)
        until_passed_on(stage)
        ignorant.shutdown()
        stage.client.enqueue_event("x", "q", 2)
        stage.start()

        assert stage.result("x") == [1, 2]

    def test_cancellation(self, stage: Stage) -> None:
        """A cancellation comes with the instance that is passed on, and ends it."""
        ignorant = stage.start(Registry(), unregistered_backoff=0.5)
        stage.client.start_orchestration("x", "both")
        until_passed_on(stage)
        stage.client.cancel_instance("x", "not wanted")
        ignorant.shutdown()
        stage.start()

        status = stage.client.wait_for_orchestration("x", PATIENCE)
        assert isinstance(status, Failed)
        assert "not wanted" in status.details.message


class TestNextExecution:
    def test_in_another_fleet(self, stage: Stage, registry: Registry) -> None:
        """What is sent between two executions, while the next one's start is passed on, is for the next one."""

        def one(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.continue_as_new(None, version="2.0.0")

        def two(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.dequeue_event("q", type=str))

        old = Registry()
        for each in (old, registry):
            each.register_orchestration(one, name="mine", version="1.0.0")
        registry.register_orchestration(two, name="mine", version="2.0.0")
        ignorant = stage.start(old, unregistered_backoff=0.5)
        stage.client.start_orchestration("x", "mine", version="1.0.0")
        until_passed_on(stage)
        stage.client.enqueue_event("x", "q", "hello")
        ignorant.shutdown()
        stage.start()

        assert stage.result("x") == "hello"

    def test_unreadable(self, stage: Stage, registry: Registry) -> None:
        """If what begins the next execution cannot be read, the instance fails in the end; nothing goes round in circles."""

        def one(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.continue_as_new(None, version="2.0.0")

        registry.register_orchestration(one, name="mine", version="1.0.0")
        runtime = stage.start(unregistered_backoff=0.5, max_attempts=1)
        stage.client.start_orchestration("x", "mine", version="1.0.0")
        until_passed_on(stage)
        runtime.shutdown()
        damage = update(orchestrator_queue).values(data="?").where(orchestrator_queue.c.kind == START_KIND)
        with stage.provider._engine.begin() as connection:
            connection.execution_options(schema_translate_map={None: stage.schema}).execute(damage)
        stage.start(max_attempts=1)

        status = stage.client.wait_for_orchestration("x", PATIENCE)
        assert isinstance(status, Failed)
        assert status.details.kind is ErrorKind.POISONED_ORCHESTRATION
