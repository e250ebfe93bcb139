"""
Schedules, but is no generator.

It ends before anything is done.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def pay(ctx: OrchestrationContext) -> str:
    ctx.schedule_activity(charge, 5)
    return "paid"


def at_end(sim: Simulator) -> None:
    assert sim.calls(charge), "nobody was charged"


MAIN = pay


CAUGHT_BY = {
    "lint": "DX202",
    "simulator": "nobody was charged",
}
