"""A database that fails now and then costs time, and nothing else: no instance fails, nothing is lost or done twice."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide import ActivityContext, ErrorCategory, Failed, Orchestration, OrchestrationContext, Registry
from duroxide._core import events as e
from duroxide.testing.faults import (
    RUNTIME_OPERATIONS,
    CallTwice,
    Fail,
    FaultPlan,
    FaultyProvider,
    LoseConnection,
    ProviderCall,
    Refuse,
    Rule,
)

from .stage import PATIENCE, Stage


#: What is lost in a fault is found again soon. Not where a single attempt is allowed: a lock that expires counts as one.
SHORT = {
    "worker_lock_timeout": 0.5,
    "orchestrator_lock_timeout": 0.5,
    "session_lock_timeout": 0.5,
    "cancellation_poll_interval": 0.1,
    "poll_interval": 0.05,
}

#: The answer of a call is lost, though it did what it should.
LOST_ANSWER = LoseConnection(after_commit=True)


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


def check(stage: Stage, count: int) -> None:
    """Every instance has its result, and each of its seven activities answered once."""
    for number in range(count):
        assert stage.result(f"work-{number}") == 2 * number + 6
        answered = [event.source_event_id for event in stage.of_kind(f"work-{number}", e.ActivityCompleted)]
        assert len(answered) == len(set(answered)) == 7
        assert stage.kinds(f"work-{number}").count("TimerFired") == 1


@pytest.mark.parametrize("operation", sorted(RUNTIME_OPERATIONS))
def test_one_operation(stage: Stage, work: Any, operation: str) -> None:
    """Each operation may fail, before it has done anything or after it has done all."""
    # The first call may find nothing to do. An operation that is done twice is one whose first answer was lost.
    rules = (
        Rule(LoseConnection(), on=operation, nth=(2, 4)),
        Rule(LOST_ANSWER, on=operation, nth=(3, 6)),
        Rule(CallTwice(), on=operation, nth=(5, 8)),
    )
    stage.start(on=FaultyProvider(stage.open(), FaultPlan(rules)), max_attempts=5, **SHORT)
    for number in range(3):
        stage.client.start_orchestration(f"work-{number}", work, number)

    check(stage, 3)


@pytest.mark.parametrize("seed", range(3))
def test_all_operations(stage: Stage, work: Any, seed: int) -> None:
    """Everything fails at random, for two runtimes that share the work."""
    for runtime in range(2):
        plan = FaultPlan.at_random(LoseConnection(), LOST_ANSWER, probability=0.1, seed=f"{seed}-{runtime}")
        stage.start(on=FaultyProvider(stage.open(), plan), **SHORT)
    for number in range(6):
        stage.client.start_orchestration(f"work-{number}", work, number)

    check(stage, 6)


def test_out_of_service(stage: Stage, work: Any) -> None:
    """A database that is gone for a while is no reason to give up, to spin, or to count attempts."""
    faulty = FaultyProvider(stage.open())
    stage.start(on=faulty, max_attempts=1, poll_interval=0.05)
    faulty.break_down()
    stage.client.start_orchestration("work-0", work, 0)
    assert faulty.wait_for_faults(1, PATIENCE)
    before = faulty.faults.total()
    assert not faulty.wait_for_faults(before + 50, 0.2)
    faulty.repair()

    check(stage, 1)


def test_losing_a_race_counts_no_attempt(stage: Stage, work: Any) -> None:
    """Commits that others were quicker with are tried again, and never make an instance poison."""
    faulty = FaultyProvider(stage.open(), FaultPlan((Rule(Refuse(), on="commit_turns", nth=range(1, 21)),)))
    stage.start(on=faulty, max_attempts=1, poll_interval=0.05)
    stage.client.start_orchestration("work-0", work, 0)

    check(stage, 1)
    assert faulty.faults == {"Refuse": 20}


def test_trouble_counts_no_attempt(stage: Stage, work: Any) -> None:
    """Commits and reads that the database fails are tried again, and never make an instance poison."""
    rules = (
        Rule(LoseConnection(), on="commit_turns", nth=range(1, 6)),
        Rule(LoseConnection(), on="read_histories", nth=(1, 3)),
        Rule(LOST_ANSWER, on="read_histories", nth=(2, 4)),
    )
    stage.start(on=FaultyProvider(stage.open(), FaultPlan(rules)), max_attempts=1, poll_interval=0.05)
    stage.client.start_orchestration("work-0", work, 0)

    check(stage, 1)


def test_what_cannot_be_written_harms_nobody_else(stage: Stage, work: Any) -> None:
    """A turn that the database refuses for good becomes poison; the turns beside it are committed."""

    def is_unwritable(call: ProviderCall) -> bool:
        return any(commit.instance_id == "unwritable" and commit.status != "Failed" for commit in call.arguments[0])

    refusal = Rule(Fail(retryable=False), on="commit_turns", only_if=is_unwritable)
    for number in range(4):
        stage.client.start_orchestration(f"work-{number}", work, number)
    stage.client.start_orchestration("unwritable", work, 0)
    stage.start(on=FaultyProvider(stage.open(), FaultPlan((refusal,))), max_attempts=1, poll_interval=0.05)

    check(stage, 4)
    status = stage.client.wait_for_orchestration("unwritable", PATIENCE)
    assert isinstance(status, Failed)
    assert status.details.category is ErrorCategory.POISON


def test_unknown_outcome(stage: Stage, work: Any) -> None:
    """A commit that happened although it was reported to have failed holds up nothing until a lock expires."""
    plan = FaultPlan((Rule(LOST_ANSWER, on="commit_turns", nth=range(1, 5)),))
    stage.start(on=FaultyProvider(stage.open(), plan), poll_interval=0.05)
    stage.client.start_orchestration("work-0", work, 0)

    assert stage.result("work-0") == 6  # half the time of a lock
    check(stage, 1)
