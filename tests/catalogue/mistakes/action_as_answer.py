"""
Uses an action as if it were its answer.

An action is a promise: it is always true.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def is_fraud(ctx: ActivityContext) -> bool:
    return False


@registry.orchestration
def screen(ctx: OrchestrationContext) -> Orchestration[str]:
    suspicious = ctx.schedule_activity(is_fraud)
    if suspicious:
        return "rejected"
    yield from ctx.schedule_timer(1)
    return "accepted"


def at_end(sim: Simulator) -> None:
    assert sim.result("i") == "accepted", "an honest customer was rejected"


MAIN = screen


CAUGHT_BY = {
    "lint": "DX214",
    "simulator": "an honest customer was rejected",
    "explore": "at_end",
}
