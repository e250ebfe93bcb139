"""
The program that test_killed.py kills: a runtime on the database at argv[1], until its standard input ends.

It says ``ready`` when it runs, and then prints a line as each activity begins.
"""

from __future__ import annotations

import logging
import sys

from collections.abc import Iterator
from typing import Any

from duroxide import (
    ActivityContext,
    Fixed,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetryPolicy,
    Runtime,
    RuntimeOptions,
)


registry = Registry()

#: A dead worker is noticed soon.
OPTIONS = RuntimeOptions(
    worker_lock_timeout=1.0,
    orchestrator_lock_timeout=1.0,
    session_lock_timeout=1.0,
    cancellation_poll_interval=0.1,
    poll_interval=0.1,
    worker_concurrency=8,
)


def say(line: str) -> None:
    """Print *line* in one piece, now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    """Add one, in a few milliseconds."""
    say(f"{ctx.instance_id}/{ctx.activity_id}")
    ctx.wait_cancelled(0.005)
    return number + 1


@registry.activity
def flaky(ctx: ActivityContext, number: int) -> int:
    """Add one at the third attempt."""
    say(f"{ctx.instance_id}/{ctx.activity_id}")
    if ctx.attempt < 3:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return number + 1


@registry.orchestration
def sequence(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Add seven, one after the other."""
    for _ in range(7):
        number = yield from ctx.schedule_activity(step, number)
    return number


@registry.orchestration
def fan_out(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Sum six and three numbers that are worked out side by side."""
    first = yield from ctx.join(*(ctx.schedule_activity(step, number + i) for i in range(6)))
    second = yield from ctx.join(*(ctx.schedule_activity(step, number) for _ in range(3)))
    return sum(first) + sum(second)


@registry.orchestration
def race(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """Race an activity with a slow timer, and a quick timer with an event that never comes."""
    first = yield from ctx.select(ctx.schedule_activity(step, number), ctx.schedule_timer(3600))
    second = yield from ctx.select(ctx.schedule_wait("never"), ctx.schedule_timer(0.02))
    third = yield from ctx.select(ctx.schedule_timer(3600), steps(ctx, first.value))
    return [first.index, second.index, third.index, third.value]


def steps(ctx: OrchestrationContext, number: int) -> Iterator[Any]:
    """Take two steps."""
    number = yield from ctx.schedule_activity(step, number)
    return (yield from ctx.schedule_activity(step, number))


@registry.orchestration
def persist(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """Call the flaky activity twice, side by side with a step."""
    policy = RetryPolicy(max_attempts=3, backoff=Fixed(0.01))
    return (
        yield from ctx.join(
            ctx.schedule_activity(flaky, number, retry=policy),
            ctx.schedule_activity(step, number),
            ctx.schedule_activity(flaky, number + 1, retry=policy),
        )
    )


@registry.orchestration
def listen(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
    """Wait for two events, with a step between them."""
    heard = []
    for turn in range(2):
        wait = ctx.schedule_wait("word")
        ctx.set_custom_status(f"listening {turn}")
        heard.append((yield from wait))
        number = yield from ctx.schedule_activity(step, number)
    return [number, *heard]


def main() -> None:
    """Run until nobody writes to us any more."""
    logging.getLogger("duroxide.orchestrations").setLevel(logging.ERROR)  # failed attempts are what we are here for
    with Runtime(sys.argv[1], registry, OPTIONS):
        say("ready")
        sys.stdin.read()


if __name__ == "__main__":
    main()
