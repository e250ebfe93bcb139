"""
Calls the activity's function itself.

It runs here and now, unrecorded, and again at every replay.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def pay(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_timer(1)
    return charge(ctx, 5)


MAIN = pay


CAUGHT_BY = {
    "lint": "DX206",
    "types": 'Argument 1 to "charge" has incompatible type "OrchestrationContext"',
}
