"""Generated orchestrations in generated worlds, through the real engine: nothing is lost, and everything replays."""

from __future__ import annotations

from typing import Any

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry
from duroxide.testing import ANY_TIME, Faults, Simulator
from duroxide.testing.exploration.schedules import Rules, outcomes
from duroxide.testing.simulation.clock import VirtualClock
from duroxide.testing.simulation.store import SimulatedStore
from duroxide.testing.strategies import Program, orchestrations
from duroxide.testing.strategies.programs import NAMES


INSTANCE = "generated"


def answer(ctx: ActivityContext, text: str) -> str:
    """Fail for one input in four."""
    if sum(text.encode()) % 4 == 0:
        raise ValueError(text)
    return f"{ctx.activity_name} of {text}"


def child(ctx: OrchestrationContext, text: str) -> Orchestration[str]:
    """A child that calls an activity, and fails with it."""
    return (yield from ctx.schedule_activity("red", text))


def other(ctx: OrchestrationContext, text: str) -> Orchestration[str]:
    """A detached instance."""
    yield from ctx.schedule_timer(1)
    return text


def registry_of(program: Program) -> Registry:
    """Return a registry with *program*, and what it calls."""
    registry = Registry()
    registry.register_orchestration(program.function(), name=INSTANCE)
    registry.register_orchestration(child)
    registry.register_orchestration(other)
    for name in NAMES:
        registry.register_activity(answer, name=name)
    return registry


class Worlds:
    """Begins simulations of one program, with events that arrive at any time."""

    def __init__(self, store: SimulatedStore, program: Program, sent: list[tuple[str, str]]) -> None:
        self.store = store
        self.registry = registry_of(program)
        self.sent = sent

    def begin(self) -> Simulator:
        self.store.clear()
        simulator = Simulator(self.registry, store=self.store)
        simulator.start(INSTANCE, INSTANCE, 0)
        for number, (kind, name) in enumerate(self.sent):
            if kind == "cancel":
                simulator.cancel_instance(INSTANCE, f"reason {number}", at=ANY_TIME)
            elif kind == "raise":
                simulator.raise_event(INSTANCE, name, number, at=ANY_TIME)
            else:
                simulator.enqueue_event(INSTANCE, name, number, at=ANY_TIME)
        return simulator


SENT = st.lists(
    st.tuples(st.sampled_from(["raise", "raise", "enqueue", "enqueue", "enqueue", "cancel"]), st.sampled_from(NAMES)),
    max_size=8,
)


@pytest.fixture(scope="module")
def store() -> Any:
    """A store for all examples of this module."""
    store = SimulatedStore(VirtualClock())
    yield store
    store.close()


@settings(max_examples=60)
@given(orchestrations(), SENT, st.data())
def test_any_schedule(
    store: SimulatedStore, program: Program, sent: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Whatever the code, the order and the faults: decisions replay, audits are clean, and no history is impossible."""
    rules = Rules(Worlds(store, program, sent).begin, (), (), Faults(), max_faults=5, max_steps=120)
    outcome = data.draw(outcomes(rules, 20))

    assert outcome.broken is None, "\n".join([outcome.broken.message, *map(str, outcome.trace)])
