"""
Runs a coroutine with asyncio.

An event loop waits for the world outside, and for nothing that is recorded.
"""

from __future__ import annotations

import asyncio

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


async def fetch() -> int:
    return 5


@registry.orchestration
def fetched(ctx: OrchestrationContext) -> Orchestration[str]:
    amount = asyncio.new_event_loop().run_until_complete(fetch())
    return (yield from ctx.schedule_activity(charge, amount))


MAIN = fetched


CAUGHT_BY = {
    "lint": "DX107",
    "guard": "calls asyncio.new_event_loop at",
}
