"""
Makes a generator of its own, and forgets to seed it.

It is as random as the global one.
"""

from __future__ import annotations

import random

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def jitter(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_timer(random.Random().random())
    return (yield from ctx.schedule_activity(charge, 1))


MAIN = jitter


CAUGHT_BY = {
    "lint": "DX102",
    "guard": "calls random.seed (through random.__init__) at",
}
