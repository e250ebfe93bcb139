"""
Registers the new version, and removes the old one.

Instances of the old version wait for a worker that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry


def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


def before(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, amount))


def after(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, amount))


def release(fn: Callable[..., Any], version: str = "1.0.0") -> Registry:
    registry = Registry()
    registry.register_activity(charge)
    registry.register_orchestration(fn, name="pay", version=version)
    return registry


BEFORE, registry = release(before), release(after, "2.0.0")
MAIN, INPUT = "pay", 5


CAUGHT_BY = {
    "replay": "it is registered as 2.0.0 only",
}
