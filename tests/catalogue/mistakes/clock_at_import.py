"""
Uses a time that was taken when the module was imported.

Every process has another one.
"""

from __future__ import annotations

import time

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


STARTED = int(time.time())


@registry.orchestration
def age(ctx: OrchestrationContext) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, STARTED))


MAIN = age


CAUGHT_BY = {
    "lint": "DX101",
}
