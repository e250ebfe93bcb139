"""
Measures a deadline with the monotonic clock, in a helper.

Another process has another zero, and in replay no time passes at all.
"""

from __future__ import annotations

import time

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def left(since: float) -> float:
    return 60 - (time.monotonic() - since)


@registry.orchestration
def poll(ctx: OrchestrationContext) -> Orchestration[str]:
    since = time.monotonic()
    while left(since) > 59:
        yield from ctx.schedule_timer(30)
        since -= 30
    return "gave up"


MAIN = poll


CAUGHT_BY = {
    "lint": "DX101",
    "guard": "calls time.monotonic at",
}
