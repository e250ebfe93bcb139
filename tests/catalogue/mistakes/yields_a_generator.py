"""
Writes yield where it must be yield from.

A generator is no action; the engine refuses it.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def charge_twice(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_activity(charge, 1)
    return (yield from ctx.schedule_activity(charge, 2))


@registry.orchestration
def pay(ctx: OrchestrationContext) -> Orchestration[str]:
    return (yield charge_twice(ctx))


MAIN = pay


CAUGHT_BY = {
    "lint": "DX204",
    "simulator": "Write `yield from` instead of `yield`",
}
