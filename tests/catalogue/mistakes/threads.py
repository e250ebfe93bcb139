"""
Does two things at once with a thread pool.

Which one is ready first is decided anew in each replay, and neither is recorded.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def both(ctx: OrchestrationContext) -> Orchestration[str]:
    with ThreadPoolExecutor(2) as pool:
        first, _ = pool.submit(int, "1"), pool.submit(int, "2")
    return (yield from ctx.schedule_activity(charge, first.result()))


MAIN = both


CAUGHT_BY = {
    "lint": "DX107",
    "guard": "calls concurrent.futures.ThreadPoolExecutor at",
}
