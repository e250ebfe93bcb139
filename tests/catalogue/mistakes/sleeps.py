"""
Sleeps between two attempts.

It blocks every orchestration of the process, and sleeps again in each replay.
"""

from __future__ import annotations

import time

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def patient(ctx: OrchestrationContext) -> Orchestration[str]:
    time.sleep(0.001)
    return (yield from ctx.schedule_activity(charge, 1))


MAIN = patient


CAUGHT_BY = {
    "lint": "DX106",
    "guard": "calls time.sleep at",
}
