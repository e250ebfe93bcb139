"""
Stamps what it sends with the time.

The stamp is part of an activity's input, and the input is compared in replay.
"""

from __future__ import annotations

import time

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def stamp(ctx: OrchestrationContext) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, time.time_ns()))


MAIN = stamp


CAUGHT_BY = {
    "lint": "DX101",
    "guard": "calls time.time_ns at",
    "check_deterministic": "ActivityScheduled(name='charge'",
    "simulator": "does not replay",
}
