"""
Notifies only when it does not replay, so as not to notify twice.

Replaying is how it goes on: the step is missing then.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def notify(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_timer(1)
    if not ctx.is_replaying:
        yield from ctx.schedule_activity(charge, 1)
    yield from ctx.schedule_timer(1)
    return "done"


MAIN = notify


CAUGHT_BY = {
    "lint": "DX212",
    "check_deterministic": "got:",
}
