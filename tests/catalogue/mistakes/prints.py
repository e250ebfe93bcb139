"""
Prints its progress.

Every replay prints it again.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def talkative(ctx: OrchestrationContext) -> Orchestration[str]:
    print("charging")
    return (yield from ctx.schedule_activity(charge, 1))


MAIN = talkative


CAUGHT_BY = {
    "lint": "DX108",
}
