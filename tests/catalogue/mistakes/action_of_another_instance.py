"""
Keeps an action in a global, for other instances.

It means nothing there, nor in replay.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


shared = []


@registry.orchestration
def pay(ctx: OrchestrationContext) -> Orchestration[str]:
    if not shared:
        shared.append(ctx.schedule_activity(charge, 5))
    return (yield from shared[0])


def setup(sim: Simulator) -> None:
    shared.clear()
    sim.start("other", pay)


MAIN = pay


CAUGHT_BY = {
    "lint": "DX112",
    "check_deterministic": "It belongs to another execution",
    "simulator": "does not replay",
}
