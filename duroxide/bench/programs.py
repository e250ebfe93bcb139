"""The orchestrations and activities that scenarios run. They do next to nothing: what they cost is the engine."""

from __future__ import annotations

import time

from datetime import timedelta

from .._clock import SystemClock, monotonic
from .._core.actions import Orchestration
from .._core.context import OrchestrationContext
from .._core.registry import Registry
from .._runtime.activity_context import ActivityContext


registry = Registry()

#: When each step of a chain ran, in seconds of `monotonic`.
step_times: list[float] = []

#: By how many milliseconds each timer's orchestration went on too late.
lateness_ms: list[int] = []

#: How many orchestrations have set their timer.
armed: list[int] = []

_clock = SystemClock()

#: Stands for a request to somewhere: 10 ms in which no CPU is needed.
WORK_SECONDS = 0.010


@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    """Count."""
    return number + 1


@registry.activity
def timed_step(ctx: ActivityContext, number: int) -> int:
    """Count, and take down when."""
    step_times.append(monotonic())
    return number + 1


@registry.activity
def work(ctx: ActivityContext, number: int) -> int:
    """Wait as for an answer from elsewhere."""
    time.sleep(WORK_SECONDS)  # noqa: TID251  # the reference's test, and the peers', sleep; a lock takes more of the CPU
    return number


@registry.activity
def echo(ctx: ActivityContext, text: str) -> str:
    """Return what came."""
    return text


@registry.orchestration
def nothing(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """End at once."""
    yield from ()
    return number


@registry.orchestration
def chain(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
    """Run *steps* activities, one after the other."""
    number = 0
    for _ in range(steps):
        number = yield from ctx.schedule_activity(step, number)
    return number


@registry.orchestration
def timed_chain(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
    """Run *steps* activities one after the other, which take down when they ran."""
    number = 0
    for _ in range(steps):
        number = yield from ctx.schedule_activity(timed_step, number)
    return number


@registry.orchestration
def fan_out(ctx: OrchestrationContext, width: int) -> Orchestration[int]:
    """Run *width* activities at the same time."""
    results = yield from ctx.join(*(ctx.schedule_activity(step, number) for number in range(width)))
    return len(results)


@registry.orchestration
def working_fan_out(ctx: OrchestrationContext, width: int) -> Orchestration[int]:
    """Run *width* activities of 10 ms at the same time."""
    results = yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(width)))
    return len(results)


@registry.orchestration
def await_signal(ctx: OrchestrationContext, _: None) -> Orchestration[int]:
    """Say that it waits, and wait for the event ``go``."""
    signal = ctx.schedule_wait("go")
    ctx.set_custom_status("waiting")
    number: int = yield from signal
    return number


@registry.orchestration
def sleep_until(ctx: OrchestrationContext, due_ms: int) -> Orchestration[None]:
    """Sleep until *due_ms* (since the epoch), and take down by how much it was late."""
    now_ms = round(ctx.utc_now().timestamp() * 1000)
    timer = ctx.schedule_timer(timedelta(milliseconds=max(due_ms - now_ms, 0)))
    armed.append(now_ms)
    yield from timer
    lateness_ms.append(_clock.now_ms() - due_ms)


@registry.orchestration
def count_down(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Continue as new until *number* is 0."""
    yield from ()
    if number > 0:
        yield from ctx.continue_as_new(number - 1)
    return number


@registry.orchestration
def carry(ctx: OrchestrationContext, text: str) -> Orchestration[str]:
    """Send *text* through an activity."""
    return (yield from ctx.schedule_activity(echo, text))
