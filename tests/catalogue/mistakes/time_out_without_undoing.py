"""
Gives up after a time-out, and forgets that the step may have been done.

The money is taken, and nothing is sent.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext) -> None:
    pass


@registry.orchestration
def pay(ctx: OrchestrationContext) -> Orchestration[str]:
    winner = yield from ctx.select(ctx.schedule_activity(charge), ctx.schedule_timer(30))
    return "paid" if winner.index == 0 else "not paid"


def at_end(sim: Simulator) -> None:
    assert sim.result("i") == "paid" or not sim.calls(charge), "charged, and reported as not paid"


MAIN = pay


CAUGHT_BY = {
    "explore": "at_end",
}
