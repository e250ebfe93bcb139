"""
Passes an activity what it does not take.

It fails when the activity decodes it, days after the deployment.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def pay(ctx: OrchestrationContext) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, "five"))


MAIN = pay


CAUGHT_BY = {
    "types": "incompatible type",
    "simulator": "int",
}
