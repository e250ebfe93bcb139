"""
Passes on what cannot be written as JSON.


"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def open_ended(ctx: OrchestrationContext) -> Orchestration[None]:
    yield from ctx.schedule_activity("charge", (number for number in range(3)))


MAIN = open_ended


CAUGHT_BY = {
    "simulator": "PayloadError",
}
