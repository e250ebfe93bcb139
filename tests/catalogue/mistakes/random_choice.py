"""
Draws lots with the global generator.

In replay it draws another one.
"""

from __future__ import annotations

import random

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def lottery(ctx: OrchestrationContext) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, random.randrange(1_000_000_000)))


MAIN = lottery


CAUGHT_BY = {
    "lint": "DX102",
    "guard": "(through random.randrange)",
    "check_deterministic": "ActivityScheduled(name='charge'",
    "simulator": "does not replay",
}
