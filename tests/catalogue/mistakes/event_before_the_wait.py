"""
Begins to wait for an event only after a step, which may take longer than the sender.

An event goes to the wait that is open; one that comes too early is lost.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import ANY_TIME, Simulator

registry = Registry()


@registry.activity
def ask(ctx: ActivityContext) -> None:
    pass


@registry.orchestration
def approve(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_activity(ask)
    yield from ctx.schedule_wait("approved")
    return "done"


def setup(sim: Simulator) -> None:
    sim.raise_event("i", "approved", at=ANY_TIME)


def at_end(sim: Simulator) -> None:
    assert sim.result("i") == "done"


MAIN = approve


CAUGHT_BY = {
    "explore": "at_end",
}
