"""
Believes that an activity runs once.

The process dies after the work and before the commit, and the activity is run again.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext) -> None:
    pass


@registry.orchestration
def pay(ctx: OrchestrationContext) -> Orchestration[None]:
    yield from ctx.schedule_activity(charge)


def always(sim: Simulator) -> None:
    assert len(sim.calls(charge)) <= 1, "charged twice"


MAIN = pay


CAUGHT_BY = {
    "explore": "charged twice",
}
