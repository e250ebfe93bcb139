"""
Looks something up in a database.

In replay the row says something else, and nobody sees the query fail half-way.
"""

from __future__ import annotations

import sqlite3

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def priced(ctx: OrchestrationContext) -> Orchestration[str]:
    with sqlite3.connect(":memory:") as prices:
        (price,) = prices.execute("SELECT 5").fetchone()
    return (yield from ctx.schedule_activity(charge, price))


MAIN = priced


CAUGHT_BY = {
    "lint": "DX105",
    "guard": "calls sqlite3.connect at",
}
