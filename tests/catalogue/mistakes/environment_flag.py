"""
Reads a feature flag from the environment.

The next deployment switches it on in the middle of what runs.
"""

from __future__ import annotations

import os

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def checkout(ctx: OrchestrationContext) -> Orchestration[str]:
    if os.environ.get("NEW_CHECKOUT") == "1":
        yield from ctx.schedule_timer(1)
    return (yield from ctx.schedule_activity(charge, 1))


MAIN = checkout


CAUGHT_BY = {
    "lint": "DX104",
    "guard": "calls os.environ (through collections.abc.get) at",
}
