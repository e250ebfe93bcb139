"""
Undoes something in a finally, and waits for it.

It is also run when the branch is closed, and then nothing can be waited for.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def hold(ctx: OrchestrationContext) -> Orchestration[None]:
    try:
        yield from ctx.schedule_wait("released")
    finally:
        yield from ctx.schedule_activity(charge, -1)


@registry.orchestration
def reserve(ctx: OrchestrationContext) -> Orchestration[int]:
    return (yield from ctx.select(hold(ctx), ctx.schedule_timer(60))).index


MAIN = reserve


CAUGHT_BY = {
    "lint": "DX210",
    "simulator": "closing a branch that lost a race raised",
}
