"""Drives this library, with its durable defaults."""

from __future__ import annotations

import time

from collections.abc import Mapping, Sequence
from typing import Any

from harness import WORK_SECONDS, main

from duroxide import (
    ActivityContext,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
    RuntimeOptions,
    SqlProvider,
)


registry = Registry()


@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    return number + 1


@registry.activity
def work(ctx: ActivityContext, number: int) -> int:
    time.sleep(WORK_SECONDS)
    return number


@registry.orchestration
def nothing(ctx: OrchestrationContext, argument: int) -> Orchestration[int]:
    yield from ()
    return argument


@registry.orchestration
def chain(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
    number = 0
    for _ in range(steps):
        number = yield from ctx.schedule_activity(step, number)
    return number


@registry.orchestration
def fan_out(ctx: OrchestrationContext, width: int) -> Orchestration[int]:
    results = yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(width)))
    return len(results)


@registry.orchestration
def await_signal(ctx: OrchestrationContext, _: int) -> Orchestration[Any]:
    signal = ctx.schedule_wait("go")
    ctx.set_custom_status("waiting")
    return (yield from signal)


class Ours:
    """The engine, for the harness."""

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        synchronous = settings.get("synchronous", "FULL")
        options = {name: value for name, value in settings.items() if name != "synchronous"}
        self.runtime = Runtime(SqlProvider(url, synchronous=synchronous), registry, RuntimeOptions(**options))
        self.runtime.start()
        self.client = self.runtime.client

    def start(self, instance_id: str, program: str, argument: int) -> None:
        """Start an instance of *program*."""
        self.client.start_orchestration(instance_id, program, argument)

    def start_all(self, ids: Sequence[str], program: str, argument: int) -> None:
        """Start all of them in one transaction."""
        self.client.start_orchestrations(program, dict.fromkeys(ids, argument))

    def wait(self, instance_id: str) -> None:
        """Wait until the instance has completed."""
        self.client.wait_for_result(instance_id, 120)

    def until_waiting(self, instance_id: str) -> None:
        """Wait until the instance waits for its event."""
        self.client.wait_for_status_change(instance_id, 0)

    def signal(self, instance_id: str) -> None:
        """Raise the event that the instance waits for."""
        self.client.raise_event(instance_id, "go", 1)

    def close(self) -> None:
        """Stop."""
        self.runtime.shutdown(0)


if __name__ == "__main__":
    main(Ours)
