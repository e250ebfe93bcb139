"""
Waits for an event by another name than before.

What waits already waits for the old one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry


def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def before(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    yield from ctx.schedule_wait("confirmed")
    return "done"


def after(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    yield from ctx.schedule_wait("payment-confirmed")
    return "done"


def release(fn: Callable[..., Any], version: str = "1.0.0") -> Registry:
    registry = Registry()
    registry.register_activity(charge)
    registry.register_orchestration(fn, name="pay", version=version)
    return registry


BEFORE, registry = release(before), release(after)
MAIN, INPUT = "pay", 5


CAUGHT_BY = {
    "replay": "got:      WaitExternal(name='payment-confirmed')",
}
