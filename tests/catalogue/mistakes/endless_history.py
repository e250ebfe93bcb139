"""
Loops for ever in one execution.

Its history grows without end, and every replay takes longer.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def look(ctx: ActivityContext) -> None:
    pass


@registry.orchestration
def watch(ctx: OrchestrationContext) -> Orchestration[None]:
    while True:
        yield from ctx.schedule_activity(look)
        yield from ctx.schedule_timer(3600)


MAIN = watch


CAUGHT_BY = {
    "simulator": "there was no end after",
}
