"""What is delivered too often without ever being processed ends; what is not registered here waits for others."""

from __future__ import annotations

from typing import Any

import pytest

from sqlalchemy import update

from duroxide import (
    ActivityContext,
    ErrorCategory,
    ErrorDetails,
    ErrorKind,
    Failed,
    Orchestration,
    OrchestrationContext,
    Registry,
    RuntimeOptions,
    TagFilter,
)
from duroxide._core import events as e
from duroxide._core.execution import Execution
from duroxide._runtime import turns
from duroxide.providers.contract import Release
from duroxide.providers.sql.schema import orchestrator_queue

from .stage import PATIENCE, Stage


LOCK_MS = 60_000

#: Of runtimes that pass on what they do not know.
QUICK = {"unregistered_backoff": 0.02, "unregistered_backoff_max": 0.04, "poll_interval": 0.05}

#: And however often that is: until somebody comes who knows.
PATIENT = {**QUICK, "max_attempts": 100_000}


def deliver_instance(stage: Stage, times: int) -> None:
    """Fetch the waiting instance *times* times, as runtimes that crash do."""
    for _ in range(times):
        (item,) = stage.provider.fetch_orchestration_items(10, LOCK_MS)
        assert stage.provider.release_orchestration_items([Release(item.lock)]) == [True]


def deliver_activity(stage: Stage, times: int) -> None:
    """Fetch the waiting activity *times* times, as workers that crash do."""
    for _ in range(times):
        (item,) = stage.provider.fetch_activities(10, LOCK_MS, tags=TagFilter(), session=None)
        assert stage.provider.release_activities([Release(item.lock)]) == [True]


def failure(stage: Stage, instance_id: str) -> ErrorDetails:
    """Return how an instance failed."""
    status = stage.client.wait_for_orchestration(instance_id, PATIENCE)
    assert isinstance(status, Failed)
    return status.details


@pytest.fixture
def ran(registry: Registry) -> list[str]:
    """Who ran: the orchestration `work`, and its activity `toil`."""
    ran: list[str] = []

    @registry.activity
    def toil(ctx: ActivityContext) -> str:
        ran.append(f"toil of {ctx.instance_id}")
        return "toiled"

    @registry.orchestration
    def work(ctx: OrchestrationContext) -> Orchestration[str]:
        ran.append(f"work as {ctx.instance_id}")
        return (yield from ctx.schedule_activity(toil))

    return ran


class TestPoison:
    @pytest.mark.parametrize("max_attempts", [10, 3])
    def test_orchestration(self, stage: Stage, ran: list[str], max_attempts: int) -> None:
        """One delivery too many, and the instance is failed without running its code."""
        stage.client.start_orchestration("poison", "work")
        deliver_instance(stage, max_attempts)
        stage.start(max_attempts=max_attempts)

        details = failure(stage, "poison")

        assert (details.category, details.kind) == (ErrorCategory.POISON, ErrorKind.POISONED_ORCHESTRATION)
        assert (details.attempt_count, details.max_attempts) == (max_attempts + 1, max_attempts)
        assert "'poison' execution 1" in (details.subject or "")
        assert details.message
        assert ran == []
        assert stage.kinds("poison") == ["OrchestrationStarted", "OrchestrationFailed"]

    def test_those_beside_it(self, stage: Stage, registry: Registry) -> None:
        """Who was fetched together with what may end its runtimes is run alone, and is not poison for having been there."""
        together: list[int] = []

        @registry.orchestration
        def bystander(ctx: OrchestrationContext) -> Orchestration[None]:
            together.append(stage.client.get_queue_depths().locked_instances)
            return
            yield

        ids = ["a", "b", "c"]
        stage.client.start_orchestrations(bystander, dict.fromkeys(ids))
        for _ in range(2):
            items = stage.provider.fetch_orchestration_items(10, LOCK_MS)
            assert len(ids) == len(items)
            stage.provider.release_orchestration_items([Release(item.lock) for item in items])
        stage.start(max_attempts=3)

        assert [None] * len(ids) == [stage.result(each) for each in ids]
        assert [1] * len(ids) == together

    def test_unreadable_start(self, stage: Stage, ran: list[str]) -> None:
        """A start that cannot be read ends as an instance that failed: the id can be seen, deleted and used again."""
        stage.client.start_orchestration("poison", "work")
        with stage.provider._engine.begin() as connection:
            connection = connection.execution_options(schema_translate_map={None: stage.schema})
            connection.execute(update(orchestrator_queue).values(data="?"))
        deliver_instance(stage, 10)
        stage.start()

        details = failure(stage, "poison")
        assert (details.category, details.kind) == (ErrorCategory.POISON, ErrorKind.POISONED_ORCHESTRATION)
        assert "StartOrchestration: the stored data is not JSON" in details.message
        assert 1 == stage.client.delete_instance("poison").instances
        assert "toiled" == stage.run("poison", "work")

    def test_just_within_the_limit(self, stage: Stage, ran: list[str]) -> None:
        """The last delivery that is allowed is processed as if it were the first."""
        stage.client.start_orchestration("close", "work")
        deliver_instance(stage, 9)
        runtime = stage.start(worker_concurrency=0)
        stage.until_kind("close", e.ActivityScheduled)
        runtime.shutdown()
        deliver_activity(stage, 9)
        stage.start()

        assert stage.result("close") == "toiled"

    def test_in_the_middle(self, stage: Stage, registry: Registry, ran: list[str]) -> None:
        """A poisoned message ends a running instance, and what it had open."""

        @registry.orchestration
        def middle(ctx: OrchestrationContext) -> Orchestration[Any]:
            ctx.schedule_activity("toil")
            ctx.schedule_timer(3600)
            return (yield from ctx.schedule_wait("go"))

        runtime = stage.start(worker_concurrency=0)
        stage.client.start_orchestration("middle", middle)
        stage.until_kind("middle", e.ActivityScheduled)
        runtime.shutdown()
        stage.client.raise_event("middle", "go")
        deliver_instance(stage, 10)
        stage.start(worker_concurrency=0)

        assert failure(stage, "middle").kind is ErrorKind.POISONED_ORCHESTRATION
        stage.start()
        assert stage.run("fine", "work") == "toiled"
        assert "toil of middle" not in ran

    def test_activity(self, stage: Stage, ran: list[str], caplog: pytest.LogCaptureFixture) -> None:
        """An activity that was delivered too often fails its orchestration, which cannot catch it; it does not run."""
        runtime = stage.start(worker_concurrency=0)
        stage.client.start_orchestration("poison", "work")
        stage.until_kind("poison", e.ActivityScheduled)
        runtime.shutdown()
        deliver_activity(stage, 10)
        stage.start()

        details = failure(stage, "poison")

        assert (details.category, details.kind) == (ErrorCategory.POISON, ErrorKind.POISONED_ACTIVITY)
        assert (details.attempt_count, details.max_attempts) == (11, 10)
        assert "toil#2" in (details.subject or "")
        assert "toil of poison" not in ran
        said = [vars(record) for record in caplog.records if vars(record).get("action") == "poison"]
        assert ["poison"] == [record["instance_id"] for record in said]

    def test_only_the_one(self, stage: Stage, ran: list[str]) -> None:
        """Others are not touched by a poisoned instance."""
        stage.client.start_orchestration("poison", "work")
        deliver_instance(stage, 10)
        for number in range(5):
            stage.client.start_orchestration(f"fine-{number}", "work")
        stage.start()

        for number in range(5):
            assert stage.result(f"fine-{number}") == "toiled"
        assert failure(stage, "poison").category is ErrorCategory.POISON


class TestUnregistered:
    def test_orchestration_waits_for_one_who_knows(self, stage: Stage, ran: list[str]) -> None:
        """An orchestration that is not registered here is passed on until a runtime takes it that knows it."""
        stage.start(Registry(), **PATIENT)
        stage.client.start_orchestration("unknown", "work")
        stage.start(**PATIENT)

        assert stage.result("unknown") == "toiled"

    def test_activity_waits_for_one_who_knows(self, stage: Stage, registry: Registry, ran: list[str]) -> None:
        """An activity that is not registered here is passed on until a runtime takes it that knows it."""
        without = Registry()
        resolved = registry.orchestrations.resolve("work")
        assert resolved is not None
        without.register_orchestration(resolved[1].fn)
        ignorant = stage.start(without, **PATIENT)
        stage.client.start_orchestration("unknown", "work")
        stage.until_kind("unknown", e.ActivityScheduled)
        stage.start(**PATIENT, orchestration_concurrency=0)

        assert stage.result("unknown") == "toiled"
        assert "toil of unknown" in ran
        ignorant.shutdown()

    def test_nobody_knows_the_orchestration(self, stage: Stage) -> None:
        """An orchestration that nobody knows becomes poison in the end."""
        stage.start(Registry(), max_attempts=3, **QUICK)
        stage.client.start_orchestration("unknown", "unheard of")

        details = failure(stage, "unknown")

        assert details.category is ErrorCategory.POISON
        assert (details.attempt_count, details.max_attempts) == (4, 3)
        assert details.display.endswith(
            "exceeded 4 attempts (max 3): orchestration 'unheard of' is not registered here"
        )

    def test_nobody_knows_the_activity(self, stage: Stage, registry: Registry) -> None:
        """An activity that nobody knows becomes poison in the end, and so fails its orchestration."""

        @registry.orchestration
        def hopeful(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity("unheard of")

        stage.start(max_attempts=3, **QUICK)
        stage.client.start_orchestration("hopeful", hopeful)

        details = failure(stage, "hopeful")
        assert details.kind is ErrorKind.POISONED_ACTIVITY
        assert details.display.endswith("(max 3): activity 'unheard of' is not registered here")

    def test_version(self, stage: Stage, registry: Registry, ran: list[str]) -> None:
        """A version that is not registered is as unknown as a name; a running instance keeps to its own version."""
        stage.start(**QUICK, max_attempts=2)
        stage.client.start_orchestration("old", "work", version="0.9.0")

        details = failure(stage, "old")
        assert details.category is ErrorCategory.POISON
        assert details.display.endswith("(max 2): orchestration 'work' 0.9.0 is not registered here")
        assert ran == []

    def test_pauses(self) -> None:
        """The pause doubles with each delivery, up to the maximum."""
        default = RuntimeOptions()
        other = RuntimeOptions(unregistered_backoff=0.1, unregistered_backoff_max=0.5)

        assert [default.unregistered_delay_ms(n) // 1000 for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
        assert [other.unregistered_delay_ms(n) for n in range(1, 6)] == [100, 200, 400, 500, 500]


class TestBugs:
    def test_a_bug_of_the_engine(self, stage: Stage, ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """What trips the engine at each delivery is named by the poison that comes of it."""

        def stumble(*args: object, **keywords: object) -> None:
            msg = "over its own feet"
            raise ZeroDivisionError(msg)

        monkeypatch.setattr(turns, "UNREADABLE_DELAY_MS", 10)
        monkeypatch.setattr(Execution, "resume", stumble)
        stage.start(max_attempts=2, poll_interval=0.05)
        stage.client.start_orchestration("poison", "work")

        assert failure(stage, "poison").display.endswith(
            "(max 2): its turn failed: ZeroDivisionError: over its own feet"
        )

    def test_an_engine_that_trips(self, stage: Stage, registry: Registry, ran: list[str]) -> None:
        """Orchestration code that ends the process' patience fails its instance, not the runtime."""

        @registry.orchestration
        def leave(ctx: OrchestrationContext) -> Orchestration[None]:
            raise SystemExit(1)
            yield

        @registry.orchestration
        def odd(ctx: OrchestrationContext) -> Orchestration[None]:
            yield 17  # type: ignore[misc]

        stage.start()
        for name in ("leave", "odd"):
            stage.client.start_orchestration(name, name)
            assert failure(stage, name).kind is ErrorKind.PANICKED

        assert stage.run("fine", "work") == "toiled"
