"""
Counts in a module's variable.

Replaying counts once more, and so does every other instance.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


invoices = 0


@registry.orchestration
def invoice(ctx: OrchestrationContext) -> Orchestration[str]:
    global invoices
    invoices += 1
    return (yield from ctx.schedule_activity(charge, invoices))


MAIN = invoice


CAUGHT_BY = {
    "lint": "DX112",
    "check_deterministic": "CallActivity(name='charge', input='2'",
    "simulator": "does not replay",
}
