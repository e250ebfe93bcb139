"""
Starts one activity for each member of a set.

The order of a set of texts differs between processes.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def greet(ctx: ActivityContext, name: str) -> str:
    return f"Hello, {name}!"


@registry.orchestration
def greet_all(ctx: OrchestrationContext) -> Orchestration[list[str]]:
    names = {f"guest {number}" for number in range(20)}
    return (yield from ctx.join(*(ctx.schedule_activity(greet, name) for name in names)))


MAIN = greet_all
#: Recorded in a process of its own, in which hashes are others.
RECORDED_ELSEWHERE = True


CAUGHT_BY = {
    "lint": "DX111",
    "replay": "ActivityScheduled(name='greet'",
}
