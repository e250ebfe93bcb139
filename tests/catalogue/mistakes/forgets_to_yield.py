"""
Calls an activity as if it were done when the call returns.

What comes next begins at once, and a failure is lost.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def reserve(ctx: ActivityContext) -> None:
    pass


@registry.activity
def ship(ctx: ActivityContext) -> None:
    pass


@registry.orchestration
def fulfil(ctx: OrchestrationContext) -> Orchestration[None]:
    ctx.schedule_activity(reserve)
    yield from ctx.schedule_activity(ship)


def at_end(sim: Simulator) -> None:
    assert sim.calls(reserve), "it was shipped, and nothing was reserved"


MAIN = fulfil


CAUGHT_BY = {
    "lint": "DX203",
    "explore": "at_end",
}
