"""
Adds a step to code that instances are in the middle of.


"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry


def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def before(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    receipt = yield from ctx.schedule_activity(charge, amount)
    yield from ctx.schedule_wait("confirmed")
    return receipt


def after(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    yield from ctx.schedule_timer(5)
    receipt = yield from ctx.schedule_activity(charge, amount)
    yield from ctx.schedule_wait("confirmed")
    return receipt


def release(fn: Callable[..., Any], version: str = "1.0.0") -> Registry:
    registry = Registry()
    registry.register_activity(charge)
    registry.register_orchestration(fn, name="pay", version=version)
    return registry


BEFORE, registry = release(before), release(after)
MAIN, INPUT = "pay", 5


CAUGHT_BY = {
    "replay": "got:      CreateTimer(",
}
