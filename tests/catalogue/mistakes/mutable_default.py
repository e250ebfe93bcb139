"""
Collects in a default argument.

A default is made once: it is a global with another name.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def collect(item: int, items: list[int] = []) -> list[int]:
    items.append(item)
    return items


@registry.orchestration
def collecting(ctx: OrchestrationContext) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, sum(collect(1))))


MAIN = collecting


CAUGHT_BY = {
    "lint": "DX112",
    "check_deterministic": "got:",
    "simulator": "does not replay",
}
