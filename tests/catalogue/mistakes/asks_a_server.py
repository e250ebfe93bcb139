"""
Calls a web service.

It is called again at every replay, and answers something else, or not at all.
"""

from __future__ import annotations

import urllib.request

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def rated(ctx: OrchestrationContext) -> Orchestration[str]:
    with urllib.request.urlopen("http://127.0.0.1:9/rate") as answer:
        rate = int(answer.read())
    return (yield from ctx.schedule_activity(charge, rate))


MAIN = rated


CAUGHT_BY = {
    "lint": "DX105",
    "guard": "calls urllib.request.urlopen at",
}
