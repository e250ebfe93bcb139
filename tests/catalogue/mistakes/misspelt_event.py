"""
Waits for an event by another name than it is raised by.

It waits for ever.
"""

from __future__ import annotations

from duroxide import Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.orchestration
def approve(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_wait("approved")
    return "done"


def setup(sim: Simulator) -> None:
    sim.raise_event("i", "aproved", at=5)


def at_end(sim: Simulator) -> None:
    assert sim.result("i") == "done"


MAIN = approve


CAUGHT_BY = {
    "simulator": "'i' waits for",
    "explore": "at_end",
}
