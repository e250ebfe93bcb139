"""
Catches everything around a yield.

That swallows GeneratorExit, by which the engine closes a branch that has lost.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def stubborn(ctx: OrchestrationContext) -> Orchestration[str]:
    while True:
        try:
            yield from ctx.schedule_wait("answer")
        except:
            yield from ctx.schedule_timer(1)


@registry.orchestration
def ask(ctx: OrchestrationContext) -> Orchestration[int]:
    return (yield from ctx.select(stubborn(ctx), ctx.schedule_timer(60))).index


MAIN = ask


CAUGHT_BY = {
    "lint": "DX208",
    "simulator": "closing a branch that lost a race raised",
}
