"""A database that fails now and then costs time, and nothing else: no instance fails, nothing is lost or done twice."""

from __future__ import annotations

import random

from collections.abc import Callable
from typing import Any

import pytest

from duroxide import ActivityContext, ErrorCategory, Failed, Orchestration, OrchestrationContext, Registry
from duroxide._core import events as e

from .faulty import AFTER, BEFORE, NEVER, OPERATIONS, FaultyProvider
from .stage import PATIENCE, Stage


#: What is lost in a fault is found again soon.
SHORT = {
    "worker_lock_timeout": 0.5,
    "orchestrator_lock_timeout": 0.5,
    "session_lock_timeout": 0.5,
    "cancellation_poll_interval": 0.1,
    "poll_interval": 0.05,
}

#: A plan in which the first call may still find nothing to do.
PLAN = (NEVER, BEFORE, AFTER, BEFORE, NEVER, AFTER)


@pytest.fixture
def work(registry: Registry) -> Any:
    """An orchestration of all sorts; its result is twice its input, plus six."""

    @registry.activity
    def add(ctx: ActivityContext, numbers: list[int]) -> int:
        return sum(numbers)

    @registry.orchestration
    def work(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
        number = yield from ctx.schedule_activity(add, [number, number])
        yield from ctx.schedule_timer(0.01)
        parts = yield from ctx.join(*(ctx.schedule_activity(add, [1, 0]) for _ in range(3)))
        winner = yield from ctx.select(ctx.schedule_activity(add, parts), ctx.schedule_wait("never"))
        number = yield from ctx.schedule_activity(add, [number, winner.value])
        return (yield from ctx.schedule_activity(add, [number, 3]))

    return work


def at_random(seed: str) -> Callable[[str], str]:
    """Return what lets every tenth call fail, before or after it has done its work."""
    chance = random.Random(seed)
    return lambda _: chance.choice((BEFORE, AFTER)) if chance.random() < 0.1 else NEVER


def check(stage: Stage, count: int) -> None:
    """Every instance has its result, and each of its seven activities answered once."""
    for number in range(count):
        assert stage.result(f"work-{number}") == 2 * number + 6
        answered = [event.source_event_id for event in stage.of_kind(f"work-{number}", e.ActivityCompleted)]
        assert len(answered) == len(set(answered)) == 7
        assert stage.kinds(f"work-{number}").count("TimerFired") == 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_one_operation(stage: Stage, work: Any, operation: str) -> None:
    """Each operation may fail, before it has done anything or after it has done all."""
    faulty = FaultyProvider(stage.open())
    faulty.plan(operation, *PLAN)
    stage.start(on=faulty, max_attempts=5, **SHORT)
    for number in range(3):
        stage.client.start_orchestration(f"work-{number}", work, number)

    check(stage, 3)


@pytest.mark.parametrize("seed", range(3))
def test_all_operations(stage: Stage, work: Any, seed: int) -> None:
    """Everything fails at random, for two runtimes that share the work."""
    for runtime in range(2):
        stage.start(on=FaultyProvider(stage.open(), at_random(f"{seed}-{runtime}")), **SHORT)
    for number in range(6):
        stage.client.start_orchestration(f"work-{number}", work, number)

    check(stage, 6)


def test_out_of_service(stage: Stage, work: Any) -> None:
    """A database that is gone for a while is no reason to give up, to spin, or to count attempts."""
    faulty = FaultyProvider(stage.open())
    faulty.die()
    stage.start(on=faulty, max_attempts=1, **SHORT)
    stage.client.start_orchestration("work-0", work, 0)
    assert faulty.has_failed.wait(PATIENCE)
    calls = sum(faulty.calls.values())
    faulty.has_failed.wait(0.2)
    assert sum(faulty.calls.values()) - calls < 50
    faulty.is_dead = False

    check(stage, 1)


def test_losing_a_race_counts_no_attempt(stage: Stage, work: Any) -> None:
    """Commits that others were quicker with are tried again, and never make an instance poison."""
    faulty = FaultyProvider(stage.open())
    faulty.refusals = 20
    stage.start(on=faulty, max_attempts=1, **SHORT)
    stage.client.start_orchestration("work-0", work, 0)

    check(stage, 1)
    assert faulty.refusals < 0


def test_trouble_counts_no_attempt(stage: Stage, work: Any) -> None:
    """Commits and reads that the database fails are tried again, and never make an instance poison."""
    faulty = FaultyProvider(stage.open())
    faulty.plan("read_histories", *[BEFORE, AFTER] * 2)
    faulty.plan("commit_turns", *[BEFORE] * 5)
    stage.start(on=faulty, max_attempts=1, **SHORT)
    stage.client.start_orchestration("work-0", work, 0)

    check(stage, 1)


def test_what_cannot_be_written_harms_nobody_else(stage: Stage, registry: Registry, work: Any) -> None:
    """A turn that the database refuses for good becomes poison; the turns beside it are committed."""

    class Refusing(FaultyProvider):
        def __getattr__(self, name: str) -> Any:
            attribute = super().__getattr__(name)
            return self._checked(attribute) if name == "commit_turns" else attribute

        def _checked(self, commit_turns: Any) -> Any:
            def checked(commits: Any, **keywords: Any) -> Any:
                for commit in commits:
                    if commit.instance_id == "unwritable" and commit.status != "Failed":
                        raise self._error("commit_turns", retryable=False)
                return commit_turns(commits, **keywords)

            return checked

    for number in range(4):
        stage.client.start_orchestration(f"work-{number}", work, number)
    stage.client.start_orchestration("unwritable", work, 0)
    stage.start(on=Refusing(stage.open()), max_attempts=1, **SHORT)

    check(stage, 4)
    status = stage.client.wait_for_orchestration("unwritable", PATIENCE)
    assert isinstance(status, Failed)
    assert status.details.category is ErrorCategory.POISON


def test_unknown_outcome(stage: Stage, work: Any) -> None:
    """A commit that happened although it was reported to have failed holds up nothing until a lock expires."""
    faulty = FaultyProvider(stage.open())
    faulty.plan("commit_turns", AFTER, AFTER, AFTER, AFTER)
    stage.start(on=faulty, poll_interval=0.05)
    stage.client.start_orchestration("work-0", work, 0)

    assert stage.client.wait_for_result("work-0", 5) == 6
    check(stage, 1)
