"""
Spreads work over queues by hash().

The hash of a text differs between processes.
"""

from __future__ import annotations

from duroxide import Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.orchestration
def work(ctx: OrchestrationContext) -> Orchestration[None]:
    yield from ctx.schedule_timer(0)


@registry.orchestration
def spread(ctx: OrchestrationContext) -> Orchestration[None]:
    ctx.schedule_orchestration(work, f"queue-{hash('customer 17') % 1_000_000_007}")
    yield from ctx.schedule_timer(1)


MAIN = spread
RECORDED_ELSEWHERE = True


CAUGHT_BY = {
    "lint": "DX110",
    "replay": "OrchestrationChained(name='work'",
}
