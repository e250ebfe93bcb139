"""
Makes an idempotency key up where it is used.

In replay it is another key: the one thing that it must not be.
"""

from __future__ import annotations

import uuid

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def send(ctx: ActivityContext, key: str) -> None:
    pass


@registry.orchestration
def transfer(ctx: OrchestrationContext) -> Orchestration[None]:
    yield from ctx.schedule_activity(send, str(uuid.uuid4()))


MAIN = transfer


CAUGHT_BY = {
    "lint": "DX103",
    "guard": "calls uuid.uuid4 at",
    "check_deterministic": "ActivityScheduled(name='send'",
    "simulator": "does not replay",
}
