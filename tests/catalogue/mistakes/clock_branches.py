"""
Branches by the wall clock.

In replay it is another hour, and the code takes the other branch.
"""

from __future__ import annotations

from datetime import datetime

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def greet(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_activity(charge, 1 if datetime.now().hour < 12 else 2)
    return "done"


MAIN = greet


CAUGHT_BY = {
    "lint": "DX101",
    "guard": "calls datetime.datetime.now at",
}
