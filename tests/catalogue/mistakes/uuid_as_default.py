"""
Makes a value whose class makes an id up for it.

The call of uuid4 is not in the orchestration, but it is made there.
"""

from __future__ import annotations

import uuid

from dataclasses import dataclass, field

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@dataclass
class Parcel:
    weight: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@registry.activity
def ship(ctx: ActivityContext, parcel: Parcel) -> None:
    pass


@registry.orchestration
def dispatch(ctx: OrchestrationContext) -> Orchestration[None]:
    yield from ctx.schedule_activity(ship, Parcel(5))


MAIN = dispatch


CAUGHT_BY = {
    "lint": "DX103",
    "guard": "calls uuid.uuid4",
    "check_deterministic": "ActivityScheduled(name='ship'",
    "simulator": "does not replay",
}
