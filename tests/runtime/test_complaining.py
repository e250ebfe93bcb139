"""A logging handler that raises, as one does that forgets `handleError`, costs a runtime no thread and no activity."""

from __future__ import annotations

import logging
import threading

from collections.abc import Iterator, Sequence

import pytest

from duroxide import (
    ActivityContext,
    Fixed,
    Limits,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    RetryPolicy,
)
from duroxide._core import events as e
from duroxide.providers.contract import Release
from duroxide.testing.faults import Fail, FaultPlan, FaultyProvider, Rule

from .stage import PATIENCE, Stage


class Away(logging.Handler):
    """Cannot reach where it sends records to, and counts them by the thread that logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.threads: set[str] = set()
        self.seen = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        """Fail."""
        with self.seen:
            self.threads.add(str(record.threadName))
            self.seen.notify_all()
        msg = "the log collector is away"
        raise ConnectionError(msg)

    def until(self, prefix: str) -> None:
        """Wait until a thread whose name begins with *prefix* has logged something."""
        with self.seen:
            assert self.seen.wait_for(lambda: any(name.startswith(prefix) for name in self.threads), PATIENCE)


@pytest.fixture
def away() -> Iterator[Away]:
    """The handler, in place."""
    handler = Away()
    logging.getLogger("duroxide").addHandler(handler)
    yield handler
    logging.getLogger("duroxide").removeHandler(handler)


def double(ctx: ActivityContext, number: int) -> int:
    """Return the double."""
    return 2 * number


def orchestrate(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Have it done."""
    return (yield from ctx.schedule_activity(double, number))


@pytest.mark.parametrize(
    ("operation", "thread"),
    [
        ("fetch_activities", "duroxide-fetch"),
        ("renew_activity_locks", "duroxide-leases"),
        ("fetch_expired_activities", "duroxide-leases"),
    ],
)
def test_threads_go_on(stage: Stage, away: Away, operation: str, thread: str) -> None:
    """The thread that has complained about the store does its work when the store is back."""
    stage.registry.register_activity(double)
    stage.registry.register_orchestration(orchestrate)
    began, release = threading.Event(), threading.Event()

    @stage.registry.activity
    def hold(ctx: ActivityContext) -> None:
        began.set()
        release.wait(PATIENCE)

    @stage.registry.orchestration
    def held(ctx: OrchestrationContext) -> Orchestration[None]:
        yield from ctx.schedule_activity(hold)

    faulty = FaultyProvider(stage.open(), FaultPlan((Rule(Fail(), on=operation),)))
    runtime = stage.start(
        on=faulty,
        eager_dispatch=False,
        poll_interval=0.01,
        worker_lock_timeout=0.3,
    )
    stage.client.start_orchestration("held", held)
    away.until(thread)
    before = {each.name for each in threading.enumerate() if each.name.startswith(thread)}
    faulty.follow(FaultPlan(()))

    assert stage.run("after", orchestrate, 2) == 4
    assert began.wait(PATIENCE)
    assert before
    assert before <= {each.name for each in threading.enumerate()}
    release.set()
    assert stage.result("held") is None
    runtime.shutdown()


def test_orchestration(stage: Stage, away: Away) -> None:
    """What an orchestration logs, also of its retries, is nothing that it can fail of: it would go another way in replay."""
    attempts: list[int] = []

    @stage.registry.activity
    def flaky(ctx: ActivityContext) -> int:
        attempts.append(ctx.attempt)
        if len(attempts) == 1:
            msg = "not yet"
            raise ValueError(msg)
        return ctx.attempt

    @stage.registry.orchestration
    def chatty(ctx: OrchestrationContext) -> Orchestration[int]:
        ctx.logger.warning("beginning")
        return (yield from ctx.schedule_activity(flaky, retry=RetryPolicy(max_attempts=2, backoff=Fixed(0))))

    stage.start()

    assert stage.run("chatty", chatty) == 2
    assert any(name.startswith(("duroxide-dispatch", "duroxide-activity")) for name in away.threads)


def test_turns(stage: Stage, away: Away) -> None:
    """A turn that there is something to say of is committed all the same, and what is poison ends."""

    @stage.registry.orchestration
    def drops(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
        if number:
            return number
        yield from ctx.schedule_wait("go on")
        return ctx.continue_as_new(number + 1)

    client = stage.client
    client.start_orchestration("drops", drops, 0)
    for number in range(3):
        client.enqueue_event("drops", "unread", number)
    client.start_orchestration("poison", "unknown")
    stage.start(limits=Limits(max_carried_messages=1), max_attempts=2, unregistered_backoff=0.001, poll_interval=0.02)
    stage.until_kind("drops", e.QueueEventDelivered, 3)
    client.raise_event("drops", "go on")

    assert stage.result("drops") == 1
    with pytest.raises(OrchestrationFailed, match="poison"):
        stage.result("poison")
    assert away.threads


def test_batch(stage: Stage, away: Away) -> None:
    """What was fetched beside an activity that must be complained about begins, and that one is passed on."""
    stage.registry.register_activity(double)

    @stage.registry.orchestration
    def mixed(ctx: OrchestrationContext) -> Orchestration[list[int]]:
        known = [ctx.schedule_activity(double, number) for number in range(3)]
        return (yield from ctx.join(ctx.schedule_activity("unknown"), *known, ctx.schedule_activity("unknown")))

    passed_on: set[int] = set()
    first = stage.start(eager_dispatch=False, worker_concurrency=0)
    stage.client.start_orchestration("mixed", mixed)
    stage.until_kind("mixed", e.ActivityScheduled, 5)
    provider = stage.open()
    real = provider.release_activities

    def release(releases: Sequence[Release]) -> object:
        passed_on.update(each.lock.key.activity_id for each in releases)
        return real(releases)

    provider.release_activities = release  # type: ignore[method-assign, assignment]
    second = stage.start(on=provider, orchestration_concurrency=0, max_attempts=2, poll_interval=3600)
    stage.until_kind("mixed", e.ActivityCompleted, 3)
    away.until("duroxide-fetch")

    assert len(passed_on) == 2
    first.shutdown()
    second.shutdown()
