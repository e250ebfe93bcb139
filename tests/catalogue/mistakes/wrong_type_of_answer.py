"""
Treats an answer as what it is not.


"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def pay(ctx: OrchestrationContext) -> Orchestration[int]:
    receipt = yield from ctx.schedule_activity(charge, 5)
    return receipt + 1


MAIN = pay


CAUGHT_BY = {
    "types": "Unsupported operand types for +",
    "simulator": "TypeError",
}
