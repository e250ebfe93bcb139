"""
Remembers an answer in a module's dict, and does not ask again.

The process that replays remembers something else: it skips a step that is in history.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


receipts: dict[int, str] = {}


@registry.orchestration
def cached(ctx: OrchestrationContext) -> Orchestration[str]:
    if 5 not in receipts:
        receipts[5] = yield from ctx.schedule_activity(charge, 5)
    yield from ctx.schedule_timer(1)
    return receipts[5]


MAIN = cached


CAUGHT_BY = {
    "lint": "DX112",
    "check_deterministic": "got:",
    "simulator": "but the code asked for CreateTimer(",
}
