"""Dicts whose keys are no texts, wherever an annotation says so."""

from __future__ import annotations

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.errors import OrchestrationFailed, PayloadError
from duroxide.testing import Simulator

from .stage import Stage


NAMES = {1: "one", 2: "two"}

shop = Registry()


@shop.activity
def swap(ctx: ActivityContext, names: dict[int, str]) -> dict[str, int]:
    return {name: number for number, name in names.items()}


@shop.activity
async def swap_back(ctx: ActivityContext, numbers: dict[str, int]) -> dict[int, str]:
    return {number: name for name, number in numbers.items()}


@shop.orchestration
def child(ctx: OrchestrationContext, names: dict[int, str]) -> Orchestration[dict[int, str]]:
    numbers = yield from ctx.schedule_activity(swap, names)
    return (yield from ctx.schedule_activity(swap_back, numbers))


@shop.orchestration
def parent(ctx: OrchestrationContext, names: dict[int, str]) -> Orchestration[dict[int, str]]:
    if 0 not in names:
        yield from ctx.schedule_orchestration(child, f"{ctx.instance_id}-detached", names)
        yield ctx.continue_as_new(names | {0: "none"})
    return (yield from ctx.schedule_sub_orchestration(child, names))


@shop.orchestration
def by_name(ctx: OrchestrationContext, names: dict[int, str]) -> Orchestration[None]:
    yield from ctx.schedule_activity("swap", names)


def test_runtime(stage: Stage, registry: Registry) -> None:
    """They are inputs and results, of activities, children, independent instances, the next execution, and for clients."""
    registry.merge(shop)
    stage.start()

    stage.client.start_orchestration("a", parent, NAMES)

    assert NAMES | {0: "none"} == stage.client.wait_for_result("a", type=dict[int, str])
    assert NAMES == stage.client.wait_for_result("a-detached", type=dict[int, str])


def test_simulator() -> None:
    """In a simulation likewise; also where a fake does not say what it returns."""
    with Simulator(shop) as simulator:
        simulator.fake(swap_back, lambda ctx, numbers: {3: "three"})
        simulator.start("a", parent, NAMES)
        simulator.run()

        assert simulator.result("a", dict[int, str]) == {3: "three"}


def test_by_name() -> None:
    """Of a function that is given by its name nothing is known: the error says what would help."""
    with Simulator(shop) as simulator:
        with pytest.raises(PayloadError, match=r"key 1 of type int.*given itself, not by its name"):
            simulator.start("a", "by_name", NAMES)
        simulator.start("b", by_name, NAMES)
        simulator.run()

        with pytest.raises(OrchestrationFailed, match=r"key 1 of type int.*given itself, not by its name"):
            simulator.result("b")
