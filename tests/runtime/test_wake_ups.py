"""Nobody waits for a poll: providers of one process wake each other, whoever writes."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from attrs import define

from duroxide import ActivityContext, Client, Orchestration, OrchestrationContext, Registry
from duroxide._clock import SystemClock
from duroxide.providers.sql import SqlProvider
from duroxide.testing.faults import RUNTIME_OPERATIONS, Delay, FaultPlan, FaultyProvider, Rule

from .stage import PATIENCE, Stage, eventually


pytestmark = pytest.mark.usefixtures("nobody_looks_again")

#: The slow poll of runtimes that must not need it: longer than any test has patience.
NEVER = 3600


@pytest.fixture
def echo(registry: Registry) -> Any:
    """An orchestration that runs one activity and waits for one event."""

    @registry.activity
    def repeat(ctx: ActivityContext, word: str) -> str:
        return word

    @registry.orchestration
    def echo(ctx: OrchestrationContext, word: str) -> Orchestration[str]:
        wait = ctx.schedule_wait("word")
        ctx.set_custom_status("listening")
        return (yield from ctx.schedule_activity(repeat, word + (yield from wait)))

    return echo


def test_two_providers(stage: Stage, echo: Any) -> None:
    """A client and a runtime with providers of their own on one database wake each other."""
    stage.start(on=stage.open(), poll_interval=NEVER)
    client = Client(stage.open())
    for number in range(3):
        client.start_orchestration(f"echo-{number}", echo, "a")
        client.wait_for_status_change(f"echo-{number}", 0, PATIENCE)
        client.raise_event(f"echo-{number}", "word", "b")
        assert client.wait_for_result(f"echo-{number}", PATIENCE) == "ab"


def test_two_runtimes(stage: Stage, echo: Any) -> None:
    """A runtime that only runs activities is woken by one that only schedules them, and the other way round."""
    stage.start(on=stage.open(), poll_interval=NEVER, worker_concurrency=0)
    stage.start(on=stage.open(), poll_interval=NEVER, orchestration_concurrency=0)
    for number in range(3):
        stage.client.start_orchestration(f"echo-{number}", echo, "a")
        stage.until_status(f"echo-{number}")
        stage.client.raise_event(f"echo-{number}", "word", "b")
        assert stage.result(f"echo-{number}") == "ab"


@define
class Ahead:
    """This machine's clock, put forward by so many milliseconds."""

    ms: int

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return SystemClock().now_ms() + self.ms


@pytest.mark.parametrize("worker_is_late", [True, False])
def test_clocks_apart(stage: Stage, echo: Any, worker_is_late: bool) -> None:
    """Who is told of what is not visible yet, because another clock is a little ahead, waits that little, and no more."""
    providers = [SqlProvider(stage.url, schema=stage.schema, clock=Ahead(ms)) for ms in (0, 20)]
    stage.providers += providers
    # It becomes visible between the fetch and the question what is due.
    slow = [FaultyProvider(each, FaultPlan([Rule(Delay(0.04), on="next_due_ms")])) for each in providers]
    schedules, works = reversed(slow) if worker_is_late else slow
    stage.start(on=schedules, poll_interval=NEVER, worker_concurrency=0)
    stage.start(on=works, poll_interval=NEVER, orchestration_concurrency=0)
    client = Client(schedules)
    client.start_orchestration("echo", echo, "a")
    stage.until_status("echo")
    client.raise_event("echo", "word", "b")

    assert stage.result("echo") == "ab"


def test_timers(stage: Stage, registry: Registry) -> None:
    """A timer fires when it is due, not at the next poll, also when a nearer one is set while a runtime sleeps."""

    @registry.orchestration
    def nap(ctx: OrchestrationContext, seconds: float) -> Orchestration[None]:
        ctx.set_custom_status("asleep")
        yield from ctx.schedule_timer(seconds)

    stage.start(poll_interval=NEVER)
    stage.client.start_orchestration("long", nap, 3600)
    stage.until_status("long")
    stage.run("short", nap, 0.1)


def test_from_an_activity(stage: Stage, registry: Registry, echo: Any) -> None:
    """An activity may start and drive other instances through its own client."""

    @registry.activity
    def drive(ctx: ActivityContext, name: str) -> str:
        ctx.client.start_orchestration(name, "echo", "x")
        ctx.client.wait_for_status_change(name, 0, PATIENCE)
        ctx.client.raise_event(name, "word", "y")
        result: str = ctx.client.wait_for_result(name, PATIENCE)
        return result

    @registry.orchestration
    def driver(ctx: OrchestrationContext) -> Orchestration[str]:
        return (yield from ctx.schedule_activity(drive, "driven"))

    stage.start(poll_interval=NEVER)

    assert stage.run("driver", driver) == "xy"


def test_idle_costs_next_to_nothing(stage: Stage, echo: Any) -> None:
    """An idle runtime with sleeping instances asks the database a few times a second at most."""
    counting = FaultyProvider(stage.open())
    stage.start(on=counting)
    for number in range(5):
        stage.client.start_orchestration(f"echo-{number}", echo, "a")
        stage.until_status(f"echo-{number}")

    def calls_meanwhile() -> int:
        before = counting.calls
        threading.Event().wait(0.5)
        since = counting.calls - before
        return sum(since[operation] for operation in RUNTIME_OPERATIONS)

    eventually(lambda: calls_meanwhile() <= 3)  # not at once: a busy machine takes a moment to get there
