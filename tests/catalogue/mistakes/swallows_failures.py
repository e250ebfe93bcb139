"""
Ignores every failure of a step, and goes on.

The goods are shipped although nobody has paid.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext) -> None:
    pass


@registry.activity
def ship(ctx: ActivityContext) -> None:
    pass


@registry.orchestration
def fulfil(ctx: OrchestrationContext) -> Orchestration[None]:
    try:
        yield from ctx.schedule_activity(charge)
    except Exception:
        pass
    yield from ctx.schedule_activity(ship)


def at_end(sim: Simulator) -> None:
    assert len(sim.calls(ship)) == 0 or sim.calls(charge), "shipped, and nobody has paid"


MAIN = fulfil


CAUGHT_BY = {
    "lint": "DX209",
    "explore": "at_end",
}
