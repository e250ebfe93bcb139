"""
Gives join() a list.

It takes the actions as arguments.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def pay_all(ctx: OrchestrationContext) -> Orchestration[None]:
    yield from ctx.join([ctx.schedule_activity(charge, amount) for amount in range(3)])


MAIN = pay_all


CAUGHT_BY = {
    "lint": "DX213",
    "types": 'No overload variant of "join"',
    "simulator": "argument 0 of join() is [",
}
