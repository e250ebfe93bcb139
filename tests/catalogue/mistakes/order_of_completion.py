"""
Takes what is ready first for what was started first.

Branches go on in the order of their answers, which is another one each time.
"""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import Simulator

registry = Registry()


@registry.activity
def price(ctx: ActivityContext, shop: str) -> str:
    return shop


@registry.orchestration
def compare(ctx: OrchestrationContext) -> Orchestration[str]:
    prices: list[str] = []

    def ask(shop: str) -> Orchestration[None]:
        prices.append((yield from ctx.schedule_activity(price, shop)))

    yield from ctx.join(ask("ours"), ask("theirs"))
    return prices[0]


def at_end(sim: Simulator) -> None:
    assert sim.result("i") == "ours", "the first price is not ours"


MAIN = compare


CAUGHT_BY = {
    "explore": "at_end",
}
