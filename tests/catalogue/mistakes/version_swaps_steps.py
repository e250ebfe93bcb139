"""
Starts two things in another order than before.


"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry


def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def before(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    yield from ctx.join(ctx.schedule_activity(charge, amount), ctx.schedule_activity(charge, amount + 1))
    return "done"


def after(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    yield from ctx.join(ctx.schedule_activity(charge, amount + 1), ctx.schedule_activity(charge, amount))
    return "done"


def release(fn: Callable[..., Any], version: str = "1.0.0") -> Registry:
    registry = Registry()
    registry.register_activity(charge)
    registry.register_orchestration(fn, name="pay", version=version)
    return registry


BEFORE, registry = release(before), release(after)
MAIN, INPUT = "pay", 5


CAUGHT_BY = {
    "replay": "got:      CallActivity(name='charge', input='6'",
}
